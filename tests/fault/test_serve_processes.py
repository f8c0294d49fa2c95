"""A node served by several processes: one for the outside, each replaceable, and none that stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.fault.processes import (
    Database,
    Site,
    check_log,
    ehr,
    launch,
    refused,
    running_site,
    toml,
    verified,
)

from schakel.store.cluster_folder import wait_until

NUMBER = 3


def serving(site: Site) -> list[int]:
    """The processes that serve, which the first one started."""
    pid = site.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def spent(pid: int) -> int:
    """Processor time of a process, in ticks of a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def gone(pids: list[int], within: float = 20) -> bool:
    return await asyncio.to_thread(wait_until, lambda: not any(alive(pid) for pid in pids), within)


@pytest.fixture
async def pair(open_folder: Path) -> AsyncIterator[tuple[Site, Database]]:
    async with running_site(open_folder, processes=NUMBER, connections=4) as made:
        yield made


async def asked(url: str, headers: dict[str, str], times: int) -> Counter[int]:
    """The statuses of so many answers, each over a connection of its own."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=20), headers=headers
    ) as client:

        async def one() -> int:
            async with client.get(url) as answer:
                await answer.read()
                return answer.status

        return Counter(await asyncio.gather(*(one() for _ in range(times))))


@pytest.mark.slow
async def test_all_of_them_answer_and_know_what_one_of_them_was_told(pair: tuple[Site, Database]) -> None:
    site, _ = pair
    before = {pid: spent(pid) for pid in serving(site)}
    assert len(before) == NUMBER
    async with ehr() as client:
        bearer = await site.let_in(client)
        assert await asked(site.guarded_patient, bearer, 300) == {200: 300}
        assert all(spent(pid) > ticks for pid, ticks in before.items()), "one of them was asked nothing"
        # What may be used once is used once, whoever of them is asked.
        form = site.token_form()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as other:

            async def shown() -> int:
                async with other.post(f"{site.front}/noord/oauth2/token", data=form) as answer:
                    await answer.read()
                    return answer.status

            assert Counter(await asyncio.gather(*(shown() for _ in range(20)))) == {200: 1, 401: 19}
    check_log(site, bearer)
    # Each has a writer and a sealer of the log: what they wrote is one chain.
    code, told = await verified(site)
    assert code == 0, told


@pytest.mark.slow
async def test_for_one_that_is_killed_comes_another_and_the_rest_answers_meanwhile(
    pair: tuple[Site, Database],
) -> None:
    site, _ = pair
    async with ehr() as client:
        bearer = await site.let_in(client)
    before = serving(site)
    os.kill(before[1], signal.SIGKILL)
    assert await gone(before[1:2])
    assert await asked(site.guarded_patient, bearer, 60) == {200: 60}
    assert await asyncio.to_thread(wait_until, lambda: len(serving(site)) == NUMBER, 10)
    after = serving(site)
    assert {*after} > {*before} - {before[1]} and before[1] not in after
    assert '"process-ended"' in site.log and '"process": 2' in site.log.replace('":', '": ')
    assert await asked(site.guarded_patient, bearer, 60) == {200: 60}


@pytest.mark.slow
async def test_none_stays_behind(pair: tuple[Site, Database]) -> None:
    site, _ = pair
    first = serving(site)
    site.process.send_signal(signal.SIGTERM)
    assert await site.ended(within=30) == 0 and await gone(first)
    assert "process-ended" not in site.log
    await site.start()
    second = serving(site)
    await site.kill()
    assert await gone(second)
    await site.start()
    assert len(serving(site)) == NUMBER


@pytest.mark.slow
async def test_two_nodes_never_share_their_addresses(open_folder: Path) -> None:
    async with running_site(open_folder, processes=2, connections=4) as (site, _):
        same = [site.config.with_name(f"same-{number}.toml") for number in range(3)]
        for one in same:
            one.write_text(toml(site.settings))
        site.process.send_signal(signal.SIGTERM)
        await site.ended(within=30)
        nodes = [launch(one, one.with_suffix(".log")) for one in same]
        try:
            assert await asyncio.to_thread(
                wait_until, lambda: sum(node.poll() is None for node in nodes) == 1, 60
            )
            [left] = [number for number, node in enumerate(nodes) if node.poll() is None]
            output = nodes[left].stdout
            assert output is not None
            line = await asyncio.to_thread(output.readline)
            assert line.startswith("ready"), same[left].with_suffix(".log").read_text()
        finally:
            for node in nodes:
                node.terminate()
                await asyncio.to_thread(node.communicate)
        assert [node.returncode for number, node in enumerate(nodes) if number != left] == [2, 2]


@pytest.mark.slow
async def test_what_keeps_it_from_starting_is_said_once(open_folder: Path) -> None:
    async with running_site(open_folder, processes=2, connections=4) as (site, _):
        same = site.config.with_name("same.toml")
        same.write_text(toml(site.settings))
        said, _ = await refused(same)
        assert f"port {site.front_port} on 127.0.0.1 cannot be used" in said and said.count("schakel: ") == 1
        said, _ = await refused(
            Site(open_folder / "away", "postgresql://127.0.0.1:1/none", processes=2).config
        )
        assert "database" in said and said.count("schakel: ") == 1
        assert (await asked(f"{site.front}/health/ready", {}, 10)) == {200: 10}
