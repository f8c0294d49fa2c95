"""The port: what keeps the query directory in step with one source, and what is common to those that read a FHIR
server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol, Self

from schakel.generic.addressing.applying import age
from schakel.generic.addressing.ledger import Cursor, Finding, Source
from schakel.generic.addressing.replica import BATCH, Applied, Change, Replica
from schakel.generic.addressing.sync.pages import Remote, SourceTrouble

OpenRemote = Callable[[str], AbstractAsyncContextManager[Remote]]
"""Opens the FHIR server at a base for one run."""

_STALE_LINK = frozenset({400, 404, 410, 422})


class Feeder(Protocol):
    """One source of the query directory. `kind` and `base` are where it is read: with another one it is another source,
    and nothing that was taken before is kept. `interval` lies between two runs."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def base(self) -> str: ...

    @property
    def interval(self) -> timedelta: ...

    async def run(self, replica: Replica, source: Source) -> Applied:
        """Brings the replica in step; what was under way when a run was cut off is taken up where that is safe.

        Raises `Upstream` when the source gave no usable answer: the next run starts where this one was.
        """
        ...


@dataclass(frozen=True, slots=True)
class History:
    """The newest change of each resource of a type, the oldest of them first, and the moment from which the history is
    to be asked the next time."""

    changes: tuple[Change, ...]
    moment: str


async def history(remote: Remote, kind: str, since: str) -> History:
    """What changed of a type since that moment. Held until it is whole: a history is newest first, and what it says of
    one resource twice must not count twice. Raises `SourceTrouble` and `FacilityAway`."""
    newest: dict[tuple[str, str], Change] = {}
    moment = ""
    async with remote.pages(kind, remote.history(kind, since)) as pages:
        async for page in pages:
            moment = moment or page.moment
            for change in page.changes:
                kept = newest.get((change.type, change.id))
                if kept is None or age(change, kept.version, kept.updated, gone=kept.resource is None) > 0:
                    newest[change.type, change.id] = change
            if len(newest) > remote.rules.held:
                raise SourceTrouble(
                    f"more than {remote.rules.held} resources of type {kind} changed since {since or 'the beginning'} "
                    "(setting held of this source): raise it, or let all be read again with `schakel addressing sync "
                    "--whole`",
                    code="history-too-large",
                )
    return History(tuple(reversed(newest.values())), moment)


async def history_since(replica: Replica, source: Source, remote: Remote, kind: str, since: str) -> History:
    """As `history`; from a server that does not take `_since` all of it, which is written down."""
    try:
        return await history(remote, kind, since)
    except SourceTrouble as trouble:
        if since and trouble.source_status == 410:
            await replica.ledger.whole(source.name)  # It no longer knows what changed since then.
        if not since or trouble.source_status != 400:
            raise
        finding = Finding(
            "", "", "since-refused", f"it does not take _since for {kind}: all of its history is read"
        )
        await replica.ledger.note(source.name, [finding])
        return await history(remote, kind, "")


async def load(
    replica: Replica,
    source: Source,
    remote: Remote,
    cursor: Cursor,
    noted: Callable[[Change], Change] | None = None,
) -> Applied:
    """Reads all of a type, from the page of `cursor` on when an earlier run came as far as that; then its history is to
    be asked. What the source does not have any more is ended."""
    try:
        return await _load(replica, source, remote, cursor, noted)
    except SourceTrouble as trouble:
        if not cursor.next or trouble.source_status not in _STALE_LINK:
            raise
    return await _load(
        replica, source, remote, Cursor(cursor.type), noted
    )  # The page is no longer kept there.


async def _load(
    replica: Replica, source: Source, remote: Remote, cursor: Cursor, noted: Callable[[Change], Change] | None
) -> Applied:
    kind = cursor.type
    address = cursor.next or remote.search(kind)
    async with _Writing(replica, source) as writing, remote.pages(kind, address) as pages:
        waiting: list[Change] = []
        async for page in pages:
            cursor = replace(cursor, since=cursor.since or page.moment, next=page.next)
            waiting += map(noted, page.changes) if noted else page.changes
            if page.next and len(waiting) >= BATCH:
                await writing.put(waiting, cursor)
                waiting = []
        applied = await writing.all() + await replica.apply(source, waiting)
    applied += await replica.sweep(source, kind)
    await replica.apply(source, (), [Cursor(kind, "catching-up", cursor.since)])
    return applied


class _Writing:
    """Writes one transaction after the other, each while the next is made ready."""

    def __init__(self, replica: Replica, source: Source) -> None:
        self._replica = replica
        self._source = source
        self._under_way: asyncio.Task[Applied] | None = None
        self._applied = Applied()

    async def put(self, changes: list[Change], cursor: Cursor) -> None:
        """Returns when these are about to be written, and those before them are."""
        batch = await self._replica.prepare(self._source, changes)
        await self.all()
        self._under_way = asyncio.create_task(self._replica.commit(self._source, batch, [cursor]))

    async def all(self) -> Applied:
        """Returns when all is written; what was done so far."""
        if self._under_way is not None:
            self._applied += await self._under_way
            self._under_way = None
        return self._applied

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """What is under way is finished first, or cut off when we are."""
        if self._under_way is not None:
            if isinstance(error, asyncio.CancelledError):
                self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)
