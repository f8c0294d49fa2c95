"""The FHIR API of an organisation's own door: what it answers, and what it refuses by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.generated import resources
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir import definitions, json, xml
from schakel.store.embedded import EmbeddedServer

FORM = "application/x-www-form-urlencoded"
XML = "application/fhir+xml"
JSON = "application/fhir+json"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "api") as make, running_node(make, ("a",), erasure="test") as node:
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


def patient(logical_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": logical_id, **members}


def refusal(answer: httpx.Response, status: int) -> str:
    """The text of the outcome, which has an error and stands in the FHIR format."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith(JSON)
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert {issue["severity"] for issue in outcome["issue"]} & {"error", "fatal"}
    return " ".join(str(issue) for issue in outcome["issue"])


def entry(method: str, url: str, resource: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    body = {} if resource is None else {"resource": resource}
    request = {"method": method, "url": url, **members.pop("request", {})}
    return {**members, **body, "request": request}


def transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


# -- one resource -------------------------------------------------------------------------------------------------


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
    for value in ("*", "2", 'W/"x"', 'W/"1", W/"2"'):
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


# -- formats ------------------------------------------------------------------------------------------------------

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


async def test_a_compressed_body_is_not_taken(door: httpx.AsyncClient) -> None:
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    assert "gzip" in refusal(await door.post("Patient", content=b"\x1f\x8b garbage", headers=headers), 415)


async def test_a_search_in_xml_has_all_that_the_one_in_json_has(door: httpx.AsyncClient) -> None:
    await door.put("Patient/sx", json=patient("sx", name=[{"family": "Ampersand & <zoon>"}]))
    answer = await door.get("Patient?_id=sx", headers={"Accept": XML})
    for part in ('<Bundle xmlns="http://hl7.org/fhir">', '<total value="1"/>', '<mode value="match"/>'):
        assert part in answer.text
    assert "Ampersand &amp; &lt;zoon" in answer.text


async def test_the_deepest_resource_that_is_taken_is_given_in_both_formats(door: httpx.AsyncClient) -> None:
    item: dict[str, Any] = {"linkId": "leaf"}
    for _ in range(28):
        item = {"linkId": "x", "item": [item]}
    deep = {"resourceType": "QuestionnaireResponse", "id": "deep", "status": "completed", "item": [item]}
    assert (await door.put("QuestionnaireResponse/deep", json=deep)).status_code == 201
    for accept in (JSON, XML):
        for path in ("QuestionnaireResponse/deep", "QuestionnaireResponse?_id=deep"):
            assert (await door.get(path, headers={"Accept": accept})).status_code == 200


# -- transactions -------------------------------------------------------------------------------------------------


async def test_a_transaction_creates_changes_deletes_and_reads(door: httpx.AsyncClient) -> None:
    await door.put("Patient/ta", json=patient("ta"))
    await door.put("Patient/tb", json=patient("tb"))
    bundle = transaction(
        entry("GET", "Patient/ta"),
        entry("POST", "Patient", patient("ignored", active=True)),
        entry("PUT", "Patient/ta", patient("ta", active=True), request={"ifMatch": 'W/"1"'}),
        entry("DELETE", "Patient/tb"),
        entry("PUT", "Patient/tc", {"resourceType": "Patient"}),
        entry("GET", "Patient?_id=ta,tc"),
        entry("GET", "Patient/ta/_history/1"),
        entry("DELETE", "Patient/never"),
        entry("GET", "Patient/never"),
    )
    answer = await door.post("", json=bundle)
    assert answer.status_code == 200
    out = answer.json()
    assert out["type"] == "transaction-response"
    statuses = [e["response"]["status"] for e in out["entry"]]
    assert statuses == ["200", "201", "200", "204", "201", "200", "200", "204", "404"]
    read, made, changed, deleted, put, searched, version, nothing, never = out["entry"]
    assert read["resource"]["active"] is True, "reading comes after changing"
    assert made["resource"]["id"] != "ignored"
    assert made["response"]["location"].endswith(f"Patient/{made['resource']['id']}/_history/1")
    assert changed["response"]["etag"] == 'W/"2"' and deleted["response"]["etag"] == 'W/"2"'
    assert put["fullUrl"] == f"{door.base_url}Patient/tc"
    assert searched["resource"]["total"] == 2
    assert "active" not in version["resource"]
    assert "etag" not in nothing["response"]
    assert never["response"]["outcome"]["resourceType"] == "OperationOutcome"


async def test_an_empty_transaction_is_answered(door: httpx.AsyncClient) -> None:
    answer = await door.post("", json={"resourceType": "Bundle", "type": "transaction"})
    assert answer.status_code == 200 and answer.json()["type"] == "transaction-response"
    as_xml = await door.post("", json=transaction(entry("GET", "Patient?_id=no")), headers={"Accept": XML})
    assert as_xml.status_code == 200


async def test_references_between_entries_lead_to_what_was_made(door: httpx.AsyncClient) -> None:
    who, org = "urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a0001", "urn:oid:1.2.3.4"
    reference = {"reference": who}
    observation = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Group", "id": "g", "type": "person", "actual": True}],
        "extension": [{"url": "http://x", "valueReference": {"reference": org, "display": "org"}}],
        "status": "final",
        "code": {"text": who},
        "subject": reference,
        "performer": [reference, {"reference": "http://ehr.example/fhir/Practitioner/7"}],
        "related": [{"target": {"reference": "Observation/elsewhere"}}],
    }
    observation["contained"][0]["member"] = [{"entity": {"reference": who}}]  # type: ignore[index]
    relative = {"resourceType": "Basic", "code": {"text": "x"}, "author": {"reference": "Practitioner/7"}}
    answer = await door.post(
        "",
        json=transaction(
            entry(
                "POST", "Observation", observation, fullUrl="urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a0002"
            ),
            entry("POST", "Patient", patient("x"), fullUrl=who),
            entry("PUT", "Organization/org", {"resourceType": "Organization", "name": "x"}, fullUrl=org),
            entry(
                "POST",
                "Practitioner",
                {"resourceType": "Practitioner", "name": [{"text": "x"}]},
                fullUrl="http://ehr.example/fhir/Practitioner/7",
            ),
            entry("POST", "Basic", relative, fullUrl="http://ehr.example/fhir/Basic/8"),
        ),
    )
    assert answer.status_code == 200
    out = [e["resource"] for e in answer.json()["entry"]]
    made, them, practitioner = (
        out[0],
        {"reference": f"Patient/{out[1]['id']}"},
        f"Practitioner/{out[3]['id']}",
    )
    assert made["subject"] == made["performer"][0] == made["contained"][0]["member"][0]["entity"] == them
    assert made["performer"][1]["reference"] == out[4]["author"]["reference"] == practitioner
    assert made["extension"][0]["valueReference"] == {"reference": "Organization/org", "display": "org"}
    assert made["related"][0]["target"]["reference"] == "Observation/elsewhere"
    assert made["code"]["text"] == who
    found = await door.get(f"Observation?patient={them['reference']}&_include=Observation:performer")
    assert {e["resource"]["id"] for e in found.json()["entry"]} == {made["id"], out[1]["id"], out[3]["id"]}


