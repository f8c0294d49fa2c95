"""Signed JWTs as credentials and presentations use them (RFC 7515, RFC 7519, RFC 8725).

`read` takes one apart, once, and trusts nothing in it; `Jwt.signed_by` tells whether a key made the signature. The
algorithms are decided here, never by the token; a key serves only the algorithm of its kind.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from schakel.generic.identity.credentials.refusals import Refused, shown
from schakel.generic.identity.jws import Signed, made_with, opened, registry

ALGORITHMS = ("ES256", "RS256", "PS256")
LEEWAY_SECONDS = 5
"""How far the clocks of two organisations on NTP may differ; added on both sides."""

MAX_CHARACTERS = 120_000
"""Longest JWT: a presentation of several credentials with certificate chains in them."""

MIN_RSA_BITS = 2048
_MAX_DEPTH = 24
_TYPES = frozenset({"jwt", "vc+jwt", "vp+jwt", "vc+ld+jwt", "vp+ld+jwt"})
RULES = registry(*ALGORITHMS, longest=MAX_CHARACTERS)

PublicKey = ECKey | RSAKey


@dataclass(frozen=True, slots=True)
class Jwt:
    """A JWT that was taken apart: `text` is the whole, `header` and `claims` its two JSON objects, unverified."""

    text: str
    parts: Signed

    @property
    def header(self) -> Mapping[str, Any]:
        return self.parts.header

    @property
    def claims(self) -> Mapping[str, Any]:
        return self.parts.claims

    @property
    def algorithm(self) -> str:
        algorithm: str = self.header["alg"]
        return algorithm

    def signed_by(self, key: PublicKey) -> bool:
        """Whether the private part of `key` made the signature."""
        return isinstance(key, ECKey) == (self.algorithm == "ES256") and made_with(self.parts, key, RULES)

    def seconds(self, name: str) -> float | None:
        """The claim `name` as seconds since 1970, None when it is not there. Raises `Refused`."""
        value = self.claims.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value < 10**11:
            raise Refused(f"the claim {name} is not a number of seconds", code="jwt-time", expression=name)
        return float(value)


def read(text: object, what: str) -> Jwt:
    """The JWT in `text`; `what` names it in refusals. Raises `Refused`."""
    if not isinstance(text, str):
        raise Refused(f"{what} is not a JWT in text", code="jwt-malformed")
    if len(text) > MAX_CHARACTERS:
        raise Refused(f"{what} is longer than {MAX_CHARACTERS} characters", code="jwt-malformed")
    try:
        parts = opened(text, RULES, _MAX_DEPTH)
    except ValueError:
        raise Refused(
            f"{what} is not a signed JWT: three parts in base64url with JSON objects are needed",
            code="jwt-malformed",
        ) from None
    _check_header(parts.header, what)
    return Jwt(text, parts)


def decoded(text: str) -> bytes:
    """Base64url without padding. Raises `ValueError`."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _check_header(header: Mapping[str, Any], what: str) -> None:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Refused(
            f"{what} is signed with {shown(algorithm)}: {', '.join(ALGORITHMS)} are taken",
            code="jwt-algorithm",
            expression="alg",
        )
    if "crit" in header:
        raise Refused(
            f"the header of {what} has crit, which is not supported", code="jwt-header", expression="crit"
        )
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Refused(
            f"the header of {what} says typ {shown(kind)}: JWT is needed", code="jwt-header", expression="typ"
        )


def check_times(jwt: Jwt, moment: float, *, needed: bool = True) -> tuple[float, float]:
    """Start (nbf, else iat) and end (exp) of `jwt`, in seconds since 1970, when `moment` lies between them.

    Raises `Refused` when one is missing, if they are `needed`, and outside of them by more than five seconds.
    """
    issued, start, end = jwt.seconds("iat"), jwt.seconds("nbf"), jwt.seconds("exp")
    for name, value in (("iat", issued), ("nbf", start)):
        if value is not None and value > moment + LEEWAY_SECONDS:
            raise Refused(
                f"the claim {name} lies in the future: check the clock", code="jwt-early", expression=name
            )
    begin = start if start is not None else issued
    if not needed:
        begin, end = begin or 0.0, end if end is not None else math.inf
    if begin is None:
        raise Refused("the claim nbf is missing", code="jwt-time", expression="nbf")
    if end is None:
        raise Refused("the claim exp is missing", code="jwt-time", expression="exp")
    if end <= moment - LEEWAY_SECONDS:
        raise Refused("the claim exp lies in the past", code="jwt-expired", expression="exp")
    if end <= begin:
        raise Refused("the claim exp does not lie behind nbf", code="jwt-time", expression="exp")
    return begin, end


def from_jwk(jwk: object) -> PublicKey | None:
    """The public key in `jwk`: EC on P-256, or RSA of 2048 bits or more; None for anything else."""
    if not isinstance(jwk, Mapping) or jwk.get("use", "sig") != "sig":
        return None
    names = {"EC": ("kty", "crv", "x", "y"), "RSA": ("kty", "n", "e")}.get(str(jwk.get("kty")))
    if names is None or not all(isinstance(jwk.get(name), str) for name in names):
        return None
    members = {name: str(jwk[name]) for name in names}
    if members["kty"] == "EC" and members["crv"] != "P-256":
        return None
    try:
        if members["kty"] == "RSA" and int.from_bytes(decoded(members["n"])).bit_length() < MIN_RSA_BITS:
            return None
        key = (ECKey if members["kty"] == "EC" else RSAKey).import_key(dict(members))
        return key if key.public_key is not None else None
    except (JoseError, ValueError, TypeError):
        return None


def from_public(key: object) -> PublicKey | None:
    """The same of a public key of `cryptography`."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return ECKey.import_key(_pem(key))
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return RSAKey.import_key(_pem(key))
    return None


def _pem(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
