"""Publishes own entries in the central directory by ITI-130-NL: `PublicationWork`.

Each entry goes there at least once, and comes to the same however often it is tried. What was sent is kept before it is
sent; an entry whose answer was lost is found again by the identifier that its custodian assigned. An update names the
version that it follows: when another one is there, what is there is read. Is it what we sent, or what we saw last, then
we go on from it; did others change it, that is a finding for a person, and nothing is overwritten.

Where an organisation is there under its URA before we come, ours is put into that entry.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg
import structlog

from schakel.fhir import json
from schakel.fhir.json import Resource
from schakel.generic.addressing.own import codes
from schakel.generic.addressing.own.central import Central, CentralError, There, Trouble
from schakel.generic.addressing.own.entries import ended
from schakel.generic.addressing.own.ledger import Ledger, Row
from schakel.generic.addressing.own.rendering import Rendered, covers, joined, rendered, written
from schakel.generic.addressing.own.signature import Signing, provenance
from schakel.kernel.background import beside, repeated
from schakel.store.resources import Store

LONGEST = timedelta(minutes=15)
"""The longest pause between two tries of what passes by itself."""

_PASSES: frozenset[Trouble] = frozenset({"away", "busy", "token-refused", "answer-broken"})
_log = structlog.get_logger("schakel.publication")


@dataclass(frozen=True, slots=True)
class Publisher:
    """An organisation whose entries are published: its URA, where they are, and what signs changes (None: nothing)."""

    ura: str
    entries: Store
    signing: Signing | None = None


class _StoppedError(Exception):
    """A person has to look: the finding, and what there is to say of it."""

    def __init__(self, finding: str, detail: str) -> None:
        super().__init__(finding)
        self.finding = finding
        self.detail = detail


class PublicationWork:
    """Brings the central directory to the entries of `publishers` (by the tenant of the entries), looking for changes
    every `seconds`. An entry that nobody finished is taken up again after `lease`."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        central: Central,
        publishers: Mapping[int, Publisher],
        seconds: float = 30.0,
        lease: timedelta = timedelta(seconds=60),
    ) -> None:
        self.ledger = Ledger(pool, list(publishers))
        self._central = central
        self._publishers = publishers
        self._seconds = seconds
        self._lease = lease

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Works until the end of the block; what was under way then is taken up when its time is over."""
        async with beside(repeated(self._round, self._seconds, _log, "publication-turn")):
            yield

    async def _round(self) -> bool:
        await self.ledger.look()
        while await self.turn():
            pass
        return False

    async def turn(self) -> bool:
        """Publishes the next entry that waits; False when none does."""
        row = await self.ledger.take(self._lease)
        if row is None:
            return False
        try:
            await self._publish(row, self._publishers[row.tenant])
        except CentralError as error:
            passes = error.trouble in _PASSES
            await self._settle(
                row,
                "waiting" if passes else "stopped",
                error.trouble,
                error.detail,
                (error.wait or _pause(row.attempts)) if passes else None,
            )
        except _StoppedError as error:
            await self._settle(row, "stopped", error.finding, error.detail)
        return True

    async def _settle(
        self, row: Row, state: str, finding: str, detail: str, wait: timedelta | None = None
    ) -> None:
        await self.ledger.keep(row, state=state, finding=finding, detail=detail, wait=wait)
        _log.warning("publication", type=row.type, id=row.id, state=state, finding=finding)

    # -- one entry ---------------------------------------------------------------------------------------------

    async def _publish(self, row: Row, publisher: Publisher) -> None:
        stored = await publisher.entries.read_version("r4", row.type, row.id, row.version)
        entry = json.parse(stored.body)
        known = await self.ledger.known(row.tenant)
        ours = rendered(entry, known)
        found = None if row.remote else await self._found(row, entry, publisher.ura)
        if not row.remote and found is None and _is_ended(entry):
            await self.ledger.keep(row, state="published", finding="", detail="")  # It never was there.
            return
        if ours.missing:
            detail = f"waits until {', '.join(ours.missing)} is there"
            await self.ledger.keep(row, finding="waits", detail=detail, wait=_pause(row.attempts))
            return
        row = await self._adopted(row, ours, found) if found else row
        there = await self._brought(row, ours, frozenset(known.values()))
        seen = written(there.resource) or written(ours.resource)
        await self.ledger.note(
            row, remote=there.id, remote_version=there.version, seen=seen, shared=row.shared, overwrite=False
        )
        if f"{row.type}/{row.id}" not in known:
            await self.ledger.wake(row.tenant)
        if publisher.signing is not None and row.signed != there.version:
            await self._sign(row, ours, there, publisher.ura, publisher.signing)
        if ours.later:
            detail = f"without {', '.join(ours.later)} as long as that is not there"
            await self.ledger.keep(row, finding="in-part", detail=detail, wait=_pause(row.attempts))
            return
        await self.ledger.keep(row, state="published", finding="", detail="")
        _log.info("published", type=row.type, id=row.id, version=row.version)

    async def _found(self, row: Row, entry: Resource, ura: str) -> There | None:
        """The entry as it is there already: ours, or that of the organisation with our URA."""
        for one in entry.get("identifier", ()):
            numbered = one["system"] == codes.URA and one["value"] == ura
            if ("assigner" in one or numbered) and (
                found := await self._central.find(row.type, one["system"], one["value"])
            ):
                return found if found.resource else await self._central.read(row.type, found.id)
        return None

    async def _adopted(self, row: Row, ours: Rendered, found: There) -> Row:
        """The row of an entry that was found there. What others changed since we sent it is not ours to overwrite."""
        own = any(
            "assigner" in one and one.get("value") == f"urn:uuid:{row.id}"
            for one in found.resource.get("identifier", ())
        )
        sent = row.sent or written(ours.resource)
        if own and not row.overwrite and not covers(found.resource, sent):
            raise _changed(found)
        row = replace(
            row,
            remote=found.id,
            remote_version=found.version,
            sent=sent,
            seen=written(found.resource),
            shared=not own,
        )
        await self.ledger.note(
            row,
            remote=row.remote,
            remote_version=row.remote_version,
            sent=row.sent,
            seen=row.seen,
            shared=row.shared,
        )
        return row

    async def _brought(self, row: Row, ours: Rendered, own: frozenset[str]) -> There:
        """What is there after ours was sent, or what was there when that is ours already."""
        wanted = written(ours.resource)
        if row.remote and (row.shared or row.overwrite):
            return await self._put_into(row, ours, own)
        if row.remote and row.seen and row.sent == wanted:
            return There(row.remote, row.remote_version, json.parse(row.seen.encode()))
        await self.ledger.note(
            row, sent=wanted, seen=""
        )  # As long as `seen` is empty, an answer may have been lost.
        if not row.remote:
            return await self._central.create(ours.resource)
        try:
            return await self._central.update(row.remote, row.remote_version, ours.resource)
        except CentralError as error:
            if error.trouble != "changed":
                raise
        there = await self._central.read(row.type, row.remote)
        if covers(there.resource, wanted) and not row.seen and row.sent == wanted:
            return there  # Sent before, and its answer was lost.
        before = written(there.resource) == row.seen if row.seen else covers(there.resource, row.sent)
        if not before:
            raise _changed(there)
        return await self._central.update(row.remote, there.version, ours.resource)

    async def _put_into(self, row: Row, ours: Rendered, own: frozenset[str]) -> There:
        """What is there after ours was put into an entry that others have a say in, or that a person wants ours in."""
        there = await self._central.read(row.type, row.remote)
        wanted = joined(there.resource, ours.resource, own) if row.shared else ours.resource
        if written(wanted) == written(there.resource):
            return there
        await self.ledger.note(row, sent=written(wanted), seen="")
        try:
            return await self._central.update(row.remote, there.version, wanted)
        except CentralError as error:
            if error.trouble != "changed":
                raise
            raise CentralError("busy", f"others change it at the same time: {error.detail}") from error

    async def _sign(self, row: Row, ours: Rendered, there: There, ura: str, signing: Signing) -> None:
        """Sends the signature of this version. One whose answer was lost is sent again: nothing tells two apart."""
        resource: dict[str, Any] = there.resource or {**ours.resource, "id": there.id}
        target = f"{row.type}/{there.id}/_history/{there.version}"
        await self._central.create(provenance(signing, resource, target, ura))
        await self.ledger.note(row, signed=there.version)


def _changed(there: There) -> _StoppedError:
    return _StoppedError(
        "changed-elsewhere",
        f"version {there.version} there is not what we wrote: somebody else changed it. Look at what it says; then "
        "publish again with overwrite, or take the change over in the settings",
    )


def _is_ended(entry: Resource) -> bool:
    return entry == ended(entry)


def _pause(attempts: int) -> timedelta:
    """How long to wait after so many tries: each time twice as long."""
    return min(timedelta(seconds=2 ** min(attempts, 12)), LONGEST)
