"""The asking side: assertions that another organisation's authorisation server takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from joserfc import jwt

from schakel.generic.identity.assertion import MAX_SECONDS
from schakel.generic.identity.keys import public_jwk, read_key
from schakel.generic.identity.model import User, check_code
from schakel.kernel.clock import new_id, now
from schakel.kernel.values import Ura


class AssertionSigner:
    """Signs for the organisation `ura` with the private key in `key_path`. Raises `Invalid` for a bad key."""

    def __init__(self, ura: str, key_path: Path) -> None:
        self._ura = str(Ura(ura))
        self._key = read_key(key_path)

    def assertion(self, audience: str, user: User, purpose: str, treatment_relation: str) -> str:
        """A new client assertion for the authorisation server with issuer `audience`; use it once, now.

        `purpose` is a purpose of use such as TREAT, `treatment_relation` the word the EHR has for the
        relation between this patient and the user, such as current.
        """
        issued = int(now().timestamp())
        claims = {
            "iss": self._ura,
            "sub": self._ura,
            "aud": audience,
            "jti": new_id(),
            "iat": issued,
            "exp": issued + MAX_SECONDS,
            "user": user.json(),
            "purpose_of_use": check_code(purpose, "purpose"),
            "treatment_relation": check_code(treatment_relation, "treatment_relation"),
        }
        return jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key, ["ES256"])

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK Set, for the directory and the organisation's jwks address."""
        return {"keys": [public_jwk(self._key)]}
