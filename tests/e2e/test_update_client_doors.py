"""The doors of the ministry's update client and the administration directory: who may come, and what they do not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import time_machine
from pydantic import ValidationError
from tests.directories import OPEN, own_base, query_base, root_base, telling_node, update_client
from tests.nodes import MakeDatabase, RunningNode, databases

from schakel.config import Settings, UpdateClient
from schakel.generic.addressing.own.offers import ADMINISTRATION
from schakel.generic.addressing.receiving import ReceivingStore
from schakel.kernel.clock import now
from schakel.sources import Write
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store

SECRET = "a-secret-of-the-client"
FORM = {
    "grant_type": "client_credentials",
    "client_id": "client-1",
    "client_secret": SECRET,
    "scope": "api://directory/.default",
}
ORGANISATION = {
    "resourceType": "Organization",
    "id": "dir-a-org-1",
    "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": "22222222"}],
    "active": True,
    "name": "Another",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """A node with a back listener, whose doors for the update client are open."""
    async with (
        databases(cluster, "update_client_open") as make,
        telling_node(make, back=True, organisations=("a", "b")) as running,
    ):
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def closed(
    cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningNode]:
    """A node where the update client needs a token."""
    secret = tmp_path_factory.mktemp("secrets") / "client"
    secret.write_text(SECRET + "\n")
    told = {"access": "oauth2", "client_id": "client-1", "secret": secret, "writes": True}
    async with databases(cluster, "update_client_token") as make, telling_node(make, client=told) as running:
        yield running


def bundle(*entries: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, **({"entry": list(entries)} if entries else {})}


def put(resource: dict[str, Any]) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url}}


def code_of(answer: httpx.Response) -> str:
    code: str = answer.json()["issue"][0]["details"]["coding"][0]["code"]
    return code


# -- who may come ----------------------------------------------------------------------------------------------------


async def token(node: RunningNode, **form: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        fields = {name: value for name, value in {**FORM, **form}.items() if value}
        return await client.post(f"{node['a'].front_root}/directory/update-client/oauth2/token", data=fields)


async def test_with_the_secret_there_is_a_token_which_opens_every_door(closed: RunningNode) -> None:
    given = (await token(closed)).json()
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 600)
    for base in (own_base(closed), query_base(closed), root_base(closed)):
        async with update_client(base, Authorization=f"Bearer {given['access_token']}") as client:
            assert (await client.get("/Organization/_history?_count=20")).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"client_id": "client-2"}, "invalid_client"),
        ({"client_secret": SECRET + "x"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
        ({"client_secret": ""}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "unsupported_grant_type"),
    ],
)
async def test_a_token_request_with_one_thing_wrong_is_refused(
    closed: RunningNode, wrong: dict[str, str], error: str
) -> None:
    answer = await token(closed, **wrong)
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert answer.json()["error"] == error


async def test_the_capability_statement_alone_needs_no_token(closed: RunningNode) -> None:
    for base in (own_base(closed), query_base(closed), root_base(closed)):
        async with update_client(base) as client:
            assert (await client.get("/metadata")).status_code == 200
            for path in ("/Organization", "/Organization/_history", "/Organization/x"):
                answer = await client.get(path)
                assert (answer.status_code, code_of(answer)) == (401, "token-missing")
                assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_that_is_not_right_opens_nothing(closed: RunningNode) -> None:
    good = (await token(closed)).json()["access_token"]
    changed = ("A" if good[0] != "A" else "B") + good[1:]
    for wrong in (changed, good[:-8], good + "AAAA", "x", good.swapcase()):
        async with update_client(own_base(closed), Authorization=f"Bearer {wrong}") as client:
            answer = await client.get("/Organization")
        assert (answer.status_code, code_of(answer)) == (401, "token-unknown"), wrong


async def test_a_token_ends(closed: RunningNode) -> None:
    good = (await token(closed)).json()["access_token"]
    async with update_client(own_base(closed), Authorization=f"Bearer {good}") as client:
        with time_machine.travel(now() + timedelta(seconds=590)):
            assert (await client.get("/Organization")).status_code == 200
        with time_machine.travel(now() + timedelta(seconds=601)):
            answer = await client.get("/Organization")
    assert (answer.status_code, code_of(answer)) == (401, "token-expired")


async def test_nothing_is_there_unless_it_is_switched_on(make_database: MakeDatabase) -> None:
    async with telling_node(make_database, client={"access": "off"}, back=True) as running:
        for base in (own_base(running), query_base(running), root_base(running)):
            async with update_client(base) as client:
                assert (await client.get("/metadata")).status_code == 404
                assert (await client.post("", json=bundle())).status_code == 404
        back = f"{running['a'].back_root}/a/administration/update-client/fhir/r4/metadata"
        async with running["a"].back(running["a"]) as client:
            assert (await client.get(back)).status_code == 404


async def test_without_leave_to_write_the_query_directory_is_not_there(make_database: MakeDatabase) -> None:
    async with telling_node(make_database, client={"access": "open", "on": "internal"}) as running:
        root = running["a"].internal_root
        async with update_client(f"{root}/a/administration/update-client/fhir/r4") as client:
            assert (await client.get("/metadata")).status_code == 200
        async with update_client(f"{root}/directory/update-client/fhir/r4") as client:
            assert (await client.post("", json=bundle())).status_code == 404
        async with update_client(own_base(running)) as client:
            assert (await client.get("/metadata")).status_code == 404, "it is on the other listener"


def test_everybody_may_write_only_where_nobody_else_comes(node: RunningNode) -> None:
    given = node.settings.model_dump()
    for host, right in (("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.1", False)):
        told = {**given, "host": host}
        if right:
            Settings(**told)
            continue
        with pytest.raises(ValidationError, match="writes with access open"):
            Settings(**told)


def test_where_others_come_too_the_addresses_that_may_write_are_named(node: RunningNode) -> None:
    given = node.settings.model_dump()
    for client, refused in (
        ({**OPEN, "writers": ["10.0.0.7"]}, ""),
        ({**OPEN, "writers": ["10.0.0.0/28", "fd00::/64"]}, ""),
        ({**OPEN, "writers": []}, "give writers"),
        ({**OPEN, "writers": ["0.0.0.0/0"]}, "names everybody"),
        ({**OPEN, "writers": ["10.0.0.7", "::/0"]}, "names everybody"),
        ({**OPEN, "writers": ["proxy"]}, "not a valid IPv4 or IPv6 network"),
        ({"access": "open", "writers": ["10.0.0.7"]}, "writers needs writes"),
    ):
        told = {**given, "host": "0.0.0.0", "addressing": {"update_client": client}}
        if not refused:
            Settings(**told)
            continue
        with pytest.raises(ValidationError, match=refused):
            Settings(**told)


async def written(node: RunningNode, **headers: str) -> tuple[int, str]:
    """Status and code of the answer to a change of the query directory."""
    async with update_client(query_base(node), **headers) as client:
        answer = await client.post("", json=bundle(put(ORGANISATION)))
    return answer.status_code, code_of(answer) if answer.status_code != 200 else ""


PASSED_ON = {
    "Forwarded": "for=127.0.0.1",
    "Via": "1.1 proxy",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "node.example.org",
    "X-Forwarded-Proto": "https",
    "X-Real-IP": "127.0.0.1",
}
"""What a proxy adds to what it passes on: the address of the connection is then its own."""


async def test_from_a_named_address_the_query_directory_is_written_without_a_token(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    told = {"access": "oauth2", "client_id": "client-1", "secret": secret, "writes": True}
    async with telling_node(make_database, client={**told, "writers": ["127.0.0.0/29"]}) as running:
        assert await written(running) == (200, "")
        for name, value in PASSED_ON.items():
            assert await written(running, **{name: value}) == (401, "token-missing"), name
        bearer = f"Bearer {(await token(running)).json()['access_token']}"
        assert await written(running, Authorization=bearer, Via="1.1 proxy") == (200, "")
        for base in (own_base(running), root_base(running)):
            async with update_client(base) as client:
                assert code_of(await client.get("/Organization")) == "token-missing", base
    async with telling_node(make_database, client={**told, "writers": ["10.0.0.7"]}) as running:
        assert await written(running) == (401, "token-missing")


async def test_where_nobody_has_a_token_only_named_addresses_write(make_database: MakeDatabase) -> None:
    async with telling_node(make_database, client={**OPEN, "writers": ["127.0.0.1"]}) as running:
        assert await written(running) == (200, "")
        for name, value in PASSED_ON.items():
            assert await written(running, **{name: value}) == (403, "writer-unknown"), name
    async with telling_node(
        make_database, client={**OPEN, "writers": ["127.0.0.2", "10.0.0.0/8"]}
    ) as running:
        assert await written(running) == (403, "writer-unknown")
        async with update_client(query_base(running)) as client:
            assert code_of(await client.get("/Organization")) == "writer-unknown"
            assert (await client.get("/metadata")).status_code == 200
        async with update_client(own_base(running)) as client:
            assert (await client.get("/Organization")).status_code == 200


@pytest.mark.parametrize("missing", ["client_id", "secret"])
def test_tokens_need_a_client_and_its_secret(missing: str) -> None:
    whole = {"access": "oauth2", "client_id": "c", "secret": Path("s")}
    UpdateClient(**whole)
    with pytest.raises(ValidationError, match="needs client_id and secret"):
        UpdateClient(**{name: value for name, value in whole.items() if name != missing})


async def test_a_secret_that_is_short_stops_the_start(make_database: MakeDatabase, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("short")
    told = {"access": "oauth2", "client_id": "c", "secret": secret}
    with pytest.raises(Exception, match=r"addressing\.update_client\.secret.*16 characters"):
        async with telling_node(make_database, client=told):
            pass


async def test_an_organisation_without_entries_has_no_directory(node: RunningNode) -> None:
    async with update_client(own_base(node, "b")) as client:
        answer = await client.get("/Organization")
    assert (answer.status_code, code_of(answer)) == (404, "entries-off")
    async with node["b"].back(node["b"]) as client:
        answer = await client.get(f"{node['b'].back_root}/b/administration/fhir/r4/Organization")
    assert (answer.status_code, code_of(answer)) == (404, "entries-off")


# -- what they do not do ---------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def strict(node: RunningNode) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the administration directory, with the certificate of the other organisation."""
    async with node["a"].back(node["b"]) as client:
        client.base_url = httpx.URL(f"{node['a'].back_root}/a/administration/fhir/r4/")
        yield client


