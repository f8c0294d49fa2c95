"""`schakel addressing status`, `sync` and `findings`: the query directory of a node, and what it is kept in step with.

All three work on the database of a node, whether the node runs or not. Where a node follows the directories already,
`sync` asks it to do so now and waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import asyncpg
import orjson

from schakel import config, finding
from schakel.commands.progress import Progress
from schakel.commands.tables import columns, count, shortened
from schakel.config import Settings
from schakel.demo.cast import OPERATORS
from schakel.generic.addressing.ledger import Ledger, Source
from schakel.generic.addressing.replica import Applied
from schakel.generic.addressing.sync import Following
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.store.database import connect, disconnect
from schakel.store.tenants import DIRECTORY, tenant_of

_SECONDS = 0.3
_HEAD = ("directory", "in step", "created", "updated", "unchanged", "ended", "refused")


def status(data: Path | None, config_file: Path | None) -> int:
    """Prints every directory that is followed; 0 when all are in step and nothing was found, 1 otherwise."""
    return max([asyncio.run(_status(one)) for one in settings_of(data, config_file)], default=0)


def findings(data: Path | None, config_file: Path | None, source: str, *, resolved: bool) -> int:
    """Prints what is not right with the directories, or with one of them; 0 when nothing is."""
    return max(
        [asyncio.run(_findings(one, source, resolved)) for one in settings_of(data, config_file)], default=0
    )


def sync(data: Path | None, config_file: Path | None, source: str, *, whole: bool) -> int:
    """Brings the directories, or one of them, in step now; 0 when that was done."""
    return max([asyncio.run(_sync(one, source, whole)) for one in settings_of(data, config_file)], default=0)


def settings_of(data: Path | None, config_file: Path | None) -> list[Settings]:
    """The settings of a node, or of both nodes of a demo. Raises `Invalid`."""
    if (data is None) == (config_file is None):
        raise Invalid("give --data DIR (the folder of a demo) or --config FILE (of a node), one of the two")
    files = [config_file] if config_file else [data / f"{name}.toml" for name in OPERATORS] if data else []
    return [config.load(file) for file in files]


async def _ledger(stack: AsyncExitStack, settings: Settings) -> tuple[asyncpg.Pool, Ledger]:
    pool = await connect(settings.database, connections=4, statement_seconds=600)
    stack.push_async_callback(disconnect, pool)
    return pool, Ledger(pool, await tenant_of(pool, "", "", "Query directory", DIRECTORY))


async def _status(settings: Settings) -> int:
    async with AsyncExitStack() as stack:
        _, ledger = await _ledger(stack, settings)
        sources = await ledger.sources()
        found = await ledger.findings()
    if not sources:
        print("no directory is followed (setting addressing.sources)")
        return 0
    for line in _told(sources):
        print(line)
    if found:
        print(f"{count(len(found), 'finding')}: schakel addressing findings")
    return 1 if found or any(one.error or one.in_step is None for one in sources) else 0


def _told(sources: list[Source]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [_HEAD]
    for one in sources:
        did = orjson.loads(one.report) if one.report else {}
        counts = [f"{did.get(name.name, 0):,}" for name in fields(Applied)]
        rows.append((shortened(one.name, 60), _moment(one.in_step), *counts))
    yield from columns(rows, right=frozenset(range(2, len(_HEAD))))
    for one in sources:
        if one.error:
            again = f", again at {_moment(one.run_after)}" if one.run_after else ""
            yield f"{one.name}: {count(one.failures, 'failure')} in a row{again}: {one.error}"


def _moment(moment: datetime | None) -> str:
    return instant(moment) if moment else "never"


async def _findings(settings: Settings, source: str, resolved: bool) -> int:
    async with AsyncExitStack() as stack:
        _, ledger = await _ledger(stack, settings)
        if source:
            await ledger.source(source)
        found = await ledger.findings(source, resolved=resolved)
    for one in found:
        what = f"{one.finding.type}/{one.finding.remote}" if one.finding.type else one.finding.remote
        until = f"until {_moment(one.resolved)}" if one.resolved else "still"
        print(f"{one.source} {what}".rstrip() + f": {one.finding.sentence} [{one.finding.code}]")
        print(f"    since {_moment(one.first_seen)}, {until}")
    open_ones = sum(one.resolved is None for one in found)
    print("nothing is wrong" if not open_ones else count(open_ones, "finding"))
    return 1 if open_ones else 0


async def _sync(settings: Settings, source: str, whole: bool) -> int:
    async with AsyncExitStack() as stack:
        pool, ledger = await _ledger(stack, settings)
        following = await stack.enter_async_context(finding.following(settings, pool))
        lock = await stack.enter_async_context(following.alone())
        if lock is not None:
            await following.align()
        names = await _chosen(ledger, source)
        if not names:
            print("no directory is followed (setting addressing.sources)")
            return 0
        for name in names:
            await (ledger.whole(name) if whole else ledger.soon(name))
        done = await (_here(following, ledger, names) if lock is not None else _there(ledger, names))
        for line in _told(done):
            print(line)
    return 1 if any(one.error for one in done) else 0


async def _chosen(ledger: Ledger, source: str) -> list[str]:
    """The source of that name, or all that are followed. Raises `NotFound`."""
    if source:
        return [(await ledger.source(source)).name]
    return [one.name for one in await ledger.sources() if one.kind in Following.kinds]


async def _here(following: Following, ledger: Ledger, names: list[str]) -> list[Source]:
    """Runs them in this process, and those that a root names now."""
    done: list[str] = []
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        try:
            await following.run(name)
        except NotFound:
            continue  # Its root does not name it any more.
        done.append(name)
        waiting += [
            one.name
            for one in await ledger.sources()
            if one.parent == name and one.name not in done and one.name not in waiting
        ]
        again = await ledger.source(name)
        if again.whole < 0 and not again.error:
            waiting.append(name)
    return [one for one in await ledger.sources() if one.name in done]


async def _there(ledger: Ledger, names: list[str]) -> list[Source]:
    """Waits until the process that follows has run them."""
    before = {one.name: one for one in await ledger.sources()}
    progress = Progress()
    started = time.monotonic()
    try:
        while True:
            now = {one.name: one for one in await ledger.sources()}
            waiting = [name for name in names if name in now and not _ran(before[name], now[name])]
            if not waiting:
                return [now[name] for name in names if name in now]
            progress.show(f"a node follows {', '.join(waiting)[:60]} ({time.monotonic() - started:.0f} s)")
            await asyncio.sleep(_SECONDS)
    finally:
        progress.clear()


def _ran(before: Source, now: Source) -> bool:
    """Whether a run that began after we asked has ended."""
    return now.turn > before.turn and (now.succeeded != before.succeeded or now.failures > before.failures)
