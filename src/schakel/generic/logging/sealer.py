"""Seals the logs of the organisations of a node, and exports the seals.

Every half second the sealer looks which organisations have events that no seal holds. It takes them in the order of
their time, hashes them, and writes one seal in the same transaction that takes them off the list, so that an event is
sealed once, whenever its own commit came. An advisory lock of the database keeps that to one node at a time for each
organisation. After the commit the seal goes to the file of the organisation and to the address of the setting, if
there is one; both are brought up to date from the database, so that what a crash left behind follows later.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
_EXPORTED_AT_ONCE = 200
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
        self._exported: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._complained = -_COMPLAIN_SECONDS

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
        """A round every half second, and one more when it is time to stop."""
        while True:
            last = stop.is_set()
            try:
                await self.seal()
            except Exception as error:
                # What could not be sealed or exported now is so in a later round.
                if time.monotonic() - self._complained >= _COMPLAIN_SECONDS:
                    self._complained = time.monotonic()
                    cause = error.cause if isinstance(error, Outcome) else ""
                    _log.warning("log not sealed", kind=type(error).__name__, cause=cause)
            if last:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PAUSE)

    async def seal(self) -> None:
        """Seals and exports all that is there now, but for what another node is busy with.

        Raises the first trouble, after all organisations had their turn: an `Outcome` of the database, the file or the
        address, and `SealDamaged` when the file does not continue what the database has.
        """
        tenants = list(self._organisations)
        async with acquire(self._pool) as connection:
            work = await connection.fetch(_WORK, tenants)
        trouble: list[Exception] = []
        for row in work:
            try:
                await self._bring_up(row["tenant"], row["last"], waiting=row["waiting"])
            except Exception as error:
                trouble.append(error)  # Of one organisation; the others go on.
        if trouble:
            raise trouble[0]

    async def _bring_up(self, tenant: int, last: int, *, waiting: bool) -> None:
        while waiting and (made := await self._seal(tenant)):
            last, waiting = made
        if self._folder is not None and self._exported.get(tenant, -1) < last:
            await self._export(tenant, seal_file.path(self._folder, self._organisations[tenant].organisation))
        if self._address is not None and self._sent.get(tenant, -1) < last:
            await self._send(tenant, self._address)

    async def _seal(self, tenant: int) -> tuple[int, bool] | None:
        """Makes one seal: its number, and whether it is full; None when there is nothing to seal, or another node
        does it."""
        whose = self._organisations[tenant]
        async with acquire(self._pool) as connection, connection.transaction():
            if not await self._locked(connection, tenant):
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

    async def _locked(self, connection: Connection, tenant: int) -> bool:
        """Whether this node has the organisation to itself until the end of the transaction."""
        return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1, $2)", _LOCK, tenant))

    async def _export(self, tenant: int, file: Path) -> None:
        """Adds to the file what it does not have. Two nodes that share a folder take turns by the lock."""
        async with acquire(self._pool) as connection, connection.transaction():
            if not await self._locked(connection, tenant):
                return
            there = await _in_file(seal_file.last_line, file)
            number = await self._known(connection, tenant, there, file)
            while lines := await connection.fetch(
                "SELECT number, line FROM audit_seal WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT $3",
                tenant,
                number,
                _EXPORTED_AT_ONCE,
            ):
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
        """Sends what the address does not have, in order; each may come twice and never out of turn."""
        async with acquire(self._pool) as connection:
            number = await connection.fetchval(
                "SELECT number FROM audit_seal_sent WHERE tenant = $1 AND address = $2", tenant, address.base
            )
            lines = await connection.fetch(
                "SELECT number, line FROM audit_seal WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT $3",
                tenant,
                number or 0,
                _EXPORTED_AT_ONCE,
            )
        if lines:
            body = "".join(f"{row['line']}\n" for row in lines).encode()
            answer = await address.send("POST", body=body, headers={"Content-Type": "text/plain"})
            if not 200 <= answer.status < 300:
                raise FacilityAway(address.name, f"status {answer.status}")
            number = lines[-1]["number"]
            async with acquire(self._pool) as connection:
                await connection.execute(
                    "INSERT INTO audit_seal_sent (tenant, address, number) VALUES ($1, $2, $3) ON CONFLICT "
                    "(tenant, address) DO UPDATE SET number = greatest(audit_seal_sent.number, excluded.number), "
                    "sent = now()",
                    tenant,
                    address.base,
                    number,
                )
        self._sent[tenant] = number or 0


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
