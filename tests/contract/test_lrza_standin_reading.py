"""The stand-in of the LRZa, read: ITI-90-NL, ITI-91-NL, what it says it can, and a root directory of generation A."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.lrza import (
    BASE,
    DIRECTORY,
    HOSPITAL,
    KVK,
    PRACTICE,
    URA,
    VENDOR,
    assigned,
    coded,
    created,
    directory,
    endpoint,
    ids,
    location,
    mandate,
    organisation,
    pages,
    said,
    service,
    to,
    updated,
)
from tests.shared import shared

from schakel.fhir import definitions
from schakel.fhir.json import parse
from schakel.fhir.validation import validate
from schakel.kernel.outcomes import Invalid

Resource = dict[str, Any]

NAMED = {"reference": "Organization/north"}
SEED: list[Resource] = [
    {**endpoint(NAMED, identifier=[assigned("urn:e:1")]), "id": "e1"},
    {**endpoint(NAMED, status="off"), "id": "e2"},
    {
        **organisation(
            HOSPITAL, name="Ziekenhuis Noord", alias=["Nóórd"], endpoint=[{"reference": "Endpoint/e1"}]
        ),
        "id": "north",
    },
    {**organisation(name="Poli", partOf=NAMED, active=False), "id": "clinic"},
    {**organisation(PRACTICE, name="Huisartsen Oost", type=[coded("http://t", "Z3")]), "id": "east"},
    {**location(NAMED), "id": "l1"},
    {
        **location(
            {"reference": "Organization/east"},
            name="Vleugel",
            status="inactive",
            partOf={"reference": "Location/l1"},
        ),
        "id": "l2",
    },
    {**service(NAMED, location=[{"reference": "Location/l1"}]), "id": "s1"},
    {
        **mandate(
            NAMED,
            period={"start": "2024-01-01", "end": "2024-12-31"},
            endpoint=[{"reference": "Endpoint/e2"}],
        ),
        "id": "m1",
    },
    {
        **mandate(
            {"reference": "Organization/east"}, participatingOrganization=NAMED, period={"start": "2023"}
        ),
        "id": "m2",
    },
]


@pytest_asyncio.fixture(loop_scope="session")
async def reader(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a directory with some of everything."""
    with directory(tmp_path, seed=SEED) as lrza:
        async with lrza.client(PRACTICE) as client:
            yield client


FOUND = [
    ("Organization", "", "north clinic east"),
    ("Organization", "active=true", "north east"),
    ("Organization", f"identifier={URA}|{HOSPITAL}", "north"),
    ("Organization", f"identifier={HOSPITAL}", "north"),
    ("Organization", f"identifier={URA}|", "north east"),
    ("Organization", f"identifier={KVK}|{HOSPITAL}", ""),
    ("Organization", f"identifier={HOSPITAL},{PRACTICE}", "north east"),
    ("Organization", "name=ziek", "north"),
    ("Organization", "name=noo", "north"),
    ("Organization", "name=oost", ""),
    ("Organization", "name:contains=Oost", "east"),
    ("Organization", "name:contains=oo", "north east"),
    ("Organization", "name:exact=Huisartsen Oost", "east"),
    ("Organization", "name:exact=huisartsen oost", ""),
    ("Organization", "partof=Organization/north", "clinic"),
    ("Organization", "partof=north", "clinic"),
    ("Organization", f"partof={BASE}/Organization/north", "clinic"),
    ("Organization", "type=http://t|Z3", "east"),
    ("Organization", "name:contains=Oost&active=true&_count=50", "east"),
    ("Organization", "_id=north,east", "north east"),
    ("Organization", "_id=", ""),
    ("HealthcareService", "service-type=http://snomed.info/sct|394579002&active=true", "s1"),
    ("HealthcareService", "organization=Organization/north", "s1"),
    ("HealthcareService", "organization=Organization/east", ""),
    ("HealthcareService", "location=Location/l1", "s1"),
    ("HealthcareService", "name=cardio", "s1"),
    ("HealthcareService", "active=false", ""),
    ("Location", "organization=Organization/north&status=active", "l1"),
    ("Location", "status=inactive", "l2"),
    ("Location", "partof=Location/l1", "l2"),
    ("Location", "name:contains=gebouw", "l1"),
    ("Location", "type=HOSP", "l1 l2"),
    ("Endpoint", "organization=Organization/north&status=active", "e1"),
    ("Endpoint", "status=off", "e2"),
    ("Endpoint", "identifier=urn:ietf:rfc:3986|urn:e:1", "e1"),
    ("OrganizationAffiliation", "participating-organization=Organization/north", "m2"),
    ("OrganizationAffiliation", "primary-organization=Organization/north", "m1"),
    ("OrganizationAffiliation", "role=lrza-careprovider-admin", "m1 m2"),
    ("OrganizationAffiliation", "active=true", "m1 m2"),
    ("OrganizationAffiliation", "date=2024", "m1"),
    ("OrganizationAffiliation", "date=ge2025", "m2"),
    ("OrganizationAffiliation", "date=lt2024", "m2"),
    ("OrganizationAffiliation", "date=eb2025", "m1"),
    ("Organization", "_lastUpdated=ge2020-01-01", "north clinic east"),
    ("Organization", "_lastUpdated=lt2020-01-01", ""),
]


