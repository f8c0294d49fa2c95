"""Where people log in for their work: the OpenID Connect provider of an organisation or a region (Entra, Keycloak).

It says who somebody is, by a subject that stays the same, and a name to show. What this person may do is said here, in
the settings, and never taken from its claims. We prove ourselves by a signed assertion, not by a shared secret.

Source: OpenID Connect Core 1.0 (2, 3.1.3.7, 5.3), RFC 7523 section 2.2, RFC 9207; see `oidc` for what all login
services share.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import RSAKey

from schakel.facilities import Facilities, FacilityRules
from schakel.generic.identity.keys import read_rsa_key
from schakel.generic.identity.oidc import LoginRules, LoginSecrets, LoginService, LoginWrong
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import NAME_LENGTH

_SECONDS = 10.0
_MOST_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class Employee:
    """Who logged in: `subject` is what the provider calls this person, for ever; `name` is for people to read."""

    subject: str
    name: str


class Workplace:
    """A client of the provider `issuer`. Made by `Workplace.open`."""

    def __init__(self, service: LoginService, issuer: str) -> None:
        self._service = service
        self._issuer = issuer

    @classmethod
    @asynccontextmanager
    async def open(
        cls, issuer: str, client_id: str, key: Path, certificate: Path | None = None
    ) -> AsyncIterator[Workplace]:
        """The client, with its connections until the end of the block; `certificate` (PEM file) is that of the key, for
        a provider that knows us by one. Raises `Invalid` for a bad key or certificate."""
        private = read_rsa_key(key)
        rules = LoginRules(
            issuer,
            client_id,
            frozenset({"json", "jws"}),
            proves=True,
            algorithms=frozenset({"RS256", "PS256", "ES256"}),
            scope="openid profile",
            header={} if certificate is None else {"x5t#S256": _thumbprint(certificate, private)},
        )
        wire = FacilityRules(timeout=_SECONDS, most=_MOST_BYTES)
        async with Facilities.open("the identity provider", rules=wire) as wires:
            yield cls(LoginService(wires, rules, private), issuer)

    @property
    def origin(self) -> str:
        """Where forms of ours may lead on to."""
        parts = urlsplit(self._issuer)
        return f"{parts.scheme}://{parts.netloc}"

    async def address(self, redirect_uri: str, state: str, login: LoginSecrets, language: str) -> str:
        """Where the browser goes to log in. Raises `FacilityAway` and `LoginWrong`."""
        return await self._service.address(redirect_uri, state, login, ui_locales=language)

    async def person(self, code: str, redirect_uri: str, login: LoginSecrets, issuer: str = "") -> Employee:
        """Who logged in; `issuer` is who answers as the answer itself says, '' when it does not. Raises `FacilityAway`
        and `LoginWrong`."""
        if issuer not in ("", self._issuer):
            raise LoginWrong("the answer is of another identity provider (iss)", code="login-issuer")
        who = await self._service.identity(code, redirect_uri, login)
        subject = _short(who.claims.get("sub"))
        if not subject or subject != who.claims["sub"]:
            # With spaces around it, it is another person than the one whose name is the same without.
            raise LoginWrong("the id token does not say who logged in (claim sub)", code="login-person")
        name = _short(who.claims.get("name")) or _short((await self._service.about(who)).get("name"))
        return Employee(subject, name or subject)


def _short(value: object) -> str:
    """A text that can be shown and kept; '' for anything else."""
    fits = isinstance(value, str) and len(value) <= NAME_LENGTH and value.isprintable()
    return value.strip() if isinstance(value, str) and fits else ""


def _thumbprint(path: Path, key: RSAKey) -> str:
    """The SHA-256 of the certificate of `key` as a header of a JWS has it (RFC 7515, section 4.1.8)."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise Invalid(
            f"the certificate {path} cannot be read ({error.strerror})", code="certificate"
        ) from error
    except ValueError:
        raise Invalid(f"the certificate {path} is no certificate (PEM)", code="certificate") from None
    if certificate.public_key() != key.public_key:
        raise Invalid(
            f"the certificate {path} is of another key than the one given with it", code="certificate"
        )
    der = certificate.public_bytes(Encoding.DER)
    return urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
