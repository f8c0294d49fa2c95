"""`schakel serve` refuses what it cannot run in one sentence, ends in order, and one bad client is alone."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson
import pytest
import pytest_asyncio
from tests.fault.processes import (
    KEY,
    OBSERVATION,
    Database,
    Site,
    check_log,
    ehr,
    refused,
    running_site,
    timed,
    toml,
)
from tests.nodes import MakeDatabase

from schakel import config
from schakel.generic.identity import new_key
from schakel.kernel.outcomes import Invalid

ANOTHER = {
    "slug": "zuid",
    "ura": "90000003",
    "name": "Zuid",
    "internal_key": "the-key-of-the-ehr-of-zuid",
    "signing_key": "noord.jwk",
}


# -- what cannot be run --------------------------------------------------------------------------------------


def _settings(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda settings: settings | changes


def _organisation(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda settings: settings | {"organisations": [settings["organisations"][0] | changes]}


def _second(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda settings: settings | {"organisations": [*settings["organisations"], ANOTHER | changes]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_settings(frontport=8400), ["frontport"]),
        (_settings(limits={"bodies": 1}), ["limits.bodies"]),
        (_settings(front_port="high"), ["front_port"]),
        (_settings(front_port=0), ["front_port"]),
        (_settings(public_url="example.org"), ["public_url"]),
        (_settings(organisations=[]), ["organisations"]),
        (_organisation(slug="portal"), ["organisations.0.slug", "'portal' is reserved"]),
        (_organisation(slug="Noord/../x"), ["organisations.0.slug"]),
        (_organisation(ura="12A"), ["organisations.0.ura"]),
        (_organisation(internal_key="short"), ["organisations.0.internal_key"]),
        (_organisation(write_check="none"), ["organisations.0.write_check"]),
        (_second(slug="noord"), ["two organisations share a slug"]),
        (_second(ura="90000001"), ["two organisations share a ura"]),
        (_second(internal_key=KEY), ["two organisations share a internal_key"]),
    ],
)
def test_a_wrong_setting_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], words: list[str]
) -> None:
    site = Site(tmp_path, "postgresql://a:geheim@127.0.0.1:1/a")
    site.config.write_text(toml(change(site.settings)))
    with pytest.raises(Invalid) as raised:
        config.load(site.config)
    for word in [str(site.config), *words]:
        assert word in raised.value.message
    assert "geheim" not in raised.value.message and KEY not in raised.value.message


def test_a_wrong_variable_of_the_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, "postgresql://a@127.0.0.1:1/a")
    monkeypatch.setenv("SCHAKEL_LIMITS", "{not json")
    with pytest.raises(Invalid, match="limits"):
        config.load(site.config)


async def test_a_node_that_cannot_start_ends_with_exit_code_2_and_names_the_setting(
    tmp_path: Path, make_database: MakeDatabase
) -> None:
    """Each of these stops it at another place, so that each is a process of its own."""
    address = await make_database()
    sites = {
        name: Site(tmp_path / name, address) for name in ("absent", "text", "key", "curve", "port", "same")
    }
    sites["absent"].config.unlink()
    sites["text"].config.write_text("front_port = ")
    (tmp_path / "key" / "noord.jwk").unlink()
    (tmp_path / "curve" / "noord.jwk").write_bytes(orjson.dumps(new_key() | {"crv": "P-384"}))
    same = sites["same"].settings
    sites["same"].config.write_text(toml(same | {"internal_port": same["front_port"]}))
    with socket.create_server(("127.0.0.1", sites["port"].internal_port)):
        ends = await asyncio.gather(*(refused(site.config) for site in sites.values()))
    said = {name: words for name, (words, _) in zip(sites, ends, strict=True)}
    assert "cannot be read: No such file" in said["absent"]
    assert "is not TOML" in said["text"]
    assert "signing key" in said["key"] and "cannot be read (No such file" in said["key"]
    assert "signing key" in said["curve"] and "is not an EC key on P-256" in said["curve"]
    assert f"port {sites['port'].internal_port}" in said["port"] and "internal_port" in said["port"]
    assert "internal_port" in said["same"]


async def test_an_organisation_cannot_take_the_slug_of_another_one_in_the_database(
    tmp_path: Path, make_database: MakeDatabase
) -> None:
    address = await make_database()
    first = Site(tmp_path / "first", address)
    await first.start()
    first.process.terminate()
    assert await first.ended() == 0
    other = Site(tmp_path / "other", address)
    organisation = other.settings["organisations"][0] | {"ura": "90000003"}
    other.config.write_text(toml(other.settings | {"organisations": [organisation]}))
    said, _ = await refused(other.config)
    assert "the slug 'noord' belongs to an organisation with another ura" in said


# -- what runs -----------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(open_folder: Path) -> AsyncIterator[tuple[Site, Database]]:
    async with running_site(open_folder) as pair:
        yield pair


async def test_clients_that_do_nothing_or_never_finish_hold_up_nobody(
    running: tuple[Site, Database],
) -> None:
    site, _ = running
    starts = [
        b"",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST /noord/fhir/stu3 HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nX-API-Key: %s\r\n\r\n{"
        % KEY.encode(),
        b"\x16\x03\x01\x02\x00\x01\x00",
    ]
    async with AsyncExitStack() as stack:
        for number in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", site.internal_port)
            stack.callback(writer.close)
            writer.write(starts[number % len(starts)])
        async with ehr() as client:
            for method, url, options in (
                ("GET", f"{site.internal}/health/ready", {}),
                ("PUT", f"{site.fhir}/Observation/one", {"json": OBSERVATION | {"id": "one"}}),
                ("GET", f"{site.fhir}/Observation/one", {}),
            ):
                status, _, body, seconds = await timed(client, method, url, **options)
                assert status in (200, 201) and seconds < 2, (url, status, body, seconds)


@asynccontextmanager
async def _write_under_way(
    client: aiohttp.ClientSession, site: Site, database: Database, name: str
) -> AsyncIterator[tuple[asyncio.Task[tuple[int, str, str, float]], asyncpg.Connection]]:
    """A PUT of Observation `name` that waits in the database until the connection beside it is closed."""
    lock = await asyncpg.connect(database.address)
    try:
        await lock.execute("BEGIN; LOCK TABLE index_token IN SHARE MODE")
        url, resource = f"{site.fhir}/Observation/{name}", OBSERVATION | {"id": name}
        writing = asyncio.create_task(timed(client, "PUT", url, json=resource))
        waiting = 0
        while not waiting:
            await asyncio.sleep(0.01)
            waiting = await lock.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
        yield writing, lock
    finally:
        await lock.close()


async def test_sigterm_finishes_the_request_under_way_and_ends_with_exit_code_0(
    running: tuple[Site, Database],
) -> None:
    site, database = running
    async with ehr() as client, aiohttp.ClientSession() as idle:
        bearer = await site.let_in(client)
        async with idle.get(f"{site.internal}/health/live") as answer:
            assert answer.status == 200
        _, slow = await asyncio.open_connection("127.0.0.1", site.internal_port)
        slow.write(b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        async with _write_under_way(client, site, database, "last") as (writing, lock):
            start = time.monotonic()
            site.process.terminate()
            await asyncio.sleep(0.5)
            with pytest.raises(OSError, match="Connect call failed"):
                await asyncio.open_connection("127.0.0.1", site.internal_port)
            assert site.process.poll() is None and not writing.done()
            await lock.close()
            status, _, body, _ = await writing
        assert status == 201, body
        assert await site.ended() == 0
        assert time.monotonic() - start < 6
        slow.close()
    check_log(site, bearer)
    await site.start()
    async with ehr() as client:
        assert (await timed(client, "GET", f"{site.fhir}/Observation/last"))[0] == 200


@pytest.mark.slow
async def test_a_request_that_does_not_end_is_cut_off_within_six_seconds_of_sigterm(
    running: tuple[Site, Database],
) -> None:
    site, database = running
    async with ehr() as client, _write_under_way(client, site, database, "never") as (writing, _):
        start = time.monotonic()
        site.process.terminate()
        assert await site.ended() == 0
        assert time.monotonic() - start < 6.5
        status, _, body, _ = await writing
        assert status == 500 and "Traceback" not in body
    await site.start()
    async with ehr() as client:
        assert (await timed(client, "GET", f"{site.fhir}/Observation/never"))[0] == 404