@pytest.mark.parametrize(("kind", "query", "expected"), FOUND)
async def test_a_search_finds(reader: httpx.AsyncClient, kind: str, query: str, expected: str) -> None:
    answer = await reader.get(f"/fhir/{kind}?{query}")
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert set(ids(bundle)) == set(expected.split())
    assert bundle["total"] == len(expected.split())
    posted = await reader.post(
        f"/fhir/{kind}/_search",
        content=quote(query, safe="=&"),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert ids(posted.json()) == ids(bundle)


@pytest.mark.parametrize(
    ("kind", "query", "matches", "included"),
    [
        ("Organization", "_id=north&_include=Organization:endpoint", "north", "e1"),
        ("Organization", "_id=north&_revinclude=Location:organization", "north", "l1"),
        (
            "Organization",
            "_id=north&_revinclude=OrganizationAffiliation:participating-organization"
            "&_revinclude=OrganizationAffiliation:primary-organization",
            "north",
            "m1 m2",
        ),
        ("Location", "_include=Location:organization", "l1 l2", "north east"),
        ("OrganizationAffiliation", "_include=OrganizationAffiliation:endpoint", "m1 m2", "e2"),
    ],
)
async def test_a_search_brings_along(
    reader: httpx.AsyncClient, kind: str, query: str, matches: str, included: str
) -> None:
    bundle = (await reader.get(f"/fhir/{kind}?{query}")).json()
    assert ids(bundle) == matches.split()
    assert sorted(ids(bundle, "include")) == sorted(included.split())


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("Organization?endpoint=x", "endpoint"),
        ("Organization?name:missing=true", ":missing"),
        ("Organization?_since=2024-01-01T00:00:00Z", "_since"),
        ("Organization?_sort=name", "_sort"),
        ("Organization?_count=many", "_count"),
        ("Organization?_format=xml", "_format"),
        ("Organization?_include=Organization:partof", "_include"),
        ("Organization?_revinclude=Endpoint:organization", "_revinclude"),
        ("Organization?_page=nonsense", "_page"),
        ("Organization?name=", "name"),
        ("Organization?_lastUpdated=yesterday", "date"),
        ("Organization/_history?_since=2024-01-01", "_since"),
        ("Organization/_history?_since=2024-01-01T00:00:00.5+00:00", "%2B"),
        ("Organization/_history?_sort=_lastUpdated", "_sort"),
        ("Organization/_history?name=x", "name"),
        ("Organization/_search?name=x", "name"),
        ("Organization/north?_elements=name", "_elements"),
    ],
)
async def test_what_is_not_supported_is_refused_by_name(
    reader: httpx.AsyncClient, path: str, word: str
) -> None:
    assert word in said(await reader.get(f"/fhir/{path}"), 400)


