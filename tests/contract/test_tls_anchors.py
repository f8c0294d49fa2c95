"""Whom TLS trusts: the authorities that the settings name, and nobody else below the same root."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.certificates import Authority, Files, Issued, client_context, server_context

from schakel.kernel import tls

ROOT = Authority.new("Root")
REGISTER, NEIGHBOUR = ROOT.authority("Register"), ROOT.authority("Neighbour")


async def greeted(served: ssl.SSLContext, asking: ssl.SSLContext) -> bool:
    """Whether a connection of `asking` to a listener with `served` comes about, on both sides."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=served)
    async with server:
        try:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=asking)
            heard = await reader.read()
            writer.close()
        except (ssl.SSLError, ConnectionError):
            return False
    return heard == b"hello"


def written(folder: Path, name: str, one: Issued) -> Path:
    file = folder / name
    file.write_text(one.pem)
    return file


def alone(one: Issued) -> Issued:
    """The same without what stands above it."""
    return Issued(one.certificate, one.key)


@pytest.fixture
def server(tmp_path: Path) -> Files:
    return ROOT.issue("server", hosts=("127.0.0.1",)).write(tmp_path, "server")


@pytest.mark.parametrize("chain", ["with its authority", "alone"])
async def test_a_listener_may_trust_the_authority_below_the_root_alone(
    tmp_path: Path, server: Files, chain: str
) -> None:
    context = tls.server(
        server.certificate,
        server.key,
        [written(tmp_path, "register.pem", REGISTER)],
        clients="required",
        setting="back.",
    )

    async def comes(one: Issued, name: str) -> bool:
        shown = (one if chain == "with its authority" else alone(one)).write(tmp_path, name)
        return await greeted(context, client_context(ROOT, own=shown))

    assert await comes(REGISTER.issue("peer"), "peer")
    assert not await comes(NEIGHBOUR.issue("neighbour"), "neighbour")
    assert not await comes(ROOT.issue("sibling"), "sibling")


async def test_a_client_may_trust_the_authority_below_the_root_alone(tmp_path: Path) -> None:
    context = tls.client([written(tmp_path, "register.pem", REGISTER)], setting="")
    for authority, trusted in ((REGISTER, True), (NEIGHBOUR, False), (ROOT, False)):
        made = authority.issue("node", hosts=("127.0.0.1",)).write(tmp_path, "node")
        assert await greeted(server_context(made), context) is trusted
