"""One directory that has everybody: the central LRZa directory of the generic functions (generation B).

    all of each type -> what changed meanwhile, of each type -> in step -> what changed, again and again

Source: Care Services of the generic functions (2026), update client: types in the order in which they refer to each
other, the moment of the first page of a reading as the start of the next, strictly one request after the other.
"""

from __future__ import annotations

from datetime import timedelta

from schakel.generic.addressing.copying import CENTRAL_TYPES
from schakel.generic.addressing.ledger import Cursor, Source
from schakel.generic.addressing.replica import Applied, Change, Replica
from schakel.generic.addressing.sync.feeder import OpenRemote, history_since, load


class CentralFeeder:
    """The central directory at `base`. Implements `Feeder`."""

    kind = "central"

    def __init__(
        self,
        name: str,
        base: str,
        open_remote: OpenRemote,
        interval: timedelta,
        types: tuple[str, ...] = CENTRAL_TYPES,
    ) -> None:
        self.name = name
        self.base = base
        self.interval = interval
        self._open = open_remote
        self._types = types

    async def run(self, replica: Replica, source: Source) -> Applied:
        """As `Feeder.run`."""
        cursors = await replica.ledger.cursors(source.name)
        applied = Applied()
        async with self._open(self.base) as remote:
            for kind in self._types:
                cursor = cursors.get(kind, Cursor(kind))
                if cursor.state == "initial":
                    applied += await load(replica, source, remote, cursor, self.taken)
            cursors = await replica.ledger.cursors(source.name)
            for kind in self._types:
                found = await history_since(replica, source, remote, kind, cursors[kind].since)
                changes = [self.taken(change) for change in found.changes]
                applied += await replica.apply(source, changes, [Cursor(kind, "in-step", found.moment)])
        return applied

    def taken(self, change: Change) -> Change:
        """What is taken of a change: all of it."""
        return change
