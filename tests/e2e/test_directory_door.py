"""The query directory as an EHR asks it (ITI-90): what it may ask, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from tests.addressing import OTHER_URA, URA, Directory, endpoint, organisation, service
from tests.nodes import RunningNode, databases, running_node

from schakel.kernel.values import URA_SYSTEM
from schakel.store.embedded import EmbeddedServer

CAPABILITY = {
    "Organization": (
        {"active", "identifier", "name", "partof", "type"},
        {"Organization:endpoint"},
        {
            "Location:organization",
            "OrganizationAffiliation:participating-organization",
            "OrganizationAffiliation:primary-organization",
        },
    ),
    "HealthcareService": (
        {"active", "identifier", "location", "name", "organization", "service-type"},
        set(),
        set(),
    ),
    "Location": (
        {"identifier", "name", "organization", "partof", "type", "status"},
        {"Location:organization"},
        set(),
    ),
    "Practitioner": ({"active", "identifier", "name", "given", "family"}, set(), set()),
    "PractitionerRole": (
        {"active", "location", "organization", "role", "service", "specialty"},
        {"PractitionerRole:practitioner"},
        set(),
    ),
    "Endpoint": ({"identifier", "organization", "status"}, set(), set()),
    "OrganizationAffiliation": (
        {"active", "date", "identifier", "participating-organization", "primary-organization", "role"},
        {"OrganizationAffiliation:endpoint"},
        set(),
    ),
}
CARDIOLOGY = {"system": "http://snomed.info/sct", "code": "394579002"}


def location(name: str, status: str = "active") -> dict[str, Any]:
    managing = {"reference": "Organization/hospital"}
    return {
        "resourceType": "Location",
        "id": name,
        "status": status,
        "name": name,
        "managingOrganization": managing,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with (
        databases(cluster, "directory_door") as make,
        running_node(make, organisations=("a", "b")) as running,
    ):
        directory = await Directory.new(running.node.pool)
        await directory.put(
            organisation("hospital", URA, ["bgz", "old"], name="Ziekenhuis Oost"),
            organisation("ward", "", [], "hospital", name="Afdeling Oost"),
            organisation("closed", OTHER_URA, ["bgz"], active=False, name="Oostkliniek"),
            organisation("unsaid", "", [], active=None, name="Praktijk Oost"),
            endpoint("bgz", managingOrganization={"reference": "Organization/hospital"}),
            endpoint("old", status="off", managingOrganization={"reference": "Organization/hospital"}),
            endpoint("error", status="error", managingOrganization={"reference": "Organization/hospital"}),
            service("echo", "hospital", type=[{"coding": [CARDIOLOGY]}]),
            service("stopped", "hospital", type=[{"coding": [CARDIOLOGY]}], active=False),
            location("main"),
            location("shut", "inactive"),
            location("rebuilt", "suspended"),
        )
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def door(node: RunningNode) -> AsyncIterator[httpx.AsyncClient]:
    a = node["a"]
    base = f"{a.internal_root}/a/directory/fhir/r4/"
    async with httpx.AsyncClient(base_url=base, headers={"X-API-Key": a.key}, trust_env=False) as client:
        yield client


async def ids(door: httpx.AsyncClient, query: str, mode: str = "match") -> set[str]:
    """What a search gives, asked by GET and by POST, which give the same."""
    answer = await door.get(query)
    assert answer.status_code == 200, answer.text
    kind, _, form = query.partition("?")
    posted = await door.post(
        f"{kind}/_search", content=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    found = [
        {e["resource"]["id"] for e in a.json().get("entry", ()) if e["search"]["mode"] == mode}
        for a in (answer, posted)
    ]
    assert found[0] == found[1]
    return found[0]


async def test_the_capability_statement_says_exactly_what_the_guide_has(door: httpx.AsyncClient) -> None:
    statement = (await door.get("metadata")).json()
    [rest] = statement["rest"]
    assert {
        one["type"]: (
            {p["name"] for p in one["searchParam"]},
            set(one.get("searchInclude", ())),
            set(one.get("searchRevInclude", ())),
        )
        for one in rest["resource"]
    } == CAPABILITY
    for one in rest["resource"]:
        assert {i["code"] for i in one["interaction"]} == {"read", "search-type"}
    assert "interaction" not in rest and "operation" not in rest
    assert statement["implementation"]["url"] == str(door.base_url).rstrip("/")


async def test_the_questions_of_the_guide_are_answered(door: httpx.AsyncClient) -> None:
    by_ura = f"Organization?identifier={URA_SYSTEM}|{URA}&_include=Organization:endpoint"
    assert await ids(door, by_ura) == {"hospital"}
    assert await ids(door, by_ura, "include") == {"bgz"}
    assert await ids(door, "Organization?name:contains=Oost&active=true&_count=50") == {"hospital", "ward"}
    assert await ids(door, "Organization?partof=Organization/hospital") == {"ward"}
    service_type = "http://snomed.info/sct|394579002"
    assert await ids(door, f"HealthcareService?service-type={service_type}&active=true") == {"echo"}
    assert await ids(door, "Location?organization=Organization/hospital&status=active") == {"main"}
    assert await ids(door, "Endpoint?organization=Organization/hospital&status=active") == {"bgz"}
    assert await ids(door, "Organization?_revinclude=Location:organization&name=zieken", "include") == {
        "main"
    }


async def test_what_is_switched_off_answers_only_who_asks_for_it(door: httpx.AsyncClient) -> None:
    assert await ids(door, "Organization?name:contains=oost") == {"hospital", "ward", "unsaid"}
    assert await ids(door, "Organization?active=false") == {"closed"}
    assert await ids(door, "HealthcareService?organization=Organization/hospital") == {"echo"}
    assert await ids(door, "Location?organization=Organization/hospital") == {"main"}
    assert await ids(door, "Location?status=inactive,suspended") == {"shut", "rebuilt"}
    assert await ids(door, "Endpoint?organization=Organization/hospital") == {"bgz", "error"}
    assert await ids(door, "Endpoint?status=off") == {"old"}
    closed = await door.get("Organization/closed")
    assert (closed.status_code, closed.json()["active"]) == (200, False)


async def test_pages_count_what_is_switched_on(door: httpx.AsyncClient) -> None:
    answer = (await door.get("Organization?_count=1&_total=accurate&_sort=name")).json()
    assert answer["total"] == 3
    seen: list[str] = []
    while True:
        seen += [entry["resource"]["id"] for entry in answer.get("entry", ())]
        following = [link["url"] for link in answer["link"] if link["relation"] == "next"]
        if not following:
            break
        answer = (await door.get(following[0])).json()
    assert seen == ["ward", "unsaid", "hospital"]


NOT_OFFERED = {
    "Organization?_id=hospital": "_id",
    "Organization?address=x": "address",
    "Organization?nonsense=x": "nonsense",
    "Organization?name:missing=true": "name:missing",
    "Organization?active:not=true": "active:not",
    "Organization?endpoint=Endpoint/bgz": "endpoint",
    "Organization?partof:Organization.name=x": "partof:Organization.name",
    "Organization?_has:Location:organization:name=x": "_has:Location:organization:name",
    "Organization?_include=Organization:partof": "_include",
    "Organization?_include=*": "_include",
    "Organization?_include=Organization:endpoint&_include:iterate=Organization:endpoint": "_include",
    "Organization?_revinclude=HealthcareService:organization": "_revinclude",
    "Organization?_sort=_lastUpdated": "_sort",
    "Endpoint?connection-type=hl7-fhir-rest": "connection-type",
    "Location?_include=Location:endpoint": "_include",
}


@pytest.mark.parametrize(("query", "named"), NOT_OFFERED.items())
async def test_what_is_not_offered_is_refused_by_its_name(
    door: httpx.AsyncClient, query: str, named: str
) -> None:
    for headers in ({}, {"Prefer": "handling=lenient"}):
        answer = await door.get(query, headers=headers)
        assert answer.status_code == 400, answer.text
        [issue] = answer.json()["issue"]
        assert (issue["code"], issue["expression"]) == ("not-supported", [named])
        assert named in issue["diagnostics"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "Organization/hospital", 405),
        ("POST", "Organization", 405),
        ("DELETE", "Organization/hospital", 405),
        ("PATCH", "Organization/hospital", 405),
        ("GET", "Organization/hospital/_history", 400),
        ("GET", "Organization/_history", 400),
        ("GET", "Organization/hospital/_history/1", 400),
        ("GET", "Patient", 404),
        ("GET", "Patient/1", 404),
        ("GET", "Organization/nobody", 404),
        ("GET", "Organization/hospital/$everything", 400),
        ("POST", "", 400),
        ("GET", "?_type=Organization", 400),
    ],
)
async def test_it_is_for_reading_and_searching_alone(
    door: httpx.AsyncClient, node: RunningNode, method: str, path: str, status: int
) -> None:
    body: dict[str, Any] = {}
    if method in ("PUT", "POST"):
        kind = {"resourceType": "Bundle", "type": "batch", "entry": []}
        body = {"json": organisation("hospital", URA) if path else kind}
    if method == "PATCH":
        body = {"json": [], "headers": {"Content-Type": "application/json-patch+json"}}
    answer = await door.request(method, path, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    held = await Directory.new(node.node.pool)
    assert (await held.store.read("r4", "Organization", "hospital")).version == 1


async def test_it_is_for_the_organisations_own_systems(node: RunningNode) -> None:
    a, b = node["a"], node["b"]
    path = f"{a.internal_root}/a/directory/fhir/r4/Organization/hospital"
    async with httpx.AsyncClient(trust_env=False) as client:
        for key, status in (({}, 401), ({"X-API-Key": b.key}, 403), ({"X-API-Key": a.key}, 200)):
            for address in (path, path.replace("Organization/hospital", "metadata")):
                assert (await client.get(address, headers=key)).status_code == status
        stu3 = path.replace("/r4/", "/stu3/")
        assert (await client.get(stu3, headers={"X-API-Key": a.key})).status_code == 404
        outside = path.replace(a.internal_root, a.front_root)
        assert (await client.get(outside, headers={"X-API-Key": a.key})).status_code == 404
        page = f"{a.internal_root}/a/directory/fhir/r4/Organization?{urlencode({'_count': 1})}"
        links = (await client.get(page, headers={"X-API-Key": a.key})).json()["link"]
        [following] = [link["url"] for link in links if link["relation"] == "next"]
        stolen = following.replace("/a/directory", "/b/directory")
        assert (await client.get(stolen, headers={"X-API-Key": b.key})).status_code in (404, 410)


async def test_it_speaks_xml_too(door: httpx.AsyncClient) -> None:
    answer = await door.get("Organization/hospital", headers={"Accept": "application/fhir+xml"})
    assert answer.headers["content-type"].startswith("application/fhir+xml")
    assert "Ziekenhuis Oost" in answer.text


async def test_one_address_at_once(node: RunningNode) -> None:
    a = node["a"]

    async def told(**params: str) -> tuple[int, dict[str, Any]]:
        answer = await a.internal.get(f"{a.internal_root}/a/directory/address", params=params)
        return answer.status_code, answer.json()

    status, found = await told(ura=URA, exchange="bgz")
    assert (status, found) == (
        200,
        {
            "ura": URA,
            "name": "Ziekenhuis Oost",
            "type": "V6",
            "exchange": "bgz",
            "endpoint": "https://bgz.example/fhir",
            "parts": [],
            "missing": [],
            "fhir": {"stu3": "https://bgz.example/fhir"},
            "issuer": None,
            "source": "written here",
            "as_of": None,
            "stale": True,
        },
    )
    for reference in ("HealthcareService/echo", "Organization/ward"):
        status, found = await told(reference=reference, exchange="bgz")
        assert (status, found["ura"], found["endpoint"]) == (200, URA, "https://bgz.example/fhir")
    status, found = await told(ura=node["b"].ura)
    assert (status, found["source"], found["stale"]) == (200, "configuration", False)
    for params, status, code in (
        ({"ura": URA, "exchange": "pzp"}, 404, "no-endpoint"),
        ({"ura": OTHER_URA}, 404, "holder-unknown"),
        ({"ura": URA, "exchange": "telepathy"}, 400, "exchange-unknown"),
        ({"ura": "twelve"}, 400, "ura-invalid"),
        ({"ura": URA, "reference": "Organization/ward"}, 400, "invalid"),
        ({"reference": "Endpoint/bgz"}, 400, "invalid"),
        ({"ura": URA, "name": "x"}, 400, "invalid"),
        ({}, 400, "invalid"),
    ):
        refused = await told(**params)
        assert (refused[0], refused[1].get("code")) == (status, code), (params, refused)
