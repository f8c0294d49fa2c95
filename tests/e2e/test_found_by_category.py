"""A holder that the directory knows by kinds of data: each of its endpoints is asked for what it has, and nothing that
has no endpoint is ever taken for complete."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.addressing import BGZ, URA, Directory, endpoint
from tests.guarded import BSN
from tests.nodes import DOCTOR, RunningNode, databases, running_node
from tests.spread import Spread, spread

from schakel.exchanges.bgz import requests_for
from schakel.exchanges.bgz.requests import categories
from schakel.generic.addressing.exchanges import CATEGORIES, exchange
from schakel.store.embedded import EmbeddedServer

ALL = exchange("bgz").categories
ASK = {
    "patient": BSN,
    "holders": [URA],
    "user": DOCTOR.json(),
    "purpose": "TREAT",
    "treatment_relation": "current",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    local = {"http_on_loopback": True}
    async with databases(cluster, "by_category") as make, running_node(make, trust=local) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def directory(node: RunningNode) -> Directory:
    return await Directory.new(node.node.pool)


@pytest_asyncio.fixture(loop_scope="session")
async def holder() -> AsyncIterator[Spread]:
    async with spread() as listening:
        yield listening


async def post(node: RunningNode, **headers: str) -> httpx.Response:
    b = node["b"]
    answer = await b.internal.post(f"{b.internal_root}/b/exchanges/bgz", json=ASK, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


async def fetched(node: RunningNode) -> tuple[dict[str, Any], dict[str, Any]]:
    """The whole answer, and the report of the one holder."""
    whole: dict[str, Any] = (await post(node)).json()
    [report] = whole["holders"]
    return whole, report


def numbers(report: dict[str, Any], status: str) -> set[int]:
    return {one["number"] for one in report["requests"] if one["status"] == status}


def brought(whole: dict[str, Any]) -> set[str]:
    """What came, by address, without the Provenance that we add."""
    return {one["fullUrl"] for one in whole["bundle"].get("entry", ()) if "urn:" not in one["fullUrl"]}


def test_every_request_stands_under_a_category_of_the_exchange_and_the_other_way_round() -> None:
    assert sorted(categories()) == list(range(1, len(requests_for(BSN)) + 1))
    assert set(categories().values()) == ALL


@pytest.mark.parametrize("category", sorted(ALL))
async def test_an_endpoint_for_one_category_is_asked_for_that_alone_and_the_others_are_named(
    node: RunningNode, directory: Directory, holder: Spread, category: str
) -> None:
    await holder.enter(directory, one=[category])
    whole, report = await fetched(node)
    own = {number for number, name in categories().items() if name == category}
    assert (whole["status"], report["status"]) == ("incomplete", "incomplete")
    assert (numbers(report, "complete"), numbers(report, "failed")) == (own, set(range(1, 28)) - own)
    assert report["missing"] == sorted(ALL - {category})
    assert all(name in report["reason"] for name in report["missing"])
    for request in report["requests"]:
        name = categories()[request["number"]]
        expected = f"not asked: the directory has no endpoint of this holder for {name}"
        assert request["reason"] == ("" if name == category else expected)
    # Beside its own it is asked who the patient is there, once; that is passed on with what refers to it alone.
    searches = {requests_for(BSN)[number - 1].partition("?")[0] for number in own} | {"Patient"}
    assert {query.partition("?")[0] for query in holder.asked["one"]} == searches
    assert len(holder.asked["one"]) == len(own) + (category != "Patient")
    there = {"Patient": ["Patient/at-one"], "Condition": ["Patient/at-one", "Condition/c-one"]}
    assert brought(whole) == {f"{holder.base('one')}/{one}" for one in there.get(category, ())}


async def test_the_steps_tell_what_was_not_asked_as_well(
    node: RunningNode, directory: Directory, holder: Spread
) -> None:
    await holder.enter(directory, one=["Consent"])
    text = (await post(node, Accept="text/event-stream")).text
    told = [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    [report] = [one for one in told if "missing" in one]
    [again] = told[-1]["holders"]
    assert report["missing"] == again["missing"] == sorted(ALL - {"Consent"})
    assert (report["status"], told[-1]["status"]) == ("incomplete", "incomplete")


async def test_endpoints_that_have_all_of_it_together_are_each_asked_for_their_part(
    node: RunningNode, directory: Directory, holder: Spread
) -> None:
    holder.resources = (holder.base("one"), holder.base("two"))
    await holder.enter(directory, one=ALL - {"Condition", "Alert"}, two=["Condition", "Alert", "Imaging"])
    whole, report = await fetched(node)
    assert (whole["status"], report["status"], report["reason"]) == ("complete", "complete", "")
    assert (report["missing"], numbers(report, "complete")) == ([], set(range(1, 28)))
    assert [one["number"] for one in report["requests"]] == list(range(1, 28))
    assert (len(holder.asked["one"]), len(holder.asked["two"])) == (25, 3)
    assert sorted(holder.tokens) == sorted(holder.resources)
    assert brought(whole) == {
        f"{holder.base('one')}/Patient/at-one",
        f"{holder.base('two')}/Patient/at-two",
        f"{holder.base('two')}/Condition/c-two",
    }
    # To ask who the patient is there was no request of the exchange.
    assert "at-two" not in orjson.dumps(whole["sections"]).decode()


async def test_the_log_says_of_each_address_what_came_from_there(
    node: RunningNode, directory: Directory, holder: Spread
) -> None:
    await holder.enter(directory, one=["Patient"], two=["Condition"], three=["Alert"])
    holder.mute = {"three"}
    whole, _ = await fetched(node)
    log = f"{node['b'].internal_root}/b/log/fhir/r4/AuditEvent"
    answer = await node["b"].internal.get(log, params={"entity:identifier": whole["id"]})
    told = {}
    for event in (entry["resource"] for entry in answer.json()["entry"]):
        [address] = (
            agent["network"]["address"] for agent in event["agent"] if URA in orjson.dumps(agent).decode()
        )
        what = (entity.get("what", {}).get("reference", "") for entity in event["entity"])
        [query] = (b64decode(entity["query"]).decode() for entity in event["entity"] if "query" in entity)
        told[address] = (event["outcome"], query, {one for one in what if "/at-" in one or "/c-" in one})
    assert told == {
        holder.base("one"): ("0", "fetch BgZ; Patient", {"Patient/at-one"}),
        holder.base("two"): ("0", "fetch BgZ; Condition", {"Patient/at-two", "Condition/c-two"}),
        holder.base("three"): ("4", "fetch BgZ; Alert", set()),
    }


async def test_one_address_with_an_endpoint_for_each_category_is_for_the_whole(
    node: RunningNode, directory: Directory, holder: Spread
) -> None:
    one = holder.base("one")
    await holder.enter(directory, **{name.lower(): [name] for name in ALL})
    await directory.put(*(endpoint(name.lower(), (CATEGORIES, name), address=one) for name in ALL))
    _, report = await fetched(node)
    assert (report["status"], report["missing"]) == ("complete", [])
    assert (set(holder.asked), len(holder.asked["one"]), len(holder.tokens)) == ({"one"}, 27, 1)


async def test_an_endpoint_that_names_the_exchange_is_for_all_of_it(
    node: RunningNode, directory: Directory, holder: Spread
) -> None:
    await holder.enter(directory, one=ALL, two=["Condition"])
    await directory.put(endpoint("two", BGZ, address=holder.base("two")))
    _, report = await fetched(node)
    assert (report["status"], set(holder.asked), len(holder.asked["two"])) == ("complete", {"two"}, 27)


async def test_a_part_that_refuses_spoils_no_other(
    node: RunningNode, directory: Directory, holder: Spread
) -> None:
    await holder.enter(directory, one=ALL - {"Condition"}, two=["Condition"])
    holder.mute = {"two"}
    _, report = await fetched(node)
    assert (report["status"], numbers(report, "refused")) == ("incomplete", {7})
    assert numbers(report, "complete") == set(range(1, 28)) - {7}


async def test_a_part_for_which_the_server_gives_no_token_is_not_asked_and_spoils_no_other(
    node: RunningNode, directory: Directory, holder: Spread
) -> None:
    holder.resources = (holder.base("one"),)
    await holder.enter(directory, one=ALL - {"Condition"}, two=["Condition"])
    _, report = await fetched(node)
    assert numbers(report, "complete") == set(range(1, 28)) - {7}
    assert (report["status"], numbers(report, "failed"), set(holder.asked)) == ("incomplete", {7}, {"one"})
    assert "gives no tokens for the address" in report["reason"]


async def test_without_the_patient_as_a_base_knows_it_nothing_of_that_base_is_passed_on(
    node: RunningNode, directory: Directory, holder: Spread
) -> None:
    await holder.enter(directory, one=ALL - {"Condition"}, two=["Condition"])
    holder.withheld = {"two"}
    whole, report = await fetched(node)
    assert (report["status"], numbers(report, "incomplete")) == ("incomplete", {7})
    assert "the patient's own record" in report["requests"][6]["reason"]
    assert brought(whole) == {f"{holder.base('one')}/Patient/at-one"}


@pytest.mark.parametrize(("subject", "passed"), [("at-one", True), ("another", False)])
async def test_what_refers_to_the_patient_at_another_base_of_the_holder_is_about_that_patient(
    node: RunningNode, directory: Directory, holder: Spread, subject: str, passed: bool
) -> None:
    await holder.enter(directory, one=ALL - {"Condition"}, two=["Condition"])
    holder.subject["two"] = f"{holder.base('one')}/Patient/{subject}"
    whole, report = await fetched(node)
    assert brought(whole) == {f"{holder.base('one')}/Patient/at-one"} | (
        {f"{holder.base('two')}/Condition/c-two"} if passed else set()
    )
    assert (report["requests"][6]["entries"], report["requests"][6]["dropped"]) == (passed, not passed)
