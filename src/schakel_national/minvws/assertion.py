"""The client assertion: how an organisation proves, beside the certificate of the connection, that it asks.

Source: RFC 7523, section 3; the guide's claims: iss = sub = the URA, aud = the token endpoint, cnf = the thumbprint of
the connection's certificate. RS256 is what the ministry has; ES256 is taken here too, for certificates with such keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from schakel.kernel.clock import now
from schakel_national.minvws.certificates import Shown, led, signing_key

FORM = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS = ("RS256", "ES256")
_MOST_SECONDS = 300
_REGISTRY = JWSRegistry(algorithms=_ALGORITHMS)
_REGISTRY.max_header_length = 20_000  # a chain of certificates is long


class Unproven(Exception):
    """An assertion that proves nothing; the text says why."""


class Assertions:
    """Reads assertions meant for `audiences`; `anchors` is the PEM file of the authority that an x5c must lead to."""

    def __init__(self, audiences: Iterable[str], anchors: Path) -> None:
        self._audiences = list(audiences)
        self._anchors = anchors
        self._used: dict[str, int] = {}

    def ura(self, text: str, connection: Shown, form: Mapping[str, str]) -> str:
        """The URA of who signed. Raises `Unproven`."""
        signer = self._signer(text, connection)
        claims = self._claims(text, signer)
        ura = str(claims["iss"])
        if claims["sub"] != ura:
            raise Unproven("iss and sub of the assertion differ")
        if signer.ura and signer.ura != ura:
            raise Unproven("the certificate that signed the assertion is of another URA than its iss")
        for name in ("scope", "target_audience"):
            if name in claims and claims[name] != form.get(name):
                raise Unproven(f"{name} of the assertion is not that of the request")
        confirmation = claims["cnf"]
        if not isinstance(confirmation, dict) or confirmation.get("x5t#S256") != connection.thumbprint:
            raise Unproven("cnf of the assertion is not the certificate of this connection")
        self._once(claims)
        return ura

    def _signer(self, text: str, connection: Shown) -> Shown:
        """The certificate whose key signed: that of the connection, or the first in x5c."""
        try:
            header = jws.extract_compact(text.encode(), registry=_REGISTRY).headers()
        except (JoseError, ValueError) as error:
            raise Unproven("the assertion is not a JWS") from error
        signer = connection
        if chain := header.get("x5c"):
            try:
                signer = led(chain, self._anchors)
            except ValueError as error:
                raise Unproven(f"x5c of the assertion {error}") from error
        if header.get("kid") != signer.thumbprint:
            raise Unproven("kid of the assertion is not the thumbprint of the certificate that signed it")
        return signer

    def _claims(self, text: str, signer: Shown) -> dict[str, Any]:
        rules = jwt.JWTClaimsRegistry(
            now=lambda: int(now().timestamp()),
            iss={"essential": True},
            sub={"essential": True},
            aud={"essential": True, "values": self._audiences},
            jti={"essential": True},
            iat={"essential": True},
            exp={"essential": True},
            cnf={"essential": True},
        )
        try:
            claims = jwt.decode(text, signing_key(signer), registry=_REGISTRY).claims
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise Unproven(f"the assertion is not right: {error}") from error
        if claims["exp"] - claims["iat"] > _MOST_SECONDS:
            raise Unproven(f"the assertion holds for more than {_MOST_SECONDS} seconds")
        return claims

    def _once(self, claims: Mapping[str, Any]) -> None:
        moment = int(now().timestamp())
        self._used = {one: until for one, until in self._used.items() if until >= moment}
        if claims["jti"] in self._used:
            raise Unproven("jti of the assertion was used before")
        self._used[claims["jti"]] = int(claims["exp"])
