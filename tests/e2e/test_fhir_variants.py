"""What clients may write in more than one way, and mean the same: media types, preferences, addresses, conditions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import JSON, XML, entry, patient, refusal
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "variants") as make, running_node(make, ("a",)) as node:
        for door in (node["a"].internal, node["a"].internal_r4):
            made = patient("p1", gender="male", link=[{"other": {"reference": "Patient/x"}, "type": "refer"}])
            assert (await door.put("Patient/p1", json=made)).status_code == 201
        yield node


@pytest.fixture(params=["stu3", "r4"])
def door(node: RunningNode, request: pytest.FixtureRequest) -> httpx.AsyncClient:
    return node["a"].internal if request.param == "stu3" else node["a"].internal_r4


def base_of(door: httpx.AsyncClient) -> str:
    return str(door.base_url).rstrip("/")


# -- media types and preferences -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("application/fhir+json, application/json;q=0.9, */*;q=0.1", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", XML),
        ("application/fhir+xml;q=0.8, application/fhir+json", JSON),
        ("application/fhir+json;q=0.8,application/fhir+xml", XML),
        ("application/fhir+json;charset=UTF-8", JSON),
        ("application/fhir+json;fhirVersion=3.0, application/fhir+json;fhirVersion=4.0", JSON),
        ("application/json+fhir", JSON),
        ("Application/FHIR+JSON", JSON),
        ("text/plain, */*;q=0.5", JSON),
        ("*/*", JSON),
        ("", JSON),
    ],
)
async def test_the_format_that_is_liked_best_is_answered(
    door: httpx.AsyncClient, accept: str, media: str
) -> None:
    answer = await door.get("Patient/p1", headers={"Accept": accept})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith(media)


@pytest.mark.parametrize(
    ("given", "media"),
    [
        ("application/json", JSON),
        ("application/fhir%2Bjson", JSON),
        ("application/fhir+json", JSON),
        ("application/fhir%2Bjson%3Bcharset%3Dutf-8", JSON),
        ("JSON", JSON),
        ("text/xml", XML),
        ("application/fhir+xml", XML),
    ],
)
async def test_format_in_the_address_names_the_format(
    door: httpx.AsyncClient, given: str, media: str
) -> None:
    for path in ("Patient/p1", "Patient", "metadata", "_history", "Patient/p1/$meta"):
        answer = await door.get(f"{path}?_format={given}", headers={"Accept": "text/turtle"})
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(media), path


@pytest.mark.parametrize(
    "media",
    [
        "application/fhir+json; charset=UTF-8",
        'application/fhir+json; charset="utf-8"',
        "application/json;charset=utf-8",
        "APPLICATION/FHIR+JSON",
        "text/json",
    ],
)
async def test_a_body_may_say_its_charset(door: httpx.AsyncClient, media: str) -> None:
    body = b'{"resourceType":"Patient","id":"p2","name":[{"family":"J\xc3\xa4ger"}]}'
    answer = await door.put("Patient/p2", content=body, headers={"Content-Type": media})
    assert answer.is_success and answer.json()["name"][0]["family"] == "Jäger"


@pytest.mark.parametrize(
    ("prefer", "length", "strict"),
    [
        ("return=minimal", 0, True),
        ('return="minimal"', 0, True),
        ("return=minimal; handling=lenient", 0, False),
        ("handling=lenient, return=minimal", 0, False),
        ("return=representation, handling=strict", 1, True),
        ("respond-async, return=representation", 1, True),
        ("something=else", 1, True),
    ],
)
async def test_preferences_stand_together_in_one_header(
    door: httpx.AsyncClient, prefer: str, length: int, strict: bool
) -> None:
    headers = {"Prefer": prefer}
    written = await door.put("Patient/p3", json=patient("p3"), headers=headers)
    assert written.is_success and bool(written.content) == bool(length)
    searched = await door.get("Patient", params={"_id": "p1", "naam": "x"}, headers=headers)
    assert searched.status_code == (400 if strict else 200)


# -- addresses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["Patient/", "Patient/p1/", "metadata/", "Patient/p1/_history/", "Patient/p1/_history/1/", "?_id=p1"],
)
async def test_a_slash_at_the_end_changes_nothing(door: httpx.AsyncClient, path: str) -> None:
    with_slash, without = await door.get(path), await door.get(path.rstrip("/"))
    assert with_slash.status_code == without.status_code == 200
    assert with_slash.headers["content-type"] == without.headers["content-type"]
    one, other = with_slash.json(), without.json()
    if one.get("type") == "history":  # a feed says until when it is whole
        del one["meta"], other["meta"]
    assert one == other


async def test_the_base_is_the_same_with_and_without_a_slash(door: httpx.AsyncClient) -> None:
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", "Patient/p1")]}
    for address in (
        base_of(door),
        f"{base_of(door)}/",
        f"{base_of(door)}?",
        f"{base_of(door)}/?_format=json",
    ):
        answer = await door.post(address, json=bundle)
        assert answer.json()["entry"][0]["response"]["status"] == "200", address


@pytest.mark.parametrize("form", ["{}", "/{}", "{base}/{}"], ids=["relative", "from the base", "absolute"])
async def test_an_entry_names_its_address_in_any_form(door: httpx.AsyncClient, form: str) -> None:
    async def asked(method: str, url: str, **members: Any) -> dict[str, Any]:
        whole = form.replace("{base}", base_of(door)).replace("{}", url)
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry(method, whole, **members)]}
        answer: dict[str, Any] = (await door.post("", json=bundle)).json()["entry"][0]
        return answer

    for url in ("Patient/p1", "Patient/p1/", "Patient/p1/_history/1", "Patient/p1?_format=json"):
        assert (await asked("GET", url))["resource"]["gender"] == "male", url
    for url in ("Patient?_id=p1", "?_type=Patient&_id=p1", "Patient/?_id=p1"):
        assert (await asked("GET", url))["resource"]["total"] == 1, url
    written = await asked("PUT", "Patient/p4", resource=patient("p4"))
    assert written["response"]["status"][:3] in ("200", "201")


async def test_an_address_in_an_entry_keeps_the_slash_at_the_end_of_a_value(door: httpx.AsyncClient) -> None:
    system = "http://example.org/with/slash/"
    made = patient("p5", meta={"tag": [{"system": system, "code": "x"}]})
    assert (await door.put("Patient/p5", json=made)).is_success
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [entry("GET", f"Patient?_profile={system}")],
    }
    found = (await door.post("", json=bundle)).json()["entry"][0]["resource"]
    assert found["link"][0]["url"].endswith(system)


async def test_an_entry_for_another_server_is_not_here(door: httpx.AsyncClient) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            entry("GET", url)
            for url in ("http://elsewhere.example/fhir/Patient/p1", f"{base_of(door)}x/Patient/p1")
        ],
    }
    answer = (await door.post("", json=bundle)).json()
    assert [each["response"]["status"] for each in answer["entry"]] == ["404", "404"]


# -- search by POST --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("", "_id=p1&gender=male"),
        ("?_id=p1", "gender=male"),
        ("?_id=p1&gender=male", ""),
        ("?_format=json", "_id=p1&gender=male"),
    ],
)
async def test_a_search_by_post_takes_address_and_form_together(
    door: httpx.AsyncClient, query: str, form: str
) -> None:
    for media in ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=UTF-8"):
        headers = {"Content-Type": media}
        answer = await door.post(f"Patient/_search{query}", content=form, headers=headers)
        assert answer.json()["total"] == 1
        shown = answer.json()["link"][0]["url"]
        assert "_id=p1" in shown and "gender=male" in shown


async def test_what_address_and_form_say_both_applies(door: httpx.AsyncClient) -> None:
    both = await door.post("Patient/_search?gender=female", data={"_id": "p1"})
    assert both.json()["total"] == 0
    twice = await door.post("Patient/_search?_count=1", data={"_count": "2"})
    assert "_count" in refusal(twice, 400)
    assert "naam" in refusal(await door.post("Patient/_search?naam=x", data={"_id": "p1"}), 400)


# -- creating by condition, patching by merging ----------------------------------------------------------------


async def test_a_create_may_have_its_condition_in_the_address(door: httpx.AsyncClient) -> None:
    same = "identifier=http://example.org/variants|1"
    made = {
        "resourceType": "Patient",
        "identifier": [{"system": "http://example.org/variants", "value": "1"}],
    }
    answers = [await door.post(f"Patient?{same}", json=made) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    headers = {"If-None-Exist": same}
    assert "twice" in refusal(await door.post(f"Patient?{same}", json=made, headers=headers), 400)
    assert "naam" in refusal(await door.post("Patient?naam=x", json=made), 400)
    lenient = {"Prefer": "handling=lenient"}
    assert "naam" in refusal(await door.post("Patient?naam=x", json=made, headers=lenient), 400)
    assert "_count" in refusal(await door.post(f"Patient?{same}&_count=1", json=made), 400)


@pytest.mark.parametrize("media", ["application/merge-patch+json", "application/json"])
async def test_a_merge_patch_changes_what_it_names(door: httpx.AsyncClient, media: str) -> None:
    before = patient("p6", gender="male", active=True, name=[{"family": "A"}, {"family": "B"}])
    await door.put("Patient/p6", json={**before, "maritalStatus": {"text": "x", "coding": [{"code": "M"}]}})
    headers = {"Content-Type": media}
    change = {"gender": None, "name": [{"family": "C"}], "maritalStatus": {"text": "y"}}
    after = (await door.patch("Patient/p6", json=change, headers=headers)).json()
    assert "gender" not in after and after["active"] is True and after["name"] == [{"family": "C"}]
    assert after["maritalStatus"] == {"text": "y", "coding": [{"code": "M"}]}
    for member, value in (("id", "p7"), ("resourceType", "Observation"), ("naam", "x"), ("id", None)):
        refused = await door.patch("Patient/p6", json={member: value}, headers=headers)
        assert member in refusal(refused, 422)
    stale = await door.patch("Patient/p6", json={"active": False}, headers={**headers, "If-Match": 'W/"1"'})
    refusal(stale, 412)


async def test_what_calls_itself_fhir_is_no_merge_patch(door: httpx.AsyncClient) -> None:
    headers = {"Content-Type": JSON}
    assert "Parameters" in refusal(
        await door.patch("Patient/p1", json={"active": True}, headers=headers), 400
    )
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "Patient.gender"},
                    {"name": "value", "valueCode": "other"},
                ],
            }
        ],
    }
    await door.put("Patient/p8", json=patient("p8", gender="male"))
    for media in (JSON, "application/json"):
        answer = await door.patch("Patient/p8", json=parameters, headers={"Content-Type": media})
        assert answer.json()["gender"] == "other"
