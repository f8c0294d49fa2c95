"""Decisions as stored objects: each answer of the guarded door leads to one, and it can be made again from it."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.guarded import BSN, NAMED, OTHER, SEARCH, Door, guarded_node, keys
from tests.nodes import RunningNode

from schakel.gateway.replay import replay
from schakel.generic.authorisation import Policy
from schakel.generic.consent import ConsentDesk, ConsentQuestion, Permission
from schakel.kernel.values import URA_SYSTEM
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "decisions") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def door(node: RunningNode) -> Door:
    return await Door.opened(node)


async def own(door: Door, path: str) -> httpx.Response:
    """A request of the holder below its internal address."""
    return await door.holder.internal.get(f"{door.holder.internal_root}/a/{path}")


async def stored(door: Door, answer: httpx.Response) -> bytes:
    """The stored decision behind an answer."""
    found = await own(door, f"log/decisions/{answer.headers['X-Decision-ID']}")
    assert found.status_code == 200, found.text
    return found.content


async def policy(door: Door, decision: bytes) -> Policy:
    """The policy a decision was made with, from its stored text."""
    text = await own(door, f"log/policies/{orjson.loads(decision)['policy']}")
    assert (text.status_code, text.headers["Content-Type"]) == (200, "application/json")
    return Policy.from_text(text.text)


ASKED = {
    "a search": (SEARCH, 200, ""),
    "$lastn": (f"Observation/$lastn?code=http://loinc.org|85354-9&{NAMED}", 200, ""),
    "a read": ("Condition/c1", 200, ""),
    "a read through a link": ("Practitioner/gp", 200, ""),
    "no ground": (SEARCH.replace(BSN, OTHER), 403, "no-ground"),
    "no form": (f"{SEARCH}&category=problem", 403, "form-not-allowed"),
    "no such parameter": (f"{SEARCH}&naam=x", 400, "search-parameter-unknown"),
    "no patient": ("Condition", 403, "patient-not-named"),
    "not here": ("Condition/nothing", 403, "not-here"),
    "another patient's": ("Condition/c2", 403, "no-ground"),
    "no such interaction": ("Condition/c1/_history", 405, "interaction-not-allowed"),
}


@pytest.mark.parametrize("case", ASKED)
async def test_every_answer_leads_to_a_decision_that_is_made_the_same_again(door: Door, case: str) -> None:
    path, status, reason = ASKED[case]
    answer = await door.get(path)
    assert answer.status_code == status, answer.text
    decision = await stored(door, answer)
    told = orjson.loads(decision)
    assert (told["outcome"], told["reason"]) == ("0" if status == 200 else "4", reason)
    assert told["requester"]["ura"] == door.requester.ura
    assert told["checks"][0]["name"] == "identified"
    assert all(check["milliseconds"] >= 0 for check in told["checks"])
    result = replay(decision, await policy(door, decision))
    assert result.same, result.differences


async def test_a_decision_says_what_was_decided_on_and_what_was_shown(door: Door) -> None:
    answer = await door.get(SEARCH)
    told = orjson.loads(await stored(door, answer))
    assert keys(answer) == {"Condition/c1"}
    assert told["shown"] == ["Condition/c1/_history/1"]
    assert {"resource": "Condition/both", "why": "other-patient"} in told["held_back"]
    assert (told["row"]["exchange"], told["ground"]["kind"], told["patient"]) == ("bgz", "recorded", BSN)
    assert told["verdict"]["permitted"] and told["verdict"]["rule"] and told["verdict"]["explanation"]
    assert told["asked"] | {"path": "Condition", "interaction": "search"} == told["asked"]
    assert door.token not in str(told)


async def test_a_decision_on_a_page_holds_the_search_that_made_it(door: Door) -> None:
    first = await door.get(f"Flag?{NAMED}&_count=2")
    [link] = [one["url"] for one in first.json()["link"] if one["relation"] == "next"]
    decision = await stored(door, await door.get(link))
    assert BSN in orjson.loads(decision)["asked"]["query"]
    assert replay(decision, await policy(door, decision)).same


def changed(decision: bytes, **members: Any) -> bytes:
    """The decision with members changed; `a__b` is the member b of a."""
    told = orjson.loads(decision)
    for name, value in members.items():
        outer, _, inner = name.partition("__")
        if inner:
            told[outer][inner] = value
        else:
            told[outer] = value
    return orjson.dumps(told)


@pytest.mark.parametrize(
    "members",
    [
        {"verdict__permitted": False},
        {"verdict__rule": "another"},
        {"facts__role": "99.999"},
        {"facts__purpose": "HMARKT"},
        {"facts__row": "none"},
        {"ground__kind": "patient"},
        {"ground": None},
        {"row__id": "another"},
        {"asked__query": f"{NAMED}&code=1"},
        {"requester__scope": "eOverdracht-sender"},
        {"policy": "0" * 64},
        {"verdict": None},
    ],
)
async def test_a_decision_that_was_tampered_with_is_not_made_again(
    door: Door, members: dict[str, Any]
) -> None:
    decision = await stored(door, await door.get(SEARCH))
    now = await policy(door, decision)
    assert replay(decision, now).same
    assert not replay(changed(decision, **members), now).same


async def test_another_policy_may_decide_otherwise_and_is_seen(door: Door) -> None:
    decision = await stored(door, await door.get(SEARCH))
    text = (await policy(door, decision)).text
    other = Policy.from_text(text.replace('"TREAT"', '"HMARKT"'))
    result = replay(decision, other)
    assert not result.same and result.now is not None and not result.now.permitted


async def test_only_the_holder_reads_its_decisions_and_the_reading_is_logged(
    door: Door, node: RunningNode
) -> None:
    answer = await door.get(SEARCH)
    path = f"log/decisions/{answer.headers['X-Decision-ID']}"
    for url, client in (
        (f"{door.holder.internal_root}/a/{path}", node["b"].internal),
        (f"{door.holder.internal_root}/b/{path}", node["b"].internal),
        (f"{door.holder.front_root}/a/{path}", door.holder.front),
    ):
        assert (await client.get(url)).status_code in (403, 404)
    assert (await own(door, path)).status_code == 200
    log = (await own(door, "log/fhir/r4/AuditEvent?_count=5")).json()
    texts = [e["query"] for entry in log["entry"] for e in entry["resource"]["entity"] if "query" in e]
    assert f"GET {path.removeprefix('log/')}" in {b64decode(text).decode() for text in texts}
    digest = (await own(door, path)).json()["policy"]
    await own(door, f"log/policies/{digest}")
    log = (await own(door, "log/fhir/r4/AuditEvent?_count=5")).json()
    texts = [e["query"] for entry in log["entry"] for e in entry["resource"]["entity"] if "query" in e]
    assert f"GET policies/{digest}" in {b64decode(text).decode() for text in texts}
    assert (await own(door, "log/decisions/no-such")).status_code == 404
    assert (await own(door, "log/policies/no-such")).status_code == 404


# -- batches ------------------------------------------------------------------------------------------------


def batch(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "batch", "entry": [{"request": one} for one in entries]}


def get(url: str, **members: str) -> dict[str, Any]:
    return {"method": "GET", "url": url, **members}


async def test_the_door_says_that_it_takes_batches(door: Door) -> None:
    told = (await door.send("GET", "metadata")).json()["rest"][0]
    assert "batch" in [one["code"] for one in told["interaction"]]
    answer = await door.send("POST", "", json=batch(get("Condition/c1")))
    assert (answer.status_code, answer.json()["type"]) == (200, "batch-response")


async def test_each_entry_of_a_batch_is_decided_on_its_own(door: Door) -> None:
    asked = [
        SEARCH,
        SEARCH.replace(BSN, OTHER),
        "Condition/c1",
        "Condition/c2",
        f"{SEARCH}&x=y",
        f"Flag?{NAMED}",
    ]
    answer = await door.send("POST", "", json=batch(*(get(one) for one in asked)))
    assert answer.status_code == 200, answer.text
    entries = answer.json()["entry"]
    assert [e["response"]["status"] for e in entries] == ["200", "403", "200", "403", "400", "200"]
    assert {e["resource"]["id"] for e in entries[0]["resource"]["entry"]} == {"c1"}
    assert "resource" not in entries[1] and "resource" not in entries[3]
    decisions = [e["link"][0]["url"].removeprefix("urn:uuid:") for e in entries]
    assert len(set(decisions)) == len(asked)
    reasons = [(await door.logged(decision))[0].get("outcomeDesc", "") for decision in decisions]
    assert reasons[1] == reasons[3] == "no-ground" and reasons[0] == reasons[2] == reasons[5] == ""
    for decision in decisions:
        body = (await own(door, f"log/decisions/{decision}")).content
        assert replay(body, await policy(door, body)).same


async def test_a_batch_does_nothing_that_a_request_alone_does_not(door: Door, node: RunningNode) -> None:
    before = await node.node.pool.fetchval("SELECT count(*) FROM history")
    condition = {"resourceType": "Condition", "id": "x", "subject": {"reference": "Patient/p1"}}
    entries = [
        {"request": {"method": "PUT", "url": "Condition/x"}, "resource": condition},
        {"request": {"method": "POST", "url": "Condition"}, "resource": condition},
        {"request": {"method": "DELETE", "url": "Condition/c1"}},
        {"request": {"method": "POST", "url": ""}, "resource": batch(get("Condition/c1"))},
        {"request": get("Patient/p1/$everything")},
        {"request": get("_history")},
        {"request": {"method": "GET"}},
        {},
    ]
    body = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = await door.send("POST", "", json=body)
    statuses = [e["response"]["status"] for e in answer.json()["entry"]]
    assert all(status in ("400", "405") for status in statuses), answer.text
    assert await node.node.pool.fetchval("SELECT count(*) FROM history") == before


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({**batch(), "type": "transaction"}, "transaction"),
        ({**batch(), "type": "collection"}, "Bundle.type"),
        ({"resourceType": "Patient"}, "Bundle"),
        ({**batch(), "entry": "x"}, "entry"),
        ({**batch(), "naam": 1}, "naam"),
    ],
)
async def test_what_is_no_batch_is_refused_by_name_and_logged(
    door: Door, body: dict[str, Any], named: str
) -> None:
    answer = await door.send("POST", "", json=body)
    assert answer.status_code in (400, 405, 422) and named in answer.text, answer.text
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert event["outcome"] == "4"


async def test_a_batch_needs_a_token_as_well(door: Door) -> None:
    answer = await door.holder.front.post("", json=batch(get(SEARCH)))
    assert answer.status_code == 401


async def test_conditions_in_headers_are_met_or_refused_by_name(door: Door) -> None:
    read = await door.get("Condition/c1")
    again = await door.send("GET", "Condition/c1", headers={"If-None-Match": read.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await door.send("GET", "Condition/c1", headers={"If-None-Match": 'W/"9"'})).status_code == 200
    other = await door.send("GET", "Condition/c2", headers={"If-None-Match": 'W/"1"'})
    assert await door.reason(other) == "no-ground"
    for name, value in (
        ("If-Match", 'W/"1"'),
        ("If-None-Exist", "identifier=x|y"),
        ("X-Emergency-Reason", ""),
    ):
        answer = await door.send("GET", SEARCH, headers={name: value})
        assert (answer.status_code, name in answer.text) == (400, True), answer.text


async def test_the_reason_of_an_emergency_reaches_the_consent_desk_and_the_decision(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ConsentQuestion] = []
    permit = ConsentDesk.permit

    async def permitting(desk: ConsentDesk, question: ConsentQuestion) -> Permission:
        asked.append(question)
        return await permit(desk, question)

    monkeypatch.setattr(ConsentDesk, "permit", permitting)
    answer = await door.send(
        "GET", SEARCH, headers={"X-Emergency-Reason": "bewusteloos, co%C3%ABxistente ziekte"}
    )
    assert answer.status_code == 200
    assert [one.emergency for one in asked] == ["bewusteloos, coëxistente ziekte"]
    assert "break-glass" not in asked[0].accepted, "no high level of assurance, no bound token"
    assert orjson.loads(await stored(door, answer))["emergency"] == asked[0].emergency
    for wrong in ("", "%FF", "x" * 501, "a%0Ab"):
        answer = await door.send("GET", SEARCH, headers={"X-Emergency-Reason": wrong})
        assert (answer.status_code, "X-Emergency-Reason" in answer.text) == (400, True)
    without = await door.send("GET", SEARCH.replace(BSN, OTHER), headers={"X-Emergency-Reason": "help"})
    assert await door.reason(without) == "no-ground"


async def test_a_notification_does_not_help_to_read_what_names_no_patient(
    door: Door, node: RunningNode
) -> None:
    token = await door.requester.token(door.holder, "bgz ta-np-notification")
    both = Door(door.holder, door.requester, token)
    sender = {"identifier": {"system": URA_SYSTEM, "value": door.requester.ura}}
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "proposal",
        "code": {
            "coding": [{"system": "http://fhir.nl/fhir/NamingSystem/TaskCode", "code": "pull-notification"}]
        },
        "requester": {"agent": sender, "onBehalfOf": sender},
        "owner": {"identifier": {"system": URA_SYSTEM, "value": door.holder.ura}},
    }
    assert (await both.send("POST", "Task", json=task)).status_code == 201
    await node.node.pool.execute("TRUNCATE disclosure_ground")
    assert await both.reason(await both.get("Practitioner/gp")) == "not-referred-to"
