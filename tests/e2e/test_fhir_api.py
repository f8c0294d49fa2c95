"""The FHIR API of an organisation's own door: reading, writing, searching, and what it says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import JSON, XML, entry, patient, refusal, transaction
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "api") as make, running_node(make, ("a",), erasure="test") as node:
        yield node


@pytest.fixture
def door(node: RunningNode) -> httpx.AsyncClient:
    return node["a"].internal


# -- one resource --------------------------------------------------------------------------------


async def test_an_update_creates_what_is_not_there_and_then_makes_versions(door: httpx.AsyncClient) -> None:
    created = await door.put("Patient/u1", json=patient("u1"))
    assert created.status_code == 201
    assert created.headers["location"] == f"{door.base_url}Patient/u1/_history/1"
    assert created.headers["etag"] == 'W/"1"' and "last-modified" in created.headers
    updated = await door.put("Patient/u1", json=patient("u1", active=True))
    assert updated.status_code == 200 and updated.headers["etag"] == 'W/"2"'
    assert "location" not in updated.headers
    read = await door.get("Patient/u1")
    assert read.json() == updated.json() and read.headers["etag"] == 'W/"2"'
    assert read.headers["last-modified"] == updated.headers["last-modified"]
    assert read.json()["meta"]["versionId"] == "2" and read.json()["active"] is True
    old = await door.get("Patient/u1/_history/1")
    assert old.json() == created.json()


async def test_a_created_resource_gets_an_id_of_the_server(door: httpx.AsyncClient) -> None:
    answer = await door.post("Patient", json=patient("mine"))
    given = answer.json()["id"]
    assert answer.status_code == 201 and given != "mine"
    assert answer.headers["location"] == f"{door.base_url}Patient/{given}/_history/1"
    assert (await door.get(f"Patient/{given}")).status_code == 200
    assert (await door.get("Patient/mine")).status_code == 404


async def test_a_deleted_resource_is_gone_until_it_is_written_again(door: httpx.AsyncClient) -> None:
    await door.put("Patient/g1", json=patient("g1"))
    first, second = await door.delete("Patient/g1"), await door.delete("Patient/g1")
    assert (first.status_code, first.content, first.headers["etag"]) == (204, b"", 'W/"2"')
    assert (second.status_code, second.headers["etag"]) == (204, 'W/"2"')
    refusal(await door.get("Patient/g1"), 410)
    refusal(await door.get("Patient/g1/_history/2"), 410)
    assert (await door.get("Patient/g1/_history/1")).status_code == 200
    again = await door.put("Patient/g1", json=patient("g1"))
    assert (again.status_code, again.headers["etag"]) == (201, 'W/"3"')


async def test_what_never_was_is_not_found(door: httpx.AsyncClient) -> None:
    refusal(await door.get("Patient/never"), 404)
    refusal(await door.get("Patient/never/_history/1"), 404)
    never = await door.delete("Patient/never")
    assert never.status_code == 204 and "etag" not in never.headers
    await door.put("Patient/one", json=patient("one"))
    for version in ("2", "0", "01", "x", "9" * 12):
        refusal(await door.get(f"Patient/one/_history/{version}"), 404)


async def test_if_match_lets_only_the_version_it_names_be_changed(door: httpx.AsyncClient) -> None:
    await door.put("Patient/m1", json=patient("m1"))
    await door.put("Patient/m1", json=patient("m1"))
    old, right = {"If-Match": 'W/"1"'}, {"If-Match": 'W/"2"'}
    assert "version 2" in refusal(await door.put("Patient/m1", json=patient("m1"), headers=old), 412)
    refusal(await door.delete("Patient/m1", headers=old), 412)
    assert (await door.put("Patient/m1", json=patient("m1"), headers=right)).status_code == 200
    foreign = {"If-Match": 'W/"7d3f"'}
    refusal(await door.put("Patient/m1", json=patient("m1"), headers=foreign), 412)
    for value in ("*", "2", 'W/"1", W/"2"'):
        refusal(await door.put("Patient/m1", json=patient("m1"), headers={"If-Match": value}), 400)
    refusal(await door.put("Patient/m-never", json=patient("m-never"), headers={"If-Match": 'W/"1"'}), 412)


@pytest.mark.parametrize(
    ("path", "body", "status", "named"),
    [
        ("Patient/x1", patient("other"), 400, "x1"),
        ("Patient/x1", {"resourceType": "Patient"}, 400, "x1"),
        ("Patient/x1", {"resourceType": "Group", "id": "x1"}, 422, "Group"),
        ("Patient/x1", {**patient("x1"), "naam": "x"}, 422, "Patient.naam"),
        ("Patient/x1", patient("x1", birthDate="17-05-1980"), 422, "Patient.birthDate"),
        ("Patient/x1", patient("x1", active="true"), 422, "Patient.active"),
        ("Patient/x1", patient("x1", gender=["male", "female"]), 422, "Patient.gender"),
        (
            "Observation/x1",
            {"resourceType": "Observation", "id": "x1", "status": "final"},
            422,
            "Observation.code",
        ),
        ("Observation/x1", patient("x1"), 400, "Observation"),
        ("Patient/x_1", patient("x_1"), 400, "id"),
    ],
)
async def test_what_does_not_follow_the_definitions_is_refused_by_element(
    door: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, named: str
) -> None:
    assert named in refusal(await door.put(path, json=body), status)
    if status == 422:
        refusal(await door.get(path), 404)


async def test_eight_writers_at_once_make_eight_versions(door: httpx.AsyncClient) -> None:
    bodies = [patient("at-once", name=[{"family": f"Schrijver{n}"}]) for n in range(8)]
    answers = await asyncio.gather(*(door.put("Patient/at-once", json=body) for body in bodies))
    assert sorted(a.status_code for a in answers) == [200] * 7 + [201]
    assert {a.headers["etag"] for a in answers} == {f'W/"{n}"' for n in range(1, 9)}
    kept = [
        (await door.get(f"Patient/at-once/_history/{n}")).json()["name"][0]["family"] for n in range(1, 9)
    ]
    assert sorted(kept) == [f"Schrijver{n}" for n in range(8)]


async def test_entered_in_error_is_kept_and_found(door: httpx.AsyncClient) -> None:
    wrong = {
        "resourceType": "Observation",
        "id": "wrong",
        "status": "entered-in-error",
        "code": {"text": "x"},
    }
    await door.put("Observation/wrong", json=wrong)
    assert (await door.get("Observation/wrong")).json()["status"] == "entered-in-error"
    found = (await door.get("Observation?_id=wrong")).json()
    assert found["total"] == 1


# -- searching --------------------------------------------------------------------------------


async def test_a_search_by_post_is_the_same_as_by_get(door: httpx.AsyncClient) -> None:
    await door.put("Patient/sp", json=patient("sp", name=[{"family": "Zoekgraag"}]))
    got = (await door.get("Patient?family=zoekgraag&_id=sp")).json()
    posted = (await door.post("Patient/_search", data={"family": "zoekgraag", "_id": "sp"})).json()
    assert got == posted and got["total"] == 1
    assert got["entry"][0]["fullUrl"] == f"{door.base_url}Patient/sp"
    assert got["entry"][0]["search"] == {"mode": "match"}
    assert got["link"] == [{"relation": "self", "url": f"{door.base_url}Patient?family=zoekgraag&_id=sp"}]


async def test_a_search_by_post_takes_a_form_alone(door: httpx.AsyncClient) -> None:
    for media in (JSON, "text/plain", "multipart/form-data"):
        refusal(await door.post("Patient/_search", content=b"_id=sp", headers={"Content-Type": media}), 415)


async def test_a_query_in_utf_8_finds_accents(door: httpx.AsyncClient) -> None:
    await door.put("Patient/acc", json=patient("acc", name=[{"family": "Ångström"}]))
    for asked in ("ångström", "ANGSTROM"):
        assert (await door.get("Patient", params={"family": asked})).json()["total"] == 1
        assert (await door.post("Patient/_search", data={"family": asked})).json()["total"] == 1


async def test_next_links_lead_through_all_matches_while_data_change(door: httpx.AsyncClient) -> None:
    names = [f"pg{n}" for n in range(7)]
    await door.post(
        "", json=transaction(*(entry("PUT", f"Patient/{n}", patient(n, active=True)) for n in names))
    )
    bundle = (await door.get(f"Patient?_id={','.join(names)},pg9&_sort=_id&_count=2&_format=json")).json()
    seen: list[str] = []
    while True:
        assert bundle["total"] == len(names)
        seen += [f"{e['resource']['id']}/{e['resource']['meta']['versionId']}" for e in bundle["entry"]]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        assert links["self"].startswith(f"{door.base_url}Patient?")
        if "next" not in links:
            break
        assert "_format=json" in links["next"]
        await door.put("Patient/pg9", json=patient("pg9"))
        await door.put("Patient/pg5", json=patient("pg5", active=False))
        await door.delete("Patient/pg6")
        bundle = (await door.get(links["next"])).json()
    assert seen == [f"{n}/1" for n in names]


async def test_a_page_that_is_no_longer_there_is_gone_with_an_outcome(
    node: RunningNode, door: httpx.AsyncClient
) -> None:
    names = ("lost1", "lost2")
    await door.post("", json=transaction(*(entry("PUT", f"Patient/{n}", patient(n)) for n in names)))
    bundle = (await door.get("Patient?_id=lost1,lost2&_count=1")).json()
    [link] = [one["url"] for one in bundle["link"] if one["relation"] == "next"]
    assert (await door.get(link)).status_code == 200
    refusal(await door.get(link.replace("/Patient?", "/Basic?")), 410)
    refusal(await door.get(f"{link}&_id=lost1"), 400)
    await node.node.pool.execute("DELETE FROM search_page")
    assert "search again" in refusal(await door.get(link), 410)


async def test_the_last_n_are_asked_by_an_operation(door: httpx.AsyncClient) -> None:
    for name, day in (("ln1", "2024-01-01"), ("ln2", "2024-01-02")):
        code, subject = {"coding": [{"code": "ln"}]}, {"reference": "Patient/ln"}
        observation = {
            "resourceType": "Observation",
            "id": name,
            "status": "final",
            "code": code,
            "subject": subject,
        }
        await door.put(f"Observation/{name}", json={**observation, "effectiveDateTime": day})
    bundle = (await door.get("Observation/$lastn?patient=ln&code=ln")).json()
    assert [e["resource"]["id"] for e in bundle["entry"]] == ["ln2"]
    assert bundle["link"][0]["url"] == f"{door.base_url}Observation/$lastn?patient=ln&code=ln"
    paged = (await door.get("Observation/$lastn?patient=ln&code=ln&max=2&_count=1")).json()
    [link] = [one["url"] for one in paged["link"] if one["relation"] == "next"]
    assert [e["resource"]["id"] for e in (await door.get(link)).json()["entry"]]


# -- what it says of itself --------------------------------------------------------------------------------


SAMPLE = (
    "AllergyIntolerance",
    "CarePlan",
    "Condition",
    "Coverage",
    "Encounter",
    "ImagingStudy",
    "Location",
    "MedicationDispense",
    "Observation",
    "Patient",
    "Practitioner",
    "ProcedureRequest",
    "Provenance",
    "Questionnaire",
    "RiskAssessment",
    "Task",
    "ValueSet",
)
VALUES = {
    "token": "x",
    "string": "x",
    "date": "2024",
    "uri": "http://x",
    "reference": "Patient/1",
    "number": "1",
    "quantity": "1",
    "special": "x",
}


async def test_the_capability_statement_lists_what_answers_and_nothing_else(door: httpx.AsyncClient) -> None:
    statement = (await door.get("metadata")).json()
    assert statement["fhirVersion"].startswith("3.0") and statement["format"] == [JSON, XML]
    assert statement["implementation"]["url"] == str(door.base_url).rstrip("/")
    [rest] = statement["rest"]
    assert {i["code"] for i in rest["interaction"]} == {
        "transaction",
        "batch",
        "search-system",
        "history-system",
    }
    assert {"lastn", "meta", "meta-add", "meta-delete", "purge"} <= {o["name"] for o in rest["operation"]}
    listed = {r["type"]: r for r in rest["resource"]}
    unlisted = {"_text", "_content", "_filter", "_query", "near"}
    for kind in SAMPLE:
        names = {p["name"]: p["type"] for p in listed[kind]["searchParam"]}
        assert {"_id", "_lastUpdated", "_profile"} <= set(names)
        for name, form in names.items():
            if form == "composite":
                continue  # Their values depend on their parts.
            value = "x" if name == "_id" else VALUES[form]
            answer = await door.get(kind, params={name: value})
            assert answer.status_code == 200, f"{kind}?{name}={value}: {answer.text}"
        for name in unlisted - set(names):
            refusal(await door.get(kind, params={name: "x"}), 400)
        for include in listed[kind].get("searchInclude", []):
            assert (await door.get(kind, params={"_include": include})).status_code == 200
            assert (await door.get("Patient", params={"_revinclude": include})).status_code == 200
    assert "category" in {p["name"] for p in listed["MedicationDispense"]["searchParam"]}


async def test_each_interaction_of_the_capability_statement_works(door: httpx.AsyncClient) -> None:
    statement = (await door.get("metadata")).json()
    [listed] = [r for r in statement["rest"][0]["resource"] if r["type"] == "Patient"]
    names = {i["code"] for i in listed["interaction"]}
    calls = {
        "create": await door.post("Patient", json=patient("x")),
        "update": await door.put("Patient/cs", json=patient("cs")),
        "read": await door.get("Patient/cs"),
        "vread": await door.get("Patient/cs/_history/1"),
        "search-type": await door.get("Patient?_id=cs"),
        "patch": await door.patch(
            "Patient/cs",
            content=b'[{"op": "add", "path": "/active", "value": true}]',
            headers={"Content-Type": "application/json-patch+json"},
        ),
        "history-instance": await door.get("Patient/cs/_history"),
        "history-type": await door.get("Patient/_history"),
        "delete": await door.delete("Patient/cs"),
    }
    assert set(calls) == names
    assert all(answer.is_success for answer in calls.values())
    assert listed["updateCreate"] and listed["conditionalCreate"] and listed["readHistory"]
    assert listed["conditionalDelete"] == "single" and listed["conditionalRead"] == "full-support"


async def test_the_capability_statement_follows_the_definitions(door: httpx.AsyncClient) -> None:
    statement = (await door.get("metadata")).json()
    written = await door.post("CapabilityStatement", json=statement)
    assert written.status_code == 201, written.text
    as_xml = await door.get("metadata", headers={"Accept": XML})
    again = await door.post("CapabilityStatement", content=as_xml.content, headers={"Content-Type": XML})
    assert again.status_code == 201
