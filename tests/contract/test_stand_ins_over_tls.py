"""Stand-ins with TLS: a certificate of the authority beside them, and the client's certificate handed on."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from starlette.types import Receive, Scope, Send
from tests.certificates import Authority, Files, client_context
from tests.nodes import free_ports

from schakel_national import uzi_ca
from schakel_national.serving import Facility, Tls, serving

OURS, OTHER = Authority.new("Ours"), Authority.new("Other")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the certificates that the scope has, in PEM."""
    if scope["type"] == "http":
        chain = scope["extensions"]["tls"]["client_cert_chain"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": "".join(chain).encode()})


@pytest_asyncio.fixture(loop_scope="session")
async def served(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """Addresses that ask for no certificate, and for one of ours."""
    server = OURS.issue("localhost", hosts=("127.0.0.1",)).write(tmp_path, "server")
    anchors = tmp_path / "anchors.pem"
    anchors.write_text(OURS.pem)
    open_port, closed_port = free_ports(2)
    facilities = [
        Facility("open", echo, open_port, Tls(server.certificate, server.key)),
        Facility("closed", echo, closed_port, Tls(server.certificate, server.key, anchors)),
    ]
    async with serving("127.0.0.1", facilities):
        yield f"https://127.0.0.1:{open_port}", f"https://127.0.0.1:{closed_port}"


async def asked(address: str, own: Files | None = None) -> str:
    async with httpx.AsyncClient(verify=client_context(OURS, own=own)) as client:
        return (await client.get(address)).text


async def test_the_certificate_of_the_client_is_in_the_scope(served: tuple[str, str], tmp_path: Path) -> None:
    made = OURS.issue("client.example")
    text = await asked(served[1], made.write(tmp_path, "client"))
    assert x509.load_pem_x509_certificate(text.encode()) == made.certificate
    assert await asked(served[0]) == ""


async def test_a_client_without_a_certificate_of_ours_is_not_let_in(
    served: tuple[str, str], tmp_path: Path
) -> None:
    strange = OTHER.issue("client.example").write(tmp_path, "client")
    for own in (None, strange):
        with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
            await asked(served[1], own)


def test_the_certificate_of_a_facility_is_kept_until_its_hosts_change(tmp_path: Path) -> None:
    def made(*hosts: str) -> tuple[bytes, bytes]:
        tls = uzi_ca.server_tls(tmp_path, "http://127.0.0.1:8412", "mitz", hosts, clients=True)
        assert tls.clients == tmp_path / "uzi-ca" / "anchors.pem"
        context = ssl.create_default_context(cafile=tls.clients)
        context.load_cert_chain(tls.certificate, tls.key)
        return tls.certificate.read_bytes(), tls.key.read_bytes()

    first = made("localhost")
    assert made("localhost") == first
    assert made("localhost", "127.0.0.1") != first
