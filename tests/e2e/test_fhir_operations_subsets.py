"""`_summary` and `_elements`: reading a part of a resource, and not writing it back over the whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import JSON, XML, entry, patient, refusal, transaction
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir import definitions, xml
from schakel.fhir.subsets import SUBSETTED
from schakel.store.embedded import EmbeddedServer

TEXT = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">words</div>'}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "subsets") as make, running_node(make) as node:
        for door in (node["a"].internal, node["a"].internal_r4):
            organisation = {"resourceType": "Organization", "id": "o", "name": "Zorg", "text": TEXT}
            await door.put("Organization/o", json=organisation)
            for name in ("s1", "s2", "s3"):
                answer = await door.put(f"Patient/{name}", json=full(name))
                assert answer.status_code == 201, answer.text
            weight = (
                '{"resourceType":"Observation","id":"w","status":"final","code":{"text":"weight"},'
                '"valueQuantity":{"value":80.50,"unit":"kg"},"bodySite":{"text":"left out"}}'
            )
            await door.put("Observation/w", content=weight, headers={"Content-Type": JSON})
        yield node


@pytest.fixture(params=["stu3", "r4"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def door(node: RunningNode, version: str) -> httpx.AsyncClient:
    return node["a"].internal if version == "stu3" else node["a"].internal_r4


def full(logical_id: str) -> dict[str, Any]:
    return patient(
        logical_id,
        text=TEXT,
        active=True,
        name=[{"family": "Jansen"}],
        birthDate="1980-01-01",
        maritalStatus={"text": "single"},
        managingOrganization={"reference": "Organization/o"},
    )


def tag(version: str) -> dict[str, str]:
    return {"system": SUBSETTED["stu3" if version == "stu3" else "r4"], "code": "SUBSETTED"}


SUMMARY = {"resourceType", "id", "meta", "active", "name", "birthDate", "managingOrganization"}
PARTS = {
    "_summary=true": SUMMARY,
    "_summary=text": {"resourceType", "id", "meta", "text"},
    "_summary=data": SUMMARY | {"maritalStatus"},
    "_elements=birthDate": {"resourceType", "id", "meta", "birthDate", "active"},
    "_elements=maritalStatus,text": {"resourceType", "id", "meta", "maritalStatus", "text", "active"},
}


@pytest.mark.parametrize("query", PARTS)
async def test_a_part_is_read_searched_and_found_in_a_history(
    door: httpx.AsyncClient, version: str, query: str
) -> None:
    read = await door.get(f"Patient/s1?{query}")
    assert read.status_code == 200 and read.headers["ETag"] == 'W/"1"'
    part = read.json()
    assert set(part) == PARTS[query] and part["meta"]["tag"] == [tag(version)]
    assert (await door.get(f"Patient/s1/_history/1?{query}")).json() == part
    [found] = (await door.get(f"Patient?_id=s1&{query}")).json()["entry"]
    assert found["resource"] == part
    for path in ("Patient/s1/_history", "Patient/_history", "_history"):
        bundle = (await door.get(f"{path}?{query}")).json()
        assert part in [e["resource"] for e in bundle["entry"]], path
        assert query in bundle["link"][0]["url"]


async def test_the_whole_has_no_tag(door: httpx.AsyncClient) -> None:
    whole = (await door.get("Patient/s1")).json()
    assert (await door.get("Patient/s1?_summary=false")).json() == whole and "tag" not in whole["meta"]
    [found] = (await door.get("Patient?_id=s1&_summary=false")).json()["entry"]
    assert found["resource"] == whole


async def test_a_part_in_xml_and_with_every_digit(door: httpx.AsyncClient, version: str) -> None:
    answer = await door.get("Observation/w?_summary=true&_format=xml")
    assert answer.headers["content-type"].startswith(XML) and 'value="80.50"' in answer.text
    part = xml.parse(answer.content, definitions("stu3" if version == "stu3" else "r4"))
    assert "bodySite" not in part and part["meta"]["tag"] == [tag(version)]
    assert '"value":80.50' in (await door.get("Observation?_id=w&_elements=value")).text


async def test_pages_and_includes_are_parts_too(door: httpx.AsyncClient, version: str) -> None:
    query = "Patient?_id=s1,s2,s3&_count=2&_include=Patient:organization"
    first = (await door.get(f"{query}&_summary=true")).json()
    [following] = [link["url"] for link in first["link"] if link["relation"] == "next"]
    for bundle in (first, (await door.get(following)).json()):
        for e in bundle["entry"]:
            assert "text" not in e["resource"] and e["resource"]["meta"]["tag"] == [tag(version)]
    first = (await door.get(f"{query}&_elements=birthDate")).json()
    [following] = [link["url"] for link in first["link"] if link["relation"] == "next"]
    for bundle in (first, (await door.get(following)).json()):
        included = [e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "include"]
        assert [one["text"] for one in included] == [TEXT] and "tag" not in included[0]["meta"]
        parts = [set(e["resource"]) for e in bundle["entry"] if e["search"]["mode"] == "match"]
        assert all(part == PARTS["_elements=birthDate"] for part in parts)


async def test_a_count_has_no_resources(door: httpx.AsyncClient) -> None:
    bundle = (await door.get("Patient?_id=s1,s2&_summary=count")).json()
    assert bundle["total"] == 2 and "entry" not in bundle


async def test_the_capability_statement_has_a_summary(door: httpx.AsyncClient, version: str) -> None:
    part = (await door.get("metadata?_summary=true")).json()
    assert part["resourceType"] == "CapabilityStatement" and part["fhirVersion"]
    assert part["meta"]["tag"] == [tag(version)]
    assert all("searchParam" not in one for one in part["rest"][0]["resource"])


async def test_entries_of_a_bundle_read_parts(door: httpx.AsyncClient) -> None:
    for kind in ("batch", "transaction"):
        bundle = transaction(entry("GET", "Patient/s1?_elements=birthDate")) | {"type": kind}
        [read] = (await door.post("", json=bundle)).json()["entry"]
        assert set(read["resource"]) == PARTS["_elements=birthDate"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("_summary=some", "_summary"),
        ("_summary=count", "searches"),
        ("_elements=nome", "nome"),
        ("_elements=", "_elements"),
        ("_elements=Observation.code", "Observation.code"),
        ("_summary=true&_summary=text", "once"),
        ("_summary=true&_elements=name", "together"),
        ("_total=none", "_total"),
    ],
)
async def test_what_cannot_be_asked_of_a_read(door: httpx.AsyncClient, query: str, named: str) -> None:
    assert named in refusal(await door.get(f"Patient/s1?{query}"), 400)


async def test_what_cannot_be_asked_of_a_search(door: httpx.AsyncClient) -> None:
    assert "together" in refusal(await door.get("Patient?_summary=true&_elements=name"), 400)
    for include in ("_include=Patient:organization", "_revinclude=Observation:subject"):
        assert "includes" in refusal(await door.get(f"Patient?_summary=text&{include}"), 400)


async def test_a_part_is_not_written_over_the_whole(door: httpx.AsyncClient) -> None:
    part = (await door.get("Patient/s2?_summary=true")).json()
    assert "SUBSETTED" in refusal(await door.put("Patient/s2", json=part), 422)
    assert "SUBSETTED" in refusal(await door.post("Patient", json=part), 422)
    refusal(await door.post("", json=transaction(entry("PUT", "Patient/s2", part))), 422)
    label = [{"op": "add", "path": "/meta/tag", "value": part["meta"]["tag"]}]
    patched = await door.patch(
        "Patient/s2", json=label, headers={"Content-Type": "application/json-patch+json"}
    )
    refusal(patched, 422)
    assert (await door.get("Patient/s2")).json()["meta"]["versionId"] == "1"
    for other in (SUBSETTED["stu3"], SUBSETTED["r4"]):
        part["meta"]["tag"] = [{"system": other, "code": "SUBSETTED"}]
        refusal(await door.put("Patient/s2", json=part), 422)
    part["meta"].pop("tag")
    part["id"] = "s2-all-there-is"
    assert (await door.put("Patient/s2-all-there-is", json=part)).status_code == 201


async def test_the_guarded_door_reads_whole(node: RunningNode) -> None:
    token = await node["b"].token(node["a"])
    headers = {"Authorization": f"Bearer {token}"}
    for query in ("_summary=true", "_elements=birthDate"):
        answer = await node["a"].front.get(f"Patient/s1?{query}", headers=headers)
        assert "whole" in refusal(answer, 400)
