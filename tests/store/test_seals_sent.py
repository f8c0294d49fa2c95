"""Where seals go: the address, the file and the sealing itself keep nothing from each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web
from tests.sealed import EVENT, Sealed

from schakel.facilities import Facility, FacilityAway
from schakel.generic.logging import sealer as sealer_module
from schakel.kernel.outcomes import Busy
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("sent", "sent", "secret"))
    yield opened
    await opened.close()
    await cluster.drop_database("sent", "sent")


@pytest.fixture
def sealed(pool: asyncpg.Pool, tmp_path: Path) -> Sealed:
    return Sealed.new(pool, tmp_path)


@dataclass
class Receiver:
    """Where seals are sent to; it answers with `status` after so many `seconds`, and 413 to more than `most` bytes."""

    address: Facility | None = None
    status: int = 204
    seconds: float = 0.0
    most: int = 1 << 20
    posts: list[list[str]] = field(default_factory=list)
    at_once: int = 0
    busiest: int = 0

    @property
    def lines(self) -> list[str]:
        return [line for post in self.posts for line in post]

    async def take(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.busiest = max(self.busiest, self.at_once)
        try:
            text = await request.text()
            await asyncio.sleep(self.seconds)
            if len(text) > self.most:
                return web.Response(status=413)
            if self.status < 300:
                self.posts.append(text.splitlines())
            return web.Response(status=self.status)
        finally:
            self.at_once -= 1


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/seals", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/seals"
    async with Facility.open("the address of the seals", url) as made.address:
        yield made
    await runner.cleanup()


async def _number(sealed: Sealed) -> int:
    count: int = await sealed.pool.fetchval(
        "SELECT count(*) FROM audit_seal WHERE tenant = $1", sealed.tenant
    )
    return count


async def test_an_address_gets_every_seal_in_order_also_after_trouble(
    sealed: Sealed, receiver: Receiver
) -> None:
    sealer = sealed.sealer(address=receiver.address)
    await sealed.log.write(EVENT)
    await sealer.seal()
    receiver.status = 500
    await sealed.log.write(EVENT)
    with pytest.raises(FacilityAway):
        await sealer.seal()
    assert len(sealed.lines) == 2 and len(receiver.lines) == 1
    receiver.status = 200
    await sealer.seal()
    await sealed.sealer(address=receiver.address).seal()
    assert receiver.lines == sealed.lines


async def test_a_file_that_cannot_be_written_keeps_nothing_from_the_address(
    sealed: Sealed, receiver: Receiver
) -> None:
    sealed.file.mkdir()
    await sealed.log.write(EVENT)
    with pytest.raises(Busy, match=r"log\.seal_folder"):
        await sealed.sealer(address=receiver.address).seal()
    assert len(receiver.lines) == 1


async def test_a_slow_address_keeps_events_from_neither_a_seal_nor_the_file(
    sealed: Sealed, receiver: Receiver
) -> None:
    receiver.seconds = 4.0
    async with sealed.sealer(address=receiver.address).sealing():
        for number in range(1, 4):
            await sealed.log.write(EVENT)
            async with asyncio.timeout(1.5):
                while await _number(sealed) < number or len(sealed.lines) < number:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert receiver.lines == [] and receiver.busiest == 1
        receiver.seconds = 0.0


async def test_an_address_gets_a_kilobyte_at_once_when_that_is_the_limit_and_at_least_a_line(
    sealed: Sealed, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 1000
    monkeypatch.setattr(sealer_module, "_BYTES_AT_ONCE", size)
    for events in (1, 1, 30, 1, 1):
        await sealed.write(events)
    sealer = sealed.sealer(address=receiver.address)
    while len(receiver.lines) < 5:
        await sealer.seal()
    assert receiver.lines == sealed.lines
    sizes = [[len(line) + 1 for line in post] for post in receiver.posts]
    assert all(len(one) == 1 or sum(one) <= size for one in sizes), sizes
    assert any(len(one) > 1 for one in sizes) and any(sum(one) > size for one in sizes), sizes


async def test_an_address_that_finds_it_too_much_gets_half_and_half_again(
    sealed: Sealed, receiver: Receiver
) -> None:
    for _ in range(5):
        await sealed.write(1)
    receiver.most = max(map(len, sealed.lines)) + 1
    sealer = sealed.sealer(address=receiver.address)
    while len(receiver.lines) < 5:
        await sealer.seal()
    assert receiver.lines == sealed.lines


async def test_a_line_that_is_too_large_for_the_address_is_trouble(
    sealed: Sealed, receiver: Receiver
) -> None:
    await sealed.write(1)
    receiver.most = 10
    with pytest.raises(FacilityAway, match="status 413"):
        await sealed.sealer(address=receiver.address).seal()


async def test_processes_that_send_take_turns(sealed: Sealed, receiver: Receiver) -> None:
    receiver.seconds = 0.2
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(sealed.sealer(address=receiver.address).sealing())
        for _ in range(8):
            await sealed.log.write(EVENT)
            await asyncio.sleep(0.25)
    await sealed.sealer(address=receiver.address).seal()
    assert receiver.busiest == 1
    assert receiver.lines == sealed.lines and len(sealed.lines) > 2


async def test_what_is_sealed_at_the_end_reaches_the_file_though_the_address_is_silent(
    sealed: Sealed, receiver: Receiver
) -> None:
    receiver.seconds = 4.0
    async with sealed.sealer(address=receiver.address).sealing():
        await sealed.log.write(EVENT)
        await asyncio.sleep(0.7)
        await sealed.log.write(EVENT)
    assert await _number(sealed) == len(sealed.lines) == 2
    receiver.seconds = 0.0