async def test_the_administration_directory_says_just_what_it_does(strict: httpx.AsyncClient) -> None:
    [rest] = (await strict.get("metadata")).json()["rest"]
    assert "interaction" not in rest
    for one in rest["resource"]:
        assert {i["code"] for i in one["interaction"]} == {"read", "search-type", "history-type"}
    assert {one["type"] for one in rest["resource"]} == ADMINISTRATION.types
    assert len(rest["resource"]) == 5


async def test_the_administration_directory_is_read_searched_and_followed(strict: httpx.AsyncClient) -> None:
    found = (await strict.get("Organization?name=Heart&_count=1")).json()
    assert found["total"] == 2
    one = found["entry"][0]["resource"]
    assert (await strict.get(f"Organization/{one['id']}")).json() == one
    [following] = [link["url"] for link in found["link"] if link["relation"] == "next"]
    assert len((await strict.get(following)).json()["entry"]) == 1
    history = (await strict.get("Organization/_history?_count=2")).json()
    assert (history["type"], len(history["entry"])) == ("history", 2)
    since = history["meta"]["lastUpdated"]
    assert "entry" not in (await strict.get(f"Organization/_history?_since={since}")).json()


async def test_without_a_certificate_nobody_reads_the_administration_directory(node: RunningNode) -> None:
    async with node["a"].back(None) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"{node['a'].back_root}/a/administration/fhir/r4/metadata")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Patient", 404),
        ("GET", "Practitioner/_history", 404),
        ("GET", "Organization/x/_history", 400),
        ("GET", "Organization/x/_history/1", 400),
        ("GET", "_history", 400),
        ("GET", "?_type=Organization", 400),
        ("GET", "Organization/_search?name=x", 405),
        ("GET", "Organization/$everything", 400),
        ("PUT", "Organization/x", 405),
        ("POST", "Organization", 405),
        ("PATCH", "Organization/x", 405),
        ("DELETE", "Organization/x", 405),
        ("DELETE", "Organization/x?_cascade=delete", 400),
        ("POST", "", 400),
    ],
)
async def test_what_the_guide_does_not_ask_is_refused(
    strict: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    body: dict[str, Any] = bundle(kind="batch") if not path else {"resourceType": "Organization", "id": "x"}
    answer = await strict.request(method, path, json=body if method in ("PUT", "POST", "PATCH") else None)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_the_update_client_writes_nothing_into_the_own_entries(node: RunningNode) -> None:
    async with update_client(own_base(node)) as client:
        [one] = (await client.get("/Organization?name=Organisation")).json()["entry"]
        logical_id = one["resource"]["id"]
        for method, body in (("PUT", one["resource"]), ("DELETE", None)):
            answer = await client.request(method, f"/Organization/{logical_id}", json=body)
            assert answer.status_code == 405
        refused = await client.post("", json=bundle(put(one["resource"])))
        batch = await client.post("", json=bundle(put(one["resource"]), kind="batch"))
        again = await client.get(f"/Organization/{logical_id}")
    assert (refused.status_code, code_of(refused)) == (400, "interaction-not-offered")
    assert [e["response"]["status"] for e in batch.json()["entry"]] == ["405"]
    assert again.json() == one["resource"]


async def test_changes_are_told_from_before_the_moment_that_a_wall_clock_asks(node: RunningNode) -> None:
    """Its clock may be an hour or two ahead: it is the local time, sent as UTC."""
    ahead = (now() + timedelta(minutes=100)).strftime("%Y-%m-%dT%H:%M:%S.%f%%2B00:00")
    beyond = (now() + timedelta(minutes=121)).strftime("%Y-%m-%dT%H:%M:%S.%f%%2B00:00")
    async with update_client(own_base(node)) as client:
        assert (await client.get(f"/Organization/_history?_since={ahead}")).json()["total"] == 3
        assert "entry" not in (await client.get(f"/Organization/_history?_since={beyond}")).json()
        wrong = await client.get("/Organization/_history?_since=yesterday")
    assert wrong.status_code == 400
    assert wrong.json()["issue"][0]["expression"] == ["_since"]


# -- what the update client writes -----------------------------------------------------------------------------------


async def test_what_it_writes_is_found_by_the_ehr_and_told_as_from_the_update_client(
    node: RunningNode,
) -> None:
    async with update_client(query_base(node)) as client:
        answer = await client.post("", json=bundle(put(ORGANISATION)))
    assert answer.status_code == 200, answer.text
    root, key = node["a"].internal_root, {"X-API-Key": node["a"].key}
    async with httpx.AsyncClient(headers=key, trust_env=False) as ehr:
        query = "identifier=http://fhir.nl/fhir/NamingSystem/ura|22222222"
        found = (await ehr.get(f"{root}/a/directory/fhir/r4/Organization?{query}")).json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == ["dir-a-org-1"]
    marks = await node.node.pool.fetch(
        "SELECT source, state, ura FROM directory_resource WHERE id = 'dir-a-org-1'"
    )
    assert [tuple(mark) for mark in marks] == [("update-client", "live", "22222222")]
    in_step = await node.node.pool.fetchval(
        "SELECT in_step FROM directory_source WHERE name = 'update-client'"
    )
    assert now() - in_step < timedelta(minutes=1)


async def test_what_is_from_another_directory_is_not_changed(node: RunningNode) -> None:
    assert node.node.directory is not None
    pool = node.node.pool
    tenant = await pool.fetchval("SELECT id FROM tenant WHERE slug = '/directory'")
    theirs = {**ORGANISATION, "id": "from-elsewhere"}
    assert node.node.update_client is not None and node.node.update_client.query is not None
    source = node.node.update_client.query.service.source
    await source.write("r4", [Write("PUT", "Organization", "from-elsewhere", dict(theirs))])
    await pool.execute(
        "UPDATE directory_resource SET source = 'lrza' WHERE tenant = $1 AND id = 'from-elsewhere'", tenant
    )
    remove = {"request": {"method": "DELETE", "url": "Organization/from-elsewhere"}}
    async with update_client(query_base(node)) as client:
        for entry in (put({**theirs, "name": "Changed"}), remove):
            other = put({**ORGANISATION, "id": "dir-a-org-9"})
            answer = await client.post("", json=bundle(other, entry))
            assert (answer.status_code, code_of(answer)) == (403, "entry-of-another")
            assert "Bundle.entry[1]" in answer.json()["issue"][0]["expression"][0]
        assert (await client.get("/Organization/from-elsewhere")).json()["name"] == "Another"
        assert (await client.get("/Organization/dir-a-org-9")).status_code == 404
    marked = await pool.fetchval("SELECT count(*) FROM directory_resource WHERE id = 'dir-a-org-9'")
    assert marked == 0


@pytest.mark.parametrize("first", ["deleted", "written"])
async def test_what_was_there_before_it_came_from_another_directory_is_not_its_own(
    node: RunningNode, first: str
) -> None:
    """The ids of what other directories will have can be known beforehand."""
    pool, name = node.node.pool, f"claimed-{first}"
    theirs = {**ORGANISATION, "id": name}
    claim = {"request": {"method": "DELETE", "url": f"Organization/{name}"}}
    assert node.node.update_client is not None and node.node.update_client.query is not None
    source = node.node.update_client.query.service.source
    assert isinstance(source, ReceivingStore)
    async with update_client(query_base(node)) as client:
        entry = claim if first == "deleted" else put(theirs)
        assert (await client.post("", json=bundle(entry))).status_code == 200
        await Store.write(source, "r4", [Write("PUT", "Organization", name, dict(theirs))])
        await pool.execute(
            "INSERT INTO directory_resource (tenant, source, type, remote, id) "
            "SELECT id, 'lrza', 'Organization', $1, $1 FROM tenant WHERE slug = '/directory'",
            name,
        )
        for entry in (put({**theirs, "name": "Changed"}), claim):
            answer = await client.post("", json=bundle(entry))
            assert (answer.status_code, code_of(answer)) == (403, "entry-of-another"), entry
        assert (await client.get(f"/Organization/{name}")).json()["name"] == "Another"


async def test_deleting_what_was_never_there_leaves_nothing_behind(node: RunningNode) -> None:
    remove = {"request": {"method": "DELETE", "url": "Organization/never"}}
    async with update_client(query_base(node)) as client:
        assert (await client.post("", json=bundle(remove))).status_code == 200
    marked = await node.node.pool.fetchval("SELECT count(*) FROM directory_resource WHERE id = 'never'")
    assert marked == 0


async def test_who_has_no_token_is_told_so_before_a_body_is_read(closed: RunningNode) -> None:
    """Else everybody could have the node hold as many bodies as there are connections."""
    url = httpx.URL(query_base(closed))
    for asked in ("POST /directory/update-client/fhir/r4", "POST /directory/root/fhir/r4"):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = f"{asked} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(60):
            assert b" 401 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (put({"resourceType": "Patient", "id": "p"}), 404),
        ({"resource": ORGANISATION, "request": {"method": "POST", "url": "Organization"}}, 405),
        ({"request": {"method": "DELETE", "url": "Organization?name=Another"}}, 400),
        (put({**ORGANISATION, "id": "x" * 257}), 400),
        (put({**ORGANISATION, "id": "x_" * 40}), 400),
        (
            {
                **put({**ORGANISATION, "id": "x" * 70}),
                "request": put({**ORGANISATION, "id": "y" * 70})["request"],
            },
            400,
        ),
        (put({**ORGANISATION, "nome": "x"}), 422),
    ],
)
async def test_a_change_that_may_not_be_is_refused_whole(
    node: RunningNode, entry: dict[str, Any], status: int
) -> None:
    async with update_client(query_base(node)) as client:
        answer = await client.post("", json=bundle(put({**ORGANISATION, "id": "dir-a-org-8"}), entry))
        assert answer.status_code == status, answer.text
        assert (await client.get("/Organization/dir-a-org-8")).status_code == 404


async def test_an_id_of_64_characters_is_kept(node: RunningNode) -> None:
    long = {**ORGANISATION, "id": "d" * 64}
    async with update_client(query_base(node)) as client:
        answer = await client.post("", json={**bundle(put(long)), "id": "urn:uuid:not-an-id"})
        assert answer.status_code == 200
        assert (await client.get(f"/Organization/{'d' * 64}")).status_code == 200


async def test_who_only_searches_is_not_in_step(make_database: MakeDatabase) -> None:
    async with telling_node(make_database) as running:
        moments = "SELECT count(*) FROM directory_source WHERE name = 'update-client' AND in_step IS NOT NULL"
        async with update_client(query_base(running)) as client:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert (await client.post("/Organization/_search", headers=form, content="")).status_code == 200
            assert await running.node.pool.fetchval(moments) == 0
            assert (await client.post("", json=bundle(kind="batch"))).status_code == 200
            assert await running.node.pool.fetchval(moments) == 1
