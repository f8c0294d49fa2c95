"""The client of national facilities against real sockets: whatever the other side does, there is an answer or one typed
error, and a facility that fails again and again is left alone for a while."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.certificates import Authority, client_context, server_context
from tests.nodes import free_ports

from schakel.facilities import Facility, FacilityAway, FacilityRules, once_more
from schakel.kernel import tls

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
RULES = FacilityRules(timeout=20, failures=3, pause=1.0, most=10_000)
HASTY = replace(RULES, timeout=0.5)
"""Of who asks somebody slow; elsewhere a machine that is busy must not look like one."""


def answering(status: int = 200, body: bytes = b"yes", headers: bytes = b"") -> Behaviour:
    """Answers each request on a connection so."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await heard(reader):
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), headers, body)
            )
            await writer.drain()

    return behave


async def heard(reader: asyncio.StreamReader) -> bytes:
    """The next request with its body, or nothing when the connection ended."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)


@dataclass
class Other:
    """The other side: `behaves` may be changed while it runs; `came` counts connections."""

    url: str
    behaves: Behaviour
    came: int = 0


@asynccontextmanager
async def other(behaves: Behaviour, context: ssl.SSLContext | None = None) -> AsyncIterator[Other]:
    """A facility that behaves so."""
    made = Other("", behaves)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.came += 1
        if (task := asyncio.current_task()) is not None:
            tasks.add(task)
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
            await made.behaves(reader, writer)
        writer.transport.abort() if writer.is_closing() else writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    scheme = "http" if context is None else "https"
    made.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def why(facility: Facility, path: str = "/x") -> str:
    """Why there is no answer."""
    with pytest.raises(FacilityAway) as away:
        await facility.send("POST", path, body=b"asked")
    assert away.value.facility == "Mitz"
    assert (away.value.status, away.value.kind) == (502, "facility-away")
    return away.value.why


# -- answers ---------------------------------------------------------------------------------------------------------


async def test_an_answer_comes_back_as_it_is() -> None:
    requests: list[bytes] = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await heard(reader))
        writer.write(
            b"HTTP/1.1 418 X\r\nContent-Type: a/b\r\nSet-Cookie: c=1\r\nContent-Length: 3\r\n\r\nyes"
        )

    async with other(behave) as at, Facility.open("Mitz", f"{at.url}/base/", rules=RULES) as facility:
        answer = await facility.send("POST", "/x", body=b"asked", headers={"Content-Type": "text/xml"})
        assert (answer.status, answer.body, answer.headers["content-type"]) == (418, b"yes", "a/b")
        await facility.send("GET", f"{at.url}/elsewhere?q=1")
    assert requests[0].startswith(b"POST /base/x HTTP/1.1\r\n")
    assert requests[0].endswith(b"\r\n\r\nasked")
    assert requests[1].startswith(b"GET /elsewhere?q=1 HTTP/1.1\r\n")
    assert b"Cookie" not in requests[1]


async def test_no_redirect_is_followed() -> None:
    async with (
        other(answering()) as elsewhere,
        other(answering(307, headers=b"Location: %b/\r\n" % elsewhere.url.encode())) as at,
        Facility.open("Mitz", at.url, rules=RULES) as facility,
    ):
        assert (await facility.send("GET")).status == 307
        assert elsewhere.came == 0


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/x", "https://127.0.0.1/x", "ftp://x/", "http://[", "file:///etc/passwd"]
)
async def test_nothing_is_sent_to_an_address_of_another(address: str) -> None:
    async with other(answering()) as at, Facility.open("Mitz", at.url, rules=RULES) as facility:
        assert await why(facility, address) == "an address that is not its own"
        assert await why(facility, f"{at.url}0/x") == "an address that is not its own"
        assert at.came == 0


# -- no answer -------------------------------------------------------------------------------------------------------


async def test_a_facility_that_is_down_is_told_apart() -> None:
    [port] = free_ports(1)
    async with Facility.open("Mitz", f"http://127.0.0.1:{port}", rules=RULES) as facility:
        assert await why(facility) == "not reachable"


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await heard(reader)
    await asyncio.sleep(30)


async def by_drops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await heard(reader)
    writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b".")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("slow", [silent, by_drops])
async def test_a_slow_facility_is_given_up_in_time(slow: Behaviour) -> None:
    async with other(slow) as at, Facility.open("Mitz", at.url, rules=HASTY) as facility:
        started = time.monotonic()
        assert await why(facility) == "too slow"
        assert time.monotonic() - started < 10


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await heard(reader)
    writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\nhalf")
    await writer.drain()


async def broken_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await heard(reader)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await heard(reader)
    writer.write(b"SSH-2.0-x\r\n\r\n")
    await writer.drain()


async def many_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await heard(reader)
    writer.write(b"HTTP/1.1 200 X\r\nA: " + b"x" * 200_000 + b"\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("behaves", [half, broken_off, no_http, many_headers])
async def test_what_is_no_whole_answer_is_none(behaves: Behaviour) -> None:
    async with other(behaves) as at, Facility.open("Mitz", at.url, rules=RULES) as facility:
        assert await why(facility)


@pytest.mark.parametrize("closed", [0, 1, 2])
async def test_a_question_is_asked_once_more_when_the_connection_was_closed_under_it(closed: int) -> None:
    left = closed

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        if left:
            left -= 1
            await broken_off(reader, writer)
        else:
            await answering()(reader, writer)

    async with other(behave) as at, Facility.open("Mitz", at.url, rules=RULES) as facility:
        if closed < 2:
            answer = await once_more(lambda: facility.send("POST", "/x", body=b"?"))
            assert answer.body == b"yes" and at.came == 1 + closed
        else:
            with pytest.raises(FacilityAway, match=r"ClientOSError|ServerDisconnected"):
                await once_more(lambda: facility.send("POST", "/x", body=b"?"))
            assert at.came == 2
        assert not facility.resting


@pytest.mark.parametrize("behaves", [half, no_http, silent, answering(500)])
async def test_what_was_answered_in_part_or_too_late_is_not_asked_again(behaves: Behaviour) -> None:
    async with other(behaves) as at, Facility.open("Mitz", at.url, rules=HASTY) as facility:
        with contextlib.suppress(FacilityAway):
            await once_more(lambda: facility.send("POST", "/x", body=b"?"))
        assert at.came == 1


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x" * 10_001, b""),
        (gzip.compress(b"x" * 5_000_000), b"Content-Encoding: gzip\r\n"),
    ],
)
async def test_an_answer_that_is_too_large_is_not_read(body: bytes, headers: bytes) -> None:
    async with (
        other(answering(body=body, headers=headers)) as at,
        Facility.open("Mitz", at.url, rules=RULES) as facility,
    ):
        assert await why(facility) == "an answer that is too large"
    async with (
        other(answering(body=b"x" * 10_000)) as at,
        Facility.open("Mitz", at.url, rules=RULES) as facility,
    ):
        assert len((await facility.send("GET")).body) == 10_000


# -- TLS -------------------------------------------------------------------------------------------------------------


async def test_both_sides_prove_themselves(tmp_path: Path) -> None:
    root, stranger = Authority.new("Root"), Authority.new("Root")
    (tmp_path / "root.pem").write_text(root.pem)
    server = root.issue("mitz", hosts=("127.0.0.1",)).write(tmp_path, "server")
    own = root.issue("schakel").write(tmp_path, "own")
    foreign = stranger.issue("mitz", hosts=("127.0.0.1",)).write(tmp_path, "foreign")
    elsewhere = root.issue("other", hosts=("other.example",)).write(tmp_path, "elsewhere")
    expired = root.issue("mitz", hosts=("127.0.0.1",), days=(-9, -1)).write(tmp_path, "expired")
    context = tls.client([tmp_path / "root.pem"], own.certificate, own.key, setting="mitz.")

    async def asked(files: tuple[str, str] | None = None, client: ssl.SSLContext | None = context) -> str:
        shown = server_context(server, root)
        if files:
            shown.load_cert_chain(*files)
        async with other(answering(), shown) as at, Facility.open("Mitz", at.url, client, RULES) as facility:
            try:
                return str((await facility.send("POST", body=b"x")).status)
            except FacilityAway as away:
                return away.why

    assert await asked() == "200"
    for files in (foreign, elsewhere, expired):
        assert await asked(files.pair) == "no trusted TLS"
    assert await asked(client=None) == "no trusted TLS"  # The system does not know this root.
    assert await asked(client=client_context(root)) != "200"  # No certificate of ours.


# -- the breaker -----------------------------------------------------------------------------------------------------


async def resting(facility: Facility) -> bool:
    return await why(facility) == "resting after failures"


async def test_after_failures_in_a_row_nothing_is_sent_for_a_while() -> None:
    async with other(half) as at, Facility.open("Mitz", at.url, rules=RULES) as facility:
        for _ in range(RULES.failures):
            assert not await resting(facility)
        came = at.came
        assert facility.resting
        assert await resting(facility)
        assert at.came == came


async def test_a_refusal_is_a_sign_of_life_and_a_fault_is_none() -> None:
    status = 503

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await heard(reader):
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)

    async with other(behave) as at, Facility.open("Mitz", at.url, rules=RULES) as facility:
        for status in (503, 500, 403, 503, 500, 200, 404, 599, 503):
            assert (await facility.send("POST")).status == status
        assert not facility.resting
        status = 503
        assert (await facility.send("POST")).status == 503
        assert await resting(facility)


async def test_one_request_tries_again_and_closes_the_breaker_when_it_is_answered() -> None:
    async with other(half) as at, Facility.open("Mitz", at.url, rules=RULES) as facility:
        for _ in range(RULES.failures):
            await why(facility)
        at.behaves, before = _answers_late, at.came
        await asyncio.sleep(RULES.pause)
        found = await asyncio.gather(*(facility.send("GET") for _ in range(5)), return_exceptions=True)
        assert [type(one) for one in found].count(FacilityAway) == 4
        assert at.came == before + 1
        assert not facility.resting
        await asyncio.gather(*(facility.send("GET") for _ in range(5)))


async def _answers_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await heard(reader):
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n")


async def test_a_try_that_fails_opens_it_again() -> None:
    async with other(half) as at, Facility.open("Mitz", at.url, rules=RULES) as facility:
        for _ in range(RULES.failures):
            await why(facility)
        await asyncio.sleep(RULES.pause)
        assert not await resting(facility)
        came = at.came
        assert await resting(facility)
        assert at.came == came


async def test_a_try_that_was_given_up_leaves_room_for_another() -> None:
    async with other(half) as at, Facility.open("Mitz", at.url, rules=RULES) as facility:
        for _ in range(RULES.failures):
            await why(facility)
        at.behaves = silent
        await asyncio.sleep(RULES.pause)
        task = asyncio.create_task(facility.send("GET"))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        at.behaves = answering()
        assert (await facility.send("GET")).status == 200


async def test_each_facility_has_a_breaker_of_its_own() -> None:
    async with (
        other(half) as bad,
        other(answering()) as good,
        Facility.open("Mitz", bad.url, rules=RULES) as one,
        Facility.open("Dezi", good.url, rules=RULES) as two,
    ):
        for _ in range(RULES.failures):
            await why(one)
        assert await resting(one)
        assert (await two.send("GET")).status == 200
