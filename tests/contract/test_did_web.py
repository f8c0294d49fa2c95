"""did:web: where documents are, what is read of them, and how far a DID in a token can make this node reach."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, OKPKey, RSAKey

from schakel.facilities.reach import allowed
from schakel.generic.identity.credentials import (
    NotChecked,
    Refused,
    Resolver,
    Web,
    WebRules,
    did_of,
    document,
)
from schakel.generic.identity.credentials.did_web import ASSERTION, AUTHENTICATION, DidDocument, place
from schakel.generic.identity.credentials.web import Unreachable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOPBACK = WebRules(seconds=0.5, most=10_000, http_on_loopback=True)


@asynccontextmanager
async def _served(handler: Handler) -> AsyncIterator[int]:
    """A server on this machine; gives its port."""
    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("did", "address"),
    [
        ("did:web:example.nl", "https://example.nl/.well-known/did.json"),
        ("did:web:example.nl:iam:a", "https://example.nl/iam/a/did.json"),
        ("did:web:example.nl%3A8443:a", "https://example.nl:8443/a/did.json"),
        ("did:web:example.nl%3a8443", "https://example.nl:8443/.well-known/did.json"),
        ("did:web:example.nl:a%20b", "https://example.nl/a%20b/did.json"),
    ],
)
def test_a_did_names_an_address(did: str, address: str) -> None:
    assert place(did).address("https") == address


@pytest.mark.parametrize(
    "did",
    [
        "did:web:",
        "did:nuts:abc",
        "did:web:example.nl:..:a",
        "did:web:example.nl:%2e%2E:a",
        "did:web:example.nl:a%2Fb",
        "did:web:example.nl:a?b",
        "did:web:example.nl:a%3Fb",
        "did:web:user@example.nl",
        "did:web:user%40example.nl",
        "did:web:example.nl%3A0",
        "did:web:example.nl%3A99999",
        "did:web:example.nl%3A",
        "did:web:example.nl::a",
        "did:web:example.nl:a#b",
        "did:web:exa mple.nl",
        "did:web:[::1]",
        "did:web:" + "a" * 2000,
    ],
)
def test_what_is_no_did_web_is_refused_before_anything_is_fetched(did: str) -> None:
    with pytest.raises(Refused) as refused:
        place(did)
    assert refused.value.kind == "did-malformed"


@pytest.mark.parametrize(
    ("address", "did"),
    [
        ("https://node.example/a", "did:web:node.example:a"),
        ("http://127.0.0.1:8400/a", "did:web:127.0.0.1%3A8400:a"),
        ("https://node.example:8443/x/a", "did:web:node.example%3A8443:x:a"),
    ],
)
def test_an_address_has_a_did_that_leads_back_to_it(address: str, did: str) -> None:
    assert did_of(address) == did
    assert place(did).address(address.partition(":")[0]) == f"{address}/did.json"


async def test_our_own_document_is_resolved_to_the_key_that_signs() -> None:
    key = ECKey.generate_key("P-256", {"kid": "k1"}, private=True)
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(document(f"did:web:127.0.0.1%3A{request.url.port}:a", key))

    async with _served(handler) as port, Web.open(LOOPBACK) as client:
        resolver = Resolver(client, 60)
        did = f"did:web:127.0.0.1%3A{port}:a"
        found = await asyncio.gather(*(resolver.key(f"{did}#k1", (AUTHENTICATION,)) for _ in range(10)))
        assert {one.thumbprint() for one in found} == {key.thumbprint()}
        assert asked == ["/a/did.json"], "those who ask at the same time wait for one answer"


async def test_a_document_is_fetched_again_when_its_time_is_over() -> None:
    key = ECKey.generate_key("P-256", {"kid": "k1"}, private=True)
    listed = [ASSERTION]

    async def handler(request: web.Request) -> web.Response:
        did = f"did:web:127.0.0.1%3A{request.url.port}"
        told = document(did, key)
        return web.json_response({**told, ASSERTION: told[ASSERTION] if listed else []})

    async with _served(handler) as port, Web.open(LOOPBACK) as client:
        resolver = Resolver(client, 0.05)
        method = f"did:web:127.0.0.1%3A{port}#k1"
        await resolver.key(method, (ASSERTION,))
        listed.clear()
        await asyncio.sleep(0.1)
        with pytest.raises(Refused, match="no usable key"):
            await resolver.key(method, (ASSERTION,))


async def _answer_slowly(request: web.Request) -> web.Response:
    await asyncio.sleep(5)
    return web.Response()


async def _answer_endlessly(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b"x" * 4096)
    return response


def _answering(status: int = 200, body: bytes = b"", **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return handler


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (_answer_slowly, "no answer came within 0.5 seconds"),
        (_answer_endlessly, "the answer is larger than 10000 bytes"),
        (_answering(404), "the answer has status 404"),
        (_answering(302, Location="http://127.0.0.1:1/"), "the answer has status 302"),
        (_answering(500), "the answer has status 500"),
        (_answering(body=b"<html>"), "is not the document of this DID"),
        (_answering(body=b'{"id": "did:web:other.example"}'), "is not the document of this DID"),
        (_answering(body=b"[" * 5000), "is not the document of this DID"),
    ],
)
async def test_a_document_that_cannot_be_had_is_not_called_wrong(handler: Handler, why: str) -> None:
    async with _served(handler) as port, Web.open(LOOPBACK) as client:
        with pytest.raises(NotChecked, match=why) as unknown:
            await Resolver(client).document(f"did:web:127.0.0.1%3A{port}")
        assert unknown.value.kind == "did-unresolved"


async def test_nothing_listens_there() -> None:
    async with Web.open(LOOPBACK) as client:
        with pytest.raises(NotChecked, match="no connection could be made"):
            await Resolver(client).document("did:web:127.0.0.1%3A1")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "0.0.0.0",
        "127.1",
        "0x7f000001",
        "2130706433",
        "127.0.0.1.",
    ],
)
async def test_a_did_cannot_make_this_node_ask_an_address_inside(host: str) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    async with _served(handler) as port, Web.open(WebRules(seconds=0.5)) as client:
        with pytest.raises(Unreachable, match="not of the public internet"):
            await client.get(f"https://{host}:{port}/did.json")
        with pytest.raises(Unreachable, match="not an https address"):
            await client.get(f"http://{host}:{port}/did.json")
    assert asked == []


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://a.example/x", "https://", "https://u:p@a.example/", "x"]
)
async def test_only_https_addresses_are_fetched(address: str) -> None:
    async with Web.open(WebRules(seconds=0.5)) as client:
        with pytest.raises(Unreachable, match="not an https address"):
            await client.get(address)


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("10.20.1.1", True),
        ("10.21.1.1", False),
    ],
)
def test_addresses_of_the_public_internet_and_named_networks_are_reached(address: str, taken: bool) -> None:
    rules = WebRules(private=(ipaddress.ip_network("10.20.0.0/16"),))
    assert allowed(ipaddress.ip_address(address), rules) is taken


DID = "did:web:a.example"


def _method(key: ECKey | RSAKey | OKPKey, name: str = "#k1", **changed: Any) -> dict[str, Any]:
    members = {"id": name, "type": "JsonWebKey2020", "publicKeyJwk": key.as_dict(private=False)}
    return {**members, **changed}


def _key(method: dict[str, Any], **document: Any) -> object:
    members = {"id": DID, "verificationMethod": [method], ASSERTION: ["#k1"], **document}
    return DidDocument.read(DID, orjson.loads(orjson.dumps(members))).key(f"{DID}#k1", (ASSERTION,))


def test_keys_that_can_verify_are_read_and_others_left_out() -> None:
    ec = ECKey.generate_key("P-256")
    assert _key(_method(ec)) is not None
    assert _key(_method(ec, f"{DID}#k1", controller=DID)) is not None
    assert _key(_method(RSAKey.generate_key(2048))) is not None
    assert _key({}, **{ASSERTION: [_method(ec)]}) is not None, "a method inside the relationship"
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key().public_numbers()
    modulus = base64.urlsafe_b64encode(weak.n.to_bytes(128)).rstrip(b"=").decode()
    assert _key(_method(ec, publicKeyJwk={"kty": "RSA", "n": modulus, "e": "AQAB"})) is None
    assert _key(_method(ECKey.generate_key("P-384"))) is None
    assert _key(_method(OKPKey.generate_key("Ed25519"))) is None
    assert _key(_method(ec, controller="did:web:b.example")) is None
    assert _key(_method(ec, publicKeyJwk={"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"})) is None
    assert _key(_method(ec), **{ASSERTION: []}) is None
    assert _key(_method(ec), **{ASSERTION: "#k1"}) is None


@pytest.mark.parametrize("method", ["did:nuts:a#1", "did:x509:0:a#0", "", "#k1", "did:web:a.example"])
async def test_a_method_of_another_kind_of_did_is_refused_by_name(method: str) -> None:
    async with Web.open(WebRules()) as client:
        with pytest.raises(Refused) as refused:
            await Resolver(client).key(method, (ASSERTION,))
    assert refused.value.kind in ("did-method", "did-key")
