"""The back listener: TLS with a client certificate that is believed, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
import time_machine
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.certificates import Authority, Files, Issued, client_context, uzi_name
from tests.guarded import BSN, SEARCH, Door, condition, keys, patient
from tests.nodes import RunningNode, RunningOrganisation, databases, running_node

from schakel.generic.identity import DpopKey
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.store.embedded import EmbeddedServer

TRACE = f"00-{'1' * 32}-{'2' * 16}-01"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    limits = {"handshake_seconds": 0.5, "header_seconds": 5}
    async with (
        databases(cluster, "back_listener") as make,
        running_node(make, ("a", "b"), back=True, limits=limits, write_check="lenient") as running,
    ):
        yield running


@pytest.fixture
def door(node: RunningNode) -> RunningOrganisation:
    return node["a"]


def authority(door: RunningOrganisation) -> Authority:
    assert door.authority is not None
    return door.authority


async def asked(door: RunningOrganisation, own: Files | None, path: str = "metadata") -> httpx.Response:
    async with door.back(own) as client:
        return await client.get(path)


# -- what TLS refuses ------------------------------------------------------------------------------------------------


async def test_without_a_certificate_there_is_no_connection(door: RunningOrganisation) -> None:
    with pytest.raises(httpx.TransportError):
        await asked(door, None)


@pytest.mark.parametrize(
    "wrong", ["another authority", "expired", "not yet", "server only", "of an authority without its way"]
)
async def test_a_wrong_certificate_makes_no_connection(
    door: RunningOrganisation, tmp_path: Path, wrong: str
) -> None:
    own, stranger = authority(door), Authority.new("Test Authority")
    made: dict[str, Issued] = {
        "another authority": stranger.issue("b.example"),
        "expired": own.issue("b.example", days=(-10, -1)),
        "not yet": own.issue("b.example", days=(1, 10)),
        "server only": own.issue("b.example", usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
        "of an authority without its way": Issued(
            (below := own.authority("Below").issue("b.example")).certificate, below.key
        ),
    }
    with pytest.raises(httpx.TransportError):
        await asked(door, made[wrong].write(tmp_path, "own"))
    assert (await asked(door, own.issue("b.example").write(tmp_path, "good"))).status_code == 200


async def test_the_way_to_the_root_may_come_with_the_certificate(
    door: RunningOrganisation, tmp_path: Path
) -> None:
    below = authority(door).authority("Between").authority("Below").issue("b.example")
    assert (await asked(door, below.write(tmp_path, "own"))).status_code == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_who_resumes_a_session_is_who_began_it(
    door: RunningOrganisation, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A resumed session brings no chain along: this client would be taken for one without a way to the root."""
    own = authority(door).authority("Between").issue("b.example").write(tmp_path, "own")
    context = client_context(authority(door), own=own)
    context.maximum_version = version
    at = urlsplit(door.back_root)
    assert at.hostname is not None and at.port is not None

    def ask(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None, bytes]:
        with (
            socket.create_connection((at.hostname, at.port), timeout=10) as line,
            context.wrap_socket(line, server_hostname=at.hostname, session=session) as wrapped,
        ):
            wrapped.sendall(b"GET /a/fhir/stu3/metadata HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            heard = b"".join(
                iter(partial(wrapped.recv, 65_536), b"")
            )  # An ending in order: else it is forgotten.
            return wrapped.session, wrapped.session_reused, heard[:15]

    first, _, heard = await asyncio.to_thread(ask, None)
    assert heard == b"HTTP/1.1 200 OK"
    _, resumed, heard = await asyncio.to_thread(ask, first)
    assert (resumed, heard) == (version is ssl.TLSVersion.TLSv1_2, b"HTTP/1.1 200 OK")


