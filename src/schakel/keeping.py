"""Composes what keeps the logs of a node: they are sealed, the seals go out, and what is past its term is removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from schakel.config import Settings
from schakel.facilities import Facility
from schakel.generic.identity.keys import read_key
from schakel.generic.logging import AuditLog, Sealer, Sealing
from schakel.generic.logging.retention import Retention, retaining
from schakel.kernel.outcomes import Invalid


@asynccontextmanager
async def kept(settings: Settings, pool: asyncpg.Pool, logs: Mapping[str, AuditLog]) -> AsyncIterator[None]:
    """Keeps the logs of the node's organisations, by slug, until the end of the block. Raises `Invalid` when the folder
    of the seals cannot be written."""
    if (folder := settings.log.seal_folder) is not None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Invalid(
                f"the folder {folder} for the seals of the log cannot be made ({error.strerror}; setting "
                "log.seal_folder)",
                code="seal-folder",
            ) from error
    years = settings.log.retention_years
    sealings, terms = dict[int, Sealing](), list[Retention]()
    for one in settings.organisations:
        log = logs[one.slug]
        sealings[log.tenant] = Sealing(one.ura, read_key(one.signing_key))
        terms.append(Retention(pool, log, one.ura, one.name, years))
    async with AsyncExitStack() as stack:
        address = None
        if settings.log.seal_address is not None:
            opened = Facility.open("the address of the seals", settings.log.seal_address)
            address = await stack.enter_async_context(opened)
        await stack.enter_async_context(Sealer(pool, sealings, folder, address).sealing())
        await stack.enter_async_context(retaining(terms, settings.log.retention_seconds))
        yield
