"""Proof of possession: a client shows with each request that it holds the key a token is bound to.

Source: RFC 9449; section 4.3 is the list of checks, in its order, and `proved` follows it. That a proof is used only
once is decided in the database, by `Proof.jkt` and `Proof.jti`.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64decode

from schakel.generic.identity.errors import InvalidDpopProofError
from schakel.generic.identity.jws import made_with, opened, registry
from schakel.generic.identity.nonces import Nonces

ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
"""Signatures of proofs that are taken; what the metadata say."""

FRESH_SECONDS = 60
"""How old a proof may be."""

LEEWAY_SECONDS = 5
"""How far the clocks of two organisations on NTP may differ; added on both sides."""

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MAX_CHARACTERS = 8192
_MAX_ID = 256
_RSA_BITS = range(2048, 4097)
_MAX_RSA_CHARACTERS = 700
_RULES = registry(*ALGORITHMS, longest=4096)
_PORTS = {"http": 80, "https": 443}
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_escaped = re.compile(r"%([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that was found good but for its being used before. `jkt` is the thumbprint of its key (RFC 7638),
    `issued` in seconds since 1970."""

    jkt: str
    jti: str
    issued: float


def proved(
    headers: tuple[str, ...],
    method: str,
    url: str,
    moment: float,
    token: str | None = None,
    nonces: Nonces | None = None,
) -> Proof:
    """The proof in the DPoP `headers` of a request with `method` to our address `url`, at `moment` (seconds since
    1970); with `token` at a resource, and with `nonces` where it must have one of them.

    Raises `InvalidDpopProofError` that names the one thing that is wrong.
    """
    if len(headers) != 1:
        what = "is missing" if not headers else "stands more than once"
        raise _wrong("header", f"the header DPoP {what}: one proof is needed")
    if len(headers[0]) > _MAX_CHARACTERS:
        raise _wrong("malformed", f"the proof is longer than {_MAX_CHARACTERS} characters")
    try:
        signed = opened(headers[0], _RULES)
    except ValueError:
        raise _wrong(
            "malformed",
            "the proof is not a signed JWT: three parts in base64url with JSON objects are needed",
        ) from None
    key, jkt = _key(signed.header)
    if not made_with(signed, key, _RULES):
        raise _wrong("signature", "the signature of the proof was not made with the key in its jwk")
    claims = signed.claims
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= _MAX_ID or not jti.isprintable():
        raise _wrong(
            "jti",
            f"the claim jti of the proof is missing or is not text of 1 to {_MAX_ID} printable characters",
            "jti",
        )
    if claims.get("htm") != method:
        raise _wrong("htm", f"the claim htm of the proof is not {method}, the method of this request", "htm")
    _check_address(claims.get("htu"), url)
    if nonces is not None:
        nonces.check(claims.get("nonce"), moment)
    issued = _check_time(claims.get("iat"), moment)
    if token is not None and claims.get("ath") != token_digest(token):
        raise _wrong("ath", "the claim ath of the proof is not the SHA-256 of the token, in base64url", "ath")
    return Proof(jkt, jti, issued)


def _key(header: Mapping[str, Any]) -> tuple[ECKey | RSAKey, str]:
    """The public key that a proof brings along, with its thumbprint."""
    if header.get("typ") != "dpop+jwt":
        raise _wrong("typ", "the typ in the header of the proof is not dpop+jwt", "typ")
    algorithm, jwk = header.get("alg"), header.get("jwk")
    if algorithm not in ALGORITHMS:
        raise _wrong("alg", f"the alg of the proof is not one of {', '.join(ALGORITHMS)}", "alg")
    if "crit" in header:
        raise _wrong("crit", "the header of the proof has crit, which is not supported", "crit")
    if not isinstance(jwk, dict):
        raise _wrong("jwk", "the header of the proof has no jwk with the public key", "jwk")
    if private := sorted(_PRIVATE & jwk.keys()):
        raise _wrong(
            "private",
            f"the jwk of the proof holds {private[0]}, a part of a private or secret key: "
            "that key is known to others now, make a new one",
            "jwk",
        )
    curve = _CURVES.get(algorithm)
    names = ("crv", "x", "y") if curve else ("n", "e")
    parts = [jwk.get(name) for name in names]
    found = None
    if jwk.get("kty") == ("EC" if curve else "RSA") and all(isinstance(part, str) for part in parts):
        found = _elliptic(curve, *parts) if curve else _rsa(*parts)
    if found is None:
        what = f"an EC key on {curve}" if curve else "an RSA key of 2048 to 4096 bits"
        raise _wrong("jwk", f"the jwk of the proof is not {what}, as its alg {algorithm} needs", "jwk")
    return found


@lru_cache(maxsize=4096)
def _elliptic(curve: str, crv: str, x: str, y: str) -> tuple[ECKey | RSAKey, str] | None:
    if crv != curve:
        return None
    try:
        key = ECKey.import_key({"kty": "EC", "crv": crv, "x": x, "y": y})
        return key, key.thumbprint()
    except (JoseError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _rsa(n: str, e: str) -> tuple[ECKey | RSAKey, str] | None:
    """None also for a key that is too weak, or so large that checking its signatures costs too much."""
    if len(n) > _MAX_RSA_CHARACTERS or len(e) > 8:
        return None
    try:
        if int.from_bytes(urlsafe_b64decode(n.encode())).bit_length() not in _RSA_BITS:
            return None
        key = RSAKey.import_key({"kty": "RSA", "n": n, "e": e})
        return key, key.thumbprint()
    except (JoseError, ValueError):
        return None


def _check_address(htu: object, url: str) -> None:
    """Refuse a proof for another address; query and fragment do not count."""
    if not isinstance(htu, str) or (htu != url and (_parts(htu) is None or _parts(htu) != _parts(url))):
        raise _wrong("htu", f"the claim htu of the proof is not {url}, the address of this request", "htu")


def _parts(url: str) -> tuple[str, str, int | None, str] | None:
    """What makes two addresses the same (RFC 3986, sections 6.2.2 and 6.2.3); None when it is no web address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or not url.isprintable():
        return None
    path = _without_dots(_escaped.sub(_plain, parts.path))
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port, path or "/"


def _plain(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()


def _without_dots(path: str) -> str:
    """`path` without its segments `.` and `..` (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _check_time(issued: object, moment: float) -> float:
    if isinstance(issued, bool) or not isinstance(issued, int | Decimal):
        raise _wrong("iat", "the claim iat of the proof is missing or is not a number of seconds", "iat")
    if issued > moment + LEEWAY_SECONDS:
        raise _wrong("iat", "the claim iat of the proof lies in the future: check the clock", "iat")
    if issued < moment - FRESH_SECONDS - LEEWAY_SECONDS:
        raise _wrong(
            "iat", f"the claim iat of the proof is older than {FRESH_SECONDS} seconds: make a new one", "iat"
        )
    return float(issued)


def token_digest(token: str) -> str:
    """What the claim ath says of a token."""
    return urlsafe_b64encode(hashlib.sha256(token.encode(errors="replace")).digest()).rstrip(b"=").decode()


def _wrong(code: str, message: str, expression: str = "") -> InvalidDpopProofError:
    return InvalidDpopProofError(message, code=f"dpop-{code}", expression=expression)
