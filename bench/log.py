"""The log at size; `uv run python -m bench.log [--events 10000000]` is this alone.

Fills the log of one organisation past the writer, in a database of its own in a temporary folder, and measures
what people wait for: a patient's page (search and rendering, without HTTP), an officer's searches, one event read. Then
it writes through the writer with and without a sealer beside it, and seals what was left.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
from joserfc.jwk import ECKey

from bench.pair import temporary_folder
from bench.report import Figure, hardware, table
from schakel.generic.identity import User
from schakel.generic.logging import AuditLog, AuditWriter, Event, Sealer, Sealing, Wanted
from schakel.generic.logging.sealer import SEAL_EVENTS
from schakel.generic.logging.stored import COLUMNS, to_json
from schakel.kernel.clock import new_id, now
from schakel.patient_access.own_log import questions, readable
from schakel.store.database import connect, disconnect, pack
from schakel.store.embedded import EmbeddedServer

_TENANT, _URA = 1, "11111111"
_PER_PATIENT = 100
_KINDS = ("read", "search-type", "search-type", "token", "consent-asked")
_PAGES = 200
_WRITES = 20_000
_AT_ONCE = 64

_BODIES = 1000

_FILL = f"""
INSERT INTO audit_event (tenant, {COLUMNS})
SELECT $1, (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7'
        || lpad(to_hex(number), 19, '0'))::uuid,
    moment, kind, outcome, requester, person, lpad(floor(random() * $5)::int::text, 9, '0'),
    lpad(to_hex(number), 32, '0')::uuid, lpad(to_hex(number / 3), 32, '0'), body
FROM (SELECT number, $2::timestamptz + $3::interval * number AS moment
    FROM generate_series(0::bigint, $4::bigint - 1) AS number) AS one
