"""A node whose database is away or silent says so in time, leaks nothing, and goes on by itself."""

from __future__ import annotations

import asyncio
import signal
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from tests.fault.processes import (
    BSN,
    NAME,
    OBSERVATION,
    Database,
    Site,
    check_log,
    ehr,
    refused,
    running_site,
    timed,
)
from tests.nodes import MakeDatabase

from schakel.kernel.outcomes import Busy, Fault, Invalid
from schakel.sources import Write
from schakel.store.database import connect, disconnect
from schakel.store.resources import Store
from schakel.store.writing import RidBlocks

QUERY_SECONDS = 1
PATIENCE = 25
"""No answer may take longer: ten seconds wait for a connection, and ten to write the refusal in the log."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(open_folder: Path) -> AsyncIterator[tuple[Site, Database]]:
    async with running_site(open_folder, limits={"query_seconds": QUERY_SECONDS}) as pair:
        yield pair


@pytest_asyncio.fixture(loop_scope="session")
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with ehr() as opened:
        yield opened


async def all_doors(
    client: aiohttp.ClientSession, site: Site, bearer: dict[str, str]
) -> list[tuple[str, tuple[int, str, str, float]]]:
    """Everything of the node that needs the database, asked at the same time, several times over."""
    transaction = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": OBSERVATION, "request": {"method": "POST", "url": "Observation"}}],
    }
    ground = {
        "requester": "90000002",
        "patient": BSN,
        "exchange": "bgz",
        "until": "2027-01-01",
        "reason": "x",
    }
    asked: list[tuple[str, str, str, dict[str, Any]]] = [
        ("read", "GET", f"{site.fhir}/Patient/known", {}),
        ("search", "GET", f"{site.fhir}/Patient?family={NAME}", {}),
        ("transaction", "POST", site.fhir, {"json": transaction}),
        ("update", "PUT", f"{site.fhir}/Observation/one", {"json": {**OBSERVATION, "id": "one"}}),
        ("guarded", "GET", site.guarded_patient, {"headers": bearer}),
        ("log", "GET", f"{site.internal}/noord/log/fhir/r4/AuditEvent?patient.identifier={BSN}", {}),
        ("grounds", "GET", f"{site.internal}/noord/grounds?patient={BSN}", {}),
        ("ground", "POST", f"{site.internal}/noord/grounds", {"json": ground}),
        ("ready", "GET", f"{site.front}/health/ready", {}),
    ]
    asked = 3 * asked + [
        ("token", "POST", f"{site.front}/noord/oauth2/token", {"data": site.token_form()}) for _ in range(3)
    ]
    answers = await asyncio.gather(*(timed(client, *how, **options) for _, *how, options in asked))
    return [(name, answer) for (name, *_), answer in zip(asked, answers, strict=True)]


PROBLEMS = {"grounds", "ground", "token"}


def check_refusals(answers: list[tuple[str, tuple[int, str, str, float]]], within: float) -> None:
    """Each door said 503 in its own format, in time, in a sentence."""
    for name, (status, media, body, seconds) in answers:
        assert status == 503, (name, status, body)
        assert seconds < within, (name, seconds)
        assert "Traceback" not in body and "asyncpg" not in body and "INSERT" not in body
        if name == "ready":
            assert media == "application/json" and '"down"' in body
        elif name in PROBLEMS:
            assert media == "application/problem+json" and "try again" in body, (name, body)
        else:
            assert media == "application/fhir+json" and '"OperationOutcome"' in body, (name, media)
            assert '"transient"' in body and "try again" in body, (name, body)


async def served_again(client: aiohttp.ClientSession, site: Site, bearer: dict[str, str]) -> None:
    """Within ten seconds the node is ready by itself, and then every door answers."""
    await site.until_ready(client)
    for name, (status, _, body, _) in await all_doors(client, site, bearer):
        assert status in (200, 201), (name, body)


async def test_while_the_database_is_away_every_door_says_so_and_afterwards_serves_again(
    running: tuple[Site, Database], client: aiohttp.ClientSession
) -> None:
    site, database = running
    bearer = await site.let_in(client)
    node = site.process.pid
    await database.kill()
    check_refusals(await all_doors(client, site, bearer), 3)
    assert (await timed(client, "GET", f"{site.front}/health/live"))[0] == 200
    await database.start()
    await served_again(client, site, bearer)
    await database.stop()  # In order: the server tells its clients that it goes.
    check_refusals(await all_doors(client, site, bearer), 3)
    await database.start()
    await served_again(client, site, bearer)
    assert site.process.pid == node and site.process.poll() is None
    check_log(site, bearer)


@pytest.mark.slow
async def test_a_database_that_is_silent_is_waited_for_no_longer_than_the_limit(
    running: tuple[Site, Database], client: aiohttp.ClientSession
) -> None:
    site, database = running
    bearer = await site.let_in(client)
    await served_again(client, site, bearer)
    database.signal(signal.SIGSTOP)
    try:
        asking = asyncio.create_task(all_doors(client, site, bearer))
        await asyncio.sleep(0.5)
        status, _, _, seconds = await timed(client, "GET", f"{site.front}/health/live")
        assert status == 200 and seconds < 1
        status, _, _, seconds = await timed(client, "GET", f"{site.front}/health/ready")
        assert status == 503 and seconds < 3
        check_refusals(await asking, PATIENCE)
    finally:
        database.signal(signal.SIGCONT)
    await served_again(client, site, bearer)
    check_log(site, bearer)


@pytest.mark.slow
async def test_a_node_is_stopped_in_time_while_its_database_is_silent(open_folder: Path) -> None:
    async with running_site(open_folder) as (site, database), ehr() as client:
        bearer = await site.let_in(client)
        database.signal(signal.SIGSTOP)
        try:
            asking = asyncio.create_task(all_doors(client, site, bearer))
            await asyncio.sleep(0.3)
            site.process.terminate()
            start = time.monotonic()
            assert await site.ended() == 0
            assert time.monotonic() - start < 7
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        finally:
            database.signal(signal.SIGCONT)
        check_log(site, bearer)


# -- a node that cannot start --------------------------------------------------------------------------------


async def test_a_node_that_cannot_have_its_database_ends_with_a_sentence(
    tmp_path: Path, make_database: MakeDatabase
) -> None:
    """Away, refusing us, or giving us too few rights."""
    address = await make_database()
    _, foreign = await _foreign(make_database)
    cases = {
        f"postgresql://a:geheim@/a?host={tmp_path}": "cannot be reached or refuses us",
        address.replace(":secret@", ":geheim@"): "password authentication failed",
        foreign: "permission denied",
    }
    sites = [Site(tmp_path / str(number), address) for number, address in enumerate(cases)]
    ends = await asyncio.gather(*(refused(site.config) for site in sites))
    for words, (said, seconds) in zip(cases.values(), ends, strict=True):
        assert words in said and "geheim" not in said
        assert seconds < 40


async def test_each_way_in_which_a_database_cannot_be_used_has_its_sentence(
    tmp_path: Path, make_database: MakeDatabase
) -> None:
    newer, reading = await make_database(), await make_database()
    await disconnect(await connect(newer))
    await _run(newer, "INSERT INTO schema_migration VALUES (9000, '9000_later.sql', 'sum')")
    await _run(reading, f"ALTER ROLE {urlsplit(reading).username} SET default_transaction_read_only = on")
    owner, foreign = await _foreign(make_database)
    async with _server_that_says("14.11") as old, _server_that_says("") as silent:
        for address, kind, words in (
            ("postgresql://a:geheim@127.0.0.1:1/a", Busy, "cannot be reached or refuses us"),
            (silent, Busy, "no answer in time"),
            (foreign.replace(f"@/{owner}", "@/nowhere"), Busy, "nowhere"),
            (old, Fault, "the database is PostgreSQL 14; 15 or newer is needed"),
            (newer, Invalid, "changed by a newer version"),
            (foreign, Fault, "permission denied"),
            (reading, Fault, "read-only"),
            ("mysql://a:geheim@127.0.0.1/a", Invalid, "`database` is not the address of a database"),
            ("postgresql://a:gehe/im@127.0.0.1:x/a", Invalid, "`database`"),
        ):
            with pytest.raises(kind) as raised:
                await connect(address, timeout=1)
            said = raised.value.message
            assert words in said, address
            assert "geheim" not in said and "im@" not in said and "secret" not in said


async def _foreign(make_database: MakeDatabase) -> tuple[str, str]:
    """The owner and the address of a database for a role that may enter it, and nothing more."""
    owned, other = await make_database(), await make_database()
    owner, role = urlsplit(owned).username, urlsplit(other).username
    await _run(owned, f"GRANT CONNECT ON DATABASE {owner} TO {role}")
    return str(owner), other.replace(f"@/{role}", f"@/{owner}")


async def _run(address: str, statement: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def _server_that_says(version: str) -> AsyncIterator[str]:
    """The address of a server that greets as PostgreSQL `version`, or says nothing at all for ''."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(4), "big")
        await reader.readexactly(length - 4)
        if version:
            settings = {"server_version": version, "client_encoding": "UTF8", "server_encoding": "UTF8"}
            messages = [(b"R", bytes(4))]
            messages += [(b"S", f"{name}\0{value}\0".encode()) for name, value in settings.items()]
            messages += [(b"K", bytes(8)), (b"Z", b"I")]
            writer.write(b"".join(kind + struct.pack("!i", len(m) + 4) + m for kind, m in messages))
        await reader.read()  # Until the other side leaves.
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://a:geheim@127.0.0.1:{port}/a?sslmode=disable"


