"""Refusals at the guarded door that come early: before a token is believed, and before it is settled whose data is
asked. Each is in a log all the same, and in that of the patient who is named."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.guarded import BSN, NOBODY, OTHER, SEARCH, Door, guarded_node
from tests.nodes import RunningNode
from tests.patients import Person, person

from schakel.generic.identity import DpopKey
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.kernel.clock import new_id
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "refusals_logged") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def door(node: RunningNode) -> Door:
    return await Door.opened(node)


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["issue"][0]["details"]["coding"][0]["code"])


async def exported(door: Door, correlation: str) -> list[dict[str, Any]]:
    """The events with this correlation as the officer of the holder gets them."""
    url = f"{door.holder.internal_root}/a/log/export"
    answer = await door.holder.internal.get(url, params={"_format": "ndjson", "correlation": correlation})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


# -- before a token is believed ------------------------------------------------------------------------------


class Bound:
    """A token of a for b that is bound to a key."""

    def __init__(self, door: Door, key: DpopKey, token: str) -> None:
        self.door, self.key, self.token = door, key, token
        self.correlation = new_id()
        self.proof = self.made()

    @classmethod
    async def given(cls, door: Door) -> Bound:
        key, url = DpopKey.new(), f"{door.holder.front_root}/a/oauth2/token"
        form = {
            "grant_type": "client_credentials",
            "scope": "bgz",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": door.requester.assertion(door.holder),
        }
        answer = await door.holder.front.post(url, data=form, headers={"DPoP": key.proof("POST", url)})
        assert answer.status_code == 200, answer.text
        return cls(door, key, answer.json()["access_token"])

    def made(self, key: DpopKey | None = None) -> str:
        return (key or self.key).proof("GET", f"{self.door.holder.front_fhir}/Condition", self.token)

    async def shown(self, scheme: str = "DPoP", **changes: str) -> httpx.Response:
        """A search with the token; `changes` are headers."""
        headers = {
            "Authorization": f"{scheme} {self.token}",
            "X-Correlation-ID": self.correlation,
            **({"DPoP": self.proof} if scheme == "DPoP" else {}),
            **changes,
        }
        return await self.door.holder.front.get(SEARCH, headers=headers)


async def misused(bound: Bound, code: str) -> httpx.Response:
    """The answer to who has the token and not what it is bound to."""
    if code == "token-bound":
        return await bound.shown("Bearer")
    if code == "token-key":
        return await bound.shown(DPoP=bound.made(DpopKey.new()))
    if code == "token-unbound":
        bound.token = bound.door.token
        return await bound.shown(DPoP=bound.made())
    assert (await bound.shown()).status_code == 200
    bound.correlation = new_id()
    return await bound.shown()


@pytest.mark.parametrize("code", ["dpop-replayed", "token-key", "token-bound", "token-unbound"])
async def test_a_token_that_somebody_else_shows_is_in_the_log_with_whose_it_is(
    door: Door, node: RunningNode, code: str
) -> None:
    bound = await Bound.given(door)
    answer = await misused(bound, code)
    assert (answer.status_code, code_of(answer), "WWW-Authenticate" in answer.headers) == (401, code, True)
    [event] = await exported(door, bound.correlation)
    jti = "SELECT jti FROM access_token WHERE (jkt = '') = $1 ORDER BY issued DESC"
    assert event["token"] == await node.node.pool.fetchval(jti, code == "token-unbound")
    wanted = {"subtype": "token", "outcome": "4", "reason": code, "requester": door.requester.ura}
    assert event == {**event, **wanted} and event["network_address"]
    # Nobody knows who named the patient.
    assert event["query"] == "GET Condition" and "patient" not in event
    assert BSN not in str(event) and bound.token not in str(event)


async def test_a_token_that_is_shown_as_it_was_bound_leaves_its_decision_and_no_more(door: Door) -> None:
    bound = await Bound.given(door)
    with capture_logs() as lines:
        assert (await bound.shown()).status_code == 200
    assert [event["subtype"] for event in await exported(door, bound.correlation)] == ["search-type"]
    assert not [line for line in lines if line["event"] == "token refused"]


async def test_what_is_no_token_of_ours_leaves_a_line_with_its_code_and_no_event(
    door: Door, node: RunningNode
) -> None:
    bound = await Bound.given(door)
    withdrawn, front = bound.token, door.holder.front
    tokens = f"{door.holder.internal_root}/a/oauth2/tokens?requester={door.requester.ura}"
    assert (await door.holder.internal.delete(tokens)).status_code == 200
    before = await node.node.pool.fetchval("SELECT count(*) FROM audit_event")
    with capture_logs() as lines:
        await bound.shown()
        await bound.shown(DPoP="a.b.c")
        await front.get(SEARCH)
        await front.get(SEARCH, headers={"Authorization": "Basic YTpi"})
        await front.get(SEARCH, headers=[("Authorization", "Bearer a"), ("Authorization", "Bearer b")])
    told = [line for line in lines if line["event"] == "token refused"]
    assert [line["code"] for line in told] == [
        *["token-invalid", "dpop-malformed", "token-missing", "token-scheme", "token-several"],
    ]
    assert {frozenset(line) for line in told} == {frozenset({"event", "log_level", "code"})}
    assert withdrawn not in str(lines) and BSN not in str(lines)
    assert await node.node.pool.fetchval("SELECT count(*) FROM audit_event") == before


async def test_a_token_of_somebody_else_opens_nothing_when_that_cannot_be_written_down(
    door: Door, node: RunningNode
) -> None:
    bound = await Bound.given(door)
    await node.node.pool.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
    try:
        answer = await misused(bound, "token-key")
    finally:
        await node.node.pool.execute("ALTER TABLE audit_event_away RENAME TO audit_event")
    assert (answer.status_code, code_of(answer)) == (503, "log-unavailable")
    assert "73211009" not in answer.text
    assert (await bound.shown()).status_code == 200


# -- before it is settled whose data is asked ----------------------------------------------------------------


def named(bsn: str) -> str:
    return f"patient.identifier={BSN_SYSTEM}|{bsn}"


def brought(*numbers: str) -> dict[str, Any]:
    """A transaction that brings these patients."""
    entries = [
        {
            "fullUrl": f"urn:uuid:00000000-0000-4000-8000-00000000000{place}",
            "resource": {
                "resourceType": "Patient",
                "identifier": [{"system": BSN_SYSTEM, "value": number}],
            },
            "request": {"method": "POST", "url": "Patient"},
        }
        for place, number in enumerate(numbers)
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FHIR = {"Content-Type": "application/fhir+json"}

EARLY: dict[str, tuple[str, str]] = {
    "a form that is not in the list": ("form-not-allowed", "Condition?{}&category=problem"),
    "a parameter that does not exist": ("search-parameter-unknown", "Condition?{}&nothing=x"),
    "an interaction that is not there": ("interaction-not-allowed", "DELETE Condition?{}"),
    "a search by POST": ("form-not-allowed", "POST Condition/_search"),
    "a number in other signs": ("form-not-allowed", "Condition?category=problem&quoted"),
    "a Bundle": ("", "POST "),
    "a Task": ("", "POST Task"),
    "a Task in XML": ("", "POST Task"),
    "a Patient": ("", "POST Patient"),
}


async def early(door: Door, case: str, bsn: str) -> httpx.Response:
    """The answer to a request that is refused before it is settled whose data it asks."""
    path = EARLY[case][1].format(named(bsn))
    method, _, rest = path.rpartition(" ")
    if case == "a search by POST":
        content = f"category=problem&{quote(named(bsn), safe='=')}".encode()
        return await door.send(method, rest, content=content, headers=FORM)
    if case == "a number in other signs":
        query = quote(f"{BSN_SYSTEM}|{bsn}", safe="")
        return await door.get(rest.replace("quoted", f"patient.identifier={query}"))
    if case == "a Bundle":
        return await door.send(method, rest, json=brought(bsn), headers=FHIR)
    identifier = {"system": BSN_SYSTEM, "value": bsn}
    if case == "a Patient":
        return await door.send(
            method, rest, json={"resourceType": "Patient", "identifier": [identifier]}, headers=FHIR
        )
    if case == "a Task":
        task = {"resourceType": "Task", "for": {"identifier": identifier}}
        return await door.send(method, rest, json=task, headers=FHIR)
    if case == "a Task in XML":
        written = (
            f'<Task xmlns="http://hl7.org/fhir"><for><identifier><system value="{BSN_SYSTEM}"/>'
            f'<value value="{bsn}"/></identifier></for></Task>'
        )
        return await door.send(
            method, rest, content=written, headers={"Content-Type": "application/fhir+xml"}
        )
    return await door.send(method or "GET", rest)


async def own_log(reader: Person, decision: str) -> list[dict[str, Any]]:
    """What the log of the holder has for this patient of a decision, by the door for programs."""
    url = f"{reader.organisation.front_root}/a/log/fhir/r4/AuditEvent"
    answer = await reader.client.get(
        url, params={"_count": "50"}, headers={"Authorization": f"Bearer {reader.token}"}
    )
    assert answer.status_code == 200, answer.text
    assert not [number for number in (BSN, OTHER, NOBODY) if number in answer.text]
    return [one["resource"] for one in answer.json()["entry"] if decision in str(one["resource"])]


async def own_page(reader: Person) -> str:
    """What the patient reads of what was asked last by others."""
    answer = await reader.client.get(
        f"{reader.organisation.front_root}/a/log", headers={"Authorization": f"Bearer {reader.token}"}
    )
    assert answer.status_code == 200 and BSN not in answer.text
    return next(part for part in answer.text.split("<section>") if "Organisation b" in part)


@pytest.mark.parametrize("case", EARLY)
async def test_who_is_named_in_a_request_that_is_refused_early_reads_of_it(
    door: Door, node: RunningNode, case: str
) -> None:
    answer = await early(door, case, BSN)
    assert answer.status_code in (400, 403, 405), answer.text
    decision = answer.headers["X-Decision-ID"]
    code = EARLY[case][0] or code_of(answer)
    assert code_of(answer) == code  # It is told to who asked as before: nothing is hidden.
    async with person(node, "a", BSN) as reader:
        [event] = await own_log(reader, decision)
        assert (event["outcome"], event["outcomeDesc"]) == ("4", code)
        assert "geweigerd: er is niets verstrekt" in event["text"]["div"]
        assert "Geweigerd. Er is niets gegeven." in await own_page(reader)
    async with person(node, "a", OTHER) as somebody:
        assert not await own_log(somebody, decision)


async def test_a_request_without_the_scope_is_in_the_log_of_who_it_names(
    door: Door, node: RunningNode
) -> None:
    await node.node.pool.execute("UPDATE access_token SET scope = 'other'")
    answer = await door.get(SEARCH)
    assert code_of(answer) == "scope-missing"
    async with person(node, "a", BSN) as reader:
        [event] = await own_log(reader, answer.headers["X-Decision-ID"])
        assert event["outcomeDesc"] == "scope-missing"


@pytest.mark.parametrize("case", EARLY)
async def test_an_early_refusal_is_the_same_whoever_is_known_here(door: Door, case: str) -> None:
    answers = [await early(door, case, bsn) for bsn in (BSN, OTHER, NOBODY)]
    shapes = {
        (
            answer.status_code,
            re.sub(r"[0-9a-f-]{36}|[0-9]{9}", "x", answer.text),
            frozenset(answer.headers) - {"date", "content-length"},
        )
        for answer in answers
    }
    assert len(shapes) == 1
    for answer, bsn in zip(answers, (BSN, OTHER, NOBODY), strict=True):
        [event] = await door.logged(answer.headers["X-Decision-ID"])
        assert f"'value': '{bsn}'" in str(event["entity"])


@pytest.mark.parametrize(
    "query",
    [
        f"{named(BSN)},{BSN_SYSTEM}|{OTHER}",
        f"{named(BSN)}&{named(OTHER)}",
        f"patient.identifier={BSN_SYSTEM}|999911121",
        f"patient.identifier={BSN}",
        f"patient.identifier=urn:oid:1.2.3|{BSN}",
        f"{named(BSN)}0",
        f"{named(BSN)}&identifier={OTHER}",
        f"{named(BSN)}&subject=Patient/{OTHER}",
        f"{named(BSN)},{OTHER}",
        f"identifier={BSN_SYSTEM}/|{OTHER}&{named(BSN)}",
        "code=%",
    ],
    ids=[
        "two in one value",
        "two parameters",
        "no BSN",
        "no system",
        "another system",
        "ten digits",
        "another without a system",
        "another as an id",
        "another after a comma",
        "another under what is nearly the system",
        "broken",
    ],
)
async def test_who_is_not_the_one_that_is_named_by_bsn_has_nothing_of_it_in_the_log(
    door: Door, node: RunningNode, query: str
) -> None:
    answer = await door.get(f"Condition?{query}&category=problem")
    assert answer.status_code in (400, 403)
    assert await door.logged(answer.headers["X-Decision-ID"])
    for bsn in (BSN, OTHER):
        async with person(node, "a", bsn) as reader:
            assert not await own_log(reader, answer.headers["X-Decision-ID"])


async def test_a_bundle_that_brings_two_patients_is_in_the_log_of_neither(
    door: Door, node: RunningNode
) -> None:
    answer = await door.send("POST", "", json=brought(BSN, OTHER), headers=FHIR)
    for bsn in (BSN, OTHER):
        async with person(node, "a", bsn) as reader:
            assert not await own_log(reader, answer.headers["X-Decision-ID"])


async def test_the_officer_who_reads_such_a_decision_is_in_the_log_of_the_patient_too(door: Door) -> None:
    decision = (await early(door, "a form that is not in the list", BSN)).headers["X-Decision-ID"]
    root = f"{door.holder.internal_root}/a/log"
    correlation = new_id()
    read = await door.holder.internal.get(
        f"{root}/decisions/{decision}", headers={"X-Correlation-ID": correlation}
    )
    assert read.json()["patient"] == BSN
    [event] = await exported(door, correlation)
    assert (event["subtype"], event["patient"]) == ("log", BSN)
