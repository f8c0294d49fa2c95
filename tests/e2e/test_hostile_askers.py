"""What an asker, an officer's program or a neighbour sends to get more than it may, or to learn that something is here.

Each is a request to a running node; what it must not bring is looked for in the answer and in the logs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.guarded import BSN, NOBODY, OTHER, SEARCH, Door, guarded_node, keys
from tests.nodes import RunningNode

from schakel.kernel.clock import new_id
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "hostileaskers") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def door(node: RunningNode) -> Door:
    return await Door.opened(node)


async def own(door: Door, path: str, method: str = "GET", **options: Any) -> httpx.Response:
    """A request of the holder below its internal address."""
    return await door.holder.internal.request(method, f"{door.holder.internal_root}/a/{path}", **options)


# -- the holder's own doors ----------------------------------------------------------------------------------


async def test_a_decision_that_is_read_shows_in_the_log_of_the_patient_it_is_about(door: Door) -> None:
    decision = (await door.get(SEARCH)).headers["X-Decision-ID"]
    assert (await own(door, f"log/decisions/{decision}")).status_code == 200
    found = await own(
        door, "log/fhir/r4/AuditEvent", params={"patient.identifier": BSN, "subtype": "log", "_count": "1"}
    )
    [entry] = found.json()["entry"]
    assert f'{BSN_SYSTEM}","value":"{BSN}"' in orjson.dumps(entry).decode()


@pytest.mark.parametrize("name", ["%00", "%ff", "..", "%2e%2e", "x" * 5000, "%ED%A0%80", "' OR 1=1"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "log/decisions/{}"),
        ("GET", "log/policies/{}"),
        ("GET", "log/fhir/r4/AuditEvent/{}"),
        ("GET", "log/fhir/r4/AuditEvent?correlation={}"),
        ("GET", "log/fhir/r4/AuditEvent?user={}"),
        ("GET", "log/fhir/r4/AuditEvent?_page={}"),
        ("GET", "log/export?subtype={}"),
        ("POST", "consent/objections/{}/end"),
        ("POST", "consent/emergencies/{}"),
        ("GET", "consent/subscriptions?after={}"),
        ("GET", "consent/choices?after={}"),
        ("GET", "consent/emergencies?judged={}"),
        ("GET", "grounds?patient={}"),
        ("POST", "grounds/{}/end"),
    ],
)
async def test_a_name_of_anything_finds_nothing_and_breaks_nothing(
    door: Door, method: str, path: str, name: str
) -> None:
    body = {"json": {"by": "A", "accepted": True}} if method == "POST" else {}
    answer = await own(door, path.format(name), method, **body)
    assert answer.status_code < 500, answer.text


async def test_an_objection_to_an_exchange_that_is_not_there_is_refused(door: Door) -> None:
    """It would stand against nothing, and the patient would believe otherwise."""
    answer = await own(
        door, "consent/objections", "POST", json={"patient": BSN, "by": "A", "exchanges": ["bgz", "bzg"]}
    )
    assert (answer.status_code, answer.json()["expression"]) == (400, "exchanges")
    assert "bgz, bgz-sender" in answer.text
    assert keys(await door.get(SEARCH))


# -- what an asker learns ------------------------------------------------------------------------------------


WHOSE = {
    "known by BSN": f"Condition?patient.identifier={BSN_SYSTEM}|{OTHER}",
    "unknown by BSN": f"Condition?patient.identifier={BSN_SYSTEM}|{NOBODY}",
    "known by id": "Condition?patient=Patient/p2",
    "unknown by id": "Condition?patient=Patient/p9",
    "a record that is here": "Condition/c2",
    "a record that is not": "Condition/c9",
    "a record without a patient": "Practitioner/theirs",
    "one that is not": "Practitioner/nobody",
}


@pytest.mark.parametrize("scope", ["bgz", "bgz-sender", "eOverdracht-sender", "bgz bgz-sender"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", [{}, {"If-None-Match": 'W/"1"'}, {"X-Emergency-Reason": "x"}])
async def test_refusals_are_alike_whoever_is_known_here(
    door: Door, scope: str, method: str, headers: dict[str, str]
) -> None:
    asker = Door(door.holder, door.requester, await door.requester.token(door.holder, scope))
    for one, other in zip(list(WHOSE)[::2], list(WHOSE)[1::2], strict=True):
        seen = []
        for path in (WHOSE[one], WHOSE[other]):
            answer = await asker.send(method, path, headers=headers)
            decision = answer.headers.get("X-Decision-ID", "-")
            told = {
                n: v for n, v in answer.headers.items() if n not in ("date", "x-decision-id", "x-request-id")
            }
            seen.append((answer.status_code, told, answer.text.replace(decision, "")))
        assert seen[0] == seen[1], (one, other)
        assert seen[0][0] in (403, 405)


async def test_a_batch_of_entries_does_not_mix_their_patients_or_addresses(
    door: Door, node: RunningNode
) -> None:
    other_base = node["b"].front_fhir
    urls = [
        SEARCH,
        "Condition/c2",
        f"{door.holder.front_fhir}/Condition/c2",
        f"{other_base}/Condition/c1",
        f"{other_base}/Condition?patient=Patient/p1",
        "/../../b/fhir/stu3/Condition/c1",
        "//Condition/c1",
        "Condition/c1#x",
        "Condition/c1?_format=json&_elements=id",
        "metadata",
        "",
        f"{SEARCH}&_include=Condition:asserter",
        f"{SEARCH.replace(BSN, OTHER)}",
        f"Condition/_search?patient.identifier={BSN_SYSTEM}|{BSN}",
        "Practitioner/theirs",
        "Practitioner/gp",
    ]
    entries = [{"fullUrl": "Patient/p1", "request": {"method": "GET", "url": url}} for url in urls]
    answer = await door.send("POST", "", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert answer.status_code == 200, answer.text
    given = dict(zip(urls, (e["response"]["status"] for e in answer.json()["entry"]), strict=True))
    assert {url for url, status in given.items() if status == "200"} <= {
        SEARCH,
        "Practitioner/gp",
        "//Condition/c1",
    }
    assert OTHER not in answer.text and '"c2"' not in answer.text
    assert all(status[0] == "4" or status == "200" for status in given.values()), given


async def test_a_batch_is_bounded_so_that_no_answer_is_without_end(door: Door) -> None:
    """Five thousand times the whole record of one patient is an answer that no node can hold."""
    entries = [{"request": {"method": "GET", "url": "Condition/c9"}}] * 101
    batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = await door.send("POST", "", json=batch)
    assert (answer.status_code, "limits.guarded_entries" in answer.text) == (400, True), answer.text
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert event["outcome"] == "4"
    answer = await door.send("POST", "", json={**batch, "entry": entries[:100]})
    assert {entry["response"]["status"] for entry in answer.json()["entry"]} == {"403"}


async def test_nobody_fills_the_store_of_another_with_one_notification(door: Door) -> None:
    token = await door.requester.token(door.holder, "ta-np-notification")
    sender = Door(door.holder, door.requester, token)
    huge = {"resourceType": "Task", "description": "x" * 1_000_000}
    answer = await sender.send("POST", "Task", json=huge)
    assert (answer.status_code, "limits.guarded_body" in answer.text) == (413, True), answer.text


async def test_a_withdrawn_ground_ends_pages_records_and_what_names_nobody(
    door: Door, node: RunningNode
) -> None:
    first = await door.get(f"Flag?patient.identifier={BSN_SYSTEM}|{BSN}&_count=2")
    [link] = [one["url"] for one in first.json()["link"] if one["relation"] == "next"]
    assert (await door.get("Practitioner/gp")).status_code == 200
    known = (await door.get("Condition/c1")).headers["ETag"]
    objected = await own(door, "consent/objections", "POST", json={"patient": BSN, "by": "A"})
    try:
        for path in (link, "Practitioner/gp", "Condition/c1", SEARCH):
            answer = await door.send("GET", path, headers={"X-Emergency-Reason": "x"})
            assert await door.reason(answer) == "objection"
        answer = await door.send("GET", "Condition/c1", headers={"If-None-Match": known})
        assert await door.reason(answer) == "objection"
    finally:
        await own(door, f"consent/objections/{objected.json()['id']}/end", "POST", json={"by": "A"})


# -- the technical log ---------------------------------------------------------------------------------------


async def test_no_number_of_a_patient_stands_in_the_technical_log(door: Door) -> None:
    with capture_logs() as lines:
        for path in (*WHOSE.values(), f"Condition?patient.identifier={BSN}", f"Patient/{BSN}", f"{BSN}/x"):
            await door.get(path)
            await door.send("POST", path, content=b"{")
        await door.send("GET", SEARCH, headers={"X-Emergency-Reason": f"patient {BSN}", "X-Request-ID": BSN})
        for path in (
            f"log/fhir/r4/AuditEvent?patient.identifier={BSN}&x=1",
            f"log/export?patient.identifier={BSN}",
        ):
            await own(door, path)
        for path in ("objections", "objections/search", "subscriptions", "subscriptions/end"):
            await own(door, f"consent/{path}", "POST", json={"patient": BSN, "x": BSN})
            await own(door, f"consent/{path}", "POST", json={"patient": BSN})
        await own(door, f"consent/choices?after={BSN}&x={BSN}")
        await own(door, f"log/decisions/{BSN}")
        await own(door, f"log/decisions/{new_id()}")
    assert not [line for line in lines if BSN in str(line) or OTHER in str(line) or NOBODY in str(line)]
