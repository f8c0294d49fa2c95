"""Keys from files: EC on P-256 as JWK (ES256; RFC 7517, RFC 7518 section 3.4), and RSA, by which login services know
us."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from schakel.kernel.outcomes import Invalid

_ALGORITHM = "ES256"
_CURVE = "P-256"
_RSA_BITS = 2048


def new_key() -> dict[str, Any]:
    """A new private key as JWK; `kid` is its thumbprint (RFC 7638)."""
    key = ECKey.generate_key(_CURVE, private=True)
    return {**key.as_dict(private=True), "kid": key.thumbprint(), "use": "sig", "alg": _ALGORITHM}


def read_key(path: Path) -> ECKey:
    """The private key in the JWK file `path`; its `kid` is the thumbprint when the file has none.

    Raises `Invalid` that names the file and what is wrong with it, never what stands in it.
    """
    try:
        members = orjson.loads(path.read_bytes())
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from error
    except orjson.JSONDecodeError:
        raise _unusable(path, "is not JSON") from None
    if not isinstance(members, dict) or members.get("kty") != "EC" or members.get("crv") != _CURVE:
        raise _unusable(path, "is not an EC key on P-256")
    if not members.get("d"):
        raise _unusable(path, "has no private part (d)")
    try:
        key = ECKey.import_key({name: members[name] for name in ("kty", "crv", "x", "y", "d")})
        kid = members.get("kid") or key.thumbprint()
        # A private part that does not belong to the public one would sign what nobody can verify.
        public = key.private_key.public_key().public_numbers() if key.private_key else None
    except (JoseError, ValueError, KeyError, TypeError):
        raise _unusable(path, "is damaged") from None
    if not isinstance(kid, str) or public != key.public_key.public_numbers():
        raise _unusable(path, "is damaged: its parts do not belong together")
    return ECKey.import_key({**key.as_dict(private=True), "kid": kid})


def new_rsa_key() -> dict[str, Any]:
    """A new private RSA key as JWK; `kid` is its thumbprint."""
    key = RSAKey.generate_key(_RSA_BITS, private=True)
    return {**key.as_dict(private=True), "kid": key.thumbprint()}


def read_rsa_key(path: Path) -> RSAKey:
    """The private RSA key in the file `path`, JWK or PEM without a password.

    Raises `Invalid` naming the file, never what stands in it.
    """
    try:
        text = path.read_bytes()
        key = RSAKey.import_key(text if text.lstrip().startswith(b"-----BEGIN") else orjson.loads(text))
        if key.private_key is not None and key.private_key.key_size >= _RSA_BITS:
            return key
    except OSError as error:
        raise Invalid(f"the key {path} cannot be read ({error.strerror})", code="rsa-key") from error
    except (JoseError, ValueError, KeyError, TypeError):
        pass
    raise Invalid(
        f"the key {path} is no private RSA key of {_RSA_BITS} bits or more (JWK, or PEM without a password)",
        code="rsa-key",
    )


def public_jwk(key: ECKey) -> dict[str, Any]:
    """The public part of `key`, as it stands in a JWK Set."""
    return {**key.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": _ALGORITHM}


def verifying_keys(jwks: Mapping[str, Any], kid: str | None) -> Iterator[ECKey]:
    """The keys of `jwks` that may verify ES256, those named `kid` when it is given; others are left out."""
    members = jwks.get("keys")
    for jwk in members if isinstance(members, list) else ():
        if (
            isinstance(jwk, dict)
            and (jwk.get("kty"), jwk.get("crv")) == ("EC", _CURVE)
            and jwk.get("use", "sig") == "sig"
            and jwk.get("alg", _ALGORITHM) == _ALGORITHM
            and (kid is None or jwk.get("kid") == kid)
            and isinstance(jwk.get("x"), str)
            and isinstance(jwk.get("y"), str)
            and (key := _public_key(jwk["x"], jwk["y"]))
        ):
            yield key


@lru_cache(maxsize=4096)
def _public_key(x: str, y: str) -> ECKey | None:
    """The public key at the point (x, y); None when that is not a point of the curve."""
    try:
        return ECKey.import_key({"kty": "EC", "crv": _CURVE, "x": x, "y": y})
    except (JoseError, ValueError):
        return None


def _unusable(path: Path, what: str) -> Invalid:
    return Invalid(
        f"the signing key {path} {what}: a JWK file with a private EC key on P-256 is needed",
        code="signing-key-invalid",
    )
