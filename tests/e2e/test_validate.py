"""`$validate` over HTTP: what it takes, what it says, and what it looks for beside the resource."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import JSON, XML, patient, refusal
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir import definitions, xml
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "validate") as make, running_node(make, ("a",)) as node:
        yield node


@pytest.fixture(params=["stu3", "r4"])
def door(node: RunningNode, request: pytest.FixtureRequest) -> httpx.AsyncClient:
    return node["a"].internal_r4 if request.param == "r4" else node["a"].internal


def found(answer: httpx.Response, severity: str = "error") -> list[str]:
    """The places of the issues of a severity; the answer is an OperationOutcome with status 200."""
    assert answer.status_code == 200, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    issues = [issue for issue in outcome["issue"] if issue["severity"] == severity]
    return [place for issue in issues for place in issue.get("expression", [""])]


def parameters(**values: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, **value} for name, value in values.items()],
    }


async def test_a_sound_resource_is_all_ok_in_json_and_xml(door: httpx.AsyncClient) -> None:
    body = patient("v1", gender="male")
    known = definitions("r4" if "/r4" in str(door.base_url) else "stu3")
    in_xml = {"content": xml.dump(body, known), "headers": {"Content-Type": XML, "Accept": JSON}}

    for path in ("Patient/$validate", "$validate", "Patient/v1/$validate"):
        for answer in (await door.post(path, json=body), await door.post(path, **in_xml)):  # type: ignore[arg-type]
            assert found(answer) == [] and found(answer, "information") == [""]
            assert "all OK" in answer.text


async def test_what_is_wrong_is_told_with_its_place(door: httpx.AsyncClient) -> None:
    body = patient("v2", gender="blue", name=[{"famly": "X"}], contact=[{"gender": "male"}])
    answer = await door.post("Patient/$validate", json=body)

    assert found(answer) == ["Patient.gender", "Patient.name[0].famly", "Patient.contact[0]"]


async def test_the_resource_may_come_in_parameters_with_mode_and_profile(door: httpx.AsyncClient) -> None:
    profile = "http://example.org/StructureDefinition/ours"
    answer = await door.post(
        "Patient/$validate",
        json=parameters(
            resource={"resource": {"resourceType": "Patient", "active": True}},
            mode={"valueCode": "update"},
            profile={"valueUri": profile},
        ),
    )

    assert found(answer) == ["Patient.id"]
    assert found(answer, "warning") == ["Patient"] and f"could not check the profile {profile}" in answer.text


async def test_a_stored_resource_is_validated_without_a_body(door: httpx.AsyncClient) -> None:
    await door.put("Patient/stored", json=patient("stored", contact=[{"gender": "male"}]))

    assert found(await door.get("Patient/stored/$validate")) == ["Patient.contact[0]"]
    assert found(await door.get("Patient/stored/$validate?mode=delete")) == []
    assert len(found(await door.post("Patient/nobody/$validate?mode=delete"))) == 1
    refusal(await door.get("Patient/nobody/$validate"), 404)


async def test_a_resource_in_the_wrong_place_is_an_error(door: httpx.AsyncClient) -> None:
    other = {"resourceType": "Practitioner", "id": "x", "active": True}

    assert found(await door.post("Patient/$validate", json=other)) == ["Practitioner"]
    assert found(await door.post("Practitioner/y/$validate", json=other)) == ["Practitioner.id"]
    assert found(await door.post("$validate", json=other)) == []


async def test_a_call_without_sense_is_refused_by_name(door: httpx.AsyncClient) -> None:
    body = patient("v3", active=True)

    assert "mode" in refusal(await door.post("Patient/$validate?mode=destroy", json=body), 400)
    assert "colour" in refusal(await door.post("Patient/$validate?colour=red", json=body), 400)
    assert "colour" in refusal(
        await door.post("Patient/$validate", json=parameters(colour={"valueCode": "red"})), 400
    )
    assert "resource" in refusal(await door.post("Patient/$validate", json=parameters()), 400)
    assert "Type/id" in refusal(await door.post("Patient/$validate?mode=delete", json=body), 400)
    broken = await door.post("Patient/$validate", content=b'{"resourceType":', headers={"Content-Type": JSON})
    assert "not JSON" in refusal(broken, 400)


async def test_answers_are_compared_with_a_questionnaire_that_is_stored(node: RunningNode) -> None:
    door = node["a"].internal_r4
    questionnaire = {
        "resourceType": "Questionnaire",
        "id": "q",
        "url": "http://example.org/Questionnaire/q",
        "status": "active",
        "item": [{"linkId": "1", "type": "choice", "answerValueSet": "http://example.org/ValueSet/v"}],
    }
    value_set = {
        "resourceType": "ValueSet",
        "id": "v",
        "url": "http://example.org/ValueSet/v",
        "status": "active",
        "compose": {"include": [{"system": "urn:s", "concept": [{"code": "yes"}]}]},
    }

    def response(code: str) -> dict[str, Any]:
        answer = {"valueCoding": {"system": "urn:s", "code": code}}
        return {
            "resourceType": "QuestionnaireResponse",
            "questionnaire": questionnaire["url"],
            "status": "completed",
            "item": [{"linkId": "1", "answer": [answer]}],
        }

    before = await door.post("QuestionnaireResponse/$validate", json=response("no"))
    assert found(before) == [] and "could not check the answers" in before.text

    for resource in (questionnaire, value_set):
        written = await door.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert written.status_code == 201, written.text

    place = "QuestionnaireResponse.item[0].answer[0]"
    assert found(await door.post("QuestionnaireResponse/$validate", json=response("no"))) == [place]
    assert found(await door.post("QuestionnaireResponse/$validate", json=response("yes"))) == []