JOIN kept ON kept.place = number % $6
"""

Row = tuple[object, ...]


def _event(chance: random.Random, patient: str) -> Event:
    return Event(
        subtype=chance.choice(_KINDS),
        action="R",
        outcome="0" if chance.random() < 0.9 else "4",
        requester=f"{chance.randrange(2000):08}",
        requester_name="Ziekenhuis Noord",
        holder=_URA,
        holder_name="Ziekenhuis Zuid",
        user=User(f"{chance.randrange(5000):09}", "J. Jansen", "01.015"),
        purpose="TREAT",
        patient=patient,
        query=f"GET /Condition?patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|{patient}",
        token=new_id(),
        rule="bgz-7",
        ground=new_id(),
        checks=("identified", "form accepted", "ground found", "minimised"),
        resources=tuple(f"Condition/{n}/_history/1" for n in range(8)),
    )


def _kept() -> list[Row]:
    """A thousand events in their columns, of which all rows are made: place, columns that do not vary, and body."""
    chance = random.Random(1)
    events = [_event(chance, f"{number:09}") for number in range(_BODIES)]
    return [
        (
            place,
            one.subtype,
            int(one.outcome),
            one.requester,
            one.user.id if one.user else "",
            pack(to_json(one)),
        )
        for place, one in enumerate(events)
    ]


async def _fill(address: str, events: int) -> None:
    """Rows of the last ten years, a hundred for each patient. The database makes them, and the indexes that only
    searches need after them: both take a fraction of the time."""
    connection = await asyncpg.connect(address)
    try:
        await connection.execute("SET maintenance_work_mem = '512MB'")
        await connection.execute(
            "CREATE TEMP TABLE kept (place int, kind text, outcome smallint, requester text, person text, body bytea)"
        )
        await connection.copy_records_to_table("kept", records=_kept())
        await connection.execute("ANALYZE kept")
        indexes = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes "
            "WHERE tablename = 'audit_event' AND indexdef NOT LIKE 'CREATE UNIQUE%'"
        )
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['indexname']}")
        step = timedelta(days=3650) / events
        patients = max(1, events // _PER_PATIENT)
        await connection.execute(
            _FILL, _TENANT, now() - timedelta(days=3650), step, events, patients, _BODIES
        )
        for index in indexes:
            await connection.execute(index["indexdef"])
        await connection.execute("VACUUM (ANALYZE) audit_event")
    finally:
        await connection.close()


async def _timed(
    scenario: str, name: str, ask: Callable[[int], Awaitable[object]], goal: float | None = None
) -> list[Figure]:
    """How long `ask` takes, of `_PAGES` times with another number each; `goal` is of the median, in milliseconds."""
    took = []
    for number in range(_PAGES):
        began = time.perf_counter()
        await ask(number)
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    middle, slow = statistics.median(took), took[int(_PAGES * 0.99) - 1]
    return [
        Figure(scenario, f"{name}: p50", middle, "ms", "less", goal=goal),
        Figure(scenario, f"{name}: p99", slow, "ms", "less"),
    ]


async def _write(log: AuditLog, event: Event) -> float:
    """Events a second, from `_AT_ONCE` callers at once, each with a decision of 2 kB."""
    decision = b"x" * 2000

    async def caller() -> None:
        for _ in range(_WRITES // _AT_ONCE):
            await log.write(replace(event, decision=new_id()), decision)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_AT_ONCE)))
    return _WRITES / (time.perf_counter() - began)


async def _measure(pool: asyncpg.Pool, events: int, folder: Path, name: str) -> list[Figure]:
    log = AuditLog(AuditWriter(pool), _TENANT)
    chance = random.Random(2)
    patients = max(1, events // _PER_PATIENT)

    async def page(_: int) -> None:
        patient = f"{chance.randrange(patients):09}"
        found = (await log.search(Wanted(patient=patient), 101))[:100]
        # The bodies are shared by all patients; the page is masked as if they were this one's.
        readable([replace(one, event=replace(one.event, patient=patient)) for one in found], patient)

    async def page_for_people(_: int) -> None:
        patient = f"{chance.randrange(patients):09}"
        questions(await log.questions(Wanted(patient=patient), 26, 500), patient)

    async def by(wanted: Wanted) -> None:
        await log.search(wanted, 101)

    figures = [
        *await _timed(name, "patient's page, AuditEvents", page, 50),
        *await _timed(name, "patient's page, for people", page_for_people, 50),
        *await _timed(name, "officer, by requester", lambda n: by(Wanted(requester=f"{n:08}"))),
        *await _timed(name, "officer, by user", lambda n: by(Wanted(person=f"{n:09}"))),
        *await _timed(name, "officer, refusals of a kind", lambda _: by(Wanted(kind="token", outcome=4))),
        *await _timed(name, "officer, by question", lambda n: by(Wanted(correlation=f"{n:032x}"))),
    ]
    event = _event(chance, "000000001")
    alone = await _write(log, event)
    key = ECKey.generate_key("P-256")
    sealer = Sealer(
        pool, {_TENANT: Sealing(_URA, ECKey.import_key({**key.as_dict(private=True), "kid": "k"}))}, folder
    )
    began = time.perf_counter()
    await sealer.seal()
    took = (time.perf_counter() - began) / _WRITES
    async with sealer.sealing():
        beside = await _write(log, event)
    return [
        *figures,
        Figure(name, f"written, {_AT_ONCE} at once", alone, "events/s", "more"),
        Figure(name, "written with a sealer beside it", beside, "events/s", "more", alone, "without"),
        Figure(name, f"sealed, {SEAL_EVENTS:,} to a seal", took * 1e6, "us an event", "less"),
    ]


async def at_size(events: int) -> list[Figure]:
    """The figures of a log with so many events; filling it takes minutes for ten million, and 6 GB of disk."""
    name = f"log, {events:,} events"
    async with AsyncExitStack() as undo:
        folder = temporary_folder()
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        server = await EmbeddedServer.start(folder / "postgres")
        undo.push_async_callback(server.stop)
        address = await server.ensure_database("log", "log", "secret")
        pool = await connect(address, connections=4)
        undo.push_async_callback(disconnect, pool)
        began = time.monotonic()
        await _fill(address, events)
        filled = events / (time.monotonic() - began)
        figures = await _measure(pool, events, folder, name)
    return [Figure(name, "filled by the database itself", filled, "/s", "more"), *figures]


def main() -> None:
    """Runs it and prints the figures."""
    parser = argparse.ArgumentParser(prog="bench.log", description="The log at size.")
    parser.add_argument("--events", type=int, default=10_000_000, metavar="N")
    events = parser.parse_args().events
    print(f"{hardware()}\n\n{table(asyncio.run(at_size(events)))}")


if __name__ == "__main__":
    main()
