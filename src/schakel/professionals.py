"""What the settings say of Dezi, as the services that `compose` builds take them: whose statements about professionals
are believed, and how ours log in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from schakel import config
from schakel.config import Settings
from schakel.facilities import Facilities, FacilityRules
from schakel.generic.identity.dezi import DeziClient, DeziRules, DeziTrust, Logins
from schakel.generic.identity.keys import read_rsa_key
from schakel.generic.identity.oidc import LoginRules, LoginService
from schakel.http.node import ProfessionalDoor
from schakel.kernel import tls


@dataclass(frozen=True)
class Dezi:
    """`trust` verifies statements; `client` logs professionals in, None when this node is no client of Dezi."""

    trust: DeziTrust
    client: DeziClient | None
    settings: config.Dezi

    def door(self, pool: asyncpg.Pool, tenant: int) -> ProfessionalDoor | None:
        """Where the professionals of an organisation log in."""
        if self.client is None:
            return None
        lasting = timedelta(hours=self.settings.lasting_hours)
        return ProfessionalDoor(self.client, Logins(pool, tenant, self.settings.login_seconds, lasting))


@asynccontextmanager
async def dezi(settings: Settings) -> AsyncIterator[Dezi | None]:
    """What this node has of Dezi, with its connections until the end of the block; None without the setting. Raises
    `Invalid` for a key or certificate."""
    given = settings.dezi
    if given is None:
        yield None
        return
    context = tls.client(given.ca, setting="dezi.") if given.ca else None
    async with Facilities.open("Dezi", context, FacilityRules(timeout=given.seconds)) as wires:
        rules = DeziRules(given.addresses, frozenset(given.levels), frozenset(given.issuers), given.status)
        trust = DeziTrust(wires, rules)
        client = None
        if given.key is not None:
            known = LoginRules(given.issuer, given.client_id, frozenset(given.forms), proves=False)
            service = LoginService(wires, known, read_rsa_key(given.key))
            client = DeziClient(service, trust, given.seconds)
        yield Dezi(trust, client, given)
