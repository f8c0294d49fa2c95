"""Histories over HTTP: what happened to a resource, to a type and to everything, in both FHIR versions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import XML, entry, patient, refusal, transaction
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer

Door = httpx.AsyncClient


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "histories") as make, running_node(make, ("a",), erasure="test") as node:
        yield node


@pytest.fixture(params=["stu3", "r4"])
def door(node: RunningNode, request: pytest.FixtureRequest) -> Door:
    return node["a"].internal if request.param == "stu3" else node["a"].internal_r4


def is_r4(door: Door) -> bool:
    return str(door.base_url).endswith("/r4/")


def told(bundle: dict[str, Any]) -> list[str]:
    """Method and address of each entry, with the version that its resource has."""
    return [
        " ".join((e["request"]["method"], e["request"]["url"], version_of(e)))
        for e in bundle.get("entry", [])
    ]


def version_of(e: dict[str, Any]) -> str:
    return str(e["resource"]["meta"]["versionId"]) if "resource" in e else "-"


async def test_the_history_of_a_resource_tells_all_newest_first(door: Door) -> None:
    made = await door.post("Patient", json=patient("x"))
    path = made.headers["location"].partition("/_history")[0]
    name = path.rpartition("/")[2]
    await door.put(path, json=patient(name, active=True))
    operation = b'[{"op": "remove", "path": "/active"}]'
    await door.patch(path, content=operation, headers={"Content-Type": "application/json-patch+json"})
    await door.delete(path)
    await door.put(path, json=patient(name))
    bundle = (await door.get(f"{path}/_history")).json()
    patched = "PATCH" if is_r4(door) else "PUT"
    assert (bundle["type"], bundle["total"]) == ("history", 5)
    assert told(bundle) == [
        f"PUT Patient/{name} 5",
        f"DELETE Patient/{name} -",
        f"{patched} Patient/{name} 3",
        f"PUT Patient/{name} 2",
        "POST Patient 1",
    ]
    if is_r4(door):
        assert [e["response"]["status"] for e in bundle["entry"]] == ["201", "204", "200", "200", "201"]
        assert bundle["entry"][1]["response"]["etag"] == 'W/"4"'
    else:
        assert not any("response" in e for e in bundle["entry"]), "STU3 has no response in a history (bdl-4)"
    check = await door.post("Bundle", json=bundle)
    assert check.status_code == 201, check.text


async def test_a_deleted_resource_keeps_its_history(door: Door) -> None:
    await door.put("Patient/hd", json=patient("hd"))
    await door.delete("Patient/hd")
    assert told((await door.get("Patient/hd/_history")).json()) == ["DELETE Patient/hd -", "PUT Patient/hd 1"]
    assert (await door.get("Patient/hd/_history/1")).status_code == 200
    refusal(await door.get("Patient/hd/_history/2"), 410)
    await door.post("Patient/hd/$purge")
    refusal(await door.get("Patient/hd/_history"), 404)
    refusal(await door.get("Patient/never/_history"), 404)


async def test_a_poller_with_the_time_of_the_bundle_sees_each_change(door: Door) -> None:
    since = (await door.get("_history?_count=0")).json()["meta"]["lastUpdated"]
    await door.put("Patient/hp", json=patient("hp"))
    await door.put("Basic/hp", json={"resourceType": "Basic", "id": "hp", "code": {"text": "x"}})
    await door.delete("Patient/hp")
    everything = (await door.get("_history", params={"_since": since})).json()
    assert told(everything)[:3] == ["DELETE Patient/hp -", "PUT Basic/hp 1", "PUT Patient/hp 1"]
    basics = (await door.get("Basic/_history", params={"_since": since})).json()
    assert told(basics) == ["PUT Basic/hp 1"]
    later = (await door.get("_history", params={"_since": everything["meta"]["lastUpdated"]})).json()
    assert told(later) == []
    largest = everything["entry"][1]["resource"]["meta"]["lastUpdated"]
    again = (await door.get("_history", params={"_since": largest})).json()
    assert "PUT Basic/hp 1" in told(again)
    assert told((await door.get("Patient/_history?_since=2999-01-01")).json()) == []


async def test_pages_of_a_history_keep_their_bounds(door: Door) -> None:
    since = (await door.get("_history?_count=0")).json()["meta"]["lastUpdated"]
    names = [f"pg{n}" for n in range(5)]
    await door.post("", json=transaction(*(entry("PUT", f"Patient/{n}", patient(n)) for n in names)))
    for order in ("-_lastUpdated", "_lastUpdated"):
        asked = {"_since": since, "_count": "2", "_sort": order, "_format": "json"}
        bundle = (await door.get("Patient/_history", params=asked)).json()
        seen, times = [], {bundle["meta"]["lastUpdated"]}
        while True:
            seen += [e["request"]["url"] for e in bundle["entry"]]
            times.add(bundle["meta"]["lastUpdated"])
            links = {link["relation"]: link["url"] for link in bundle["link"]}
            assert links["self"].startswith(f"{door.base_url}Patient/_history?_since=")
            if "next" not in links:
                break
            await door.put("Patient/new", json=patient("new"))
            bundle = (await door.get(links["next"])).json()
        before = [name for name in seen if name != "Patient/new"]
        assert sorted(before) == [f"Patient/{n}" for n in names]
        assert before == sorted(before, reverse=order[0] == "-")
        assert len(times) == 1
        await asyncio.sleep(0.01)


async def test_at_gives_what_was_current(door: Door) -> None:
    await door.put("Patient/ht", json=patient("ht"))
    await asyncio.sleep(0.05)
    await door.put("Patient/ht", json=patient("ht"))
    moment = (await door.get("Patient/ht")).json()["meta"]["lastUpdated"]
    assert told((await door.get("Patient/ht/_history", params={"_at": moment})).json()) == [
        "PUT Patient/ht 2"
    ]
    first = (await door.get("Patient/ht/_history/1")).json()["meta"]["lastUpdated"]
    assert told((await door.get("Patient/ht/_history", params={"_at": first})).json()) == ["PUT Patient/ht 1"]
    assert told((await door.get("Patient/ht/_history?_at=2001")).json()) == []


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("_since=yesterday", "_since"),
        ("_at=x", "_at"),
        ("_count=-1", "_count"),
        ("_count=x", "_count"),
        ("_sort=name", "_sort"),
        ("_page=x", "_page"),
        ("_list=1", "_list"),
        ("name=x", "name"),
        ("_count=1&_count=2", "once"),
    ],
)
async def test_what_a_history_does_not_take_is_refused_by_name(door: Door, query: str, named: str) -> None:
    for path in ("_history", "Patient/_history"):
        assert named in refusal(await door.get(f"{path}?{query}"), 400)
    assert (await door.post("_history")).status_code == 405
    refusal(await door.get("Patience/_history"), 404)


# -- compartments, all types, and HEAD ---------------------------------------------------------------


async def test_compartments_and_several_types_are_searched_by_get_and_post(door: Door) -> None:
    for name in ("k1", "k2"):
        await door.put(f"Patient/{name}", json=patient(name))
        observation = {
            "resourceType": "Observation",
            "id": name,
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": f"Patient/{name}"},
        }
        await door.put(f"Observation/{name}", json=observation)
    for path, parameters, expected in (
        ("Patient/k1/Observation", {"status": "final"}, ["Observation/k1"]),
        ("Patient/k1/Observation", {"status": "amended"}, []),
        ("Patient/k1/*", {"_type": "Patient,Observation"}, ["Observation/k1", "Patient/k1"]),
        ("", {"_type": "Patient,Observation", "_id": "k2"}, ["Observation/k2", "Patient/k2"]),
    ):
        got = await door.get(path, params=parameters)
        assert got.status_code == 200, got.text
        bundle = got.json()
        found = sorted(
            f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle.get("entry", [])
        )
        assert found == expected
        assert bundle["link"][0]["url"].startswith(f"{door.base_url}{path}".rstrip("/") + "?")
        posted = await door.post(f"{path.removesuffix('/*')}/_search".lstrip("/"), data=parameters)
        assert posted.json().get("entry") == bundle.get("entry"), posted.text
    refusal(await door.get("Patient/k1/Observation?naam=x"), 400)
    refusal(await door.get("Patient/k1/Patience"), 400)
    refusal(await door.get("Basic/k1/Observation"), 400)


async def test_pages_of_a_compartment_and_of_several_types_lead_on(door: Door) -> None:
    for n in range(3):
        await door.put(
            f"Basic/pc{n}",
            json={
                "resourceType": "Basic",
                "id": f"pc{n}",
                "code": {"text": "x"},
                "subject": {"reference": "Patient/pc"},
            },
        )
    for path in (
        "Patient/pc/Basic?_count=2",
        "Patient/pc/*?_count=2",
        "?_type=Basic&_id=pc0,pc1,pc2&_count=2",
    ):
        bundle = (await door.get(path)).json()
        [link] = [one["url"] for one in bundle["link"] if one["relation"] == "next"]
        rest = (await door.get(link)).json()
        assert len({e["resource"]["id"] for e in bundle["entry"] + rest["entry"]}) == 3


async def test_histories_and_bundles_are_answered_in_xml_as_well(door: Door) -> None:
    await door.put("Patient/hx", json=patient("hx"))
    await door.delete("Patient/hx")
    for answer in (
        await door.get("Patient/hx/_history", headers={"Accept": XML}),
        await door.get("_history?_count=3&_format=xml"),
        await door.post("", json=transaction(entry("GET", "Patient/hx/_history")), headers={"Accept": XML}),
    ):
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(XML)
        again = await door.post("Bundle", content=answer.content, headers={"Content-Type": XML})
        assert again.status_code == 201, again.text


async def test_head_is_get_without_its_body(door: Door) -> None:
    await door.put("Patient/he", json=patient("he"))
    for path in (
        "Patient/he",
        "Patient/he/_history/1",
        "Patient/he/_history",
        "Patient?_id=he",
        "_history",
        "metadata",
        "Patient/he/$meta",
        "Patient/never",
        "Patient?naam=x",
    ):
        got, head = await door.get(path), await door.head(path)
        assert head.status_code == got.status_code, path
        assert head.content == b"" and head.headers["content-type"] == got.headers["content-type"]
        assert head.headers.get("etag") == got.headers.get("etag")
    assert (await door.head("Patient/he", headers={"If-None-Match": 'W/"1"'})).status_code == 304


# -- operations --------------------------------------------------------------------------------------


def meta(**labels: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": labels}]}


async def test_labels_are_added_and_taken_away_in_new_versions(door: Door) -> None:
    first, second = ({"system": "http://example.org/label", "code": code} for code in ("one", "two"))
    await door.put("Patient/me", json=patient("me", meta={"tag": [first]}))
    added = await door.post(
        "Patient/me/$meta-add", json=meta(tag=[{**first, "display": "again"}, second], security=[first])
    )
    assert added.status_code == 200, added.text
    [parameter] = added.json()["parameter"]
    assert parameter["name"] == "return" and parameter["valueMeta"]["tag"] == [first, second]
    assert (await door.get("Patient/me")).headers["etag"] == 'W/"2"'
    assert (await door.get("Patient?_tag=http://example.org/label|two")).json()["total"] == 1
    for path in ("$meta", "Patient/$meta"):
        in_use = (await door.get(path)).json()["parameter"][0]["valueMeta"]
        assert {"one", "two"} <= {tag["code"] for tag in in_use["tag"]}
    taken = await door.post("Patient/me/$meta-delete", json=meta(tag=[second], security=[first]))
    left = taken.json()["parameter"][0]["valueMeta"]
    assert left["tag"] == [first] and "security" not in left
    assert (await door.post("Patient/me/$meta")).json()["parameter"][0]["valueMeta"]["versionId"] == "3"


async def test_operations_that_no_row_names_are_refused(door: Door) -> None:
    await door.put("Patient/op", json=patient("op"))
    for path in (
        "$nothing",
        "Patient/$nothing",
        "Patient/op/$nothing",
        "Patient/$lastn",
        "$purge",
        "$meta-add",
    ):
        assert "not-supported" in refusal(await door.get(path), 400)
    for method, path in (("DELETE", "Patient/op/$meta"), ("GET", "Patient/op/$meta-add")):
        assert (await door.request(method, path)).status_code == 405
    refusal(await door.get("Patient/never/$meta"), 404)
    tagged = meta(tag=[{"code": "x"}])
    refusal(await door.post("Patient/never/$meta-add", json=tagged), 404)
    refusal(await door.post("Patient/op/$meta-add", json=patient("op")), 400)
    refusal(await door.post("Patient/op/$meta-add", json={"resourceType": "Parameters"}), 400)
    assert (await door.get("Patient/op")).headers["etag"] == 'W/"1"'


async def test_the_capability_statement_says_what_is_there_and_is_valid(door: Door) -> None:
    for mode in ("", "?mode=full", "?mode=normative"):
        assert (await door.get(f"metadata{mode}")).status_code == 200
    refusal(await door.get("metadata?mode=terminology"), 400)
    refusal(await door.get("metadata?mode=x"), 400)
    statement = (await door.get("metadata")).json()
    written = await door.post("CapabilityStatement", json=statement)
    assert written.status_code == 201, written.text
    [rest] = statement["rest"]
    by_type = {r["type"]: r for r in rest["resource"]}
    listed = rest["operation"]
    if is_r4(door):
        assert {o["name"] for o in by_type["Patient"]["operation"]} >= {"meta", "meta-add", "purge"}
        assert {o["name"] for o in by_type["Observation"]["operation"]} >= {"meta", "lastn"}
        assert "purge" not in {o["name"] for o in by_type["Observation"]["operation"]}
    else:
        assert {o["name"] for o in listed} >= {"meta", "meta-add", "meta-delete", "lastn", "purge"}
    for parameter in rest["searchParam"]:
        answer = await door.get("", params={parameter["name"]: "2024", "_count": "1"})
        assert answer.status_code == 200, answer.text
    for include in by_type["Patient"]["searchRevInclude"]:
        assert (await door.get("Patient", params={"_revinclude": include})).status_code == 200
