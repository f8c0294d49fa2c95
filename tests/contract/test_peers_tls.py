"""Our certificate towards other organisations: shown where TLS asks for it, to holders that prove themselves."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.certificates import Authority, Files, server_context

from schakel.facilities.reach import Reach
from schakel.kernel import tls
from schakel.kernel.outcomes import Invalid, Upstream
from schakel.network.peers import Allowance, Peers
from schakel.network.proving import AccessToken

EMPTY = b'{"resourceType":"Bundle","type":"searchset"}'


@asynccontextmanager
async def holder(context: ssl.SSLContext | None, seen: list[Any]) -> AsyncIterator[str]:
    """The address of a holder that gives tokens and empty pages; `seen` gets the certificates that it was shown."""

    async def handler(request: web.Request) -> web.Response:
        connection = request.transport.get_extra_info("ssl_object") if request.transport else None
        seen.append(connection.getpeercert(True) if connection else None)
        if request.path == "/token":
            return web.json_response({"access_token": "T", "token_type": "Bearer"})
        return web.Response(body=EMPTY, content_type="application/fhir+json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, scheme="https" if context else "http")
    await server.start_server(ssl=context)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


class Case:
    """An authority that both sides trust, and our own certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = Authority.new("Root")
        self.ca = folder / "root.pem"
        self.ca.write_text(self.root.pem)
        self.ours = self.root.issue("us.example")
        self.own = self.ours.write(folder, "own")

    def server(self, **members: Any) -> Files:
        return self.root.issue("holder", hosts=("127.0.0.1",), **members).write(self.folder, "holder")

    def peers(self, own: bool = True) -> Peers:
        files = (self.own.certificate, self.own.key) if own else (None, None)
        inside = Reach(private=(ip_network("127.0.0.0/8"),))
        return Peers(timeout=3, tls=tls.client([self.ca], *files, setting="tls_"), reach=inside)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


async def both(peers: Peers, base: str) -> None:
    """A token, and a page with it."""
    try:
        token = await peers.token("1", f"{base}/token", {"grant_type": "x"})
        reply = await peers.get("1", f"{base}/fhir/X", token, "stu3", "id", Allowance(1000))
        assert reply.body == EMPTY
    finally:
        await peers.close()


async def test_token_and_data_are_asked_with_our_certificate(case: Case) -> None:
    seen: list[bytes] = []
    async with holder(server_context(case.server(), case.root), seen) as base:
        await both(case.peers(), base)
    assert seen == [case.ours.der, case.ours.der]


async def test_without_our_certificate_such_a_holder_gives_nothing(case: Case) -> None:
    seen: list[bytes] = []
    async with holder(server_context(case.server(), case.root), seen) as base:
        with pytest.raises(Upstream):
            await both(case.peers(own=False), base)
    assert seen == []


@pytest.mark.parametrize("wrong", ["another authority", "another host", "expired"])
async def test_a_holder_that_does_not_prove_itself_gets_nothing(case: Case, wrong: str) -> None:
    made = {
        "another authority": Authority.new("Root").issue("holder", hosts=("127.0.0.1",)),
        "another host": case.root.issue("holder", hosts=("other.example",)),
        "expired": case.root.issue("holder", hosts=("127.0.0.1",), days=(-9, -1)),
    }
    seen: list[bytes] = []
    async with holder(server_context(made[wrong].write(case.folder, "wrong")), seen) as base:
        with pytest.raises(Upstream, match="no answer"):
            await both(case.peers(), base)
    assert seen == []


async def test_an_address_without_tls_is_not_asked(case: Case) -> None:
    seen: list[None] = []
    async with holder(None, seen) as base:
        with pytest.raises(Upstream, match="not https"):
            await both(case.peers(), base)
        peers = case.peers()
        with pytest.raises(Upstream, match="not https"):
            await peers.get("1", f"{base}/fhir/X", AccessToken("T"), "stu3", "id", Allowance(1000))
        await peers.close()
    assert seen == []


@pytest.mark.parametrize("broken", ["missing", "no PEM", "another key", "a password", "no authority"])
def test_files_that_cannot_be_used_are_named(case: Case, broken: str) -> None:
    folder = case.folder
    certificate, key, ca = case.own.certificate, case.own.key, case.ca
    if broken == "missing":
        key = folder / "none.key"
    elif broken == "no PEM":
        (certificate := folder / "bad.pem").write_text("x")
    elif broken == "another key":
        key = case.server().key
    elif broken == "a password":
        (key := folder / "locked.key").write_bytes(_locked(case))
    else:
        (ca := folder / "bad.pem").write_text("x")
    with pytest.raises(Invalid, match=r"setting"):
        tls.client([ca], certificate, key, setting="tls_", ca_setting="peer_ca")


def _locked(case: Case) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    encryption = s.BestAvailableEncryption(b"secret")
    return case.ours.key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, encryption)
