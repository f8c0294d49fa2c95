"""Seals the logs of the organisations of a node, and exports the seals.

Every half second the sealer looks which organisations have events that no seal holds. It takes them in the order of
their time, hashes them, and writes one seal in the same transaction that takes them off the list, so that an event is
sealed once, whenever its own commit came. An advisory lock of the database keeps that to one node at a time for each
organisation. After the commit the seal goes to the file of the organisation and to the address of the setting, if
there is one; both are brought up to date from the database, so that what a crash left behind follows later. The three
go apart: a file that cannot be written keeps nothing from the address, and neither of them keeps events from a seal.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import asyncpg
import structlog
from joserfc.jwk import ECKey

from schakel.facilities import Facility, FacilityAway
from schakel.generic.logging import seal, seal_file
from schakel.generic.logging.stored import COLUMNS, leaf
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Busy, Outcome
from schakel.store.connection import Connection, acquire

SEAL_EVENTS = 5000
"""Most events in one seal."""

_PAUSE = 0.5
_HASHED_AT_ONCE = 32
_STOP_SECONDS = 1.0
_LOCK = 0x5C4A_5EA1
_FILE_LOCK = 0x5C4A_5EA3
_ADDRESS_LOCK = 0x5C4A_5EA4
"""The first numbers of the advisory locks for making seals, adding to the file and sending to the address."""

_LINES_AT_ONCE = 200
_BYTES_AT_ONCE = 256_000
_TOO_LARGE = 413
_COMPLAIN_SECONDS = 60.0

_P = ParamSpec("_P")
_T = TypeVar("_T")

_log = structlog.get_logger("schakel.log")

_TAKE = f"""
WITH taken AS (
    DELETE FROM audit_unsealed WHERE tenant = $1 AND id IN (
        SELECT u.id FROM audit_unsealed u WHERE u.tenant = $1 ORDER BY u.id LIMIT $2
    ) RETURNING id
)
SELECT {", ".join(f"a.{name.strip()}" for name in COLUMNS.split(","))}, d.body AS decided
FROM audit_event a LEFT JOIN decision d ON d.tenant = a.tenant AND d.event = a.id AND d.id = a.decision
WHERE a.tenant = $1 AND a.id IN (SELECT id FROM taken) ORDER BY a.recorded, a.id
"""

_WORK = """
SELECT t.tenant, EXISTS (SELECT FROM audit_unsealed u WHERE u.tenant = t.tenant) AS waiting,
    coalesce((SELECT max(s.number) FROM audit_seal s WHERE s.tenant = t.tenant), 0) AS last
