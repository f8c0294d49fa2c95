"""The ministry's update client from end to end, spelled as it works: it finds a directory of this node in the root,
reads it, and writes what it read into the query directory, under ids of its own making.

Source: its recorded requests of June 2026 (60 for the root, 01 to 06 for the runs, 23 for the ids).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.directories import own_base, query_base, root_base, telling_node, update_client
from tests.nodes import MakeDatabase, RunningNode, databases

from schakel.generic.addressing import QueryDirectory
from schakel.generic.addressing.long_ids import WRITTEN_ID, short_id
from schakel.generic.addressing.own import serving
from schakel.sources import Write
from schakel.store.embedded import EmbeddedServer

ORDER = (
    "OrganizationAffiliation",
    "PractitionerRole",
    "HealthcareService",
    "Location",
    "Practitioner",
    "Organization",
    "Endpoint",
)
UUID = "a3c1d2e4-0000-4000-8000-000000000001"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def there(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """One for requests that have nothing to do with one another."""
    async with databases(cluster, "update_client_ids") as make, telling_node(make) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def node(make_database: MakeDatabase) -> AsyncIterator[RunningNode]:
    async with telling_node(make_database) as running:
        yield running


@dataclass
class Client:
    """What the client does and keeps. `directory` is its id of the directory, `written` what it ever wrote."""

    node: RunningNode
    directory: str
    written: set[str] = field(default_factory=set)

    async def run(self) -> list[str]:
        """Brings the query directory in step, type by type; what it changed, as `PUT Type/id`."""
        done: set[str] = set()
        changed: list[str] = []
        async with update_client(own_base(self.node)) as there, update_client(query_base(self.node)) as here:
            assert (await there.get("/metadata")).status_code == 200
            for kind in ORDER:
                page = await histories(there, [f"/{kind}/_history?_count=100"])
                known = {key: one for key, one in page.items() if key not in done}
                while (
                    missing := {one for entry in known.values() for one in refers(entry)}
                    - known.keys()
                    - done
                ):
                    known |= await batch(there, [f"/{one}/_history" for one in sorted(missing)])
                changed += await self._write(here, known)
                done |= known.keys()
        return changed

    async def _write(self, here: httpx.AsyncClient, known: Mapping[str, Any]) -> list[str]:
        """Compares what is there with what is here, and writes the difference in one transaction."""
        found: dict[str, Any] = {}
        for name, entry in (await batch(here, [f"/{self._here(one)}/_history" for one in known])).items():
            kind, _, logical_id = name.partition("/")
            found[f"{kind}/{logical_id.replace(f'{self.directory}-', '')}"] = entry
        assert found.keys() <= known.keys(), "an answer is looked up by the id in it"
        entries = []
        for name, entry in known.items():
            old = found.get(name, {}).get("resource")
            if (resource := entry.get("resource")) is None:
                if old is not None:
                    entries.append({"request": {"method": "DELETE", "url": self._here(name)}})
                continue
            new = self._named(resource)
            if old is None or content(old) != content(new):
                assert old is None or name in self.written, "its map of ids must have it"
                new["id"] = self._here(name).partition("/")[2]
                entries.append({"resource": new, "request": {"method": "PUT", "url": self._here(name)}})
                self.written.add(name)
        body = {"resourceType": "Bundle", "id": f"urn:uuid:{UUID}", "type": "transaction"}
        answer = await here.post("", json={**body, "entry": entries} if entries else body)
        assert answer.status_code == 200, answer.text
        for entry in answer.json().get("entry", []):
            assert entry["response"]["status"][:1] == "2"
            issues = entry["response"].get("outcome", {}).get("issue", [])
            assert not {"error", "fatal"} & {issue["severity"] for issue in issues}
        return [f"{one['request']['method']} {one['request']['url']}" for one in entries]

    def _here(self, name: str) -> str:
        kind, _, logical_id = name.partition("/")
        return f"{kind}/{self.directory}-{logical_id}"

    def _named(self, value: Any) -> Any:
        """A resource with its references to others of the directory in the ids of here."""
        if isinstance(value, list):
            return [self._named(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {
            name: self._here(member) if name == "reference" else self._named(member)
            for name, member in value.items()
        }


async def histories(client: httpx.AsyncClient, paths: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in paths:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        take(found, answer.json())
    return found


async def batch(client: httpx.AsyncClient, paths: list[str]) -> dict[str, Any]:
    """The newest entry of each history that there is, by type and id."""
    entries = [{"request": {"method": "GET", "url": path}} for path in paths]
    answer = await client.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = {}
    for entry in answer.json().get("entry", []):
        if "resource" in entry:
            take(found, entry["resource"])
        else:
            assert entry["response"]["status"] == "404", entry
    return found


def take(found: dict[str, Any], history: Mapping[str, Any]) -> None:
    for entry in history.get("entry", []):
        resource = entry.get("resource")
        name = (
            f"{resource['resourceType']}/{resource['id']}"
            if resource
            else "/".join(entry["fullUrl"].split("/")[-2:])
        )
        found.setdefault(name, entry)


def refers(entry: Mapping[str, Any]) -> set[str]:
    """The literal references in the resource of an entry."""
    return set(re.findall(r"'reference': '([^']+)'", str(entry.get("resource"))))


def content(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in ("meta", "id")}


async def found_in_root(node: RunningNode) -> str:
    """The id of the one directory in the root, as the client has it: that of the organisation."""
    async with update_client(root_base(node)) as client:
        answer = (await client.get("/Organization/_search?_include=Organization:endpoint")).json()
    [organisation] = [one["resource"] for one in answer["entry"] if one["search"]["mode"] == "match"]
    [endpoint] = [one["resource"] for one in answer["entry"] if one["search"]["mode"] == "include"]
    assert organisation["endpoint"] == [{"reference": f"Endpoint/{endpoint['id']}"}]
    assert endpoint["address"] == own_base(node)
    found: str = organisation["id"]
    return found


async def searched(node: RunningNode, query: str) -> list[dict[str, Any]]:
    """What an EHR finds in the query directory."""
    root, key = node["a"].internal_root, {"X-API-Key": node["a"].key}
    async with httpx.AsyncClient(headers=key, trust_env=False, timeout=60) as ehr:
        answer = await ehr.get(f"{root}/a/directory/fhir/r4/{query}")
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


@pytest.mark.parametrize("root", ["ours", "with-uuids"])
async def test_it_fills_the_query_directory_and_finds_again_what_it_wrote(
    node: RunningNode, root: str
) -> None:
    directory = await found_in_root(node) if root == "ours" else UUID
    client = Client(node, directory)
    first = await client.run()
    assert len(first) > 8 and all(one.startswith("PUT ") for one in first)
    assert await client.run() == [], "the same contents again"

    resources = [one for kind in ORDER for one in await searched(node, f"{kind}?_count=100")]
    assert len(resources) == len(first)
    names = {f"{one['resourceType']}/{one['id']}" for one in resources}
    assert all(len(one["id"]) <= 64 for one in resources)
    assert {one for resource in resources for one in refers({"resource": resource})} <= names
    told = {f"PUT {one['resourceType']}/{written(one)}" for one in resources}
    assert told == set(first)
    ura = f"identifier=http://fhir.nl/fhir/NamingSystem/ura|{node['a'].ura}"
    found = await searched(node, f"Organization?{ura}&_include=Organization:endpoint")
    assert {one["resourceType"] for one in found} == {"Organization", "Endpoint"}
    tenant = await node.node.pool.fetchval("SELECT id FROM tenant WHERE slug = '/directory'")
    address = await QueryDirectory(node.node.pool, tenant).find(node["a"].ura, "admin-directory")
    assert (address.endpoint, address.source) == (own_base(node), "update-client")

    assert node.node.update_client is not None
    source = node.node.update_client.directories["a"].source
    [place] = [written(one).removeprefix(f"{directory}-") for one in await searched(node, "Location")]
    [service] = [
        written(one).removeprefix(f"{directory}-") for one in await searched(node, "HealthcareService")
    ]
    async with update_client(own_base(node)) as there:
        was = (await there.get(f"/Location/{place}")).json()
        provided = (await there.get(f"/HealthcareService/{service}")).json()
    await source.write("r4", [Write("PUT", "Location", place, {**was, "name": "Elsewhere"})])
    assert await client.run() == [f"PUT Location/{directory}-{place}"]
    assert [one["name"] for one in await searched(node, "Location")] == ["Elsewhere"]
    assert await client.run() == []

    await source.write("r4", [Write("DELETE", "HealthcareService", service)])
    assert await client.run() == [f"DELETE HealthcareService/{directory}-{service}"]
    assert await searched(node, "HealthcareService") == []
    assert await client.run() == [], "what is gone stays known by its id"
    await source.write("r4", [Write("PUT", "HealthcareService", service, provided)])
    assert await client.run() == [f"PUT HealthcareService/{directory}-{service}"]
    assert [written(one) for one in await searched(node, "HealthcareService")] == [f"{directory}-{service}"]


def written(resource: Mapping[str, Any]) -> str:
    """The id under which the client wrote a resource."""
    tags = [one["code"] for one in resource["meta"].get("tag", []) if one["system"] == WRITTEN_ID]
    if not tags:
        return str(resource["id"])
    [long] = tags
    assert resource["id"] == short_id(long) and len(long) > 64
    return str(long)


async def test_a_root_of_before_has_each_organisation_once_again_after_the_next_start(
    make_database: MakeDatabase,
) -> None:
    """Its organisations had UUIDs; the client would find one directory twice, with one URA."""
    dsn = await make_database()

    async def same() -> str:
        return dsn

    async with telling_node(same) as before:
        assert before.node.update_client is not None
        store = before.node.update_client.root.source
        new, old = await found_in_root(before), serving.moved(before["a"].ura)[1]
        async with update_client(root_base(before)) as client:
            told = (await client.get(f"/Organization/{new}")).json()
        was = Write("PUT", "Organization", old, {**told, "id": old})
        await store.write("r4", [was, Write("DELETE", "Organization", new)])
        assert await found_in_root(before) == old
    async with telling_node(same) as after:
        assert await found_in_root(after) == new
        async with update_client(root_base(after)) as client:
            assert (await client.get(f"/Organization/{old}")).status_code == 410


# -- an id that is too long, request by request ----------------------------------------------------------------------


def bundle(*entries: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def put(kind: str, logical_id: str, **members: Any) -> dict[str, Any]:
    resource = {"resourceType": kind, "id": logical_id, **members}
    return {"resource": resource, "request": {"method": "PUT", "url": f"{kind}/{logical_id}"}}


async def test_an_id_that_is_too_long_is_told_with_the_one_it_is_kept_under(there: RunningNode) -> None:
    long = f"{UUID}-{UUID}"
    async with update_client(query_base(there)) as client:
        answer = await client.post(
            "", json=bundle(put("Organization", long, name="Long"), put("Location", "short"))
        )
        assert answer.status_code == 200, answer.text
        [first, second] = answer.json()["entry"]
        assert first["response"]["status"] == "201"
        assert first["response"]["location"] == f"Organization/{short_id(long)}/_history/1"
        [issue] = [one for one in first["response"]["outcome"]["issue"] if one["severity"] == "information"]
        assert short_id(long) in issue["diagnostics"] and "73" in issue["diagnostics"]
        assert "outcome" not in second["response"] or "73" not in str(second["response"]["outcome"])
        for path in (f"/Organization/{long}", f"/Organization/{short_id(long)}"):
            told = (await client.get(path)).json()
            assert (told["id"], told["name"]) == (long, "Long"), path
        [entry] = (await client.get(f"/Organization/{long}/_history")).json()["entry"]
        assert entry["resource"]["id"] == long
        assert entry["fullUrl"].endswith(f"/Organization/{long}")
        assert entry["request"]["url"] == f"Organization/{long}"
        [found] = (await client.get("/Organization?name=Long")).json()["entry"]
        assert found["resource"]["id"] == long
    marks = await there.node.pool.fetch(
        "SELECT remote, id, state FROM directory_resource WHERE remote = $1 OR id = $2", long, short_id(long)
    )
    assert [tuple(mark) for mark in marks] == [(long, short_id(long), "live")]


async def test_references_to_it_follow_in_later_bundles_and_when_it_comes_later(there: RunningNode) -> None:
    late, long = f"{UUID}-{'b' * 40}", f"{UUID}-{'a' * 40}"
    references = [{"reference": f"Endpoint/{late}"}]
    async with update_client(query_base(there)) as client:
        for entry in (
            put("Organization", long, name="First", endpoint=references),
            put("Endpoint", late, status="active", address="https://there.example/fhir"),
            put("Organization", "part", name="Part", partOf={"reference": f"Organization/{long}"}),
        ):
            assert (await client.post("", json=bundle(entry))).status_code == 200
        found = (await client.get("/Organization?name=Part&_include=Organization:partof")).json()
        assert {one["resource"]["id"] for one in found["entry"]} == {"part", long}
        [part] = [one["resource"] for one in found["entry"] if one["search"]["mode"] == "match"]
        assert part["partOf"] == {"reference": f"Organization/{long}"}
        assert "tag" not in part["meta"]
    brought = await searched(there, "Organization?name=First&_include=Organization:endpoint")
    assert {one["id"] for one in brought} == {short_id(long), short_id(late)}


async def test_it_is_changed_and_deleted_by_the_id_under_which_it_was_written(there: RunningNode) -> None:
    long = f"{UUID}-{'c' * 40}"
    async with update_client(query_base(there)) as client:
        assert (await client.post("", json=bundle(put("Organization", long, name="One")))).status_code == 200
        changed = {"resourceType": "Organization", "id": long, "name": "Two"}
        answer = await client.put(f"/Organization/{long}", json=changed)
        assert (answer.status_code, answer.json()["id"]) == (200, long)
        remove = {"request": {"method": "DELETE", "url": f"Organization/{long}?_cascade=delete"}}
        gone = await client.post("", json=bundle(remove))
        assert gone.status_code == 200, gone.text
        assert (await client.get(f"/Organization/{long}")).status_code == 410
        history = (await client.get(f"/Organization/{long}/_history")).json()["entry"]
        assert [one["request"]["method"] for one in history] == ["DELETE", "PUT", "PUT"]
        assert {one["fullUrl"].rpartition("/")[2] for one in history} == {long}
        assert (
            await client.post("", json=bundle(put("Organization", long, name="Three")))
        ).status_code == 200
        assert (await client.delete(f"/Organization/{long}")).status_code in (200, 204)
    marks = await there.node.pool.fetch(
        "SELECT remote, state FROM directory_resource WHERE id = $1", short_id(long)
    )
    assert [tuple(mark) for mark in marks] == [(long, "gone")]


async def test_a_transaction_that_names_it_twice_changes_nothing(there: RunningNode) -> None:
    long = f"{UUID}-{'d' * 40}"
    twice = put("Organization", long, name="One"), put("Organization", short_id(long), name="Two")
    async with update_client(query_base(there)) as client:
        answer = await client.post("", json=bundle(*twice))
        assert answer.status_code == 400
        assert (await client.get(f"/Organization/{long}")).status_code == 404


# -- searches by an id that is too long ------------------------------------------------------------------------------

CARE, DOOR, SERVICE = f"{UUID}-{'e' * 40}", f"{UUID}-{'f' * 40}", f"{UUID}-{'1' * 40}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def searchable(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """A query directory with three resources under long ids that refer to one another, and others beside them."""
    of = {"reference": f"Organization/{CARE}"}
    one = {
        "identifier": [{"system": "urn:example", "value": CARE}],
        "endpoint": [{"reference": f"Endpoint/{DOOR}"}],
    }
    at = {"status": "active", "address": "https://there.example/fhir"}
    async with databases(cluster, "update_client_searches") as make, telling_node(make) as running:
        async with update_client(query_base(running)) as client:
            written = bundle(
                put("Endpoint", DOOR, managingOrganization=of, **at),
                put("Organization", CARE, name="Long", **one),
                put("HealthcareService", SERVICE, providedBy=of),
                put("Endpoint", "other-door", managingOrganization={"reference": "Organization/other"}, **at),
                put("Organization", "other", name="Other", endpoint=[{"reference": "Endpoint/other-door"}]),
                put("HealthcareService", "other-service", providedBy={"reference": "Organization/other"}),
            )
            answer = await client.post("", json=written)
            assert answer.status_code == 200, answer.text
        yield running


SEARCHES = [
    pytest.param("Organization", "_id={care}", {CARE}, id="id"),
    pytest.param("Organization", "_id=other,{care}", {CARE, "other"}, id="id-in-a-list"),
    pytest.param("Organization", "_id:not={care}", {"other"}, id="id-not"),
    pytest.param("Organization", "_id={encoded}", {CARE}, id="id-encoded"),
    pytest.param("Endpoint", "organization=Organization/{care}", {DOOR}, id="reference"),
    pytest.param("Endpoint", "organization=Organization%2F{care}", {DOOR}, id="reference-encoded"),
    pytest.param(
        "Endpoint", "organization={base}/Organization/{care}", {DOOR}, id="reference-below-the-base"
    ),
    pytest.param("Endpoint", "organization={care}", {DOOR}, id="reference-without-type"),
    pytest.param("Endpoint", "organization:Organization={care}", {DOOR}, id="reference-with-type-beside"),
    pytest.param(
        "Endpoint",
        "status=active&organization=Organization/other,Organization/{care}",
        {DOOR, "other-door"},
        id="references-in-a-list",
    ),
    pytest.param("HealthcareService", "organization._id={care}", {SERVICE}, id="chain-to-an-id"),
    pytest.param("HealthcareService", "organization.endpoint=Endpoint/{door}", {SERVICE}, id="chain"),
    pytest.param("Organization", "_has:Endpoint:organization:_id={door}", {CARE}, id="reverse-chain"),
    pytest.param(
        "Organization",
        "_has:HealthcareService:organization:organization={care}",
        {CARE},
        id="reverse-reference",
    ),
]
"""Type and query, with the ids as they are named there, and the ids that are found."""


@pytest.mark.parametrize("way", ["get", "form", "form-and-query", "batch", "batch-below-the-base"])
@pytest.mark.parametrize("ids", ["long", "short"])
@pytest.mark.parametrize(("kind", "query", "expected"), SEARCHES)
async def test_a_search_by_either_id_finds_what_was_written_under_the_long_one(
    searchable: RunningNode, kind: str, query: str, expected: set[str], ids: str, way: str
) -> None:
    base = query_base(searchable)
    care, door = (CARE, DOOR) if ids == "long" else (short_id(CARE), short_id(DOOR))
    query = query.format(
        care=care, door=door, base=base, encoded=care.replace("-", "%2D").replace(".", "%2E")
    )
    async with update_client(base) as client:
        found = await asked(client, base, way, kind, query)
    assert {one["resource"]["id"] for one in found["entry"]} == expected


async def asked(client: httpx.AsyncClient, base: str, way: str, kind: str, query: str) -> Any:
    """The searchset for a query that is asked in one of the ways there are."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    match way:
        case "get":
            answer = await client.get(f"/{kind}?{query}")
        case "form":
            answer = await client.post(f"/{kind}/_search", content=query, headers=form)
        case "form-and-query":
            answer = await client.post(f"/{kind}/_search?{query}", content="_count=50", headers=form)
        case _:
            url = f"{base}/{kind}?{query}" if way == "batch-below-the-base" else f"{kind}?{query}"
            answer = await client.post(
                "", json=bundle({"request": {"method": "GET", "url": url}}, kind="batch")
            )
    assert answer.status_code == 200, answer.text
    if not way.startswith("batch"):
        return answer.json()
    [entry] = answer.json()["entry"]
    assert entry["response"]["status"] == "200", entry
    return entry["resource"]


