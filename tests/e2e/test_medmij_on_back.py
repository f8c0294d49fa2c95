"""MedMij on the back listener: the host names in the client's certificate are those of the client, and on the lists."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.certificates import Files
from tests.medmij import CLIENT, KNOWN, Network, medmij_node
from tests.nodes import databases

from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def network(cluster: EmbeddedServer) -> AsyncIterator[Network]:
    settings = {"back": True, "guarded_on_front": False}
    async with (
        databases(cluster, "medmij_back") as make,
        medmij_node(make, node_settings=settings) as network,
    ):
        yield network


@pytest_asyncio.fixture(loop_scope="session")
async def app(network: Network, tmp_path: Path) -> AsyncIterator[App]:
    yield App(network, tmp_path)
    if CLIENT not in [one["hostname"] for one in network.lists["nodes"]]:
        await listed(network, nodes=[{"hostname": CLIENT}])


class App:
    """A patient's app, which shows a certificate for some hosts."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.root = network.node["a"].back_root
        self._folder = folder

    def certificate(self, hosts: Sequence[str] = (CLIENT,)) -> Files:
        authority = self.network.node["a"].authority
        assert authority is not None
        return authority.issue("app", hosts=hosts).write(self._folder, uuid.uuid4().hex)

    async def post(
        self, path: str, form: dict[str, str], session: str = "", hosts: Sequence[str] = (CLIENT,)
    ) -> httpx.Response:
        ids = {"MedMij-Request-ID": str(uuid.uuid4()), "X-Correlation-ID": session or str(uuid.uuid4())}
        async with self.network.node["a"].back(self.certificate(hosts)) as client:
            return await client.post(f"{self.root}/a/oauth2/{path}", data=form, headers=ids)

    async def tokens(self, hosts: Sequence[str] = (CLIENT,)) -> tuple[httpx.Response, str]:
        """The answer of the token endpoint to a new code, and the session."""
        pgo = self.network.pgo()
        code = (await pgo.authorise("a", KNOWN, None))["code"]
        return await self.post("token", pgo.exchange(code), pgo.correlation, hosts), pgo.correlation

    async def data(self, token: str, session: str, hosts: Sequence[str] = (CLIENT,)) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {token}",
            "MedMij-Request-ID": str(uuid.uuid4()),
            "X-Correlation-ID": session,
            "Accept": "application/fhir+json",
        }
        async with self.network.node["a"].back(self.certificate(hosts), headers=headers) as client:
            return await client.get(f"{self.root}/a/medmij/48/fhir/Patient")


async def listed(network: Network, **lists: Any) -> None:
    """Publishes lists, and waits until the node has them."""
    hosts = {one["hostname"] for one in lists["nodes"]}
    network.write_lists(number=network.lists["number"] + 1, **lists)
    door = network.node.node.organisations["a"].patients
    assert door is not None
    for _ in range(200):
        if door.lists.is_node(CLIENT) == (CLIENT in hosts):
            return
        await asyncio.sleep(0.05)
    pytest.fail("the node did not take the new lists")


def code(answer: httpx.Response) -> str:
    [issue] = answer.json()["issue"]
    return str(issue["details"]["coding"][0]["code"])


async def test_a_client_gets_tokens_and_data_with_its_certificate(app: App) -> None:
    for hosts in ((CLIENT,), (CLIENT.upper(), "www.pgo.example")):
        given, session = await app.tokens(hosts)
        assert given.status_code == 200, given.text
        answer = await app.data(given.json()["access_token"], session, hosts)
        assert answer.status_code == 200, answer.text
        [entry] = answer.json()["entry"]
        assert entry["fullUrl"] == f"{app.root}/a/medmij/48/fhir/Patient/known"


@pytest.mark.parametrize("hosts", [(), ("other.example",), (f"x.{CLIENT}",), ("*.example",)])
async def test_a_certificate_of_another_host_gets_nothing(app: App, hosts: Sequence[str]) -> None:
    refused, _ = await app.tokens(hosts)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert "certificate" in refused.json()["error_description"]
    given, session = await app.tokens()
    token = given.json()["access_token"]
    answer = await app.data(token, session, hosts)
    assert (answer.status_code, code(answer)) == (403, "client-peer")
    form = {"token": token, "client_id": CLIENT}
    assert (await app.post("revoke", form, hosts=hosts)).status_code == 401
    assert (await app.data(token, session)).status_code == 200
    assert (await app.post("revoke", form)).status_code == 200
    assert (await app.data(token, session)).status_code == 401


async def test_a_client_that_leaves_the_whitelist_is_refused(app: App) -> None:
    given, session = await app.tokens()
    token = given.json()["access_token"]
    assert (await app.data(token, session)).status_code == 200
    await listed(app.network, nodes=[{"hostname": "other.example"}])
    answer = await app.data(token, session)
    assert (answer.status_code, code(answer)) == (403, "client-not-listed")
    refused, _ = await app.tokens()
    assert refused.status_code == 401
    assert "whitelist" in refused.json()["error_description"]


async def test_the_metadata_name_both_addresses_on_back(app: App) -> None:
    holder = app.network.node["a"]
    async with holder.back(app.certificate()) as client:
        told = (await client.get(f"{app.root}/.well-known/oauth-authorization-server/a")).json()
    assert told["mtls_endpoint_aliases"] == {
        "token_endpoint": f"{app.root}/a/oauth2/token",
        "revocation_endpoint": f"{app.root}/a/oauth2/revoke",
    }


async def test_on_front_there_is_no_data_and_no_token(app: App) -> None:
    holder = app.network.node["a"]
    pgo = app.network.pgo()
    found = await pgo.post("a", pgo.refreshing("x" * 43))
    assert (found.status_code, found.json()["error"]) == (401, "invalid_client")
    assert (await holder.front.get(f"{holder.front_root}/a/medmij/48/fhir/Patient")).status_code == 404