@pytest.mark.parametrize(
    ("bad", "status", "named"),
    [
        (entry("POST", "Patient", {"resourceType": "Patient", "naam": 1}), 422, "entry[1].Patient.naam"),
        (entry("PUT", "Patient/all", patient("all")), 400, "entry 0 changes the same"),
        (entry("DELETE", "Patient/all"), 400, "entry 0 changes the same"),
        (entry("PUT", "Patient/x", patient("y")), 400, "resource.id"),
        (entry("PUT", "Patient/x", patient("x"), request={"ifMatch": 'W/"7"'}), 412, "entry[1]"),
        (entry("PUT", "Patient/x", patient("x"), request={"ifMatch": 3}), 400, "entry[1].request"),
        (entry("POST", "Patient", {"resourceType": "Group"}), 400, "Group"),
        (entry("POST", "Patient"), 400, "resource"),
        (entry("POST", "Patient", patient("x"), request={"ifNoneExist": "identifier=1"}), 400, "ifNoneExist"),
        (entry("PUT", "Patient?identifier=1", patient("x")), 400, "conditional"),
        (entry("DELETE", "Patient?identifier=1"), 400, "conditional"),
        (entry("PATCH", "Patient/x", patient("x")), 400, "PATCH"),
        (entry("HEAD", "Patient/x"), 405, "HEAD"),
        (entry("GET", "Patient/x", fullUrl=7), 422, "entry[1].fullUrl"),
        (entry("GET", "Patient?nome=x"), 400, "nome"),
        (entry("GET", "Patient?birthdate=ap2024"), 400, "ap"),
        (entry("GET", "metadata"), 400, "capabilities"),
        (entry("POST", "Patient/x/$purge"), 400, "purge"),
        (entry("POST", ""), 400, "transaction inside"),
        (entry("GET", "http://elsewhere.example/Patient/1"), 404, "entry[1]"),
        (
            entry(
                "POST",
                "Basic",
                {"resourceType": "Basic", "code": {"text": "x"}, "author": {"reference": "Patient?a=1"}},
            ),
            400,
            "conditional reference",
        ),
        ({"resource": patient("x")}, 400, "request"),
        ({"foo": 1, "request": {"method": "GET", "url": "Patient"}}, 422, "entry[1].foo"),
    ],
)
async def test_a_transaction_with_one_refusal_changes_nothing_and_names_the_entry(
    door: httpx.AsyncClient, bad: dict[str, Any], status: int, named: str
) -> None:
    good = entry(
        "PUT", "Patient/all", patient("all"), fullUrl="urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a0001"
    )
    text = refusal(await door.post("", json=transaction(good, bad)), status)
    assert "Bundle.entry[1]" in text
    assert named in text
    refusal(await door.get("Patient/all"), 404)