async def test_what_is_not_there_is_404(reader: httpx.AsyncClient) -> None:
    for path in (
        "Organization/none",
        "Organization/north/_history/2",
        "Organization/north/_history/x",
        "Organization/none/_history",
        "Practitioner",
        "PractitionerRole/_history",
        "Patient",
        "Organization/north/$everything",
    ):
        said(await reader.get(f"/fhir/{path}"), 404)
    said(await reader.get("/fhir"), 405)
    said(await reader.get("/fhir/Organization", headers={"Accept": "application/fhir+xml"}), 406)


async def test_a_resource_is_read_in_each_of_its_versions(tmp_path: Path) -> None:
    with directory(tmp_path) as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            first = await created(hospital, organisation(HOSPITAL))
            second = await updated(hospital, {**first, "name": "Anders"})
            address = f"/fhir/Organization/{first['id']}"
            newest = await hospital.get(address)
            assert newest.json() == second and newest.headers["etag"] == 'W/"2"'
            assert (await hospital.get(f"{address}/_history/1")).json() == first
            history = (await hospital.get(f"{address}/_history")).json()
            assert [one["resource"] for one in history["entry"]] == [second, first]
            assert [one["request"] for one in history["entry"]] == [
                {"method": "PUT", "url": f"Organization/{first['id']}"},
                {"method": "POST", "url": "Organization"},
            ]
            assert history["entry"][0]["response"]["etag"] == 'W/"2"'
            assert history["entry"][0]["fullUrl"] == f"{BASE}/Organization/{first['id']}"


async def test_pages_follow_each_other_and_hold_everything_once(tmp_path: Path) -> None:
    many = [{**organisation(f"{n:08d}"), "id": f"o{n}"} for n in range(1, 24)]
    with directory(tmp_path, "page_size = 5", seed=many) as lrza:
        async with lrza.client(PRACTICE) as client:
            for query in ("", "?_sort=_lastUpdated", "?_sort=-_lastUpdated", "?_count=100", "?active=true"):
                found = await pages(client, f"/fhir/Organization{query}")
                assert [len(one["entry"]) for one in found] == [5, 5, 5, 5, 3]
                assert {one["total"] for one in found} == {23}
                names = [name for one in found for name in ids(one)]
                assert sorted(names) == sorted(f"o{n}" for n in range(1, 24))
                link = found[0]["link"][1]["url"]
                assert link.startswith(f"{BASE}/Organization?_page=") and "&" not in link
            assert len(await pages(client, "/fhir/Organization?_count=8&_sort=_lastUpdated")) == 5
            assert "entry" not in (await client.get("/fhir/Organization?_count=0")).json()
            other = urlsplit(link).query
            said(await client.get(f"/fhir/Endpoint?{other}"), 400)
            said(await client.get(f"/fhir/Organization?{other}&active=true"), 400)


async def test_pages_of_a_history_do_not_shift_when_something_is_written(tmp_path: Path) -> None:
    with directory(tmp_path, "page_size = 2") as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            own = await created(hospital, organisation(HOSPITAL))
            for number in range(4):
                own = await updated(hospital, {**own, "name": f"Naam {number}"})
            first = (await hospital.get("/fhir/Organization/_history?_count=1000")).json()
            await updated(hospital, own)
            rest = await pages(hospital, first["link"][1]["url"])
            seen = [one["resource"]["meta"]["versionId"] for page in [first, *rest] for one in page["entry"]]
            assert seen == ["5", "4", "3", "2", "1"]


