"""kill -9 of the program that brings the query directory in step, in the first load and in what comes after it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from tests.fault.processes import Site
from tests.followed import Directory, Follower, endpoint, follower, link, organisation, serving

from schakel.commands.addressing import findings, status, sync

NUMBER = 60


async def _command(site: Site, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schakel",
        "addressing",
        "sync",
        "--config",
        str(site.config),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _killed(site: Site, directory: Directory, after: int) -> None:
    """Kills the command when it has asked for so many pages more."""
    asked = len(directory.asked) + after
    process = await _command(site)
    while len(directory.asked) < asked:
        assert process.returncode is None, "it was done before it could be killed"
        await asyncio.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    await process.wait()


async def _done(site: Site, *options: str) -> str:
    process = await _command(site, *options)
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def _equal(directory: Directory, node: Follower) -> None:
    """Both have the same, and every row has its resource."""
    here = await node.here()
    assert {key: one.get("name", one.get("address")) for key, one in here.items()} == {
        key: one.get("name", one.get("address")) for key, one in directory.now().items()
    }
    assert await node.findings() == {}


async def _slowly(request: web.Request) -> web.StreamResponse | None:
    await asyncio.sleep(0.03)
    return None


async def _kill_during_sync(folder: Path, make_database: Callable[[], Awaitable[str]], kills: int) -> None:
    async with serving(Directory(page=2, behave=_slowly)) as directory, follower(make_database) as node:
        for number in range(NUMBER):
            directory.put(f"e{number}", endpoint(f"https://fhir.example/{number}"))
            directory.put(
                f"o{number}", organisation(f"Huis {number}", endpoint=[link("Endpoint", f"e{number}")])
            )
        source = {"name": "lrza", "kind": "central", "base": directory.base}
        site = Site(folder, node.dsn, addressing={"sources": [source]})
        for kill in range(kills):
            await _killed(site, directory, 8 + kill)
            assert (await node.source("lrza")).in_step is None
        await _done(site)
        await _equal(directory, node)
        for number in range(NUMBER):
            directory.put(f"o{number}", organisation(f"Anders {number}"))
        for number in range(0, NUMBER, 3):
            directory.delete("Endpoint", f"e{number}")
        before = (await node.source("lrza")).in_step
        for kill in range(kills):
            await _killed(site, directory, 10 + 7 * kill)
            assert (await node.source("lrza")).in_step == before
        await _done(site)
        await _equal(directory, node)
        assert "lrza" in await _done(site, "--whole")
        await _equal(directory, node)


async def test_a_killed_program_leaves_nothing_half_and_the_next_one_finishes(
    tmp_path: Path, make_database: Callable[[], Awaitable[str]]
) -> None:
    await _kill_during_sync(tmp_path, make_database, 1)


@pytest.mark.slow
async def test_a_program_that_is_killed_again_and_again_gets_there(
    tmp_path: Path, make_database: Callable[[], Awaitable[str]]
) -> None:
    await _kill_during_sync(tmp_path, make_database, 4)


async def test_the_commands_say_how_it_stands(
    tmp_path: Path, make_database: Callable[[], Awaitable[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(Directory()) as directory, follower(make_database) as node:
        site = Site(tmp_path, node.dsn)
        assert await asyncio.to_thread(sync, None, site.config, "", whole=False) == 0
        assert await asyncio.to_thread(status, None, site.config) == 0
        assert capsys.readouterr().out.count("no directory is followed") == 2
        directory.put("o1", organisation("Noord", "00000001"))
        directory.put("e1", {**endpoint(), "colour": "blue"})
        file = tmp_path / "bundle.json"
        file.write_bytes(orjson.dumps({"resourceType": "Bundle", "type": "collection"}))
        sources = [
            {"name": "lrza", "kind": "central", "base": directory.base},
            {"name": "zorg-ab", "kind": "files", "file": "bundle.json"},
        ]
        site = Site(tmp_path, node.dsn, addressing={"sources": sources})
        assert await asyncio.to_thread(sync, None, site.config, "", whole=False) == 0
        assert await asyncio.to_thread(status, None, site.config) == 1
        said = capsys.readouterr().out
        assert "zorg-ab" in said and "1 finding: schakel addressing findings" in said
        assert await asyncio.to_thread(findings, None, site.config, "lrza", resolved=False) == 1
        assert "lrza Endpoint/e1: Endpoint.colour: this element does not exist here [resource-broken]" in (
            capsys.readouterr().out
        )
        file.unlink()
        assert await asyncio.to_thread(sync, None, site.config, "zorg-ab", whole=False) == 1
        assert f"the file {file} cannot be read" in capsys.readouterr().out


async def test_a_command_beside_a_process_that_follows_lets_that_do_it(
    tmp_path: Path, make_database: Callable[[], Awaitable[str]]
) -> None:
    async with serving(Directory()) as directory, follower(make_database) as node:
        site = Site(
            tmp_path,
            node.dsn,
            addressing={"sources": [{"name": "lrza", "kind": "central", "base": directory.base}]},
        )
        await site.start()
        try:
            await _done(site)
            directory.put("o1", organisation("Noord", "00000001"))
            await _done(site)
            await _equal(directory, node)
        finally:
            await site.kill()
