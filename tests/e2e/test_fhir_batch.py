"""A batch is as many requests as it has entries; what a caller prefers to get back of writes."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.fhir_door import JSON, XML, entry, patient, refusal, transaction
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer

BSN_LIKE = "http://example.org/number"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "batches") as make, running_node(make, ("a",), erasure="test") as node:
        yield node


@pytest.fixture(params=["stu3", "r4"])
def door(node: RunningNode, request: pytest.FixtureRequest) -> httpx.AsyncClient:
    return node["a"].internal if request.param == "stu3" else node["a"].internal_r4


@pytest.fixture
def r4(node: RunningNode) -> httpx.AsyncClient:
    return node["a"].internal_r4


def batch(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "batch", "entry": list(entries)}


def parameters(*operations: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """A FHIRPath Patch: (type, path, value parameter) each."""
    return {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": kind},
                    {"name": "path", "valueString": path},
                    *([{"name": "value", **value}] if value else []),
                ],
            }
            for kind, path, value in operations
        ],
    }


async def test_each_entry_of_a_batch_has_its_own_outcome(door: httpx.AsyncClient) -> None:
    await door.put("Patient/ba", json=patient("ba"))
    await door.put("Patient/bb", json=patient("bb"))
    etag = {"ifNoneMatch": 'W/"1"'}
    answer = await door.post(
        "",
        json=batch(
            entry("GET", "Patient/ba", request=etag),
            entry("POST", "Patient", patient("ignored", identifier=[{"system": BSN_LIKE, "value": "b"}])),
            entry("PUT", "Patient/ba", patient("ba", birthDate="17-05-1980")),
            entry("PUT", "Patient/bc", {"resourceType": "Patient"}),
            entry("DELETE", "Patient/bb"),
            entry("GET", "Patient/never"),
            entry("POST", "Patient", patient("x"), request={"ifNoneExist": f"identifier={BSN_LIKE}|b"}),
            entry("PUT", "Patient/ba", patient("other")),
            entry("GET", "Patient?_id=ba,bc&_sort=_id"),
            entry("GET", "Patient/ba/_history"),
            entry("GET", "Observation/$lastn?patient=ba"),
            entry("POST", "/", {"resourceType": "Bundle", "type": "batch"}),
            entry("POST", "Patient/ba/$nothing"),
            {"resource": patient("x")},
            {"foo": "bar", "request": {"method": "GET", "url": "Patient/ba"}},
        ),
    )
    assert answer.status_code == 200, answer.text
    out = answer.json()
    assert out["type"] == "batch-response"
    statuses = [e["response"]["status"] for e in out["entry"]]
    assert statuses[:6] == ["304", "201", "422", "201", "204", "404"]
    assert statuses[6] in ("200", "201"), "entries of a batch do not wait for one another"
    assert statuses[7:] == ["400", "200", "200", "200", "400", "400", "400", "422"]
    assert "resource" not in out["entry"][0]
    assert out["entry"][8]["resource"]["total"] == 2
    for e in out["entry"]:
        failed = e["response"]["status"] >= "4"
        assert ("outcome" in e["response"]) is failed
        assert not (failed and "resource" in e)
    [wrong] = out["entry"][2]["response"]["outcome"]["issue"]
    assert wrong["expression"] == ["Bundle.entry[2].Patient.birthDate"]
    check = await door.post("Bundle", json={k: v for k, v in out.items() if k != "link"})
    assert check.status_code == 201, check.text


async def test_a_batch_of_many_writes_is_as_many_transactions(door: httpx.AsyncClient) -> None:
    entries = [entry("PUT", f"Patient/many{n}", patient(f"many{n}")) for n in range(300)]
    entries[7] = entry("PUT", "Patient/many7", patient("other"))
    answer = await door.post("", json=batch(*entries))
    statuses = [e["response"]["status"] for e in answer.json()["entry"]]
    assert statuses.count("201") == 299 and statuses[7] == "400"
    assert [e["fullUrl"].rpartition("/")[2] for e in answer.json()["entry"][8:10]] == ["many8", "many9"]


async def test_an_empty_batch_and_one_of_too_many_entries(node: RunningNode, cluster: EmbeddedServer) -> None:
    door = node["a"].internal
    assert (await door.post("", json={"resourceType": "Bundle", "type": "batch"})).status_code == 200
    limits = {**node.settings.limits.model_dump(), "entries": 2}
    async with databases(cluster, "few") as make, running_node(make, ("a",), limits=limits) as small:
        for kind in ("batch", "transaction"):
            many = {**batch(*[entry("GET", "Patient/x")] * 3), "type": kind}
            assert "limits.entries" in refusal(await small["a"].internal.post("", json=many), 400)


async def test_patches_in_a_bundle_are_a_binary_or_parameters(r4: httpx.AsyncClient) -> None:
    for kind in ("batch", "transaction"):
        for name in ("p1", "p2", "p3"):
            await r4.put(f"Patient/{kind}{name}", json=patient(f"{kind}{name}"))
        operations = [{"op": "add", "path": "/active", "value": True}]
        data = base64.b64encode(orjson.dumps(operations)).decode()
        binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
        path = parameters(("replace", "Patient.gender", {"valueCode": "male"}))
        both = [
            entry("PATCH", f"Patient/{kind}p1", binary),
            entry("PATCH", f"Patient/{kind}p2", parameters(("add", "Patient", {"valueBoolean": True}))),
            entry("HEAD", f"Patient/{kind}p3"),
        ]
        both[1]["resource"]["parameter"][0]["part"].insert(2, {"name": "name", "valueString": "active"})
        answer = await r4.post("", json={**batch(*both), "type": kind})
        assert answer.status_code == 200, answer.text
        first, second, head = answer.json()["entry"]
        assert first["resource"]["active"] is True and second["resource"]["active"] is True
        assert head["response"]["status"] == "200" and "resource" not in head
        bad = {**batch(entry("PATCH", f"Patient/{kind}p3", path)), "type": kind}
        refused = await r4.post("", json=bad)
        if kind == "transaction":
            assert "Bundle.entry[0]" in refusal(refused, 422)
        else:
            assert refused.json()["entry"][0]["response"]["status"] == "422"


async def test_references_to_entries_are_also_found_in_values_attachments_and_narrative(
    r4: httpx.AsyncClient,
) -> None:
    urls = [f"urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a000{n}" for n in range(2)]
    div = (
        f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{urls[0]}">x</a>'
        f'<img src="{urls[0]}" alt="y"/><a href="{urls[0]}9">{urls[0]}</a></div>'
    )
    document = {
        "resourceType": "DocumentReference",
        "text": {"status": "generated", "div": div},
        "extension": [
            {"url": "http://x", "valueUri": urls[0]},
            {"url": "http://x", "valueUrl": urls[0]},
            {"url": "http://x", "valueString": urls[0]},
        ],
        "status": "current",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": urls[0]}],
        "content": [{"attachment": {"contentType": "text/plain", "url": urls[0]}}],
    }
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "eA=="}
    answer = await r4.post(
        "",
        json=transaction(
            entry("POST", "DocumentReference", document, fullUrl=urls[1]),
            entry("POST", "Binary", binary, fullUrl=urls[0]),
        ),
    )
    made, content = (e["resource"] for e in answer.json()["entry"])
    address = f"Binary/{content['id']}"
    assert [next(v for k, v in e.items() if k != "url") for e in made["extension"]] == [
        address,
        address,
        urls[0],
    ]
    assert made["content"][0]["attachment"]["url"] == address
    assert made["identifier"][0]["value"] == urls[0]
    assert made["text"]["div"] == div.replace(f'"{urls[0]}"', f'"{address}"')


# -- patch -------------------------------------------------------------------------------------------


async def test_a_resource_is_patched_in_json_and_by_fhirpath(door: httpx.AsyncClient) -> None:
    await door.put("Patient/pa", json=patient("pa", name=[{"family": "Oud"}]))
    operations = [
        {"op": "test", "path": "/name/0/family", "value": "Oud"},
        {"op": "replace", "path": "/name/0/family", "value": "Nieuw"},
    ]
    headers = {"Content-Type": "application/json-patch+json"}
    changed = await door.patch("Patient/pa", content=orjson.dumps(operations), headers=headers)
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == 'W/"2"' and changed.json()["name"] == [{"family": "Nieuw"}]
    assert (await door.get("Patient?family=nieuw&_id=pa")).json()["total"] == 1
    path = parameters(("delete", "Patient.name.where(family = 'Nieuw')", {}))
    changed = await door.patch("Patient/pa", json=path)
    assert changed.status_code == 200 and "name" not in changed.json()
    as_xml = (
        '<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>'
        '<part><name value="type"/><valueCode value="add"/></part>'
        '<part><name value="path"/><valueString value="Patient"/></part>'
        '<part><name value="name"/><valueString value="birthDate"/></part>'
        '<part><name value="value"/><valueDate value="1970-01-01"/></part></parameter></Parameters>'
    )
    changed = await door.patch("Patient/pa", content=as_xml, headers={"Content-Type": XML})
    assert changed.status_code == 200 and changed.json()["birthDate"] == "1970-01-01"
    assert changed.headers["etag"] == 'W/"4"'


@pytest.mark.parametrize(
    ("operation", "media", "status", "named"),
    [
        ({"op": "replace", "path": "/id", "value": "x"}, "application/json-patch+json", 422, "id"),
        (
            {"op": "replace", "path": "/resourceType", "value": "Group"},
            "application/json-patch+json",
            422,
            "Type",
        ),
        (
            {"op": "add", "path": "/birthDate", "value": "1-1-70"},
            "application/json-patch+json",
            422,
            "birthDate",
        ),
        ({"op": "add", "path": "/naam", "value": "x"}, "application/json-patch+json", 422, "naam"),
        ({"op": "remove", "path": "/gender"}, "application/json-patch+json", 422, "gender"),
        ({"op": "test", "path": "/active", "value": False}, "application/json-patch+json", 412, "another"),
        ({"op": "turn", "path": "/active"}, "application/json-patch+json", 400, "op"),
        ({"op": "add", "path": "/active", "value": True}, "application/merge-patch+json", 400, "object"),
        ({"op": "add", "path": "/active", "value": True}, "application/json", 400, "object"),
        ({"op": "add", "path": "/active", "value": True}, "application/xml-patch+xml", 415, "json-patch"),
        ({"op": "add", "path": "/active", "value": True}, JSON, 400, "body"),
    ],
)
async def test_a_patch_that_does_not_fit_changes_nothing(
    door: httpx.AsyncClient, operation: dict[str, Any], media: str, status: int, named: str
) -> None:
    await door.put("Patient/pb", json=patient("pb", active=True))
    before = (await door.get("Patient/pb")).headers["etag"]
    headers = {"Content-Type": media}
    answer = await door.patch("Patient/pb", content=orjson.dumps([operation]), headers=headers)
    assert named in refusal(answer, status)
    assert (await door.get("Patient/pb")).headers["etag"] == before


async def test_a_patch_needs_what_is_there_and_keeps_to_if_match(door: httpx.AsyncClient) -> None:
    content = b'[{"op": "add", "path": "/active", "value": true}]'
    headers = {"Content-Type": "application/json-patch+json"}
    refusal(await door.patch("Patient/pc", content=content, headers=headers), 404)
    await door.put("Patient/pc", json=patient("pc"))
    wrong = {**headers, "If-Match": 'W/"2"'}
    refusal(await door.patch("Patient/pc", content=content, headers=wrong), 412)
    right = {**headers, "If-Match": 'W/"1"'}
    assert (await door.patch("Patient/pc", content=content, headers=right)).status_code == 200
    await door.delete("Patient/pc")
    refusal(await door.patch("Patient/pc", content=content, headers=headers), 410)


# -- Prefer ------------------------------------------------------------------------------------------


async def test_a_writer_gets_back_what_it_prefers(door: httpx.AsyncClient) -> None:
    for wanted, kind in (
        ("minimal", None),
        ("representation", "Patient"),
        ("OperationOutcome", "OperationOutcome"),
    ):
        prefer = {"Prefer": f"return={wanted}"}
        made = await door.post("Patient", json=patient("x"), headers=prefer)
        put = await door.put("Patient/pr", json=patient("pr"), headers=prefer)
        for answer in (made, put):
            assert answer.is_success and "etag" in answer.headers
            assert (answer.json()["resourceType"] if answer.content else None) == kind
        assert made.status_code == 201 and "location" in made.headers
        for kind_of in ("batch", "transaction"):
            bundle = {**batch(entry("PUT", "Patient/pr", patient("pr"))), "type": kind_of}
            [told] = (await door.post("", json=bundle, headers=prefer)).json()["entry"]
            assert told["response"]["status"] == "200" and told["response"]["etag"]
            assert ("resource" in told) is (wanted == "representation")
            assert ("outcome" in told["response"]) is (wanted == "OperationOutcome")
    deleted = await door.delete("Patient/pr", headers={"Prefer": "return=OperationOutcome"})
    assert deleted.status_code == 200 and deleted.json()["resourceType"] == "OperationOutcome"


async def test_unknown_parameters_are_left_out_only_for_who_prefers_it_and_are_named(
    door: httpx.AsyncClient,
) -> None:
    await door.put("Patient/li", json=patient("li"))
    refusal(await door.get("Patient?_id=li&naam=x"), 400)
    refusal(await door.get("Patient?_id=li&naam=x", headers={"Prefer": "handling=strict"}), 400)
    lenient = {"Prefer": "handling=lenient"}
    bundle = (await door.get("Patient?_id=li&naam=x", headers=lenient)).json()
    assert bundle["total"] == 1
    match, told = bundle["entry"]
    assert match["search"]["mode"] == "match" and told["search"]["mode"] == "outcome"
    assert "naam" in told["resource"]["issue"][0]["diagnostics"]
    assert bundle["link"][0]["url"] == f"{door.base_url}Patient?_id=li"
    check = await door.post("Bundle", json=bundle)
    assert check.status_code == 201, check.text
    asked = batch(entry("GET", "Patient?_id=li&naam=x"), entry("DELETE", "Patient?_id=li&naam=x"))
    found, refused = (await door.post("", json=asked, headers=lenient)).json()["entry"]
    assert found["resource"]["total"] == 1
    assert refused["response"]["status"] == "400", "a condition is never left out"
