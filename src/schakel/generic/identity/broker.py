"""The login service for people: an OIDC broker in front of DigiD, asked who the person in the browser is.

The client proves itself by a signed assertion, and the BSN comes encrypted to us alone, signed by the broker. One RSA
key of ours does both.

Source: the broker MAX of the Ministry of Health (userinfo: JWS in JWE); see `oidc` for what all such services share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from schakel.facilities import Facilities, FacilityRules
from schakel.generic.identity.keys import read_rsa_key
from schakel.generic.identity.oidc import LoginRules, LoginSecrets, LoginService, LoginWrong
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn

_SECONDS = 10.0
_MOST_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class Person:
    """Who logged in. `session` is the broker's own id of the login."""

    bsn: Bsn
    session: str


class Broker:
    """A client of the broker `issuer`. Made by `Broker.open`."""

    def __init__(self, service: LoginService, issuer: str, levels: Iterable[str]) -> None:
        self._service = service
        self._issuer = issuer
        self._levels = frozenset(levels)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, issuer: str, client_id: str, key: Path, levels: Iterable[str]
    ) -> AsyncIterator[Broker]:
        """The client, with its connections until the end of the block; `levels` are the levels of assurance
        (loa_authn) that are taken. Raises `Invalid` for a bad key."""
        private = read_rsa_key(key)
        rules = LoginRules(issuer, client_id, frozenset({"jwe"}), proves=True)
        wire = FacilityRules(timeout=_SECONDS, most=_MOST_BYTES)
        async with Facilities.open("the login service", rules=wire) as wires:
            yield cls(LoginService(wires, rules, private), issuer, levels)

    @property
    def origin(self) -> str:
        """Where forms of ours may lead on to."""
        parts = urlsplit(self._issuer)
        return f"{parts.scheme}://{parts.netloc}"

    async def address(self, redirect_uri: str, state: str, login: LoginSecrets, language: str) -> str:
        """Where the browser goes to log in. Raises `FacilityAway` and `LoginWrong`."""
        return await self._service.address(redirect_uri, state, login, ui_locales=language)

    async def person(self, code: str, redirect_uri: str, login: LoginSecrets) -> Person:
        """Who logged in. Raises `FacilityAway` and `LoginWrong`."""
        claims = await self._service.userinfo(code, redirect_uri, login)
        if claims.get("loa_authn") not in self._levels:
            raise LoginWrong("the person logged in below the level that is needed", code="login-level")
        bsn = claims.get("bsn")
        try:
            return Person(Bsn(bsn if isinstance(bsn, str) else ""), str(claims.get("session_id", "")))
        except Invalid:
            raise LoginWrong("the userinfo has no BSN", code="login-person") from None