async def test_nothing_is_missed_between_the_time_of_a_page_and_the_next_history(tmp_path: Path) -> None:
    with directory(tmp_path) as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            own = await created(hospital, organisation(HOSPITAL))
            for _ in range(5):
                page = (await hospital.get("/fhir/Organization")).json()
                own = await updated(hospital, own)
                since = quote(page["meta"]["lastUpdated"])
                later = (await hospital.get(f"/fhir/Organization/_history?_since={since}")).json()
                assert later["entry"][0]["resource"] == own
            future = (await hospital.get("/fhir/Organization/_history?_since=2999-01-01T00:00:00Z")).json()
            assert future["total"] == 0 and "entry" not in future


STEPS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12)


@given(steps=STEPS, page_size=st.integers(1, 5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_history_from_any_moment_on_leads_to_the_state_of_a_search(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]], page_size: int
) -> None:
    """A replica that loaded at any moment and applies what came since, oldest first, has what a search has."""
    folder = tmp_path_factory.mktemp("lrza")
    with directory(folder, f"page_size = {page_size}") as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            own = await created(hospital, organisation(HOSPITAL))
            known: dict[int, Resource] = {}
            loaded: list[tuple[str, dict[str, Resource]]] = []
            for which, active in steps:
                bundles = await pages(hospital, "/fhir/Location")
                loaded.append((bundles[0]["meta"]["lastUpdated"], _state(bundles)))
                status = "active" if active else "inactive"
                if which in known:
                    known[which] = await updated(hospital, {**known[which], "status": status})
                else:
                    known[which] = await created(hospital, location(to(own), status=status))
            now = _state(await pages(hospital, "/fhir/Location"))
            for since, replica in loaded:
                history = await pages(hospital, f"/fhir/Location/_history?_since={quote(since)}")
                for one in reversed([entry for page in history for entry in page.get("entry", [])]):
                    replica[one["resource"]["id"]] = one["resource"]
                assert replica == now
            assert sorted(now) == sorted(one["id"] for one in known.values())


def _state(bundles: list[Resource]) -> dict[str, Resource]:
    return {one["resource"]["id"]: one["resource"] for bundle in bundles for one in bundle.get("entry", [])}


# -- what it says it can -------------------------------------------------------------------------------------


async def test_the_capability_statement_says_what_there_is(tmp_path: Path) -> None:
    with directory(tmp_path) as lrza:
        async with lrza.client() as nobody:
            statement = (await nobody.get("/fhir/metadata")).json()
    errors = [one for one in validate(statement, definitions("r4")) if one.severity == "error"]
    assert errors == []
    [rest] = statement["rest"]
    kinds = {one["type"]: one for one in rest["resource"]}
    assert set(kinds) == {
        "Organization",
        "Location",
        "HealthcareService",
        "Endpoint",
        "OrganizationAffiliation",
        "Provenance",
    }
    for kind, one in kinds.items():
        codes = {each["code"] for each in one["interaction"]}
        assert {"read", "search-type", "history-type", "create"} <= codes and "delete" not in codes
        assert ("update" in codes) == (kind != "Provenance")
    assert kinds["Endpoint"]["versioning"] == "versioned-update"
    assert rest["interaction"] == [{"code": "transaction"}]


# -- generation A --------------------------------------------------------------------------------------------


