"""Conditional interactions: the condition decides which resource is meant, also when many ask at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.fhir_door import entry, patient, refusal, transaction
from tests.nodes import RunningNode, databases, running_node

from schakel import compose
from schakel.fhir.definitions import Version
from schakel.server import Request
from schakel.store.embedded import EmbeddedServer

SYSTEM = "http://example.org/number"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "conditional") as make, running_node(make, ("a",)) as node:
        yield node


@pytest.fixture(params=["stu3", "r4"])
def door(node: RunningNode, request: pytest.FixtureRequest) -> httpx.AsyncClient:
    return node["a"].internal if request.param == "stu3" else node["a"].internal_r4


def numbered(value: str, logical_id: str = "", **members: Any) -> dict[str, Any]:
    resource = {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": value}],
        **members,
    }
    return {**resource, "id": logical_id} if logical_id else resource


def condition(value: str) -> str:
    return f"identifier={SYSTEM}|{value}"


async def create(door: httpx.AsyncClient, value: str, **members: Any) -> httpx.Response:
    headers = {"If-None-Exist": condition(value)}
    return await door.post("Patient", json=numbered(value, **members), headers=headers)


async def two(door: httpx.AsyncClient, value: str) -> list[str]:
    made = [await door.post("Patient", json=numbered(value)) for _ in range(2)]
    return [answer.json()["id"] for answer in made]


# -- create ------------------------------------------------------------------------------------------


async def test_a_conditional_create_makes_finds_or_refuses(door: httpx.AsyncClient) -> None:
    made = await create(door, "c1")
    again = await create(door, "c1", active=True)
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.headers["location"] == again.headers["location"]
    assert again.json() == made.json() and again.headers["etag"] == 'W/"1"'
    await door.post("Patient", json=numbered("c1"))
    assert "more than one" in refusal(await create(door, "c1"), 412)


async def test_a_deleted_resource_is_no_match(door: httpx.AsyncClient) -> None:
    made = await create(door, "c2")
    await door.delete(f"Patient/{made.json()['id']}")
    again = await create(door, "c2")
    assert again.status_code == 201 and again.json()["id"] != made.json()["id"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "condition"),
        ("?", "condition"),
        ("_sort=family", "_sort"),
        ("identifier=x&_count=1", "_count"),
        ("identifier=x&_include=Patient:organization", "_include"),
        ("identifier=x&_elements=id", "_elements"),
        ("identifier=x&naam=y", "naam"),
        ("identifier=", "identifier"),
        ("_format=json", "_format"),
    ],
)
async def test_a_condition_that_would_be_empty_or_left_out_is_refused(
    door: httpx.AsyncClient, text: str, named: str
) -> None:
    headers = {"If-None-Exist": text, "Prefer": "handling=lenient"}
    assert named in refusal(await door.post("Patient", json=numbered("c3"), headers=headers), 400)
    if "_format" not in text:
        for method in ("PUT", "DELETE"):
            answer = await door.request(method, f"Patient?{text.strip('?')}", json=numbered("c3"))
            assert text.strip("?") == "" or named in refusal(answer, 400)
            assert answer.status_code in (400, 405)
    assert (await door.get(f"Patient?{condition('c3')}")).json()["total"] == 0


async def test_a_condition_for_creating_is_refused_elsewhere(door: httpx.AsyncClient) -> None:
    headers = {"If-None-Exist": condition("c5")}
    assert "If-None-Exist" in refusal(await door.put("Patient/c5", json=patient("c5"), headers=headers), 400)
    assert "If-None-Exist" in refusal(await door.post("", json=transaction(), headers=headers), 400)


async def test_a_condition_may_be_written_as_a_whole_search(door: httpx.AsyncClient) -> None:
    made = await create(door, "c4")
    for text in (f"Patient?{condition('c4')}", f"?{condition('c4')}", f"_id={made.json()['id']}"):
        again = await door.post("Patient", json=numbered("c4"), headers={"If-None-Exist": text})
        assert again.status_code == 200, again.text


async def test_conditional_creates_at_once_from_two_processes_make_one_resource(
    node: RunningNode, door: httpx.AsyncClient
) -> None:
    """A second node on the same database stands for the second process: nothing is shared but the database."""
    version: Version = "r4" if str(door.base_url).endswith("/r4/") else "stu3"
    async with compose.node(node.settings) as other:
        service = other.organisations["a"].service
        texts = [f"{condition('once')}&active:not=x", f"active:not=x&{condition('once')}"]
        body = orjson.dumps(numbered("once"))

        async def directly(number: int) -> int:
            headers = {"if-none-exist": texts[number % 2], "content-type": "application/fhir+json"}
            request = Request(version, "POST", "Patient", "", headers, body)
            return (await service.answer(request, "http://base", "test")).status

        async def over_http(number: int) -> int:
            headers = {"If-None-Exist": texts[number % 2]}
            return (await door.post("Patient", json=numbered("once"), headers=headers)).status_code

        statuses = await asyncio.gather(*(directly(n) if n % 4 < 2 else over_http(n) for n in range(20)))
    assert sorted(statuses) == [200] * 19 + [201]
    assert (await door.get(f"Patient?{condition('once')}")).json()["total"] == 1


# -- update ------------------------------------------------------------------------------------------


async def test_a_conditional_update_makes_changes_or_refuses(door: httpx.AsyncClient) -> None:
    url = f"Patient?{condition('u1')}"
    made = await door.put(url, json=numbered("u1"))
    assert made.status_code == 201 and "location" in made.headers
    changed = await door.put(url, json=numbered("u1", active=True))
    assert changed.status_code == 200 and changed.headers["etag"] == 'W/"2"'
    assert changed.json()["id"] == made.json()["id"] and changed.json()["active"] is True
    named = await door.put(url, json=numbered("u1", made.json()["id"]))
    assert named.status_code == 200
    assert "another id" in refusal(await door.put(url, json=numbered("u1", "other")), 400)
    await door.post("Patient", json=numbered("u1"))
    assert "more than one" in refusal(await door.put(url, json=numbered("u1")), 412)


async def test_a_conditional_update_without_match_takes_the_id_that_is_given(door: httpx.AsyncClient) -> None:
    made = await door.put(f"Patient?{condition('u2')}", json=numbered("u2", "given"))
    assert made.status_code == 201 and made.json()["id"] == "given"
    taken = await door.put(f"Patient?{condition('u3')}", json=numbered("u3", "given"))
    assert "is here" in refusal(taken, 409)
    assert (await door.get("Patient/given")).headers["etag"] == 'W/"1"'


async def test_a_conditional_update_keeps_to_if_match(door: httpx.AsyncClient) -> None:
    url = f"Patient?{condition('u4')}"
    await door.put(url, json=numbered("u4"))
    refusal(await door.put(url, json=numbered("u4"), headers={"If-Match": 'W/"2"'}), 412)
    right = await door.put(url, json=numbered("u4"), headers={"If-Match": 'W/"1"'})
    assert right.status_code == 200
    refusal(await door.put(url, json=numbered("u4"), headers={"If-None-Match": "*"}), 412)


# -- delete and patch --------------------------------------------------------------------------------


async def test_a_conditional_delete_takes_one_or_none_but_never_several(door: httpx.AsyncClient) -> None:
    made = (await create(door, "d1")).json()["id"]
    url = f"Patient?{condition('d1')}"
    assert [(await door.delete(url)).status_code for _ in range(2)] == [204, 204]
    refusal(await door.get(f"Patient/{made}"), 410)
    ids = await two(door, "d2")
    assert "more than 1" in refusal(await door.delete(f"Patient?{condition('d2')}"), 412)
    assert [(await door.get(f"Patient/{i}")).status_code for i in ids] == [200, 200]


async def test_a_conditional_patch_changes_the_one_that_matches(door: httpx.AsyncClient) -> None:
    patch = {
        "content": b'[{"op": "add", "path": "/active", "value": true}]',
        "headers": {"Content-Type": "application/json-patch+json"},
    }
    refusal(await door.patch(f"Patient?{condition('p1')}", **patch), 404)  # type: ignore[arg-type]
    await create(door, "p1")
    changed = await door.patch(f"Patient?{condition('p1')}", **patch)  # type: ignore[arg-type]
    assert changed.status_code == 200 and changed.json()["active"] is True
    await door.post("Patient", json=numbered("p1"))
    refusal(await door.patch(f"Patient?{condition('p1')}", **patch), 412)  # type: ignore[arg-type]


async def test_several_are_deleted_at_once_only_where_the_setting_allows_it(cluster: EmbeddedServer) -> None:
    async with (
        databases(cluster, "multiple") as make,
        running_node(make, ("a",), conditional_delete="multiple") as node,
    ):
        door = node["a"].internal
        ids = await two(door, "m")
        assert (await door.delete(f"Patient?{condition('m')}")).status_code == 204
        assert [(await door.get(f"Patient/{i}")).status_code for i in ids] == [410, 410]
        statement = (await door.get("metadata")).json()
        assert statement["rest"][0]["resource"][0]["conditionalDelete"] == "multiple"


# -- reading -----------------------------------------------------------------------------------------


async def test_a_reader_who_has_the_version_gets_304_and_no_body(door: httpx.AsyncClient) -> None:
    await door.put("Patient/r1", json=patient("r1"))
    read = await door.get("Patient/r1")
    for tags in ('W/"1"', '"1"', "1", 'W/"7", W/"1"', "*"):
        same = await door.get("Patient/r1", headers={"If-None-Match": tags})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", 'W/"1"'), tags
    for tags in ('W/"2"', 'W/"11"', "11"):
        assert (await door.get("Patient/r1", headers={"If-None-Match": tags})).status_code == 200
    for tags in ('"1', "1, 2", 'W/1 "2"'):
        refusal(await door.get("Patient/r1", headers={"If-None-Match": tags}), 400)
    moment = read.headers["last-modified"]
    assert (await door.get("Patient/r1", headers={"If-Modified-Since": moment})).status_code == 304
    early = {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    assert (await door.get("Patient/r1", headers=early)).status_code == 200
    assert (await door.get("Patient/r1", headers={"If-Modified-Since": "long ago"})).status_code == 200
    both = {"If-Modified-Since": moment, "If-None-Match": 'W/"9"'}
    assert (await door.get("Patient/r1", headers=both)).status_code == 200


async def test_an_update_may_ask_that_nothing_is_there(door: httpx.AsyncClient) -> None:
    only_new = {"If-None-Match": "*"}
    assert (await door.put("Patient/n1", json=patient("n1"), headers=only_new)).status_code == 201
    refusal(await door.put("Patient/n1", json=patient("n1"), headers=only_new), 412)
    await door.delete("Patient/n1")
    assert (await door.put("Patient/n1", json=patient("n1"), headers=only_new)).status_code == 201
    refusal(await door.put("Patient/n1", json=patient("n1"), headers={"If-None-Match": 'W/"1"'}), 400)


# -- in a transaction --------------------------------------------------------------------------------


async def test_references_lead_to_what_conditional_entries_found_or_made(door: httpx.AsyncClient) -> None:
    known = (await create(door, "t1")).json()["id"]
    urls = [f"urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a000{n}" for n in range(4)]
    group = {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "member": [
            {"entity": {"reference": text}}
            for text in (
                *urls[:3],
                f"Patient?{condition('t1')}",
                f"Patient?{condition('t2')}",
                f"Patient?_id={known}",
            )
        ],
    }
    answer = await door.post(
        "",
        json=transaction(
            entry("POST", "Group", group, fullUrl=urls[3]),
            entry(
                "POST", "Patient", numbered("t1"), fullUrl=urls[0], request={"ifNoneExist": condition("t1")}
            ),
            entry(
                "POST", "Patient", numbered("t2"), fullUrl=urls[1], request={"ifNoneExist": condition("t2")}
            ),
            entry("PUT", f"Patient?{condition('t3')}", numbered("t3"), fullUrl=urls[2]),
        ),
    )
    assert answer.status_code == 200, answer.text
    made, found, new, put = answer.json()["entry"]
    assert [e["response"]["status"] for e in (made, found, new, put)] == ["201", "200", "201", "201"]
    assert found["resource"]["id"] == known
    assert [m["entity"]["reference"] for m in made["resource"]["member"]] == [
        f"Patient/{known}",
        f"Patient/{new['resource']['id']}",
        f"Patient/{put['resource']['id']}",
        f"Patient/{known}",
        f"Patient/{new['resource']['id']}",
        f"Patient/{known}",
    ]


async def test_a_conditional_reference_must_mean_exactly_one(door: httpx.AsyncClient) -> None:
    await two(door, "t4")
    for value, named in (("t4", "more than one"), ("t5", "nothing")):
        basic = {
            "resourceType": "Basic",
            "id": "t6",
            "code": {"text": "x"},
            "author": {"reference": f"Patient?{condition(value)}"},
        }
        text = refusal(
            await door.post("", json=transaction(entry("GET", "Patient/x"), entry("PUT", "Basic/t6", basic))),
            412,
        )
        assert "Bundle.entry[1]" in text and named in text
        refusal(await door.get("Basic/t6"), 404)


async def test_deleting_comes_before_creating_in_a_transaction(door: httpx.AsyncClient) -> None:
    old = (await create(door, "t7")).json()["id"]
    answer = await door.post(
        "",
        json=transaction(
            entry("POST", "Patient", numbered("t7"), request={"ifNoneExist": condition("t7")}),
            entry("DELETE", f"Patient/{old}"),
        ),
    )
    assert [e["response"]["status"] for e in answer.json()["entry"]] == ["201", "204"]
    assert (await door.get(f"Patient?{condition('t7')}")).json()["total"] == 1


async def test_two_entries_may_not_mean_the_same_resource(door: httpx.AsyncClient) -> None:
    known = (await create(door, "t8")).json()["id"]
    for entries in (
        (
            entry("PUT", f"Patient/{known}", numbered("t8", known)),
            entry("DELETE", f"Patient?{condition('t8')}"),
        ),
        (
            entry("POST", "Patient", numbered("t9"), request={"ifNoneExist": condition("t9")}),
            entry("POST", "Patient", numbered("t9"), request={"ifNoneExist": condition("t9")}),
        ),
    ):
        assert "Bundle.entry[" in refusal(await door.post("", json=transaction(*entries)), 400)
    assert (await door.get(f"Patient/{known}")).headers["etag"] == 'W/"1"'
    assert (await door.get(f"Patient?{condition('t9')}")).json()["total"] == 0
