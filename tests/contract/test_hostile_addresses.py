"""How far the addresses of others lead: what a directory or the metadata of a holder name can make us ask nothing that
is inside, and nothing at all without TLS but what the operator entered.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from schakel.facilities import Facility, FacilityAway
from schakel.facilities.reach import Reach
from schakel.kernel.outcomes import Outcome, Upstream
from schakel.network.peers import Allowance, Peers
from schakel.network.proving import AccessToken

INSIDE = Reach(private=(ip_network("127.0.0.0/8"),))
LOCAL = Reach(http_on_loopback=True)


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[web.Request]]]:
    """The address of a server inside, and what it was asked."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"access_token": "T", "token_type": "Bearer"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/"), seen
    finally:
        await server.close()


async def asked(address: str, **settings: Any) -> list[str]:
    """The codes with which a document, a token and data at this address were refused; '' for what was answered."""
    peers, codes = Peers(timeout=2, **settings), []
    steps: list[Callable[[], Awaitable[Any]]] = [
        lambda: peers.document("1", f"{address}/metadata"),
        lambda: peers.token("1", f"{address}/token", {"client_assertion": "A"}),
        lambda: peers.get("1", f"{address}/Condition", AccessToken("TOKEN"), "stu3", "id", Allowance(1000)),
    ]
    try:
        for step in steps:
            try:
                await step()
                codes.append("")
            except Outcome as outcome:
                codes.append(outcome.kind)
    finally:
        await peers.close()
    return codes


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1:1",
        "https://127.1:1",
        "https://2130706433",
        "https://10.1.2.3",
        "https://169.254.169.254/latest",
        "https://[::1]:1",
        "https://[::ffff:127.0.0.1]:1",
        "https://[fe80::1]",
        "https://[64:ff9b::7f00:1]",
        "https://0.0.0.0:1",
        "https://localhost:1",
    ],
)
async def test_an_address_inside_is_not_asked(address: str) -> None:
    assert await asked(address) == ["peer-out-of-reach"] * 3


async def test_a_name_that_leads_inside_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def lying(host: str | bytes | None, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if name == "holder.example" else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lying)
    async with listening() as (root, seen):
        port = root.rpartition(":")[2]
        assert await asked(f"https://holder.example:{port}") == ["peer-out-of-reach"] * 3
        assert not seen


@pytest.mark.parametrize(
    "address", ["http://holder.example", "ftp://holder.example", "file:///etc/passwd", "x"]
)
async def test_what_is_not_https_is_not_asked(address: str) -> None:
    assert await asked(address, reach=LOCAL) == ["peer-not-https"] * 3


async def test_an_address_with_a_password_in_it_is_not_asked() -> None:
    assert await asked("https://name:secret@holder.example") == ["peer-address"] * 3


async def test_without_tls_nothing_is_asked_but_what_was_entered_or_is_here_where_that_is_allowed() -> None:
    async with listening() as (root, seen):
        assert await asked(root) == ["peer-not-https"] * 3
        assert await asked(root, reach=INSIDE) == ["peer-not-https"] * 3
        assert not seen
        assert await asked(root, entered=[f"{root}/fhir"]) == [""] * 3
        assert await asked(root, reach=LOCAL) == [""] * 3
        assert [one.path for one in seen] == 2 * ["/metadata", "/token", "/Condition"]


async def test_what_was_entered_is_one_scheme_host_and_port_and_no_other() -> None:
    async with listening() as (root, _), listening() as (other, seen):
        assert await asked(other, entered=[root]) == ["peer-not-https"] * 3
        assert not seen


async def test_a_redirect_is_not_followed() -> None:
    async with listening() as (inside, seen):

        async def moved(request: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(f"{inside}{request.path}")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", moved)
        server = TestServer(app)
        await server.start_server()
        try:
            codes = await asked(str(server.make_url("")).rstrip("/"), reach=LOCAL)
        finally:
            await server.close()
        assert "" not in codes and not seen


async def test_a_directory_that_was_found_leads_no_further_either() -> None:
    for address in (
        "https://10.1.2.3/fhir",
        "http://holder.example/fhir",
        "https://a:b@holder.example",
        "https://[",
    ):
        with pytest.raises(FacilityAway):
            async with Facility.open("found", address, reach=Reach()):
                pytest.fail("it was opened")
    async with Facility.open("found", "https://localhost:1/fhir", reach=Reach()) as facility:
        with pytest.raises(Upstream, match="not of the public internet"):
            await facility.send("GET")
