"""What the broker says of who logged in: a BSN, for the client alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwe
from joserfc.jwk import RSAKey

from schakel.kernel.clock import new_id
from schakel.kernel.values import Bsn
from schakel_national import oidc
from schakel_national.oidc import TOKEN_SECONDS, Asked, Client, Entered

LEVEL = "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract"

_SEALING = jwe.JWERegistry(algorithms=["RSA-OAEP", "A128CBC-HS256"])


@dataclass(frozen=True, slots=True)
class Login(Entered):
    """Someone who logged in for a request."""

    bsn: Bsn
    session: str
    subject: str


class Provider(oidc.Provider[Login]):
    """The broker at `issuer`, which signs with `key`."""

    def __init__(self, issuer: str, key: RSAKey, clients: Mapping[str, Client], level: str) -> None:
        super().__init__(issuer, key, clients, "/jwks")
        self._level = level
        self._salt = secrets.token_bytes(16)

    def metadata(self) -> dict[str, Any]:
        """What the broker publishes of itself."""
        return {
            **super().metadata(),
            "subject_types_supported": ["pairwise"],
            "userinfo_encryption_alg_values_supported": ["RSA-OAEP"],
            "userinfo_encryption_enc_values_supported": ["A128CBC-HS256"],
        }

    def log_in(self, asked: Asked, bsn: Bsn) -> str:
        """A code for someone who logged in."""
        text = f"{asked.client.id} {bsn}".encode()
        subject = hmac.new(self._salt, text, hashlib.sha256).hexdigest()
        return self.enter(Login(asked, bsn, new_id(), subject))

    def id_token(self, login: Login) -> str:
        """The id token: no BSN in it."""
        return self._signed(login, {"nonce": login.asked.nonce, "loa_authn": self._level})

    def userinfo(self, token: str) -> str:
        """Who logged in, sealed for the client alone. Raises `Refused`."""
        login = self.seen(token)
        claims = {"bsn": str(login.bsn), "session_id": login.session, "loa_authn": self._level}
        header = {"typ": "JWT", "cty": "JWT", "alg": "RSA-OAEP", "enc": "A128CBC-HS256"}
        text = self._signed(login, claims)
        return jwe.encrypt_compact(header, text, login.asked.client.key, registry=_SEALING)

    def _signed(self, login: Login, claims: Mapping[str, str]) -> str:
        moment = int(time.time())
        all_claims = {
            "iss": self.issuer,
            "aud": login.asked.client.id,
            "sub": login.subject,
            "iat": moment,
            "nbf": moment - 10,
            "exp": moment + TOKEN_SECONDS,
            **claims,
        }
        return self.sign(all_claims)