@pytest.mark.parametrize("ids", ["long", "short"])
@pytest.mark.parametrize("query", ["_id={},other", "_has:Endpoint:organization:organization={},other"])
async def test_the_links_of_a_search_by_either_id_lead_on(
    searchable: RunningNode, ids: str, query: str
) -> None:
    name = CARE if ids == "long" else short_id(CARE)
    async with update_client(query_base(searchable)) as client:
        first = (await client.get(f"/Organization?{query.format(name)}&_count=1")).json()
        links = {one["relation"]: one["url"] for one in first["link"]}
        again = (await client.get(links["self"])).json()
        second = (await client.get(links["next"])).json()
    pages = [[one["resource"]["id"] for one in page["entry"]] for page in (first, again, second)]
    assert [len(page) for page in pages] == [1, 1, 1]
    assert pages[0] == pages[1]
    assert {*pages[0], *pages[2]} == {CARE, "other"}


async def test_a_value_that_only_looks_like_such_an_id_is_searched_as_it_is(searchable: RunningNode) -> None:
    async with update_client(query_base(searchable)) as client:
        found = (await client.get(f"/Organization?identifier=urn:example|{CARE}")).json()
        assert [one["resource"]["id"] for one in found["entry"]] == [CARE]
        found = (await client.get(f"/Organization?identifier={CARE}&name=long")).json()
        assert [one["resource"]["id"] for one in found["entry"]] == [CARE]


@pytest.mark.parametrize("query", [f"_id={'x' * 257}", f"_id={CARE}%zz", f"_id={CARE}%FF"])
async def test_a_search_that_cannot_be_read_is_refused_as_such(searchable: RunningNode, query: str) -> None:
    async with update_client(query_base(searchable)) as client:
        assert (await client.get(f"/Organization?{query}")).status_code == 400
        get = {"request": {"method": "GET", "url": f"Organization?{query}"}}
        answer = await client.post("", json=bundle(get, kind="batch"))
    assert answer.status_code == 200
    assert answer.json()["entry"][0]["response"]["status"] == "400"
