"""A caller cannot hold a connection by sending slowly, headers without end, or by opening very many."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest_asyncio
from tests.nodes import RunningOrganisation, databases, running_node

from schakel.store.embedded import EmbeddedServer

LIMITS = {
    "header_bytes": 4000,
    "header_seconds": 0.5,
    "body_seconds": 1.0,
    "idle_seconds": 2.0,
    "connections": 6,
}
HEAD = b"GET /health/live HTTP/1.1\r\nHost: here\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def door(cluster: EmbeddedServer) -> AsyncIterator[RunningOrganisation]:
    async with databases(cluster, "connections") as make, running_node(make, ("a",), limits=LIMITS) as node:
        yield node["a"]


class Line:
    """One connection to the internal door. It reads all the time: what was answered is not lost when the other
    side closes while this one still speaks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._heard = bytearray()
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65_536):
                self._heard += part
                self._more.set()

    @classmethod
    async def to(cls, door: RunningOrganisation) -> Line:
        at = urlsplit(door.internal_root)
        return cls(*await asyncio.open_connection(at.hostname, at.port))

    async def say(self, *parts: bytes, pause: float = 0.0) -> None:
        """Sends the parts one after the other, until the other side takes no more."""
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self.writer.write(part)
                await self.writer.drain()
                await asyncio.sleep(pause)

    async def end(self) -> bytes:
        """What was heard until the other side closed, which it must do soon."""
        try:
            await asyncio.wait_for(self._reading, 10)
        finally:
            self.writer.close()
        return bytes(self._heard)

    async def answer(self) -> bytes:
        """The next answer, on a connection that stays open; all of it comes at once."""
        self._more.clear()
        if not self._heard:
            await asyncio.wait_for(self._more.wait(), 10)
        heard = bytes(self._heard)
        self._heard.clear()
        return heard


async def test_headers_that_come_by_drops_are_given_up(door: RunningOrganisation) -> None:
    line = await Line.to(door)
    started = time.monotonic()
    await line.say(HEAD, *(b"X" for _ in range(30)), pause=0.1)
    answer = await line.end()
    assert b" 408 " in answer and b"limits.header_seconds" in answer
    assert time.monotonic() - started < 5


async def test_half_a_header_is_given_up(door: RunningOrganisation) -> None:
    line = await Line.to(door)
    await line.say(HEAD)
    assert b"limits.header_seconds" in await line.end()


async def test_a_connection_on_which_nothing_is_said_is_closed_without_a_word(
    door: RunningOrganisation,
) -> None:
    assert await (await Line.to(door)).end() == b""


async def test_line_ends_before_a_request_hold_no_connection(door: RunningOrganisation) -> None:
    line = await Line.to(door)
    await line.say(*(b"\r\n" for _ in range(12)), pause=0.1)
    assert b" 408 " in await line.end()


async def test_a_second_request_on_a_connection_has_its_own_time(door: RunningOrganisation) -> None:
    line = await Line.to(door)
    for _ in range(3):
        await line.say(HEAD + b"\r\n")
        assert b" 200 " in await line.answer()
        await asyncio.sleep(0.7)  # Longer than the headers may take: nothing was begun.
    await line.say(HEAD)
    assert b"limits.header_seconds" in await line.end()


async def test_an_unused_connection_is_closed(door: RunningOrganisation) -> None:
    line = await Line.to(door)
    await line.say(HEAD + b"\r\n")
    assert b" 200 " in await line.answer()
    started = time.monotonic()
    assert await line.end() == b""
    assert 1.0 < time.monotonic() - started < 5


async def test_a_body_that_comes_by_drops_is_given_up(door: RunningOrganisation) -> None:
    for length in (b"Content-Length: 1000", b"Transfer-Encoding: chunked"):
        line = await Line.to(door)
        await line.say(
            b"POST /a/fhir/stu3/Patient HTTP/1.1\r\nHost: here\r\nX-API-Key: %b\r\n"
            b"Content-Type: application/fhir+json\r\n%b\r\n\r\n" % (door.key.encode(), length)
        )
        drop = b"x" if b"Length" in length else b"1\r\nx\r\n"
        await line.say(*(drop for _ in range(20)), pause=0.1)
        answer = await line.end()
        assert b" 408 " in answer and b"limits.body_seconds" in answer
        assert answer.count(b"HTTP/1.1") == 1


async def test_a_body_nobody_waits_for_is_given_up_without_a_second_answer(
    door: RunningOrganisation,
) -> None:
    line = await Line.to(door)
    await line.say(b"POST /nowhere HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n")
    answer = await line.end()
    assert b" 404 " in answer and answer.count(b"HTTP/1.1") == 1


async def test_headers_that_are_too_large_are_refused_by_name(door: RunningOrganisation) -> None:
    for sent in (
        HEAD + b"X: " + b"x" * 5000 + b"\r\n\r\n",
        HEAD + b"X: y\r\n" * 2000 + b"\r\n",
        b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n",
        HEAD + b"x" * 5000 + b": y\r\n\r\n",
    ):
        line = await Line.to(door)
        await line.say(sent)
        answer = await line.end()
        assert b" 431 " in answer and b"limits.header_bytes" in answer


async def test_one_header_without_end_is_refused_before_it_is_whole(door: RunningOrganisation) -> None:
    line = await Line.to(door)
    await line.say(HEAD + b"X: ", *(b"x" * 1000 for _ in range(8)), pause=0.01)
    assert b" 431 " in await line.end()


async def test_headers_just_within_the_bound_are_taken(door: RunningOrganisation) -> None:
    line = await Line.to(door)
    await line.say(HEAD + b"X: " + b"x" * 3900 + b"\r\nConnection: close\r\n\r\n")
    assert b" 200 " in await line.end()


async def test_trailers_count_too(door: RunningOrganisation) -> None:
    line = await Line.to(door)
    await line.say(
        b"POST /a/fhir/stu3/Patient HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X: " + b"x" * 5000 + b"\r\n\r\n",
    )
    assert b" 431 " in await line.end()


async def test_one_connection_more_than_may_be_open_is_told_to_come_back(door: RunningOrganisation) -> None:
    await asyncio.sleep(0.2)  # What other tests opened has been closed by now.
    lines = [await Line.to(door) for _ in range(6)]
    one_more = await Line.to(door)
    answer = await one_more.end()
    assert b" 503 " in answer and b"limits.connections" in answer and b"retry-after" in answer
    lines[0].writer.close()
    await asyncio.sleep(0.1)
    again = await Line.to(door)
    await again.say(HEAD + b"Connection: close\r\n\r\n")
    assert b" 200 " in await again.end()
    for line in lines[1:]:
        line.writer.close()


async def test_what_is_no_http_is_refused_once(door: RunningOrganisation) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET http://[ HTTP/1.1\r\n\r\n"):
        line = await Line.to(door)
        await line.say(sent)
        answer = await line.end()
        assert b" 400 " in answer and answer.count(b"HTTP/1.1") == 1
