"""What tests of an authorisation server by itself need: its addresses, who is known to it, and requests to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from schakel.generic.identity import AuthorisationServer, Caller, PeerCertificate, User, new_key
from schakel.generic.identity.assertion import ASSERTION_TYPE, MAX_SECONDS
from schakel.kernel.clock import new_id, now

ISSUER = "https://node.example/haven"
TOKEN_URL, DATA_URL = f"{ISSUER}/oauth2/token", f"{ISSUER}/fhir/stu3/Condition"
REQUESTER, STRANGER = "22222222", "33333333"
DOCTOR = User("900025039", "L. de Boer", "01.010")
KEYS = {ura: new_key() for ura in (REQUESTER, STRANGER)}
NAMES = {REQUESTER: "Kliniek Oost"}
OTHER = ECKey.generate_key("P-256")
CERTIFICATE = PeerCertificate(b"der", "x" * 43, frozenset({"node.example"}))
OTHER_CERTIFICATE = PeerCertificate(b"other", "y" * 43)
MakeServer = Callable[..., AuthorisationServer]


class Directory:
    """Public keys by URA."""

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        return {"keys": [{k: v for k, v in KEYS[ura].items() if k != "d"}]} if ura in KEYS else None

    async def name(self, ura: str) -> str:
        return NAMES.get(ura, "")

    async def facility_type(self, ura: str) -> str:
        return ""


def form(requester: str = REQUESTER, **claims: Any) -> dict[str, str]:
    """A good token request."""
    moment = int(now().timestamp())
    content = {
        "iss": requester,
        "sub": requester,
        "aud": ISSUER,
        "jti": new_id(),
        "iat": moment,
        "exp": moment + MAX_SECONDS,
        "user": DOCTOR.json(),
        "purpose_of_use": "TREAT",
        "treatment_relation": "current",
        **claims,
    }
    key = ECKey.import_key(KEYS[requester])
    return {
        "grant_type": "client_credentials",
        "scope": "bgz",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": jwt.encode({"alg": "ES256"}, content, key),
    }


def asking(*proofs: str, certificate: PeerCertificate | None = None) -> Caller:
    """A caller at the token endpoint."""
    return Caller("POST", TOKEN_URL, dpop=proofs, certificate=certificate)


def reading(token: str, *proofs: str, scheme: str = "DPoP", **members: Any) -> Caller:
    """A caller at the data."""
    return replace(Caller("GET", DATA_URL, (f"{scheme} {token}",), proofs), **members)
