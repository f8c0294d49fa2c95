"""What goes in and out in JSON and in XML is the same, to the last digit, in the format that was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fhir_door import JSON, XML, patient, refusal
from tests.generated import resources
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir import definitions, json, xml
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "formats") as make, running_node(make, ("a",), erasure="test") as node:
        yield node


@pytest.fixture
def door(node: RunningNode) -> httpx.AsyncClient:
    return node["a"].internal


EXACT = (
    b'{"resourceType":"Observation","id":"exact","extension":[{"url":"http://unknown.example/x",'
    b'"valueDecimal":1.000000000000000000000000010}],"status":"final","_status":{"extension":[{"url":'
    b'"http://unknown.example/y","valueString":"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"}]},"code":{"text":"x"},'
    b'"valueQuantity":{"value":0.10,"unit":"mg"}}'
)


async def test_decimals_and_extensions_come_back_to_the_last_digit_in_both_formats(
    door: httpx.AsyncClient,
) -> None:
    assert (
        await door.put("Observation/exact", content=EXACT, headers={"Content-Type": JSON})
    ).status_code == 201
    in_json = (await door.get("Observation/exact")).content
    for part in (
        b"1.000000000000000000000000010",
        b'"value":0.10,',
        "é€😀".encode(),
        b'"_status":{"extension"',
    ):
        assert part in in_json
    in_xml = await door.get("Observation/exact", headers={"Accept": XML})
    assert in_xml.headers["content-type"].startswith(XML)
    for part in (
        b'value="1.000000000000000000000000010"',
        b'value="0.10"',
        b'url="http://unknown.example/y"',
    ):
        assert part in in_xml.content
    again = in_xml.content.replace(b'<id value="exact"/>', b'<id value="exact-x"/>')
    written = await door.put("Observation/exact-x", content=again, headers={"Content-Type": XML})
    assert written.status_code == 201
    as_json = (await door.get("Observation/exact-x")).content
    tail = in_json.partition(b'"extension"')[2].partition(b',"meta"')[0]
    assert tail and tail in as_json.partition(b'"extension"')[2]


@given(resource=resources(definitions("stu3")), sent_as=st.sampled_from([JSON, XML]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_resource_comes_back_as_it_was_sent_in_both_formats(
    door: httpx.AsyncClient, resource: dict[str, Any], sent_as: str
) -> None:
    kind = resource["resourceType"]
    resource = {**resource, "id": "any", "meta": {"profile": ["http://p"]}}
    body = json.dump(resource) if sent_as == JSON else xml.dump(resource, definitions("stu3"))
    written = await door.put(f"{kind}/any", content=body, headers={"Content-Type": sent_as})
    assert written.is_success, written.text
    in_json = json.parse((await door.get(f"{kind}/any")).content)
    answer = await door.get(f"{kind}/any", headers={"Accept": XML})
    for read in (in_json, xml.parse(answer.content, definitions("stu3"))):
        del read["meta"]["versionId"], read["meta"]["lastUpdated"]
        assert same(read) == same(resource)


def same(value: Any) -> Any:
    """`value` with its numbers as they are written, and without an order of members."""
    if isinstance(value, dict):
        return {name: same(member) for name, member in value.items()}
    if isinstance(value, list):
        return [same(member) for member in value]
    return json.dump(value)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("json", JSON),
        ("xml", XML),
        ("application/json", JSON),
        ("text/xml", XML),
        ("application/xml;charset=utf-8", XML),
        ("application/json+fhir", JSON),
        ("application/fhir+xml; fhirVersion=3.0", XML),
        ("application/fhir+json;q=0.5, application/fhir+xml;q=0.9", XML),
        ("application/fhir+xml;q=0.5, */*;q=0.6", JSON),
        ("text/html, application/fhir+xml;q=0.1", XML),
        ("application/fhir+json;q=0, application/fhir+xml;q=0.001", XML),
        ("APPLICATION/FHIR+XML", XML),
    ],
)
async def test_the_caller_gets_the_format_it_likes_best(
    door: httpx.AsyncClient, accept: str, form: str
) -> None:
    await door.put("Patient/f1", json=patient("f1"))
    for path in ("Patient/f1", "Patient?_id=f1", "metadata"):
        answer = await door.get(path, headers={"Accept": accept})
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(form)
        assert (
            "fhirVersion=3.0" in answer.headers["content-type"]
            and "charset=utf-8" in answer.headers["content-type"]
        )
    gone = await door.get("Patient/nowhere", headers={"Accept": accept})
    assert gone.status_code == 404 and gone.headers["content-type"].startswith(form)


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/pdf", "application/fhir+json;q=0", "application/fhir+json; fhirVersion=4.0"],
)
async def test_a_caller_that_takes_neither_format_is_told_so(door: httpx.AsyncClient, accept: str) -> None:
    await door.put("Patient/f2", json=patient("f2"))
    refusal(await door.get("Patient/f2", headers={"Accept": accept}), 406)
    refusal(await door.put("Patient/f3", json=patient("f3"), headers={"Accept": accept}), 406)
    refusal(await door.get("Patient/f3"), 404)


async def test_the_parameter_format_wins_over_the_header(door: httpx.AsyncClient) -> None:
    await door.put("Patient/f4", json=patient("f4"))
    for asked, form in (
        ("xml", XML),
        ("json", JSON),
        (XML, XML),
        ("application/fhir%2Bxml", XML),
        ("text/xml", XML),
    ):
        other = XML if form == JSON else JSON
        for path in (f"Patient/f4?_format={asked}", f"Patient?_id=f4&_format={asked}"):
            answer = await door.get(path, headers={"Accept": other})
            assert answer.headers["content-type"].startswith(form), path
    posted = await door.post("Patient/_search", data={"_id": "f4", "_format": "xml"})
    assert posted.status_code == 200 and posted.headers["content-type"].startswith(XML)
    refusal(await door.get("Patient/f4?_format=html"), 406)


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/fhir+json", 201),
        ("application/json", 201),
        ("application/json+fhir", 201),
        ("application/fhir+json; charset=utf-8", 201),
        ('application/fhir+json; charset="UTF-8"; fhirVersion=3.0', 201),
        ("application/fhir+json; charset=iso-8859-1", 415),
        ("application/fhir+json; fhirVersion=4.0", 415),
        ("application/fhir+xml", 400),
        ("text/plain", 415),
        ("application/octet-stream", 415),
        ("", 415),
    ],
)
async def test_a_body_is_read_as_what_it_says_it_is(door: httpx.AsyncClient, media: str, status: int) -> None:
    content = b'{"resourceType":"Patient"}'
    answer = await door.post("Patient", content=content, headers={"Content-Type": media})
    assert answer.status_code == status
    if status != 201:
        refusal(answer, status)


async def test_a_search_in_xml_has_all_that_the_one_in_json_has(door: httpx.AsyncClient) -> None:
    await door.put("Patient/sx", json=patient("sx", name=[{"family": "Ampersand & <zoon>"}]))
    answer = await door.get("Patient?_id=sx", headers={"Accept": XML})
    for part in ('<Bundle xmlns="http://hl7.org/fhir">', '<total value="1"/>', '<mode value="match"/>'):
        assert part in answer.text
    assert "Ampersand &amp; &lt;zoon" in answer.text


async def test_the_deepest_resource_that_is_taken_is_given_in_both_formats(door: httpx.AsyncClient) -> None:
    item: dict[str, Any] = {"linkId": "leaf"}
    for _ in range(30):
        item = {"linkId": "x", "item": [item]}
    deep = {"resourceType": "QuestionnaireResponse", "id": "deep", "status": "completed", "item": [item]}
    assert (await door.put("QuestionnaireResponse/deep", json=deep)).status_code == 201
    for accept in (JSON, XML):
        for path in ("QuestionnaireResponse/deep", "QuestionnaireResponse?_id=deep"):
            assert (await door.get(path, headers={"Accept": accept})).status_code == 200
