"""What the FHIR API does not have is refused by name; what a setting forbids or allows is so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from lxml import etree
from tests.fhir_door import JSON, XML, entry, patient, refusal, transaction
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "refusals") as make, running_node(make, ("a",), erasure="test") as node:
        yield node


@pytest.fixture
def door(node: RunningNode) -> httpx.AsyncClient:
    return node["a"].internal


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lenient(cluster: EmbeddedServer) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        databases(cluster, "lenient") as make,
        running_node(make, ("a",), write_check="lenient") as node,
    ):
        yield node["a"].internal


# -- what there is not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "named"),
    [
        ("GET", "?_type=Nobody", 400, "Nobody"),
        ("GET", "_history?_type=Patient", 400, "_type"),
        ("GET", "Patient/1/Nobody", 400, "Nobody"),
        ("GET", "Patient/1/_tags", 400, "_tags"),
        ("GET", "Patient/1/Observation/1", 404, "path"),
        ("GET", "Observation/$everything", 400, "$everything"),
        ("GET", "Observation/1/$everything", 400, "$everything"),
        ("POST", "Patient/$validate", 400, "$validate"),
        ("POST", "$process-message", 400, "$process-message"),
        ("GET", "Patient/$lastn", 400, "$lastn"),
        ("GET", "Patient?nome=x", 400, "nome"),
        ("GET", "Patient/1?_summary=count", 400, "_summary"),
        ("GET", "Patient/1?_elements=nome", 400, "_elements"),
        ("PUT", "Patient?_format=json", 400, "condition"),
        ("PATCH", "Patient/1", 415, "json-patch"),
        ("PATCH", "Patient", 405, "PATCH"),
        ("GET", "_search", 405, "GET"),
        ("DELETE", "_history", 405, "DELETE"),
        ("POST", "Patient/1/Observation", 405, "POST"),
        ("PUT", "Patient", 405, "PUT"),
        ("DELETE", "Patient", 405, "DELETE"),
        ("POST", "Patient/1", 405, "POST"),
        ("POST", "Patient/1/_history/1", 405, "POST"),
        ("DELETE", "Patient/1/_history/1", 405, "DELETE"),
        ("POST", "metadata", 405, "POST"),
        ("GET", "Patient/1/$purge", 405, "GET"),
        ("GET", "Patient/_search", 405, "GET"),
        ("PUT", "", 405, "PUT"),
        ("OPTIONS", "Patient", 405, "OPTIONS"),
        ("GET", "Nobody", 404, "Nobody"),
        ("GET", "patient/1", 404, "patient"),
        ("GET", "Nobody/1", 404, "Nobody"),
        ("GET", "Patient/a_b", 400, "id"),
        ("GET", "Patient/" + "x" * 65, 400, "id"),
    ],
)
async def test_what_is_not_supported_is_refused_by_name(
    door: httpx.AsyncClient, method: str, path: str, status: int, named: str
) -> None:
    answer = await door.request(method, path)
    assert named in refusal(answer, status)
    if status == 405:
        assert method not in answer.headers["allow"].split(", ")


async def test_another_fhir_version_is_not_served(node: RunningNode, door: httpx.AsyncClient) -> None:
    for version in ("r5", "STU3", "x"):
        answer = await door.get(f"{node['a'].internal_root}/a/fhir/{version}/Patient")
        assert "version" in refusal(answer, 404)
    refusal(await door.get(f"{node['a'].internal_root}/a/fhir/stu3/Patient/x%0Ay"), 404)


async def test_an_organisation_that_is_not_here_is_no_ones(
    node: RunningNode, door: httpx.AsyncClient
) -> None:
    refusal(await door.get(f"{node['a'].internal_root}/nobody/fhir/stu3/Patient"), 403)
    refusal(await node["a"].front.get(f"{node['a'].front_root}/nobody/fhir/stu3/Patient"), 404)


# -- lenient writing --------------------------------------------------------------------------------


TWO_PERFORMERS = {
    "resourceType": "Procedure",
    "id": "two",
    "status": "completed",
    "subject": {"reference": "Patient/p"},
    "performer": [{"actor": [{"reference": "Practitioner/a"}, {"reference": "Practitioner/b"}]}],
}


async def test_strict_writing_refuses_more_than_the_maximum(door: httpx.AsyncClient) -> None:
    text = refusal(await door.put("Procedure/two", json=TWO_PERFORMERS), 422)
    assert "Procedure.performer[0].actor" in text
    refusal(await door.get("Procedure/two"), 404)


async def test_lenient_writing_keeps_more_than_the_maximum_and_says_so(lenient: httpx.AsyncClient) -> None:
    answer = await lenient.put("Procedure/two", json=TWO_PERFORMERS)
    assert answer.status_code == 201
    assert (
        answer.headers["warning"].startswith("199 ")
        and "Procedure.performer[0].actor" in answer.headers["warning"]
    )
    for performer in ("a", "b"):
        found = (await lenient.get(f"Procedure?performer=Practitioner/{performer}")).json()
        assert found["entry"][0]["resource"]["performer"] == TWO_PERFORMERS["performer"]
    as_xml = (await lenient.get("Procedure/two", headers={"Accept": XML})).text
    assert as_xml.count("<actor>") == 2


async def test_a_lenient_transaction_says_what_it_kept_at_the_entry(lenient: httpx.AsyncClient) -> None:
    bundle = transaction(
        entry("PUT", "Patient/p", patient("p")), entry("PUT", "Procedure/two", TWO_PERFORMERS)
    )
    out = (await lenient.post("", json=bundle)).json()["entry"]
    assert "outcome" not in out[0]["response"]
    [issue] = out[1]["response"]["outcome"]["issue"]
    assert issue["severity"] == "warning" and issue["expression"] == ["Procedure.performer[0].actor"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("Patient/1/$meta?M%1Dz=&_format=text%2Fxml", {}),
        ("Patient?M%1Dz=1", {"Accept": XML}),
        ("Patient?birthdate=%00%1D", {"Accept": XML}),
        ("Patient?_sort=%EF%BF%BF", {"Accept": XML}),
        ("Patient?_sort=%ED%A0%80", {"Accept": XML}),
        ("Patient/%08", {"Accept": XML}),
    ],
)
async def test_what_xml_cannot_say_of_a_question_is_quoted_without_it(
    door: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    answer = await door.get(path, headers=headers)
    assert answer.status_code < 500 and answer.headers["content-type"].startswith(XML), answer.text
    etree.fromstring(answer.content)
    as_json = await door.get(path.replace("&_format=text%2Fxml", ""), headers={**headers, "Accept": JSON})
    assert as_json.status_code == answer.status_code
    assert all(one.isprintable() for issue in as_json.json()["issue"] for one in issue["diagnostics"])


async def test_what_xml_cannot_say_of_a_resource_is_quoted_without_it(door: httpx.AsyncClient) -> None:
    body = {**patient("p"), "ge\x01nder": "male", "active": "\ud800"}
    for told in (json.dumps(body), json.dumps(transaction(entry("PUT", "Patient/p", body)))):
        answer = await door.post(
            "Patient" if "transaction" not in told else "",
            content=told,
            headers={"Content-Type": JSON, "Accept": XML},
        )
        assert answer.status_code in (400, 422), answer.text
        etree.fromstring(answer.content)


@pytest.mark.parametrize(
    "members",
    [
        {"meta": [{"profile": ["http://x"]}, {}]},
        {"id": ["x", "y"]},
        {"name": [{"id": ["x", "y"], "text": "x"}]},
        {"language": ["nl", "en"], "_language": {"id": "x"}},
        {"naam": "x"},
        {"birthDate": "1980-13"},
    ],
)
async def test_lenient_writing_is_not_careless(lenient: httpx.AsyncClient, members: dict[str, Any]) -> None:
    answer = await lenient.put("Patient/x", json={**patient("x"), **members})
    assert answer.status_code in (400, 422), answer.text


async def test_a_value_too_many_that_is_indexed_does_not_hinder_a_lenient_write(
    lenient: httpx.AsyncClient,
) -> None:
    odd = patient(
        "odd",
        gender=["male", "female"],
        birthDate=["1980-01-01", "1981-01-01"],
        deceasedBoolean=[True, False],
        identifier=[{"system": ["a", "b"], "value": ["1", "2"]}],
        managingOrganization=[{"reference": ["Organization/1", "Organization/2"]}],
    )
    answer = await lenient.put("Patient/odd", json=odd)
    assert answer.status_code == 201, answer.text
    read = (await lenient.get("Patient/odd")).json()
    assert {name: read[name] for name in odd} == odd
    assert (await lenient.get("Patient?gender=female")).json()["total"] == 1


# -- erasing --------------------------------------------------------------------------------


async def test_a_patient_is_purged_with_all_that_is_theirs(
    node: RunningNode, door: httpx.AsyncClient
) -> None:
    await door.put("Patient/pu", json=patient("pu"))
    basic = {
        "resourceType": "Basic",
        "id": "pu-b",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/pu"},
    }
    await door.put("Basic/pu-b", json=basic)
    answer = await door.post("Patient/pu/$purge")
    assert (answer.status_code, answer.content) == (204, b"")
    refusal(await door.get("Patient/pu"), 404)
    refusal(await door.get("Basic/pu-b/_history/1"), 404)
    assert (await door.post("Patient/pu/$purge")).status_code == 204
    assert await node.node.pool.fetchval("SELECT count(*) FROM erasure") >= 2
    again = await door.put("Patient/pu", json=patient("pu"))
    assert (again.status_code, again.headers["etag"]) == (201, 'W/"1"')


async def test_purging_is_refused_unless_it_was_set(lenient: httpx.AsyncClient) -> None:
    await lenient.put("Patient/pu", json=patient("pu"))
    refusal(await lenient.post("Patient/pu/$purge"), 403)
    assert (await lenient.get("Patient/pu")).status_code == 200
