"""Our side of a login at Dezi: OpenID Connect, and a statement inside what it says.

Source: interface specification of Dezi, text version 0.7; see `oidc` for what all login services share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schakel.facilities import FacilityAway
from schakel.generic.identity.dezi.statement import DeziTrust, Professional
from schakel.generic.identity.oidc import LoginSecrets, LoginService, LoginWrong
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Forbidden


class OtherOrganisation(Forbidden):
    """The professional logged in for another organisation than the one that asked."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who logged in, and the statement (a JWT) that says so."""

    professional: Professional
    verklaring: str


class DeziClient:
    """Logs professionals in. One login may take `seconds` of answers in all."""

    def __init__(self, service: LoginService, trust: DeziTrust, seconds: float) -> None:
        self.trust = trust
        self._service = service
        self._seconds = seconds

    async def address(self, redirect_uri: str, state: str, login: LoginSecrets) -> str:
        """Where the browser goes to log in. Raises `FacilityAway` and `LoginWrong`."""
        return await self._service.address(redirect_uri, state, login, display="page", prompt="login")

    async def logged_in(self, code: str, redirect_uri: str, login: LoginSecrets, ura: str) -> LoggedIn:
        """Who logged in for the organisation `ura`.

        Raises `OtherOrganisation`, `StatementWrong` and `LoginWrong`; `FacilityAway` and other `Upstream` when it could
        not be found out.
        """
        try:
            async with asyncio.timeout(self._seconds):
                claims = await self._service.userinfo(code, redirect_uri, login)
                return await self._checked(claims, ura)
        except TimeoutError:
            raise FacilityAway("Dezi", "too slow") from None

    async def _checked(self, claims: Mapping[str, Any], ura: str) -> LoggedIn:
        for name in ("iss", "loa_authn", "verklaring_id", "verklaring"):
            if not isinstance(claims.get(name), str):
                raise LoginWrong(f"the userinfo has no {name}", code="login-userinfo", expression=name)
        if claims["loa_authn"] not in self.trust.rules.levels:
            raise LoginWrong(
                "the professional logged in below the level that is needed (claim loa_authn)",
                code="login-level",
                expression="loa_authn",
            )
        professional = await self.trust.verify(claims["verklaring"], now())
        if professional.statement != claims["verklaring_id"]:
            raise LoginWrong(
                "the userinfo names another statement than it has (claim verklaring_id)",
                code="login-userinfo",
                expression="verklaring_id",
            )
        if professional.ura != ura:
            raise OtherOrganisation(
                "the professional logged in for another organisation than this one (claim abonnee_nummer)",
                code="login-other-organisation",
                expression="abonnee_nummer",
            )
        return LoggedIn(professional, claims["verklaring"])
