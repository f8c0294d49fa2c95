"""`$document`: a composition with everything that it refers to, once each, as a Bundle that stands on its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import JSON, XML, entry, patient, refusal, transaction
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir import definitions, xml
from schakel.store.embedded import EmbeddedServer

FINDING = {"coding": [{"system": "http://snomed.info/sct", "code": "363788007"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "documents") as make, running_node(make, limits={"document": 12}) as node:
        yield node


@pytest.fixture(params=["stu3", "r4"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def door(node: RunningNode, version: str) -> httpx.AsyncClient:
    return node["a"].internal if version == "stu3" else node["a"].internal_r4


def to(reference: str) -> dict[str, str]:
    return {"reference": reference}


def composition(logical_id: str, *entries: str, **members: Any) -> dict[str, Any]:
    inner: dict[str, Any] = {"title": "inner"}
    if entries:
        inner["entry"] = [to(one) for one in entries]
    return {
        "resourceType": "Composition",
        "id": logical_id,
        "status": "final",
        "type": FINDING,
        "date": "2026-03-01",
        "title": "Overdracht",
        "subject": to(f"Patient/{logical_id}-p"),
        "author": [to(f"Practitioner/{logical_id}-pr")],
        "section": [{"title": "outer", "section": [inner]}],
        **members,
    }


def observation(logical_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": logical_id, "status": "final", "code": FINDING, **members}


async def put(door: httpx.AsyncClient, *resources: dict[str, Any]) -> None:
    entries = [entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in resources]
    answer = await door.post("", json=transaction(*entries))
    assert answer.status_code == 200, answer.text


async def base_set(door: httpx.AsyncClient, name: str) -> None:
    await put(
        door,
        patient(f"{name}-p", managingOrganization=to(f"Organization/{name}-o")),
        {"resourceType": "Practitioner", "id": f"{name}-pr"},
        {
            "resourceType": "Organization",
            "id": f"{name}-o",
            "name": "Zorg",
            "partOf": to(f"Organization/{name}-o2"),
        },
        {
            "resourceType": "Organization",
            "id": f"{name}-o2",
            "name": "Groep",
            "partOf": to(f"Organization/{name}-o"),
        },
    )


def keys(bundle: dict[str, Any]) -> list[str]:
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"]]


async def test_a_document_holds_what_its_composition_leads_to_once_each(
    door: httpx.AsyncClient, version: str
) -> None:
    await base_set(door, "d1")
    await put(
        door,
        observation("d1-a", subject=to("Patient/d1-p"), performer=[to("Practitioner/d1-pr")]),
        observation("d1-b", subject=to("Patient/d1-p"), specimen=to("Specimen/d1-s")),
        {"resourceType": "Specimen", "id": "d1-s", "subject": to("Patient/d1-p")},
        observation("d1-other", subject=to("Patient/d1-p")),
        composition("d1", "Observation/d1-a", "Observation/d1-b", "Observation/d1-a"),
    )
    answer = await door.get("Composition/d1/$document")
    assert answer.status_code == 200 and "Warning" not in answer.headers
    bundle = answer.json()
    assert keys(bundle)[0] == "Composition/d1"
    assert sorted(keys(bundle)[1:]) == sorted(
        [
            "Patient/d1-p",
            "Practitioner/d1-pr",
            "Observation/d1-a",
            "Observation/d1-b",
            "Specimen/d1-s",
            "Organization/d1-o",
            "Organization/d1-o2",
        ]
    )
    assert bundle["type"] == "document" and "total" not in bundle and "id" not in bundle
    assert bundle["identifier"]["system"] == "urn:ietf:rfc:3986"
    uuid.UUID(bundle["identifier"]["value"].removeprefix("urn:uuid:"))
    assert ("timestamp" in bundle) == (version == "r4") and bundle["meta"]["lastUpdated"]
    base = str(door.base_url).rstrip("/")
    assert [e["fullUrl"] for e in bundle["entry"]] == [f"{base}/{key}" for key in keys(bundle)]
    assert all(set(e) == {"fullUrl", "resource"} for e in bundle["entry"])
    again = (await door.post("Composition/$document", params={"id": "d1"})).json()
    assert keys(again) == keys(bundle) and again["identifier"] != bundle["identifier"]
    checked = await door.post("Bundle/$validate", json=bundle)
    errors = [i for i in checked.json()["issue"] if i["severity"] in ("error", "fatal")]
    assert not [i for i in errors if "bdl" in str(i)], errors


async def test_extensions_of_the_composition_are_followed_and_those_further_away_are_not(
    door: httpx.AsyncClient,
) -> None:
    await base_set(door, "d2")

    def beside(reference: str) -> list[dict[str, Any]]:
        return [{"url": "http://example.org/beside", "valueReference": to(reference)}]

    await put(
        door,
        observation("d2-near", extension=beside("Observation/d2-far")),
        observation("d2-far"),
        observation("d2-held"),
        composition(
            "d2",
            "#in",
            extension=beside("Observation/d2-near"),
            contained=[
                {**observation("in"), "subject": to("Patient/d2-p"), "performer": [to("Practitioner/d2-pr")]}
            ],
        ),
    )
    found = keys((await door.get("Composition/d2/$document")).json())
    assert "Observation/d2-near" in found and "Observation/d2-far" not in found


async def test_another_version_of_a_composition_is_no_part_of_its_document(door: httpx.AsyncClient) -> None:
    await base_set(door, "d3")
    older = {"code": "replaces", "targetReference": to("Composition/d3-old")}
    await put(door, {**composition("d3"), "id": "d3-old"}, composition("d3", relatesTo=[older]))
    bundle = (await door.get("Composition/d3/$document")).json()
    assert "Composition/d3-old" not in keys(bundle)
    assert bundle["entry"][0]["resource"]["relatesTo"] == [older]


async def test_what_is_not_here_stays_a_reference_and_is_named(door: httpx.AsyncClient) -> None:
    await base_set(door, "d4")
    gone, never, away = (
        "Observation/d4-gone",
        "Observation/d4-never",
        "https://example.org/fhir/Observation/1",
    )
    await put(door, observation("d4-gone"), composition("d4", gone, never, away))
    assert (await door.delete(gone)).status_code == 204
    answer = await door.get("Composition/d4/$document")
    assert answer.status_code == 200
    assert gone in answer.headers["Warning"] and never in answer.headers["Warning"]
    assert "example.org" not in answer.headers["Warning"]
    bundle = answer.json()
    assert not [key for key in keys(bundle) if key.startswith(("Observation", "OperationOutcome"))]
    inner = bundle["entry"][0]["resource"]["section"][0]["section"][0]["entry"]
    assert [one["reference"] for one in inner] == [gone, never, away]


async def test_a_reference_to_a_version_brings_that_version(door: httpx.AsyncClient) -> None:
    await base_set(door, "d5")
    for text in ("first", "second"):
        await door.put("Observation/d5-o", json=observation("d5-o", valueString=text))
    old, new = "Observation/d5-o/_history/1", "Observation/d5-o/_history/2"
    missing = f"Observation/d5-o/_history/{'9' * 30}"
    await put(door, composition("d5", old, new, "Observation/d5-o", missing))
    answer = await door.get("Composition/d5/$document")
    values = [r["valueString"] for e in answer.json()["entry"] if "valueString" in (r := e["resource"])]
    assert sorted(values) == ["first", "second"]
    assert "Observation/d5-o" in answer.headers["Warning"]


async def test_a_reference_to_our_other_address_leads_to_its_entry(
    node: RunningNode, door: httpx.AsyncClient, version: str
) -> None:
    await base_set(door, "d6")
    front = f"{node['a'].front_root}/a/fhir/{version}"
    neighbour = f"{node['b'].internal_root}/b/fhir/{version}/Observation/d6-o"
    await put(door, observation("d6-o"), composition("d6", f"{front}/Observation/d6-o", neighbour))
    await door.put(
        "Observation/d6-o",
        content='{"resourceType":"Observation","id":"d6-o","status":"final","code":{"text":"x"},'
        f'"subject":{{"reference":"{front}/Patient/d6-p"}},"valueQuantity":{{"value":1.50}}}}',
        headers={"Content-Type": JSON},
    )
    answer = await door.get("Composition/d6/$document")
    bundle = answer.json()
    base = str(door.base_url).rstrip("/")
    inner = bundle["entry"][0]["resource"]["section"][0]["section"][0]["entry"]
    assert [one["reference"] for one in inner] == [f"{base}/Observation/d6-o", neighbour]
    assert f'"reference":"{base}/Patient/d6-p"' in answer.text and '"value":1.50' in answer.text
    assert {f"{base}/Observation/d6-o", f"{base}/Patient/d6-p"} <= {e["fullUrl"] for e in bundle["entry"]}


async def test_a_document_is_kept_when_that_is_asked(door: httpx.AsyncClient) -> None:
    await base_set(door, "d7")
    await put(door, composition("d7"))
    before = (await door.get("Bundle?_summary=count")).json()["total"]
    asked = {"resourceType": "Parameters", "parameter": [{"name": "persist", "valueBoolean": True}]}
    for answer in (
        await door.get("Composition/d7/$document?persist=true"),
        await door.post("Composition/d7/$document", json=asked),
    ):
        assert answer.status_code == 200
        bundle = answer.json()
        assert answer.headers["Location"].endswith(f"Bundle/{bundle['id']}/_history/1")
        assert answer.headers["ETag"] == 'W/"1"'
        assert (await door.get(f"Bundle/{bundle['id']}")).json() == bundle
    for query in ("", "?persist=false"):
        assert "Location" not in (await door.get(f"Composition/d7/$document{query}")).headers
    assert (await door.get("Bundle?_summary=count")).json()["total"] == before + 2


async def test_a_document_in_xml(door: httpx.AsyncClient, version: str) -> None:
    await base_set(door, "d8")
    await put(door, composition("d8"))
    answer = await door.get("Composition/d8/$document", headers={"Accept": XML})
    assert answer.headers["content-type"].startswith(XML)
    bundle = xml.parse(answer.content, definitions("stu3" if version == "stu3" else "r4"))
    assert bundle["type"] == "document" and keys(bundle)[0] == "Composition/d8"
    body = '<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="id"/><valueUri value="Composition/d8"/>'
    answer = await door.post(
        "Composition/$document",
        content=f"{body}</parameter></Parameters>",
        headers={"Content-Type": XML, "Accept": XML},
    )
    again = xml.parse(answer.content, definitions("stu3" if version == "stu3" else "r4"))
    assert keys(again) == keys(bundle)


async def test_a_document_has_at_most_so_many_resources(door: httpx.AsyncClient) -> None:
    await base_set(door, "d9")
    for number in range(9):
        await door.put(f"Observation/d9-{number}", json=observation(f"d9-{number}"))
    fitting = [f"Observation/d9-{number}" for number in range(8)]
    await put(door, composition("d9", *fitting))
    assert (await door.get("Composition/d9/$document")).status_code == 200
    await put(door, composition("d9", *fitting, "Observation/d9-8"))
    assert "limits.document" in refusal(await door.get("Composition/d9/$document"), 400)


async def test_which_composition_must_be_said_once_and_be_here(door: httpx.AsyncClient) -> None:
    await base_set(door, "d10")
    await put(door, composition("d10"))
    base = str(door.base_url).rstrip("/")
    for name in ("d10", "Composition/d10", f"{base}/Composition/d10"):
        assert (
            keys((await door.get("Composition/$document", params={"id": name})).json())[0]
            == "Composition/d10"
        )
    refusal(await door.get("Composition/unknown/$document"), 404)
    refusal(await door.get("Composition/$document?id=unknown"), 404)
    await door.delete("Composition/d10")
    refusal(await door.get("Composition/d10/$document"), 410)
    for url, named in {
        "Composition/$document": "id is needed",
        "Composition/d10/$document?id=d10": "once",
        "Composition/$document?id=https://example.org/Composition/1": "not fetched",
        "Composition/$document?id=Patient/1": "Composition",
        "Composition/d10/$document?graph=http://example.org/g": "'graph'",
        "Composition/d10/$document?persist=maybe": "boolean",
        "Composition/d10/$document?persist=true&persist=true": "once",
        "Composition/d10/$document?other=1": "'other'",
        "Patient/d10/$document": "$document",
    }.items():
        assert named in refusal(await door.get(url), 400), url
    wrong = {"resourceType": "Parameters", "parameter": [{"name": "persist", "valueString": "true"}]}
    assert "boolean" in refusal(await door.post("Composition/d10/$document", json=wrong), 400)
    assert "Parameters" in refusal(await door.post("Composition/d10/$document", json=patient("x")), 400)


async def test_a_neighbour_has_no_part_in_a_document(node: RunningNode, version: str) -> None:
    def own(slug: str) -> httpx.AsyncClient:
        return node[slug].internal if version == "stu3" else node[slug].internal_r4

    await base_set(own("a"), "d11")
    await put(own("a"), composition("d11", "Observation/d11-theirs"))
    await put(own("b"), observation("d11-theirs"))
    answer = await own("a").get("Composition/d11/$document")
    assert "Observation/d11-theirs" not in keys(answer.json())
    refusal(await own("b").get("Composition/d11/$document"), 404)


async def test_the_capability_statement_names_the_operation(door: httpx.AsyncClient, version: str) -> None:
    [rest] = (await door.get("metadata")).json()["rest"]
    if version == "r4":
        [resource] = [one for one in rest["resource"] if one["type"] == "Composition"]
        offered = {one["name"]: one["definition"] for one in resource["operation"]}
    else:
        offered = {one["name"]: one["definition"]["reference"] for one in rest["operation"]}
    assert offered["document"] == "http://hl7.org/fhir/OperationDefinition/Composition-document"