async def test_old_versions_of_tls_are_refused(door: RunningOrganisation) -> None:
    assert door.certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(*door.certificate.pair)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    at = urlsplit(door.back_root)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)reset|alert|protocol|^$"):
        await asyncio.open_connection(at.hostname, at.port, ssl=context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    _, writer = await asyncio.open_connection(at.hostname, at.port, ssl=context)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
    writer.close()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_who_does_not_agree_on_tls_is_cut_off(door: RunningOrganisation, said: bytes) -> None:
    at = urlsplit(door.back_root)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(said)
    async with asyncio.timeout(4):
        heard = await reader.read()
    assert not heard.startswith(b"HTTP")
    writer.close()


# -- what is judged beyond TLS ---------------------------------------------------------------------------------------


async def test_a_certificate_whose_uzi_number_is_wrong_is_refused_by_name(
    door: RunningOrganisation, tmp_path: Path
) -> None:
    shown = authority(door).issue("b.example", uzi=uzi_name("90000002", version="2"))
    answer = await asked(door, shown.write(tmp_path, "own"))
    assert answer.status_code == 403
    [issue] = answer.json()["issue"]
    assert issue["details"]["coding"][0]["code"] == "certificate-uzi"
    assert "the version" in issue["diagnostics"]


async def test_a_certificate_that_expires_while_connected_is_refused(
    node: RunningNode, door: RunningOrganisation
) -> None:
    async with door.back(node["b"]) as client:
        assert (await client.get("metadata")).status_code == 200
        with time_machine.travel("2031-01-01T00:00:00Z", tick=True):
            later = await client.get("metadata")
    assert later.status_code == 403
    assert later.json()["issue"][0]["details"]["coding"][0]["code"] == "certificate-expired"


# -- what is there ---------------------------------------------------------------------------------------------------


async def test_health_and_the_document_are_there(node: RunningNode, door: RunningOrganisation) -> None:
    async with door.back(node["b"]) as client:
        ready = await client.get(f"{door.back_root}/health/ready")
        assert ready.json() == {"status": "up", "database": "up"}
        document = (await client.get(f"{door.back_root}/openapi.json")).json()
    assert document["servers"] == [{"url": door.back_root}]


@pytest.mark.parametrize(
    "path",
    ["grounds", "log/fhir/r4/AuditEvent", "oauth2/introspect", "oauth2/authorize", "oauth2/login", "jobs"],
)
async def test_what_is_for_people_or_the_own_ehr_is_not_on_back(
    node: RunningNode, door: RunningOrganisation, path: str
) -> None:
    async with door.back(node["b"], headers={"X-API-Key": door.key}) as client:
        assert (await client.get(f"{door.back_root}/a/{path}")).status_code == 404


async def test_the_server_has_one_issuer_and_tells_its_addresses_on_back(
    node: RunningNode, door: RunningOrganisation
) -> None:
    path = "/.well-known/oauth-authorization-server/a"
    async with door.back(node["b"]) as client:
        told = (await client.get(f"{door.back_root}{path}")).json()
        assert told == (await door.front.get(f"{door.front_root}{path}")).json()
    assert told["issuer"] == f"{door.front_root}/a"
    assert told["mtls_endpoint_aliases"] == {"token_endpoint": f"{door.back_root}/a/oauth2/token"}


async def test_a_token_got_on_back_opens_the_data_on_back_only_with_its_certificate(
    node: RunningNode, door: RunningOrganisation, tmp_path: Path
) -> None:
    asker = node["b"]
    assert (await door.internal.put("Patient/p1", json=patient("p1", BSN))).status_code in (200, 201)
    made = condition("c1", {"reference": "Patient/p1"})
    assert (await door.internal.put("Condition/c1", json=made)).status_code in (200, 201)
    await Door.opened(node)
    form = {
        "grant_type": "client_credentials",
        "scope": "bgz",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": asker.assertion(door),
    }
    async with door.back(asker) as client:
        given = await client.post(f"{door.back_root}/a/oauth2/token", data=form)
        assert given.status_code == 200, given.text
        client.headers["Authorization"] = f"Bearer {given.json()['access_token']}"
        found = await client.get(SEARCH, headers={"X-Request-ID": "our.id-1", "traceparent": TRACE})
        assert keys(found) == {"Condition/c1"}
        [entry] = found.json()["entry"]
        assert entry["fullUrl"] == f"{door.back_root}/a/fhir/stu3/Condition/c1"
        assert found.headers["X-Request-ID"] == "our.id-1"
        authorization = client.headers["Authorization"]
    another = authority(door).issue("c.example", hosts=("c.example",)).write(tmp_path, "another")
    async with door.back(another, headers={"Authorization": authorization}) as client:
        assert (await client.get(SEARCH)).status_code == 401
    elsewhere = await door.front.get(SEARCH, headers={"Authorization": authorization})
    assert elsewhere.status_code == 401


async def test_a_token_of_front_that_is_bound_to_nothing_is_worth_nothing_on_back(
    node: RunningNode, door: RunningOrganisation
) -> None:
    shown = {"Authorization": f"Bearer {await node['b'].token(door)}"}
    assert (await door.front.get(SEARCH, headers=shown)).status_code != 401
    async with door.back(node["b"]) as client:
        refused = await client.get(SEARCH, headers=shown)
    assert refused.status_code == 401
    [issue] = refused.json()["issue"]
    assert issue["details"]["coding"][0]["code"] == "token-unbound"
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


async def test_a_proof_of_a_key_is_for_the_address_of_back(
    node: RunningNode, door: RunningOrganisation
) -> None:
    key, at_back = DpopKey.new(), f"{door.back_root}/a/oauth2/token"
    async with door.back(node["b"]) as client:

        async def ask(url: str) -> httpx.Response:
            form = {
                "grant_type": "client_credentials",
                "scope": "bgz",
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": node["b"].assertion(door),
            }
            return await client.post(at_back, data=form, headers={"DPoP": key.proof("POST", url)})

        elsewhere = await ask(f"{door.front_root}/a/oauth2/token")
        assert (elsewhere.status_code, elsewhere.json()["error"]) == (400, "invalid_dpop_proof")
        given = (await ask(at_back)).json()
        assert given["token_type"] == "DPoP"
        url, token = f"{door.back_root}/a/fhir/stu3/Condition", given["access_token"]
        for address, let_in in ((f"{door.front_root}/a/fhir/stu3/Condition", False), (url, True)):
            shown = {"Authorization": f"DPoP {token}", "DPoP": key.proof("GET", address, token)}
            assert ((await client.get(url, headers=shown)).status_code != 401) is let_in


@pytest.mark.parametrize("given", ["two words", "x" * 129, ""])
async def test_an_id_of_a_request_that_is_none_is_replaced(door: RunningOrganisation, given: str) -> None:
    answer = await door.front.get("metadata", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] not in (given, "")
    assert len(answer.headers["X-Request-ID"]) == 36
