"""A header that tells of a client certificate is believed from a named proxy only, and nobody else's is seen at all."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

import httpx
import orjson
import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tests.certificates import Authority, Issued, uzi_name
from tests.nodes import RunningNode, RunningOrganisation, databases, free_ports, running_node

from schakel.http.listeners import Listener, listening
from schakel.http.peer import certificate
from schakel.serve import listeners
from schakel.store.embedded import EmbeddedServer

PROXY, STRANGER = "127.0.0.9", "127.0.0.1"
HEADER = "X-SSL-Cert"
HEADERS = (
    HEADER,
    "X-Ssl-CERT",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Client-Cert",
)


def escaped(pem: str) -> str:
    """As nginx gives a certificate: percent-encoded PEM."""
    return quote(pem, safe="")


def rfc9440(der: bytes) -> str:
    """As RFC 9440 gives a certificate."""
    return f":{b64encode(der).decode()}:"


@dataclass(frozen=True)
class Made:
    """A node whose back stands behind a proxy, and the authority of the node's clients."""

    node: RunningNode
    authority: Authority

    @property
    def back(self) -> str:
        return self.node["a"].back_root.replace("https:", "http:")

    async def get(
        self,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        address: str = PROXY,
        path: str = "/a/fhir/stu3/metadata",
    ) -> httpx.Response:
        """The answer of back to who comes from `address`."""
        transport = httpx.AsyncHTTPTransport(local_address=address)
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=30) as client:
            return await client.get(f"{self.back}{path}", headers=httpx.Headers(headers))


def settings(header: str = HEADER) -> dict[str, object]:
    return {"certificate": None, "key": None, "proxies": (f"{PROXY}/32",), "proxy_header": header}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def made(cluster: EmbeddedServer) -> AsyncIterator[Made]:
    async with (
        databases(cluster, "certificate_headers") as make,
        running_node(make, ("a", "b"), back=settings()) as node,
    ):
        authority = node["a"].authority
        assert authority is not None
        yield Made(node, authority)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def standard(cluster: EmbeddedServer) -> AsyncIterator[Made]:
    """As `made`, with a proxy that does what RFC 9440 says."""
    async with (
        databases(cluster, "certificate_headers_9440") as make,
        running_node(make, ("a",), back=settings("Client-Cert")) as node,
    ):
        authority = node["a"].authority
        assert authority is not None
        yield Made(node, authority)


@pytest.fixture
def good(made: Made) -> Issued:
    return made.authority.issue("b.example", hosts=("b.example",), uzi=uzi_name("90000002"))


def code(answer: httpx.Response) -> str:
    """The code in an OperationOutcome."""
    [issue] = answer.json()["issue"]
    return str(issue["details"]["coding"][0]["code"])


# -- who is believed -------------------------------------------------------------------------------------------------


async def test_a_named_proxy_is_believed_in_both_forms(made: Made, good: Issued) -> None:
    for value in (escaped(good.pem), rfc9440(good.der), quote(good.pem, safe="+/=")):
        answer = await made.get({HEADER: value})
        assert answer.status_code == 200, answer.text


async def test_the_same_header_from_another_address_proves_nothing(made: Made, good: Issued) -> None:
    for value in (escaped(good.pem), rfc9440(good.der)):
        answer = await made.get({HEADER: value}, address=STRANGER)
        assert (answer.status_code, code(answer)) == (401, "certificate-missing")


async def test_another_header_from_the_proxy_proves_nothing(made: Made, good: Issued) -> None:
    for name in set(HEADERS) - {HEADER, "X-Ssl-CERT"}:
        answer = await made.get({name: rfc9440(good.der)})
        assert (answer.status_code, code(answer)) == (401, "certificate-missing"), name


async def test_a_proxy_without_a_header_lets_in_nobody_but_who_asks_for_health(made: Made) -> None:
    for headers in ({}, {HEADER: ""}):
        answer = await made.get(headers)
        assert (answer.status_code, code(answer)) == (401, "certificate-missing")
        assert (await made.get(headers, path="/health/live")).status_code == 200
        problem = await made.get(headers, path="/a/oauth2/jwks")
        assert problem.json()["code"] == "certificate-missing"


async def test_a_field_behind_the_body_tells_of_no_certificate(made: Made, good: Issued) -> None:
    """A proxy takes the header away from what clients send; what comes as a trailer it may pass on."""
    field = f"{HEADER}: {escaped(good.pem)}\r\n"
    head = (
        "POST /a/oauth2/token HTTP/1.1\r\nHost: here\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    )
    at = urlsplit(made.back)
    for before, behind, status in ((field, "", b"400"), ("", field, b"401")):
        reader, writer = await asyncio.open_connection(at.hostname, at.port, local_addr=(PROXY, 0))
        writer.write(f"{head}{before}\r\n0\r\n{behind}\r\n".encode())
        heard = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert heard.split(b" ", 2)[1] == status, heard
    assert b"certificate-missing" in heard


async def test_what_the_proxy_tells_is_judged_too(made: Made) -> None:
    own, stranger = made.authority, Authority.new("Test Authority")
    for wrong, expected in (
        (stranger.issue("b.example"), "certificate-chain"),
        (own.issue("b.example", days=(-10, -1)), "certificate-expired"),
        (own.issue("b.example", days=(1, 10)), "certificate-not-yet-valid"),
        (own, "certificate-usage"),
        (own.issue("b.example", uzi="1-2-3"), "certificate-uzi"),
    ):
        for _ in range(2):  # As it is found out, and as it is remembered.
            answer = await made.get({HEADER: escaped(wrong.pem)})
            assert (answer.status_code, code(answer)) == (403, expected)


async def test_the_others_of_the_chain_come_in_their_own_header(standard: Made) -> None:
    between = standard.authority.authority("Between")
    leaf = between.issue("b.example")
    above = rfc9440(between.der)
    alone = await standard.get({"Client-Cert": rfc9440(leaf.der)})
    assert (alone.status_code, code(alone)) == (403, "certificate-chain")
    for chain in ([above], [rfc9440(Authority.new("Other").der), above]):
        told = [("Client-Cert", rfc9440(leaf.der)), *(("Client-Cert-Chain", one) for one in chain)]
        assert (await standard.get(told)).status_code == 200
    joined = {"Client-Cert": rfc9440(leaf.der), "Client-Cert-Chain": f"{above}, {above}"}
    assert (await standard.get(joined)).status_code == 200


# -- what a header may hold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "garbage",
        "::",
        ":AAAA:",
        ":%%%:",
        ":AAAA",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----",
        "%zz",
        "%00%ff",
        "x" * 20_000,
        "-----BEGIN%20CERTIFICATE-----" + "%0A" * 15_000,
    ],
)
async def test_garbage_is_refused_naming_the_header(made: Made, standard: Made, value: str) -> None:
    for node, name in ((made, "X-Ssl-Cert"), (standard, "Client-Cert")):
        answer = await node.get({name: value})
        assert (answer.status_code, code(answer)) == (400, "certificate-header")
        assert answer.json()["issue"][0]["expression"] == [name]


