"""`schakel localisation status` and `schakel localisation reconcile`: what the national index was told of patients.

Both work on the database of a node, whether the node runs or not; reconciling asks the index beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from schakel import localising
from schakel.commands.chosen import Chosen, chosen, tenant_of
from schakel.commands.tables import count
from schakel.generic.consent import Objections
from schakel.generic.localisation import NviClient, Status, status
from schakel.generic.localisation.reconcile import Differences, differences, repair
from schakel.generic.logging import AuditLog, AuditWriter
from schakel.kernel.outcomes import Invalid
from schakel.store.database import connect, disconnect

_SHOWN = 20
"""Differences of a kind that are listed."""


@dataclass(frozen=True, slots=True)
class _Office:
    """An organisation with its database, its client of the index and the work that tells it."""

    pool: asyncpg.Pool
    tenant: int
    client: NviClient
    index: localising.Index


def show(data: Path | None, config: Path | None, organisation: str | None) -> int:
    """Prints how the registrations of each organisation stand."""
    for one in chosen(data, config, organisation):
        for line in asyncio.run(_status(one)):
            print(line)
    return 0


def reconcile(data: Path | None, config: Path | None, organisation: str | None, *, mend: bool) -> int:
    """Prints what differs between our registrations and the index; 0 when nothing differs, or no more."""
    same = [asyncio.run(_reconcile(one, mend)) for one in chosen(data, config, organisation)]
    return 0 if all(same) else 1


async def _status(one: Chosen) -> list[str]:
    pool = await connect(one.settings.database, connections=2)
    try:
        found = await status(pool, await tenant_of(pool, one.organisation))
    finally:
        await disconnect(pool)
    return [one.title, *(f"  {line}" for line in _told(one, found))]


def _told(one: Chosen, found: Status) -> Iterator[str]:
    rules = one.organisation.registrations
    for rule in rules:
        until = f" until {rule.end}" if rule.end else ""
        yield f"rule from {rule.start}{until}: {', '.join(rule.categories)} ({rule.ground})"
    if not rules:
        yield "no rule: nothing is registered"
    numbers = [f"{count(number, 'registration')} {state}" for state, number in found.states.items()]
    yield "; ".join(numbers) or "no registrations"
    yield f"{count(found.due, 'patient')} to be looked at, {found.failing:,} after a failure"
    if found.error:
        yield f"last failure: {found.error}"
    if found.without_bsn:
        yield f"{count(found.without_bsn, 'Patient')} without a BSN that can be used, left out"
    if found.seconds is not None:
        median, most, longest = found.seconds
        yield f"from data to registration in the last day: {median:.1f} s, 95 % {most:.1f} s, longest {longest:.1f} s"


async def _reconcile(one: Chosen, mend: bool) -> bool:
    async with _opened(one) as office:
        print(one.title)
        found = await differences(office.pool, office.tenant, office.client)
        for line in _differing(found):
            print(f"  {line}")
        if not found or not mend:
            return not found
        await repair(office.pool, office.tenant, office.client, found)
        await office.index.work.settle()
        print("  after mending")
        found = await differences(office.pool, office.tenant, office.client)
        for line in _differing(found):
            print(f"  {line}")
        return not found


@asynccontextmanager
async def _opened(one: Chosen) -> AsyncIterator[_Office]:
    pool = await connect(one.settings.database, connections=4)
    try:
        tenant = await tenant_of(pool, one.organisation)
        async with localising.index(one.settings, pool) as index:
            client = index.clients.get(one.organisation.slug)
            if client is None:
                raise Invalid(
                    "this node does not ask the national index: there is no nvi.base in its settings"
                )
            log = AuditLog(AuditWriter(pool), tenant)
            index.office(one.organisation, tenant, Objections(pool, tenant), log)
            yield _Office(pool, tenant, client, index)
    finally:
        await disconnect(pool)


def _differing(found: Differences) -> Iterator[str]:
    """The differences, without a word on who the patients are."""
    yield f"{count(found.here, 'registration')} here, {count(found.there, 'record')} of ours in the index"
    missing = [f"{row.category} (registration {row.id}, record {row.record})" for row in found.missing]
    yield from _listed(missing, "only here", "the index has no such record")
    yield from _listed([one.id for _, one in found.duplicates], "duplicate", "its patient has another record")
    yield from _listed(
        [one.id for _, one in found.unknown], "only there", "its patient has no registration here"
    )
    yield from _listed([one.id for one in found.nobody], "only there", "of no patient who is here")
    old = [f"{row.record} ({row.recipient}, {row.scope}, {row.source})" for row in found.other_key]
    yield from _listed(
        old, "another name", "recipient, scope or source are others now, so that nobody finds it"
    )
    yield from _listed(list(found.unreadable), "not readable", "reported, and never touched")
    if not found:
        yield "nothing differs"


def _listed(lines: list[str], what: str, why: str) -> Iterator[str]:
    if lines:
        yield f"{what}: {len(lines):,} ({why})"
        yield from (f"  {line}" for line in lines[:_SHOWN])
        if len(lines) > _SHOWN:
            yield f"  and {len(lines) - _SHOWN:,} more"
