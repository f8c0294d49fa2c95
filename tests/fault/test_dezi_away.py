"""Dezi that is down, slow or restarted while a professional logs in: nobody is logged in, and that is said in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from aiohttp import web
from tests.medmij import Browser
from tests.nodes import MakeDatabase, RunningNode, free_ports, running_node

from schakel.generic.identity.keys import new_rsa_key

SECONDS = 2.5


@asynccontextmanager
async def node_at(make_database: MakeDatabase, port: int) -> AsyncIterator[RunningNode]:
    with TemporaryDirectory(prefix="schakel-dezi-") as name:
        key = Path(name) / "client.jwk"
        key.write_bytes(orjson.dumps(new_rsa_key()))
        dezi = {
            "issuer": f"http://127.0.0.1:{port}",
            "client_id": "node",
            "key": key,
            "seconds": SECONDS,
        }
        async with running_node(make_database, dezi=dezi) as node:
            yield node


@asynccontextmanager
async def dezi_that_hangs(port: int, hangs: str) -> AsyncIterator[None]:
    """Dezi, of which one address never answers; the other addresses answer right."""
    issuer = f"http://127.0.0.1:{port}"

    async def answer(request: web.Request) -> web.Response:
        if request.path == hangs:
            await asyncio.sleep(30)
        if request.path == "/.well-known/openid-configuration":
            names = ("authorization", "token", "userinfo")
            members = {f"{name}_endpoint": f"{issuer}/{name}" for name in names}
            return web.json_response({"issuer": issuer, "jwks_uri": f"{issuer}/jwks.json", **members})
        return web.json_response({}, status=503)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _begin(node: RunningNode) -> dict[str, str]:
    a = node["a"]
    answer = await a.internal.post(f"{a.internal_root}/a/professionals/logins")
    begun: dict[str, str] = answer.json()
    return begun


async def _told(node: RunningNode, login: str) -> tuple[str, str]:
    a = node["a"]
    told = (await a.internal.get(f"{a.internal_root}/a/professionals/logins/{login}")).json()
    return told["state"], told["reason"]


async def test_dezi_that_is_down_is_said_at_once(make_database: MakeDatabase) -> None:
    [port] = free_ports(1)
    async with node_at(make_database, port) as node, Browser("en") as browser:
        begun = await _begin(node)
        page = await browser.open(begun["address"])
        assert page.response.status_code == 502
        assert "Logging in with Dezi does not work now" in page.text and "facility-away" in page.text
        assert await _told(node, begun["id"]) == ("failed", "facility-away")
        async with dezi_that_hangs(port, ""):  # It is back, and the next login goes on.
            again = await browser.http.get((await _begin(node))["address"])
            assert again.status_code == 303


@pytest.mark.parametrize("hangs", ["/.well-known/openid-configuration", "/token"])
async def test_dezi_that_is_slow_is_given_up_in_time(make_database: MakeDatabase, hangs: str) -> None:
    [port] = free_ports(1)
    async with node_at(make_database, port) as node, dezi_that_hangs(port, hangs), Browser("en") as browser:
        begun = await _begin(node)
        start = time.monotonic()
        answer = await browser.http.get(begun["address"])
        if hangs == "/token":
            assert answer.status_code == 303
            state = dict(answer.next_request.url.params)["state"] if answer.next_request else ""
            back = f"{node['a'].front_root}/a/professionals/callback"
            answer = await browser.http.get(back, params={"code": "x", "state": state})
        assert answer.status_code == 502 and time.monotonic() - start < SECONDS + 4
        assert await _told(node, begun["id"]) == ("failed", "facility-away")


async def test_a_node_starts_without_dezi_and_does_its_other_work(make_database: MakeDatabase) -> None:
    [port] = free_ports(1)
    async with node_at(make_database, port) as node:
        a = node["a"]
        assert (await a.front.get(f"{a.front_root}/health/ready")).status_code == 200
        ask = {
            "patient": "999911120",
            "holders": [node["b"].ura],
            "user": {"id": "1", "name": "Jan", "role": "01.015"},
            "purpose": "TREAT",
            "treatment_relation": "current",
        }
        answer = await a.internal.post(f"{a.internal_root}/a/exchanges/bgz", json=ask)
        assert answer.status_code == 200
