"""A certificate that its authority withdrew opens nothing, and whether it was withdrawn is never guessed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from tests.certificates import Authority
from tests.nodes import MakeDatabase, RunningNode, running_node


@dataclass
class Lists:
    """An authority's address for its list: what it answers, and how often it was asked."""

    body: bytes = b""
    status: int = 200
    asked: int = 0

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(body=self.body, status=self.status)


def revoking(authority: Authority, *certificates: x509.Certificate) -> bytes:
    """The list of `authority`, with these certificates in it."""
    moment = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(moment - timedelta(minutes=1))
        .next_update(moment + timedelta(days=1))
        .add_extension(x509.CRLNumber(int(moment.timestamp() * 1000)), critical=False)
    )
    for one in certificates:
        entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(moment)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)


@asynccontextmanager
async def listed(
    make_database: MakeDatabase, lists: Lists, verdict_seconds: float = 0
) -> AsyncIterator[RunningNode]:
    """A node that looks in `lists` for each request, unless a verdict is kept."""
    app = web.Application()
    app.router.add_get("/list.crl", lists.answer)
    server = TestServer(app)
    await server.start_server()
    settings = {
        "uzi": "test",
        "lists": (str(server.make_url("/list.crl")),),
        "keep_seconds": 0,
        "pause_seconds": 0,
    }
    back = {"verdict_seconds": verdict_seconds}
    try:
        async with running_node(make_database, back=back, certificates=settings) as node:
            yield node
    finally:
        await server.close()


def made(node: RunningNode) -> tuple[Authority, x509.Certificate]:
    """The authority of a node's clients, and the certificate of b."""
    authority, files = node["a"].authority, node["b"].certificate
    assert authority is not None
    assert files is not None
    return authority, x509.load_pem_x509_certificate(files.certificate.read_bytes())


async def asked(node: RunningNode) -> tuple[int, str]:
    """The status of an answer to b on the back door of a, and the code in it."""
    async with node["a"].back(node["b"]) as client:
        return _told(await client.get("metadata"))


def _told(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    if body["resourceType"] == "CapabilityStatement":
        return answer.status_code, ""
    return answer.status_code, body["issue"][0]["details"]["coding"][0]["code"]


async def test_a_certificate_is_refused_as_soon_as_its_authority_withdraws_it(
    make_database: MakeDatabase,
) -> None:
    lists = Lists()
    async with listed(make_database, lists) as node, node["a"].back(node["b"]) as client:
        authority, certificate = made(node)
        lists.body = revoking(authority)
        assert _told(await client.get("metadata")) == (200, "")
        lists.body = revoking(authority, certificate)
        assert _told(await client.get("metadata")) == (403, "certificate-revoked")
        problem = await client.get(f"{node['a'].back_root}/a/oauth2/jwks")
        assert (problem.status_code, problem.json()["code"]) == (403, "certificate-revoked")


async def test_what_cannot_be_found_out_is_neither_yes_nor_no(make_database: MakeDatabase) -> None:
    lists = Lists(status=503)
    async with listed(make_database, lists, verdict_seconds=60) as node:
        authority, _ = made(node)
        for lists.status, lists.body in (
            (503, b""),
            (200, b"no list"),
            (200, revoking(Authority.new("Test Authority"))),
        ):
            assert await asked(node) == (503, "revocation-unknown")
        lists.status, lists.body = 200, revoking(authority)
        assert await asked(node) == (200, "")


async def test_a_verdict_is_kept_for_the_seconds_of_the_setting(make_database: MakeDatabase) -> None:
    lists = Lists()
    async with listed(make_database, lists, verdict_seconds=60) as node:
        authority, certificate = made(node)
        lists.body = revoking(authority)
        assert await asked(node) == (200, "")
        lists.body, before = revoking(authority, certificate), lists.asked
        assert await asked(node) == (200, "")
        assert lists.asked == before
        verdicts = node.node.verdicts
        assert verdicts is not None
        verdicts.seconds = 0
        assert await asked(node) == (403, "certificate-revoked")


async def test_a_refusal_that_is_kept_says_the_same(make_database: MakeDatabase) -> None:
    lists = Lists()
    async with listed(make_database, lists, verdict_seconds=60) as node:
        authority, certificate = made(node)
        lists.body = revoking(authority, certificate)
        async with node["a"].back(node["b"]) as client:
            [first, second] = [(await client.get("metadata")).json() for _ in range(2)]
        assert first == second