async def test_keys_of_before_a_crash_are_not_handed_out_again(open_folder: Path) -> None:
    """A sequence forgets in a crash what was only drawn in transactions that never ended."""
    database = Database(open_folder / "keys")
    try:
        await database.start()
        pool = await connect(database.address)
        await pool.execute("INSERT INTO tenant (slug, ura, name) VALUES ('a', '90000001', 'a')")
        survivor = Store(pool, 1, RidBlocks())
        async with pool.acquire() as other:
            await other.execute("BEGIN; LOCK TABLE index_token IN SHARE MODE")
            writing = asyncio.create_task(survivor.write("stu3", [_patient("first")]))
            waiting = 0
            while not waiting:
                await asyncio.sleep(0.01)
                waiting = await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
            await database.kill()
            with pytest.raises(Busy):
                await writing
        await database.start()
        await survivor.write("stu3", [_patient(f"survivor-{number}") for number in range(40)])
        await Store(pool, 1, RidBlocks()).write(
            "stu3", [_patient(f"newcomer-{number}") for number in range(20)]
        )
        await disconnect(pool)
    finally:
        await database.stop()


def _patient(logical_id: str) -> Write:
    patient = {"resourceType": "Patient", "identifier": [{"value": logical_id}]}
    return Write("PUT", "Patient", logical_id, patient)