async def test_two_entries_do_not_share_a_full_url(door: httpx.AsyncClient) -> None:
    same = {"fullUrl": "urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a0001"}
    bundle = transaction(
        entry("POST", "Patient", patient("x"), **same), entry("POST", "Patient", patient("y"), **same)
    )
    assert "fullUrl" in refusal(await door.post("", json=bundle), 400)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"resourceType": "Bundle", "type": "batch"}, 400, "batch"),
        ({"resourceType": "Bundle", "type": "searchset"}, 400, "transaction"),
        ({"resourceType": "Bundle"}, 400, "transaction"),
        (patient("x"), 400, "Bundle"),
        ({"resourceType": "Bundle", "type": "transaction", "entry": {}}, 422, "entry"),
        ({"resourceType": "Bundle", "type": "transaction", "entry": None}, 422, "entry"),
        ({"resourceType": "Bundle", "type": "transaction", "entry": ["x"]}, 422, "entry"),
        ({"resourceType": "Bundle", "type": "transaction", "more": 1}, 422, "more"),
    ],
)
async def test_the_base_takes_transactions_alone(
    door: httpx.AsyncClient, body: dict[str, Any], status: int, named: str
) -> None:
    assert named in refusal(await door.post("", json=body), status)


# -- lenient writing ----------------------------------------------------------------------------------------------

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


# -- searching ----------------------------------------------------------------------------------------------------


async def test_a_search_by_post_is_the_same_as_by_get(door: httpx.AsyncClient) -> None:
    await door.put("Patient/sp", json=patient("sp", name=[{"family": "Zoekgraag"}]))
    got = (await door.get("Patient?family=zoekgraag&_id=sp")).json()
    posted = (await door.post("Patient/_search", data={"family": "zoekgraag", "_id": "sp"})).json()
    assert got == posted and got["total"] == 1
    assert got["entry"][0]["fullUrl"] == f"{door.base_url}Patient/sp"
    assert got["entry"][0]["search"] == {"mode": "match"}
    assert got["link"] == [{"relation": "self", "url": f"{door.base_url}Patient?family=zoekgraag&_id=sp"}]


async def test_a_search_by_post_takes_nothing_from_the_address(door: httpx.AsyncClient) -> None:
    answer = await door.post("Patient/_search?family=x", data={"_id": "sp"})
    assert "form" in refusal(answer, 400)
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
        assert "total" not in bundle
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


