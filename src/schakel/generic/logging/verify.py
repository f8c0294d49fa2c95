"""Whether a log is as it was sealed: the database against the seals that were exported.

The file is read first and the database after it, in one snapshot: what the file has, the database must have too. What
stands only in the database is looked up once more in the file, for a node that is running may just be adding it. A line
of the file is believed when it is signed and of this organisation, and says nothing otherwise.

Content that was removed at the end of its term is not missed when an event `retention` names its seal, at a moment at
which the term of that seal was over (`_Removal`).

An event gets its id when it is recorded, is on the list of what is not sealed some seconds later, and is taken off that
list with all that is older. So it is at most minutes older than the latest event of the seals before its own, however
long no seal could be made, and never later than its own seal. What lies outside was written in afterwards.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from schakel.generic.logging import seal, seal_file
from schakel.generic.logging.retention import LEAST_YEARS, latest_removable
from schakel.generic.logging.seal import FIRST, Seal, SealDamaged
from schakel.generic.logging.stored import COLUMNS, EPOCH, leaf, logged
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Fault, Invalid
from schakel.store.connection import Connection, acquire

_PAGE = 100
_TRIES = 6
_TRY_SECONDS = 0.5
_SHOWN = 20
"""Most ids that one finding of the same kind names."""

_APART = timedelta(minutes=10)
"""Most that the clocks of nodes may differ and the commit of an event may take, together."""

_MILLISECOND = timedelta(milliseconds=1)
_RANGE = re.compile(r"\((\d{1,18}) to (\d{1,18})\)")
"""The seals that an event `retention` names, see `Retention`."""

_EVENTS = f"""
SELECT {", ".join(f"a.{name.strip()}" for name in COLUMNS.split(","))}, d.body AS decided
FROM audit_event a LEFT JOIN decision d ON d.tenant = a.tenant AND d.event = a.id AND d.id = a.decision
WHERE a.tenant = $1 AND a.id = ANY ($2::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was sealed. `seal` is a number or 0, `event` an id or ''."""

    what: str
    seal: int = 0
    event: str = ""

    def __str__(self) -> str:
        where = [f"seal {self.seal}"] * bool(self.seal) + [f"event {self.event}"] * bool(self.event)
        return f"{', '.join(where)}: {self.what}" if where else self.what


@dataclass(frozen=True, slots=True)
class _Removal:
    """An event `retention`: what it says was removed, the seals `first` to `last`. `sealed` is the moment of its own
    seal, that of the verification for one that is not sealed yet."""

    first: int
    last: int
    sealed: datetime

    def explains(self, number: int, sealed: datetime, years: int) -> bool:
        """Whether it names the seal `number` of the moment `sealed`, of which the term was over then."""
        over = latest_removable(self.sealed + _APART, years)
        return self.first <= number <= self.last and sealed <= over


_LAST = attrgetter("last")


@dataclass(slots=True)
class Verified:
    """What was looked at and found. `unsealed` are the ids of events that no seal holds yet."""

    seals: int = 0
    events: int = 0
    removed: int = 0
    last: datetime | None = None
    unsealed: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def found(self, what: str, seal: int = 0, event: uuid.UUID | None = None) -> None:
        self.findings.append(Finding(what, seal, str(event or "")))


def signers(own: Mapping[str, Any], file: Path | None) -> KeySet:
    """The public keys that seals may be signed with: `own` (a JWK), and those in a JWK Set that were used before.

    Raises `Invalid`.
    """
    jwks = [dict(own)]
    if file is not None:
        try:
            jwks += orjson.loads(file.read_bytes())["keys"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Invalid(f"{file} is no JWK Set (setting log.seal_keys)", code="seal-keys") from error
    try:
        return KeySet.import_key_set({"keys": jwks})
    except (JoseError, ValueError, TypeError) as error:
        raise Invalid(f"a key in {file} is damaged (setting log.seal_keys)") from error


async def verify(
    pool: asyncpg.Pool,
    tenant: int,
    organisation: str,
    keys: KeySet,
    folder: Path | None,
    years: int = LEAST_YEARS,
) -> Verified:
    """The log of `tenant`, the organisation with this URA, against its file in `folder`; without a folder only
    against the seals in the database. `keys` are the public keys that its seals may be signed with, `years` is the
    term before which nothing may be removed."""
    file = seal_file.path(folder, organisation) if folder else None
    exported, end = await asyncio.to_thread(_size, file) if file else (False, 0)
    verified = Verified()
    if file is not None and not exported:
        verified.found(f"the file {file.name} with the exported seals is not there")
    async with acquire(pool) as connection, connection.transaction(isolation="repeatable_read"):
        check = _Check(connection, tenant, organisation, keys, years, verified)
        await check.prepare()
        await check.seals(file if exported else None, end)
        await check.outside()
        await check.removals()
    return verified


def _size(file: Path) -> tuple[bool, int]:
    """Whether the file is there, and the bytes of its whole lines."""
    end = 0
    try:
        for _, place in seal_file.lines(file):
            end = place
    except FileNotFoundError:
        return False, 0
    return True, end


class _Check:
    """One verification, in one transaction."""

    def __init__(
        self,
        connection: Connection,
        tenant: int,
        organisation: str,
        keys: KeySet,
        years: int,
        verified: Verified,
    ) -> None:
        self._connection = connection
        self._tenant = tenant
        self._organisation = organisation
        self._keys = keys
        self._years = years
        self._verified = verified
        self._removed: set[int] = set()
        self._gone: list[tuple[int, datetime, int]] = []
        self._removals: list[_Removal] = []
        self._previous = FIRST
        self._reached = 0

    async def prepare(self) -> None:
        await self._connection.execute(
            "CREATE TEMPORARY TABLE sealed_event (id uuid NOT NULL, number bigint NOT NULL) ON COMMIT DROP"
        )
        rows = await self._connection.fetch(
            "SELECT number FROM audit_removed WHERE tenant = $1", self._tenant
        )
        self._removed = {row["number"] for row in rows}

    # -- the chain -----------------------------------------------------------------------------------------

    async def seals(self, file: Path | None, end: int) -> None:
        """All seals in their order, of the file and of the database side by side."""
        late: list[tuple[int, str]] = []
        outside = self._exported(file, end) if file is not None else iter(())
        given = next(outside, None)
        expected = 1
        async for number, line in self._stored():
            while given is not None and given[0].number < number:  # The file has what the database has not.
                expected = await self._only_exported(*given, expected)
                given = next(outside, None)
            self._skipped(expected, number)
            if given is None or given[0].number != number:
                if file is not None:
                    late.append((number, line))
                await self._only_stored(number, line)
            else:
                if given[1] != line:
                    self._verified.found("the seal in the database is not the one that was exported", number)
                await self._seal(*given)
                given = next(outside, None)
            expected = number + 1
        while given is not None:
            expected = await self._only_exported(*given, expected)
            given = next(outside, None)
        if file is not None:
            await self._follow(file, end, late)

    def _exported(self, file: Path, end: int) -> Iterator[tuple[Seal, str]]:
        """The seals of the file up to byte `end` and their lines, each number higher than the one before."""
        highest, place = 0, 0
        for line, behind in seal_file.lines(file):
            if behind > end:
                return
            place += 1
            try:
                found = self._read(line)
            except SealDamaged as damage:
                self._verified.found(f"line {place} of {file.name} {damage}")
                continue
            if found.number <= highest:
                self._verified.found(f"line {place} of {file.name} stands out of its order", found.number)
                continue
            highest = found.number
            yield found, line

    def _read(self, line: str) -> Seal:
        """What a line says that this organisation signed. Raises `SealDamaged` for any other."""
        found = seal.read(line)
        seal.check_signature(line, self._keys)
        if found.organisation != self._organisation:
            raise SealDamaged(f"is of organisation {found.organisation[:20]}")
        return found

    async def _stored(self) -> AsyncIterator[tuple[int, str]]:
        after = 0
        while rows := await self._connection.fetch(
            "SELECT number, line FROM audit_seal WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT $3",
            self._tenant,
            after,
            _PAGE,
        ):
            for row in rows:
                yield row["number"], row["line"]
            after = rows[-1]["number"]

    def _skipped(self, expected: int, number: int) -> None:
        """Tells which seals neither side has, when `number` came and not `expected`."""
        if expected < number:
            only = expected == number - 1
            self._verified.found(
                "the seal is missing" if only else f"the seals {expected} to {number - 1} are missing",
                expected,
            )
            self._previous = ""

    async def _only_exported(self, found: Seal, line: str, expected: int) -> int:
        """A seal that only the file has; gives the number that is expected next."""
        self._skipped(expected, found.number)
        self._verified.found("the seal is missing from the database", found.number)
        await self._seal(found, line)
        return max(expected, found.number + 1)

    async def _only_stored(self, number: int, line: str) -> None:
        """A seal that only the database has."""
        try:
            found = self._read(line)
        except SealDamaged as damage:
            self._verified.found(f"the seal {damage}", number)
            self._verified.seals += 1
            self._previous = seal.digest(line)
            return
        if found.number != number:
            self._verified.found(f"the seal says that it is number {found.number}", number)
        await self._seal(replace(found, number=number), line)

    async def _follow(self, file: Path, end: int, late: list[tuple[int, str]]) -> None:
        """Seals that the file did not have: those that are added now come within seconds."""
        for _ in range(_TRIES if late else 0):
            there = {line for line, _ in await asyncio.to_thread(lambda: list(seal_file.lines(file, end)))}
            late = [one for one in late if one[1] not in there]
            if not late:
                return
            await asyncio.sleep(_TRY_SECONDS)
        for number, _ in late:
            self._verified.found(f"the seal is missing from {file.name}", number)

    # -- a seal --------------------------------------------------------------------------------------------

    async def _seal(self, found: Seal, line: str) -> None:
        self._verified.seals += 1
        previous, self._previous = self._previous, seal.digest(line)
        if previous and found.previous != previous:
            self._verified.found(
                "the seal does not continue the one before it: the chain is broken", found.number
            )
        self._verified.last = found.sealed
        self._times(found)
        await self._leaves(found)

    def _times(self, found: Seal) -> None:
        """The events of a seal that were not recorded about when their seal says."""
        latest = _milliseconds(found.sealed + _APART)
        earliest = self._reached - _APART // _MILLISECOND
        for event, _ in found.leaves:
            recorded = _recorded(event)
            if recorded > latest:
                self._verified.found("the event was recorded after it was sealed", found.number, event)
            elif recorded < earliest:
                self._verified.found(
                    "the event was recorded before events that were sealed earlier: it was written in afterwards",
                    found.number,
                    event,
                )
        reached = max((_recorded(event) for event, _ in found.leaves), default=0)
        self._reached = max(self._reached, min(reached, _milliseconds(found.sealed)))

    async def _leaves(self, found: Seal) -> None:
        """The events of a seal, each against its hash."""
        number = found.number
        ids = [event for event, _ in found.leaves]
        await self._connection.copy_records_to_table(
            "sealed_event", records=[(event, number) for event in ids], columns=["id", "number"]
        )
        rows = {row["id"]: row for row in await self._connection.fetch(_EVENTS, self._tenant, ids)}
        removed = number in self._removed
        if removed and found.sealed > latest_removable(now(), self._years):
            self._verified.found(f"its events were removed within {self._years} years", number)
            removed = False
        gone = 0
        for event, expected in found.leaves:
            if (row := rows.get(event)) is not None:
                self._verified.events += 1
                if leaf(row) != expected:
                    self._verified.found("the event or its decision was changed", number, event)
                elif abs(_milliseconds(row["recorded"]) - _recorded(event)) > _APART // _MILLISECOND:
                    self._verified.found("the event has another time than its id says", number, event)
                else:
                    self._note(row, found.sealed)
            elif removed:
                gone += 1
            else:
                self._verified.found("the event is missing", number, event)
        if gone:
            self._gone.append((number, found.sealed, gone))

    # -- what was removed at the end of its term -----------------------------------------------------------

    def _note(self, row: asyncpg.Record, sealed: datetime) -> None:
        """Keeps what an event `retention` says."""
        if row["kind"] != "retention":
            return
        try:
            said = _RANGE.search(str(logged(row).event.explanation))
        except Fault:
            return  # It says nothing, so that what it would explain is found.
        if said:
            self._removals.append(_Removal(int(said[1]), int(said[2]), sealed))

    async def removals(self) -> None:
        """Whether what was removed was so by an event that says it. That of the oldest removals is past its own term:
        of those it cannot be told."""
        for row in await self._connection.fetch(
            "SELECT a.id, a.recorded, a.kind, a.body FROM audit_event a JOIN audit_unsealed u "
            "ON u.tenant = a.tenant AND u.id = a.id WHERE a.tenant = $1 AND a.kind = 'retention'",
            self._tenant,
        ):
            self._note(row, now())
        removals = sorted(self._removals, key=_LAST)
        untold = latest_removable(now(), 2 * self._years)
        for number, sealed, gone in self._gone:
            named = range(bisect_left(removals, number, key=_LAST), len(removals))
            if sealed <= untold or any(removals[at].explains(number, sealed, self._years) for at in named):
                self._verified.removed += gone
            else:
                self._verified.found(
                    f"its events ({gone}) were removed, and no event of that time says so", number
                )

    # -- what no seal holds --------------------------------------------------------------------------------

    async def outside(self) -> None:
        """Events that are sealed twice or not at all, and decisions without their event."""
        connection, found = self._connection, self._verified.found
        await connection.execute("CREATE INDEX ON sealed_event (id)")
        await connection.execute("ANALYZE sealed_event")
        for row in await connection.fetch(
            "SELECT id, max(number) AS number FROM sealed_event GROUP BY id HAVING count(*) > 1 LIMIT $1",
            _SHOWN,
        ):
            found("the event is sealed twice", row["number"], row["id"])
        for row in await connection.fetch(
            "SELECT a.id FROM audit_event a WHERE a.tenant = $1 AND NOT EXISTS "
            "(SELECT FROM sealed_event s WHERE s.id = a.id) AND NOT EXISTS "
            "(SELECT FROM audit_unsealed u WHERE u.tenant = $1 AND u.id = a.id) LIMIT $2",
            self._tenant,
            _SHOWN,
        ):
            found("the event was inserted: no seal holds it and none is to come", 0, row["id"])
        for row in await connection.fetch(
            "SELECT d.event FROM decision d WHERE d.tenant = $1 AND NOT EXISTS "
            "(SELECT FROM audit_event a WHERE a.tenant = $1 AND a.id = d.event AND a.decision = d.id) LIMIT $2",
            self._tenant,
            _SHOWN,
        ):
            found("a decision was inserted, or its event is missing", 0, row["event"])
        for row in await connection.fetch(
            "SELECT u.id, EXISTS (SELECT FROM audit_event a WHERE a.tenant = $1 AND a.id = u.id) AS there, "
            "EXISTS (SELECT FROM sealed_event s WHERE s.id = u.id) AS sealed "
            "FROM audit_unsealed u WHERE u.tenant = $1 ORDER BY u.id",
            self._tenant,
        ):
            self._verified.unsealed.append(str(row["id"]))
            if not row["there"]:
                found("the event is missing before it was sealed", 0, row["id"])
            if row["sealed"]:
                found("the event is sealed and stands on the list of those that are not", 0, row["id"])


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MILLISECOND


def _recorded(event: uuid.UUID) -> int:
    """The milliseconds since 1970 in the id of an event (UUID of version 7)."""
    return event.int >> 80