async def test_with_seven_types_clients_of_generation_a_find_two_empty_ones(tmp_path: Path) -> None:
    with directory(tmp_path, "seven_types = true", SEED) as lrza:
        async with lrza.client(PRACTICE) as client:
            statement = (await client.get("/fhir/metadata")).json()
            kinds = {one["type"]: one for one in statement["rest"][0]["resource"]}
            for kind in ("Practitioner", "PractitionerRole"):
                codes = {each["code"] for each in kinds[kind]["interaction"]}
                assert {"read", "search-type", "history-type"} <= codes
                for path in (kind, f"{kind}/_history?_count=20"):
                    bundle = (await client.get(f"/fhir/{path}")).json()
                    assert bundle["total"] == 0 and "entry" not in bundle
                said(await client.get(f"/fhir/{kind}/x"), 404)
                said(await client.post(f"/fhir/{kind}", json={"resourceType": kind}), 405)
            wanted = [
                "/Organization/north/_history",
                "/Endpoint/none/_history",
                "/Location/l1",
                "/Organization",
            ]
            entries = [{"request": {"method": "GET", "url": url}} for url in wanted]
            batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
            answer = (await client.post("/fhir", json=batch)).json()
            assert answer["type"] == "batch-response"
            found = [one["response"]["status"][:3] for one in answer["entry"]]
            assert found == ["200", "404", "200", "404"]
            assert answer["entry"][0]["resource"]["entry"][0]["resource"]["id"] == "north"
            assert answer["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
            writing = {**batch, "entry": [{"request": {"method": "PUT", "url": "Organization/x"}}]}
            refused = (await client.post("/fhir", json=writing)).json()
            assert refused["entry"][0]["response"]["status"] == "400"


async def test_a_root_directory_tells_of_directories_in_one_page(tmp_path: Path) -> None:
    own = {**endpoint(NAMED, DIRECTORY), "id": "adm"}
    gone = {**endpoint(NAMED, DIRECTORY, status="off"), "id": "gone"}
    refers = [{"reference": "Endpoint/e1"}, {"reference": "Endpoint/adm"}]
    seed = [
        own,
        gone,
        *SEED,
        {**organisation("33333333", endpoint=[{"reference": "Endpoint/adm"}]), "id": "one"},
        {**organisation("44444444", endpoint=refers), "id": "two"},
        {**organisation("55555555", endpoint=refers, active=False), "id": "inactive"},
        {**organisation("66666666", endpoint=[{"reference": "Endpoint/gone"}]), "id": "off"},
        {**organisation(partOf=NAMED, endpoint=refers), "id": "department"},
    ]
    with directory(tmp_path, "page_size = 1\nopen_reading = true", seed) as lrza:
        async with lrza.client() as client:
            asked = "/fhir/Organization/_search?_include=Organization:endpoint"
            bundle = (await client.get(asked)).json()
            assert ids(bundle) == ["one", "two"] and ids(bundle, "include") == ["adm"]
            assert [one["relation"] for one in bundle["link"]] == ["self"]
            two = bundle["entry"][1]["resource"]
            assert two["endpoint"] == [{"reference": "Endpoint/adm"}]
            assert two["meta"]["tag"][0]["code"] == "SUBSETTED"
            assert ids((await client.get(f"{asked}&_id=two")).json()) == ["two"]
            whole = (await client.get("/fhir/Organization/two")).json()
            assert whole["endpoint"] == refers and "tag" not in whole["meta"]
            said(await client.get("/fhir/Endpoint/_search"), 404)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["60-root-directory", "61-root-directory-second-run"])
async def test_the_ministrys_client_finds_directories_in_it_as_recorded(name: str, tmp_path: Path) -> None:
    """Its requests, with its headers. The recorded root said nothing of payload types; here they must say directory."""
    recorded = json.loads(shared("recordings", "mcsd", f"{name}.json").read_bytes())
    steps = [one for one in recorded["steps"] if one["to"] == "lrza-root"]
    assert steps
    for number, step in enumerate(steps):
        seed = [dict(one["resource"]) for one in step["response_body"]["entry"]]
        for one in seed:
            if one["resourceType"] == "Endpoint":
                one["payloadType"] = [coded("http://x", DIRECTORY)]
        folder = tmp_path / str(number)
        folder.mkdir()
        with directory(folder, "seven_types = true\nopen_reading = true", seed) as lrza:
            async with lrza.client(**recorded["request_headers_common"]) as client:
                answer = await client.request(step["method"], f"{step['path']}?{step['raw_query']}")
        assert answer.status_code == step["response_status"], answer.text
        bundle = answer.json()
        with_one = {
            one["id"] for one in seed if one["resourceType"] == "Organization" and one.get("endpoint")
        }
        assert set(ids(bundle)) == with_one
        assert {one["resource"]["id"] for one in bundle["entry"]} == with_one | {
            one["id"] for one in seed if one["resourceType"] == "Endpoint"
        }
        assert all(len(one["resource"]["endpoint"]) == 1 for one in bundle["entry"][: len(with_one)])