# -- what there is not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "named"),
    [
        ("GET", "", 400, "all types"),
        ("GET", "?_type=Patient", 400, "all types"),
        ("GET", "_search", 400, "_search"),
        ("POST", "_search", 400, "_search"),
        ("GET", "_history", 400, "_history"),
        ("GET", "Patient/_history", 400, "_history"),
        ("GET", "Patient/1/_history", 400, "_history"),
        ("GET", "Patient/$everything", 400, "$everything"),
        ("GET", "Patient/1/$everything", 400, "$everything"),
        ("POST", "Patient/$validate", 400, "$validate"),
        ("POST", "$process-message", 400, "$process-message"),
        ("GET", "Patient/$lastn", 400, "$lastn"),
        ("GET", "Patient/1/Observation", 400, "Observation"),
        ("GET", "Patient?_has:Observation:patient:code=1", 400, "_has"),
        ("GET", "Patient?name:missing=true", 400, "missing"),
        ("GET", "Patient?nome=x", 400, "nome"),
        ("GET", "Patient/1?_summary=true", 400, "_summary"),
        ("GET", "Patient/1?_elements=id", 400, "_elements"),
        ("PUT", "Patient?identifier=1", 400, "conditional"),
        ("DELETE", "Patient?identifier=1", 400, "conditional"),
        ("PATCH", "Patient/1", 400, "PATCH"),
        ("PATCH", "Patient?identifier=1", 400, "conditional"),
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


async def test_a_conditional_create_is_refused_by_name(door: httpx.AsyncClient) -> None:
    headers = {"If-None-Exist": "identifier=1"}
    assert "if-none-exist" in refusal(await door.post("Patient", json=patient("x"), headers=headers), 400)


async def test_head_is_not_possible(door: httpx.AsyncClient) -> None:
    answer = await door.head("Patient")
    assert (answer.status_code, answer.content) == (405, b"")


async def test_another_fhir_version_is_not_served(node: RunningNode, door: httpx.AsyncClient) -> None:
    for version in ("r4", "r5", "STU3", "x"):
        answer = await door.get(f"{node['a'].internal_root}/a/fhir/{version}/Patient")
        assert "version" in refusal(answer, 404)
    refusal(await door.get(f"{node['a'].internal_root}/a/fhir/stu3/Patient/x%0Ay"), 404)


async def test_an_organisation_that_is_not_here_is_no_ones(
    node: RunningNode, door: httpx.AsyncClient
) -> None:
    refusal(await door.get(f"{node['a'].internal_root}/nobody/fhir/stu3/Patient"), 403)
    refusal(await node["a"].front.get(f"{node['a'].front_root}/nobody/fhir/stu3/Patient"), 404)


# -- erasing ------------------------------------------------------------------------------------------------------


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


# -- what it says of itself ---------------------------------------------------------------------------------------

SAMPLE = [
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
]
VALUES = {"token": "x", "string": "x", "date": "2024", "uri": "http://x", "reference": "Patient/1"}


async def test_the_capability_statement_lists_what_answers_and_nothing_else(door: httpx.AsyncClient) -> None:
    statement = (await door.get("metadata")).json()
    assert statement["fhirVersion"].startswith("3.0") and statement["format"] == [JSON, XML]
    assert statement["implementation"]["url"] == str(door.base_url).rstrip("/")
    [rest] = statement["rest"]
    assert rest["interaction"] == [{"code": "transaction"}]
    assert [o["name"] for o in rest["operation"]] == ["lastn"]
    listed = {r["type"]: r for r in rest["resource"]}
    unlisted = {"_text", "_has", "_list", "value-quantity", "near", "probability"}
    for kind in SAMPLE:
        names = {p["name"]: p["type"] for p in listed[kind]["searchParam"]}
        assert {"_id", "_lastUpdated", "_profile"} <= set(names)
        for name, form in names.items():
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
        "delete": await door.delete("Patient/cs"),
    }
    assert set(calls) == names
    assert all(answer.is_success for answer in calls.values())
    assert listed["updateCreate"] and not listed["conditionalCreate"] and listed["readHistory"]


async def test_the_capability_statement_follows_the_definitions(door: httpx.AsyncClient) -> None:
    statement = (await door.get("metadata")).json()
    written = await door.post("CapabilityStatement", json=statement)
    assert written.status_code == 201, written.text
    as_xml = await door.get("metadata", headers={"Accept": XML})
    again = await door.post("CapabilityStatement", content=as_xml.content, headers={"Content-Type": XML})
    assert again.status_code == 201