FROM unnest($1::int[]) AS t (tenant)
"""

_BEHIND = f"""
SELECT number, line FROM (
    SELECT number, line, row_number() OVER following AS place, sum(octet_length(line) + 1) OVER following AS size
    FROM audit_seal WHERE tenant = $1 AND number > $2 WINDOW following AS (ORDER BY number)
    ORDER BY number LIMIT {_LINES_AT_ONCE}
) AS batch WHERE place = 1 OR size <= $3 ORDER BY number
"""
"""The seals after a number, as many as go out at once in so many bytes; one that is larger goes alone."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """Whose log it is, by URA, and the key that signs its seals."""

    organisation: str
    key: ECKey


class Sealer:
    """Seals for the organisations of a node, by tenant. `folder` is where the files are, `address` takes the lines
    by POST; None for neither."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        organisations: Mapping[int, Sealing],
        folder: Path | None,
        address: Facility | None = None,
    ) -> None:
        self._pool = pool
        self._organisations = organisations
        self._folder = folder
        self._address = address
        self._last: dict[int, int] = {}
        self._exported: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._complained: dict[str, float] = {}

    @asynccontextmanager
    async def sealing(self) -> AsyncIterator[None]:
        """Seals in the background for as long as the block lasts, and what is left at its end."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._work(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait([task], timeout=_STOP_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _work(self, stop: asyncio.Event) -> None:
        """A round of sealing every half second, and one more when it is time to stop. What leaves the database follows
        each round, unless that of an earlier round is still on its way."""
        outward = (self._export_all, self._send_all)
        async with asyncio.TaskGroup() as beside:
            under_way: dict[str, asyncio.Task[None]] = {}
            while True:
                last = stop.is_set()
                await self._tried(self._seal_all)
                for step in outward:
                    before = under_way.get(step.__name__)
                    if last or before is None or before.done():
                        under_way[step.__name__] = beside.create_task(self._tried(step, before))
                if last:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _PAUSE)

    async def _tried(
        self, step: Callable[[], Awaitable[None]], before: asyncio.Task[None] | None = None
    ) -> None:
        """Does `step`, once the one `before` is done. What could not be done now is done in a later round."""
        if before is not None:
            await before
        try:
            await step()
        except Exception as error:
            moment, name = time.monotonic(), step.__name__
            if moment - self._complained.get(name, -_COMPLAIN_SECONDS) >= _COMPLAIN_SECONDS:
                self._complained[name] = moment
                cause = error.cause if isinstance(error, Outcome) else ""
                _log.warning("log not sealed", kind=type(error).__name__, cause=cause)

    async def seal(self) -> None:
        """Seals, exports and sends what is there now, but for what another node is busy with.

        Raises the first trouble, after all organisations had their turn in all three: an `Outcome` of the database,
        the file or the address, and `SealDamaged` when the file does not continue what the database has.
        """
        await _each(step() for step in (self._seal_all, self._export_all, self._send_all))

    async def _seal_all(self) -> None:
        async with acquire(self._pool) as connection:
            work = await connection.fetch(_WORK, list(self._organisations))
        self._last |= {row["tenant"]: row["last"] for row in work}
        await _each(self._bring_up(row["tenant"]) for row in work if row["waiting"])

    async def _export_all(self) -> None:
        if (folder := self._folder) is not None:
            await _each(
                self._export(tenant, seal_file.path(folder, self._organisations[tenant].organisation))
                for tenant in self._behind(self._exported)
            )

    async def _send_all(self) -> None:
        if (address := self._address) is not None:
            await _each(self._send(tenant, address) for tenant in self._behind(self._sent))

    def _behind(self, done: Mapping[int, int]) -> list[int]:
        """The organisations that have seals which are not `done`."""
        return [tenant for tenant, last in self._last.items() if done.get(tenant, -1) < last]

    async def _bring_up(self, tenant: int) -> None:
        more = True
        while more and (made := await self._seal(tenant)):
            self._last[tenant], more = made

    async def _seal(self, tenant: int) -> tuple[int, bool] | None:
        """Makes one seal: its number, and whether it is full; None when there is nothing to seal, or another node
        does it."""
        whose = self._organisations[tenant]
        async with acquire(self._pool) as connection, connection.transaction():
            if not await _locked(connection, _LOCK, tenant):
                return None
            before = await connection.fetchrow(
                "SELECT number, line FROM audit_seal WHERE tenant = $1 ORDER BY number DESC LIMIT 1", tenant
            )
            rows = await connection.fetch(_TAKE, tenant, SEAL_EVENTS)
            if not rows:
                return None
            number = before["number"] + 1 if before else 1
            previous = seal.digest(before["line"]) if before else seal.FIRST
            leaves = await _leaves(rows)
            moment = now()
            line = seal.make(whose.key, whose.organisation, number, moment, previous, leaves)
            await connection.execute(
                "INSERT INTO audit_seal (tenant, number, sealed, line) VALUES ($1, $2, $3, $4)",
                tenant,
                number,
                moment,
                line,
            )
        return number, len(rows) == SEAL_EVENTS

    async def _export(self, tenant: int, file: Path) -> None:
        """Adds to the file what it does not have. Two nodes that share a folder take turns by the lock."""
        async with acquire(self._pool) as connection, connection.transaction():
            if not await _locked(connection, _FILE_LOCK, tenant):
                return
            there = await _in_file(seal_file.last_line, file)
            number = await self._known(connection, tenant, there, file)
            while lines := await connection.fetch(_BEHIND, tenant, number, _BYTES_AT_ONCE):
                await _in_file(seal_file.add, file, [row["line"] for row in lines])
                number = lines[-1]["number"]
            if not number:  # A file that is not there says that something is wrong, from the first round on.
                await _in_file(seal_file.add, file, [])
            self._exported[tenant] = number

    async def _known(self, connection: Connection, tenant: int, line: str, file: Path) -> int:
        """The number of the last seal in the file, which the database must have too. Raises `SealDamaged` when it
        has another: adding to it would hide that."""
        if not line:
            return 0
        number = seal.read(line).number
        known = await connection.fetchval(
            "SELECT line FROM audit_seal WHERE tenant = $1 AND number = $2", tenant, number
        )
        if known != line:
            raise seal.SealDamaged(
                f"{file.name} does not continue what the database has: see `schakel log verify`"
            )
        return number

    async def _send(self, tenant: int, address: Facility) -> None:
        """Sends what the address does not have, in order; each may come twice and never out of turn, for one process
        at a time sends for an organisation. The connection that holds the lock is in no transaction meanwhile."""
        async with acquire(self._pool) as holding:
            if not await holding.fetchval("SELECT pg_try_advisory_lock($1, $2)", _ADDRESS_LOCK, tenant):
                return
            try:
                self._sent[tenant] = await self._sent_now(holding, tenant, address)
            finally:
                await holding.execute("SELECT pg_advisory_unlock($1, $2)", _ADDRESS_LOCK, tenant)

    async def _sent_now(self, connection: Connection, tenant: int, address: Facility) -> int:
        """Sends the next lines, half as many whenever that is too much for the address: the number of the last that it
        has. Raises `FacilityAway` when it took none."""
        known = await connection.fetchval(
            "SELECT number FROM audit_seal_sent WHERE tenant = $1 AND address = $2", tenant, address.base
        )
        lines = await connection.fetch(_BEHIND, tenant, known or 0, _BYTES_AT_ONCE)
        if not lines:
            return known or 0
        while (status := await _posted(address, lines)) == _TOO_LARGE and len(lines) > 1:
            lines = lines[: len(lines) // 2]
        if not 200 <= status < 300:
            raise FacilityAway(address.name, f"status {status}")
        number: int = lines[-1]["number"]
        await connection.execute(
            "INSERT INTO audit_seal_sent (tenant, address, number) VALUES ($1, $2, $3) ON CONFLICT (tenant, address) "
            "DO UPDATE SET number = greatest(audit_seal_sent.number, excluded.number), sent = now()",
            tenant,
            address.base,
            number,
        )
        return number


async def _each(steps: Iterable[Awaitable[None]]) -> None:
    """One after the other; the first trouble is raised when all had their turn."""
    trouble: list[Exception] = []
    for step in steps:
        try:
            await step
        except Exception as error:
            trouble.append(error)
    if trouble:
        raise trouble[0]


async def _locked(connection: Connection, lock: int, tenant: int) -> bool:
    """Whether this process has `lock` of the organisation to itself until the end of the transaction."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1, $2)", lock, tenant))


async def _posted(address: Facility, lines: Sequence[asyncpg.Record]) -> int:
    """The status of the answer to these lines. Raises `FacilityAway`."""
    body = "".join(f"{row['line']}\n" for row in lines).encode()
    return (await address.send("POST", body=body, headers={"Content-Type": "text/plain"})).status


async def _leaves(rows: Sequence[asyncpg.Record]) -> list[seal.Leaf]:
    """What a seal has of these events. Requests that wait have their turn in between: all at once would keep a busy
    node from answering for tens of milliseconds."""
    leaves: list[seal.Leaf] = []
    for start in range(0, len(rows), _HASHED_AT_ONCE):
        leaves += [(row["id"], leaf(row)) for row in rows[start : start + _HASHED_AT_ONCE]]
        await asyncio.sleep(0)
    return leaves


async def _in_file(work: Callable[_P, _T], *given: _P.args, **named: _P.kwargs) -> _T:
    """`work` on a file, in a thread. Raises `Busy` when the file cannot be used."""
    try:
        return await asyncio.to_thread(work, *given, **named)
    except OSError as error:
        raise Busy(
            "the seals of the log cannot be written to the folder of the setting log.seal_folder",
            code="seal-folder",
            cause=error.strerror or type(error).__name__,
        ) from error