@pytest.mark.shared
async def test_the_whole_run_of_the_ministrys_client_as_recorded_finds_its_answers(tmp_path: Path) -> None:
    """Every request that it sent to a directory, in order: seven histories, and batches of instance history."""
    recorded = json.loads(shared("recordings", "mcsd", "01-first-load.json").read_bytes())
    steps = [one for one in recorded["steps"] if one["to"] == "directory"]
    seed: dict[tuple[str, str], Resource] = {}
    for step in steps:
        for one in _resources(step["response_body"]):
            seed.setdefault((one["resourceType"], one["id"]), one)
    held = [one for one in seed.values() if not one["resourceType"].startswith("Practitioner")]
    with directory(tmp_path, "seven_types = true\nopen_reading = true", held) as lrza:
        async with lrza.client(**recorded["request_headers_common"]) as client:
            for step in steps:
                query = step.get("raw_query")
                url = f"{step['path']}?{query}" if query else step["path"]
                answer = await client.request(
                    step["method"], url, content=json.dumps(step["body"]) if "body" in step else None
                )
                assert answer.status_code == step["response_status"], answer.text
                expected = {(r["resourceType"], r["id"]) for r in _resources(step["response_body"])}
                assert {(r["resourceType"], r["id"]) for r in _resources(answer.json())} >= {
                    one for one in expected if not one[0].startswith("Practitioner")
                }


def _resources(body: Any) -> list[Resource]:
    """The resources in a Bundle and the Bundles in it."""
    found = []
    for entry in (body or {}).get("entry", []):
        resource = entry.get("resource")
        if resource and resource["resourceType"] == "Bundle":
            found += _resources(resource)
        elif resource and resource["resourceType"] != "OperationOutcome":
            found.append(resource)
    return found


async def test_a_seed_is_taken_as_it_is_and_once(tmp_path: Path) -> None:
    vendor = {"identifier": {"system": KVK, "value": VENDOR}}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:1",
                "resource": organisation(HOSPITAL, endpoint=[{"reference": "urn:uuid:2"}]),
            },
            {"fullUrl": "urn:uuid:2", "resource": endpoint(vendor)},
            {
                "resource": {
                    **location({"reference": "urn:uuid:1"}, position={"longitude": 5.10, "latitude": 52.0}),
                    "id": "l1",
                }
            },
        ],
    }
    text = json.dumps(bundle, indent=1).replace("5.1,", "5.10,")
    (tmp_path / "first.json").write_text(text)
    for _ in range(2):
        with directory(tmp_path, 'seed = "first.json"') as lrza:
            async with lrza.client(PRACTICE) as client:
                found = (await client.get("/fhir/Organization?_include=Organization:endpoint")).json()
                assert found["total"] == 1 and len(ids(found, "include")) == 1
                read = await client.get("/fhir/Location/l1")
                assert b"5.10" in read.content and parse(read.content)["meta"]["versionId"] == "1"


async def test_a_wrong_seed_stops_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.ndjson").write_text(
        '{"resourceType":"Organization","id":"a"}\n{"resourceType":"Patient"}\n'
    )
    with pytest.raises(Invalid, match=r"bad\.ndjson .*line 2"), directory(tmp_path, 'seed = "bad.ndjson"'):
        pass
    assert not (tmp_path / "lrza.sqlite").exists()
