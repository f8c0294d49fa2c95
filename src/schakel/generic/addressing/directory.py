"""The query directory: a replica of the directories that are followed, and who is found in it.

Its resources are a tenant of the store (FHIR R4). Source: generic functions IG, care services: the endpoint of an
exchange is looked for at the service or department that is asked, then at what it is part of, up to the organisation
with the URA; so is that of each data category, when none is for the whole exchange. Beyond that is another provider,
whose endpoints are never taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from schakel.facilities import Life
from schakel.fhir.definitions import Version
from schakel.generic.addressing import parties
from schakel.generic.addressing.choice import choose
from schakel.generic.addressing.exchanges import AUTHORISATION_SERVERS, EXCHANGES, Exchange, exchange
from schakel.generic.addressing.ledger import Ledger
from schakel.generic.addressing.model import Address, Part, unknown, without_endpoint
from schakel.generic.addressing.parties import Chain, Held
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Busy, Conflict, Invalid, NotFound

TYPE_SYSTEMS = frozenset(
    {
        "http://nictiz.nl/fhir/NamingSystem/organization-type",
        "urn:oid:2.16.840.1.113883.2.4.15.1060",
        "2.16.840.1.113883.2.4.15.1060",
    }
)
"""What stands for the code system of organisation types."""

_BASES = tuple(one for one in EXCHANGES if one.data)


@dataclass(frozen=True, slots=True)
class DirectoryRules:
    """`authority` are the directories that are believed when several have an active organisation with the same URA, the
    first before the second, a root in what the directories say that it names; without any of those nobody is. A
    directory that was not in step for longer than `stale` is told as stale. `received` is whether somebody else may
    write here (the ministry's update client): what was written so before is else followed by nobody."""

    authority: tuple[str, ...] = ()
    stale: timedelta = timedelta(hours=24)
    received: bool = False


class QueryDirectory:
    """The query directory in the tenant `tenant`. Implements `Addresses`; it knows nobody's keys."""

    def __init__(self, pool: asyncpg.Pool, tenant: int, rules: DirectoryRules = DirectoryRules()) -> None:
        self._pool = pool
        self.tenant = tenant
        self._rules = rules

    async def find(self, ura: str, exchange_name: str = "") -> Address:
        """As `Addresses.find`."""
        wanted = exchange(exchange_name) if exchange_name else None
        return self._address(await self._provider(ura), ura, wanted)

    async def at(self, reference: str, exchange_name: str = "") -> Address:
        """As `find`, for `Organization/id` or `HealthcareService/id`: its own endpoint, else the nearest above it.

        Raises `Invalid` for another reference.
        """
        kind, _, logical_id = reference.partition("/")
        if kind not in ("Organization", "HealthcareService") or not logical_id:
            raise Invalid(
                f"{reference[:80]!r} is no Organization/id or HealthcareService/id", expression="reference"
            )
        wanted = exchange(exchange_name) if exchange_name else None
        chain = _own(await parties.by_id(self._pool, self.tenant, kind, logical_id))
        if not chain or not chain[-1].held.uras:
            raise NotFound(
                f"{reference[:80]} is not in the directory of this node, or belongs to no active organisation with a "
                "URA there",
                code="holder-unknown",
            )
        return self._address(chain, chain[-1].held.uras[0], wanted)

    async def name(self, ura: str) -> str:
        """As `Addresses.name`."""
        held = await self._told(ura)
        return str(held.resource.get("name", "")) if held else ""

    async def facility_type(self, ura: str) -> str:
        """As `Addresses.facility_type`."""
        held = await self._told(ura)
        return _type_code(held) if held else ""

    async def fhir_base(self, ura: str, version: Version) -> str:
        """As `Addresses.fhir_base`."""
        try:
            return _bases(await self._provider(ura), now()).get(version, "")
        except (NotFound, Conflict, Busy):
            return ""

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        """No keys of who is there: a directory tells addresses alone."""
        return {"keys": []} if await self._told(ura) else None

    async def life(self, ura: str) -> tuple[Life, ...]:
        """How the directories do that this one follows, as far as it is told of this organisation: whether the last
        attempt to follow each failed, and when all it had was here."""
        found = await Ledger(self._pool, self.tenant).concerning(ura, received=self._rules.received)
        return tuple(
            Life(one.name, one.error or ("" if one.in_step else "not read to its end yet"), one.in_step)
            for one in found
        )

    async def _told(self, ura: str) -> Held | None:
        """The organisation with this URA, when it is there and nobody contradicts."""
        try:
            return (await self._provider(ura))[-1].held
        except (NotFound, Conflict, Busy):
            return None

    async def _provider(self, ura: str) -> Chain:
        """The one organisation that has this URA by itself. Raises `NotFound`, `Conflict`, and `Busy` when only
        directories have it that were not read to their end yet: what these say may be half of it."""
        chains = await parties.by_ura(self._pool, self.tenant, ura)
        active = [chain for chain in chains if chain[0].held.active]
        alive = [chain for chain in active if chain[0].held.origin.read]
        if active and not alive:
            raise Busy(
                f"the directory that has URA {ura} ({active[0][0].held.origin}) was not read to its end yet; try again "
                "later",
                code="directory-not-read",
            )
        same = {chain[0].held.rid for chain in alive}
        tops = [chain for chain in alive if not same & {party.held.rid for party in chain[1:]}]
        if len(tops) > 1:
            tops = self._believed(tops)
        if not alive:
            raise unknown(ura)
        if len(tops) != 1:  # None at all when those with the URA are parts of one another in a circle.
            raise _conflict(ura, tops or alive)
        return tops[0][:1]

    def _believed(self, tops: Sequence[Chain]) -> list[Chain]:
        """Those of the first directory in the setting that has any; all of them when it names none of theirs."""
        for source in self._rules.authority:
            if found := [chain for chain in tops if chain[0].held.origin.by(source)]:
                return found
        return list(tops)

    def _address(self, chain: Chain, ura: str, wanted: Exchange | None) -> Address:
        """What a provider's chain says. Raises `NotFound` when there is no endpoint for the exchange."""
        moment = now()
        top = chain[-1].held
        origin = top.origin
        fhir: Mapping[str, str] = _bases(chain, moment)
        address, parts, missing = "", tuple[Part, ...](), frozenset[str]()
        if wanted is not None:
            found = _endpoints(chain, wanted, moment)
            if not found:
                raise without_endpoint(
                    f"{ura} ({top.resource.get('name', 'without a name')})", wanted.names[0]
                )
            for endpoint, _ in found:
                origin = origin.joined(endpoint.origin)
            parts = _parts(found)
            missing = wanted.categories.difference(*(one.categories for one in parts))
            if len(parts) == 1 and not missing:
                address, parts = parts[0].endpoint, ()
                fhir = {**fhir, wanted.version: address.rstrip("/")} if wanted.version else fhir
        server = _first(chain, AUTHORISATION_SERVERS, moment)
        if server is not None:
            origin = origin.joined(server.origin)
        as_of = origin.as_of
        return Address(
            ura=ura,
            name=str(top.resource.get("name", "")),
            issuer=_url(server) if server else "",
            token_endpoint="",
            fhir=fhir,
            jwks={},
            type_code=_type_code(top),
            endpoint=address,
            parts=parts,
            missing=tuple(sorted(missing)),
            source=str(origin),
            as_of=as_of,
            stale=as_of is None or moment - as_of > self._rules.stale,
        )


def _own(chain: Chain) -> Chain:
    """A chain up to the first organisation with a URA, or with what should be one; what is not active ends it."""
    found: list[parties.Party] = []
    for party in chain:
        if not party.held.active:
            break
        found.append(party)
        if party.held.provider:
            break
    return tuple(found)


def _endpoints(chain: Chain, wanted: Exchange, moment: datetime) -> list[tuple[Held, frozenset[str]]]:
    """The endpoints for an exchange, each with the categories that it is for, of the lowest party that has one for the
    whole or for what those below it lack; empty when there is none."""
    found: list[tuple[Held, frozenset[str]]] = []
    lacking = wanted.categories
    for party in chain:
        for place, categories in choose(party.terms, wanted, moment, lacking):
            found.append((party.endpoints[place], categories))
            lacking -= categories
        if found and not lacking:
            break
    return found


def _parts(found: Sequence[tuple[Held, frozenset[str]]]) -> tuple[Part, ...]:
    """The addresses of these endpoints, each once, with the categories that are asked there."""
    parts: dict[str, frozenset[str]] = {}
    for endpoint, categories in found:
        address = _url(endpoint)
        same = next((one for one in parts if one.rstrip("/") == address.rstrip("/")), address)
        parts[same] = parts.get(same, frozenset()) | categories
    return tuple(Part(address, tuple(sorted(categories))) for address, categories in parts.items())


def _first(chain: Chain, wanted: Sequence[Exchange], moment: datetime) -> Held | None:
    """The endpoint for the first of these, known by no data category, for which there is one."""
    return next((found[0][0] for one in wanted if (found := _endpoints(chain, one, moment))), None)


def _bases(chain: Chain, moment: datetime) -> dict[str, str]:
    """The FHIR base per version where data are read, for the versions that have one and not several."""
    found: dict[str, set[str]] = {}
    for one in _BASES:
        if one.version:
            bases = (_url(endpoint).rstrip("/") for endpoint, _ in _endpoints(chain, one, moment))
            found.setdefault(one.version, set()).update(bases)
    return {version: next(iter(bases)) for version, bases in found.items() if len(bases) == 1}


def _url(endpoint: Held) -> str:
    return str(endpoint.resource["address"])


def _type_code(held: Held) -> str:
    """The type of an organisation; '' when it says none."""
    types = held.resource.get("type")
    for one in types if isinstance(types, list) else ():
        for coding in one.get("coding", ()) if isinstance(one, dict) else ():
            if coding.get("system") in TYPE_SYSTEMS and isinstance(coding.get("code"), str):
                code: str = coding["code"]
                return code
    return ""


def _conflict(ura: str, tops: Sequence[Chain]) -> Conflict:
    sources = "; ".join(sorted({str(chain[0].held.origin) for chain in tops}))
    return Conflict(
        f"{len(tops)} active organisations have URA {ura}, from: {sources}. Which of them is right is not ours to say: "
        "have it mended in those directories, or name the one that counts in the setting addressing.authority",
        code="directory-conflict",
    )