async def test_two_certificates_are_refused(made: Made, good: Issued) -> None:
    pem, der = escaped(good.pem), rfc9440(good.der)
    for headers in (
        [(HEADER, pem), (HEADER, pem)],
        [(HEADER, pem), (HEADER.lower(), "")],
        [(HEADER, pem + pem)],
        [(HEADER, f"{der}, {der}")],
        [(HEADER, f"{pem},{pem}")],
        [(HEADER, escaped(good.pem + "x"))],
        [(HEADER, escaped(good.key_pem.decode() + good.pem))],
    ):
        answer = await made.get(headers)
        assert (answer.status_code, code(answer)) == (400, "certificate-header")


async def test_a_chain_that_is_garbage_names_its_own_header(standard: Made) -> None:
    leaf = rfc9440(standard.authority.issue("b.example").der)
    for chain in ("garbage", ":AAAA:", ", ".join([leaf] * 11)):
        answer = await standard.get({"Client-Cert": leaf, "Client-Cert-Chain": chain})
        assert answer.json()["issue"][0]["expression"] == ["Client-Cert-Chain"]


# -- what handlers see -----------------------------------------------------------------------------------------------


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells what a handler sees: names of headers, and whether there is a certificate."""
    request = Request(scope)
    seen = {"headers": sorted(set(request.headers.keys())), "certificate": certificate(request) is not None}
    await Response(orjson.dumps(seen))(scope, receive, send)


@asynccontextmanager
async def echoing(node: RunningNode) -> AsyncIterator[dict[str, Listener]]:
    """The listeners of a node as they are set up, with `echo` in the place of their routes."""
    made = listeners(node.settings, node.node, served=lambda _: echo)
    ports = free_ports(len(made))
    moved = {
        one.name: replace(one, address=replace(one.address, port=port))
        for one, port in zip(made, ports, strict=True)
    }
    async with listening(list(moved.values())):
        yield moved


@pytest.mark.parametrize("header", HEADERS)
async def test_no_handler_of_any_listener_sees_such_a_header(made: Made, good: Issued, header: str) -> None:
    spoofs = [escaped(good.pem), rfc9440(good.der), "garbage", ""]
    async with echoing(made.node) as opened:
        assert set(opened) == {"front", "internal", "back"}
        for name, listener in opened.items():
            for address in (PROXY, STRANGER):
                transport = httpx.AsyncHTTPTransport(local_address=address)
                async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                    for value in spoofs:
                        url = f"http://127.0.0.1:{listener.address.port}/health/live"
                        seen = (await client.get(url, headers={header: value, "X-Other": "1"})).json()
                        assert header.lower() not in seen["headers"], (name, address)
                        assert "x-other" in seen["headers"]
                        assert not seen["certificate"]


async def test_internal_and_front_give_nothing_for_a_header(made: Made, good: Issued) -> None:
    node: RunningOrganisation = made.node["a"]
    for header in HEADERS:
        headers = {header: escaped(good.pem)}
        without_key = httpx.AsyncClient(headers=headers, trust_env=False)
        async with without_key as client:
            inside = await client.get(f"{node.internal_root}/a/grounds")
            outside = await client.get(f"{node.front_root}/a/fhir/stu3/Patient?identifier=x")
        assert (inside.status_code, inside.json()["code"]) == (401, "key-missing")
        assert (outside.status_code, code(outside)) == (401, "token-missing")


# -- TLS and a proxy on one listener ---------------------------------------------------------------------------------


async def test_a_proxy_s_own_certificate_is_not_its_client_s(cluster: EmbeddedServer) -> None:
    both = {"proxies": (PROXY,), "proxy_header": HEADER}
    async with (
        databases(cluster, "certificate_proxy_tls") as make,
        running_node(make, ("a", "b"), back=both) as node,
    ):
        door, asker = node["a"], node["b"]
        assert door.authority is not None
        told = {HEADER: escaped(door.authority.issue("c.example").pem)}
        for address, own, headers, status in (
            (PROXY, asker, {}, 401),
            (PROXY, asker, told, 200),
            (PROXY, None, told, 200),
            (PROXY, None, {}, 401),
            (STRANGER, asker, {}, 200),
            (STRANGER, None, told, 401),
        ):
            async with door.back(own, local_address=address) as client:
                answer = await client.get("metadata", headers=headers)
            assert answer.status_code == status, (address, own, headers)
