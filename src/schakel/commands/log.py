"""`schakel log verify` and `schakel log retain`: the log against its seals, and the end of its term.

Both work on the database of a node, whether the node runs or not, so that a log can be judged without the program that
wrote it answering for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from schakel.commands.chosen import Chosen, tenant_of
from schakel.commands.chosen import chosen as choose
from schakel.commands.tables import count
from schakel.config import Organisation
from schakel.generic.identity.keys import public_jwk, read_key
from schakel.generic.logging import AuditLog, AuditWriter
from schakel.generic.logging.retention import Retention
from schakel.generic.logging.verify import Verified, signers, verify
from schakel.kernel.clock import instant
from schakel.store.database import connect, disconnect

_SHOWN = 5
"""Events of the unsealed tail that are named."""


def verify_log(data: Path | None, config_file: Path | None, organisation: str | None) -> int:
    """Prints per organisation what was found; 0 when every log is as it was sealed, 1 otherwise."""
    chosen = choose(data, config_file, organisation)
    sound = [asyncio.run(_verify(one)) for one in chosen]
    return 0 if all(sound) else 1


def retain(data: Path | None, config_file: Path | None, organisation: str | None) -> int:
    """Removes the events that are past their term, and prints how many."""
    for one in choose(data, config_file, organisation):
        asyncio.run(_retain(one))
    return 0


async def _verify(chosen: Chosen) -> bool:
    settings, organisation = chosen.settings, chosen.organisation
    pool = await connect(settings.database, connections=2, statement_seconds=3600)
    try:
        tenant = await tenant_of(pool, organisation)
        keys = signers(public_jwk(read_key(organisation.signing_key)), settings.log.seal_keys)
        verified = await verify(
            pool, tenant, organisation.ura, keys, settings.log.seal_folder, settings.log.retention_years
        )
    finally:
        await disconnect(pool)
    for line in _told(organisation, verified):
        print(line)
    return not verified.findings


def _told(organisation: Organisation, verified: Verified) -> Iterator[str]:
    last = f", the last of {instant(verified.last)}" if verified.last else ""
    yield f"{organisation.name} ({organisation.ura})"
    yield f"  {count(verified.seals, 'seal')}{last}; {count(verified.events, 'event')} as sealed"
    if verified.removed:
        yield f"  {count(verified.removed, 'event')} removed at the end of the term; the seals keep the hashes"
    if verified.unsealed:
        names = ", ".join(verified.unsealed[:_SHOWN])
        more = ", ..." if len(verified.unsealed) > _SHOWN else ""
        yield f"  not sealed yet: {count(len(verified.unsealed), 'event')} ({names}{more})"
    for finding in verified.findings:
        yield f"  WRONG {finding}"
    yield f"  {count(len(verified.findings), 'finding')}" if verified.findings else "  nothing is wrong"


async def _retain(chosen: Chosen) -> None:
    settings, organisation = chosen.settings, chosen.organisation
    pool = await connect(settings.database, connections=2, statement_seconds=3600)
    try:
        log = AuditLog(AuditWriter(pool), await tenant_of(pool, organisation))
        years = settings.log.retention_years
        removed = await Retention(pool, log, organisation.ura, organisation.name, years).round()
    finally:
        await disconnect(pool)
    if removed is None:
        print(f"{chosen.title}: another process is removing what is past {years} years")
    else:
        print(f"{chosen.title}: {count(removed, 'event')} removed, past {years} years")
