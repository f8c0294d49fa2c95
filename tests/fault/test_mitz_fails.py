"""A node whose Mitz is away, slow, broken or lies: nothing is given that rests on it, and the rest goes on."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.guarded import condition, patient
from tests.middleman import (
    Behaviour,
    Passing,
    Said,
    fails,
    half_as_whole,
    halves,
    hangs_up,
    passes,
    repeats,
    rewrites,
    says,
    slow,
)
from tests.mitz import FAULT
from tests.mitz import answer as soap
from tests.nation import ALLOWS, ALSO_ALLOWS, HOLDER, REFUSES, REQUESTER, SECONDS, Nation
from tests.nodes import RunningNode, databases, running_node

from schakel.facilities import FacilityRules
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

PATIENTS = {"allows": ALLOWS, "refuses": REFUSES, "recorded": ALSO_ALLOWS}
RULES = FacilityRules()
IN_TIME = SECONDS + 4
"""Seconds in which every answer comes: what Mitz may take, and our own work on a busy machine."""


@dataclass
class Door:
    """The way of the requester through the guarded door of a."""

    country: Nation
    node: RunningNode
    headers: dict[str, str]

    @property
    def issuer(self) -> str:
        return f"{self.node['a'].front_root}/a"

    async def token(self) -> None:
        """Another token: what was answered under the one before is asked anew."""
        self.headers = await self.country.requester.bearer(self.issuer)

    async def ask(self, bsn: str) -> httpx.Response:
        named = f"patient.identifier={BSN_SYSTEM}|{bsn}"
        return await self.node["a"].front.get(f"Condition?{named}", headers=self.headers)

    async def timed(self, bsn: str) -> tuple[httpx.Response, float]:
        start = time.monotonic()
        return await self.ask(bsn), time.monotonic() - start

    async def logged(self, answer: httpx.Response) -> tuple[str, str, str]:
        """Outcome and reason of the event of an answer, and the outcome of its decision object."""
        a, decision = self.node["a"], answer.headers["X-Decision-ID"]
        log = f"{a.internal_root}/a/log"
        found = await a.internal.get(f"{log}/fhir/r4/AuditEvent", params={"entity:identifier": decision})
        [entry] = found.json()["entry"]
        event = entry["resource"]
        stored = (await a.internal.get(f"{log}/decisions/{decision}")).json()
        return event["outcome"], event.get("outcomeDesc", ""), stored["outcome"]


def shown(answer: httpx.Response) -> set[str]:
    return {entry["resource"]["id"] for entry in answer.json().get("entry", [])}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, nationwide: Nation) -> AsyncIterator[RunningNode]:
    """Organisation a, a hospital with three patients, one of whom it wrote a ground about; and b, of a type that keeps
    two categories."""
    both = [
        {"type_code": "G5", "category": category, "source": "the test"} for category in ("GGC002", "GGC013")
    ]
    async with (
        databases(cluster, "mitz_fails") as make,
        running_node(
            make,
            ("a", "b"),
            by_slug={"a": {"type_code": "V6"}, "b": {"type_code": "G5"}},
            write_check="lenient",
            **nationwide.settings(mitz={"categories": both}),
        ) as running,
    ):
        for slug in ("a", "b"):
            for name, bsn in PATIENTS.items():
                await put(running, slug, patient(name, bsn))
                await put(running, slug, condition(name, {"reference": f"Patient/{name}"}))
        await running["a"].ground(ALSO_ALLOWS, REQUESTER)
        yield running


async def put(node: RunningNode, slug: str, resource: dict[str, Any]) -> None:
    answer = await node[slug].internal.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
    assert answer.status_code == 201, answer.text


@pytest_asyncio.fixture(loop_scope="session")
async def door(country: Nation, node: RunningNode) -> Door:
    made = Door(country, node, {})
    await made.token()
    return made


async def test_with_mitz_the_choice_of_the_patient_decides(door: Door) -> None:
    allowed = await door.ask(ALLOWS)
    assert (allowed.status_code, shown(allowed)) == (200, {"allows"})
    assert await door.logged(allowed) == ("0", "", "0")
    refused = await door.ask(REFUSES)
    assert refused.status_code == 403
    assert await door.logged(refused) == ("4", "mitz-deny", "4")
    assert door.country.mitz.asked == 2


# -- what is said that is no answer --------------------------------------------------------------------------


def replaced(old: str, new: str) -> Behaviour:
    return rewrites(lambda body: body.replace(old.encode(), new.encode()))


async def about_another(passing: Passing) -> Any:
    """What is true of another patient, who allows it."""
    return (await passing.passed(passing.body.replace(REFUSES.encode(), ALLOWS.encode()))).response()


async def sends_elsewhere(passing: Passing) -> Any:
    response = fails(307)
    answer = await response(passing)
    answer.headers["Location"] = str(passing.request.url)
    return answer


_SOAP = "application/soap+xml; charset=UTF-8"
UNUSABLE: dict[str, Behaviour] = {
    "slow": slow(),
    "fails": fails(500),
    "fails with a yes": says(b"Permit", "text/plain"),
    "is not there": fails(404),
    "sends elsewhere": sends_elsewhere,
    "hangs up": hangs_up,
    "stops halfway": halves,
    "gives half as if it were all": half_as_whole,
    "gives nothing": says(b"", _SOAP),
    "gives what is no text": says(bytes(range(256)) * 40, _SOAP),
    "gives too much": says(b" " * 1_100_000, _SOAP),
    "gives a fault": says(soap(body=FAULT), _SOAP),
    "cannot say": replaced(">Permit<", ">Indeterminate<"),
    "says a word of its own": replaced(">Permit<", ">Yes<"),
    "names another patient": replaced(ALLOWS, ALSO_ALLOWS),
    "names another holder": replaced(HOLDER, "90000002"),
    "names another category": replaced("GGC002", "GGC013"),
    "names another requester": replaced(REQUESTER, "90000056"),
    "answers another question": replaced("urn:uuid:", "urn:uuid:0"),
}


@pytest.mark.parametrize("case", UNUSABLE)
async def test_an_answer_that_is_none_gives_nothing_and_keeps_nobody_else_waiting(
    door: Door, case: str
) -> None:
    door.country.mitz.behave = UNUSABLE[case]
    (answer, took), (other, others) = await asyncio.gather(door.timed(ALLOWS), door.timed(ALSO_ALLOWS))
    assert (answer.status_code, shown(answer)) == (503, set()), answer.text
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "consent-unavailable"
    assert 0 < int(answer.headers["Retry-After"]) <= 60 and ALLOWS not in answer.text
    assert took < IN_TIME
    assert (other.status_code, shown(other)) == (200, {"recorded"})
    assert others < SECONDS, "one whose ground was written down waited for Mitz"
    assert await door.logged(answer) == ("8", "consent-unavailable", "8")
    door.country.mitz.behave = passes
    assert shown(await door.ask(ALLOWS)) == {"allows"}, "what was no answer was remembered"


@pytest.mark.parametrize(("word", "reason"), [("Deny", "mitz-deny"), ("NotApplicable", "mitz-no-choice")])
async def test_what_is_not_permitted_is_refused(door: Door, word: str, reason: str) -> None:
    door.country.mitz.behave = replaced(">Permit<", f">{word}<")
    answer = await door.ask(ALLOWS)
    assert (answer.status_code, shown(answer)) == (403, set())
    assert await door.logged(answer) == ("4", reason, "4")


async def test_the_yes_of_another_patient_is_nobody_elses(door: Door) -> None:
    door.country.mitz.behave = about_another
    answer = await door.ask(REFUSES)
    assert (answer.status_code, shown(answer)) == (503, set())
    door.country.mitz.behave = passes
    assert (await door.ask(REFUSES)).status_code == 403


async def test_an_old_yes_is_no_answer_to_a_new_question(door: Door) -> None:
    old: list[Said] = []

    async def kept(passing: Passing) -> Any:
        old.append(await passing.passed())
        return old[0].response()

    door.country.mitz.behave = kept
    assert (await door.ask(ALLOWS)).status_code == 200
    await door.token()
    await door.country.choose(ALLOWS, False)
    try:
        door.country.mitz.behave = repeats(old[0])
        answer = await door.ask(ALLOWS)
        assert (answer.status_code, shown(answer)) == (503, set())
        door.country.mitz.behave = passes
        assert (await door.ask(ALLOWS)).status_code == 403
    finally:
        await door.country.choose(ALLOWS, True)


async def test_a_yes_for_one_category_of_two_is_none(door: Door) -> None:
    """A holder of this type keeps two; the stand-in has an opinion about neither, so its answer is made a yes."""
    b = door.node["b"]
    headers = await door.country.requester.bearer(f"{b.front_root}/b")
    named = f"Condition?patient.identifier={BSN_SYSTEM}|{ALLOWS}"
    door.country.mitz.behave = rewrites(lambda body: _without_last_result(_yes(body)))
    answer = await b.front.get(named, headers=headers)
    assert (answer.status_code, shown(answer)) == (503, set())
    door.country.mitz.behave = rewrites(lambda body: body.replace(b">NotApplicable<", b">Permit<", 1))
    answer = await b.front.get(named, headers=headers)
    assert (answer.status_code, shown(answer)) == (403, set())
    headers = await door.country.requester.bearer(f"{b.front_root}/b")
    door.country.mitz.behave = rewrites(_yes)
    assert shown(await b.front.get(named, headers=headers)) == {"allows"}


def _yes(body: bytes) -> bytes:
    return body.replace(b">NotApplicable<", b">Permit<")


def _without_last_result(body: bytes) -> bytes:
    results = list(re.finditer(rb"<(?:\w+:)?Result[ >].*?</(?:\w+:)?Result>", body, re.DOTALL))
    assert len(results) == 2
    return body[: results[-1].start()] + body[results[-1].end() :]


# -- away, and back ------------------------------------------------------------------------------------------


async def test_no_way_of_asking_goes_round_a_mitz_that_is_away(door: Door) -> None:
    front, named = door.node["a"].front, f"patient.identifier={BSN_SYSTEM}|{ALLOWS}"
    asked = [{"request": {"method": "GET", "url": "Condition/allows"}}]
    batch = {"resourceType": "Bundle", "type": "batch", "entry": asked}
    await door.country.mitz.down()
    try:
        for answer in (
            await front.get(f"Condition?{named}", headers=door.headers),
            await front.get("Condition/allows", headers=door.headers),
            await front.post(
                "Condition/_search",
                data={"patient.identifier": f"{BSN_SYSTEM}|{ALLOWS}"},
                headers=door.headers,
            ),
        ):
            assert (answer.status_code, shown(answer)) == (503, set()), answer.text
        answer = await front.post("", json=batch, headers=door.headers)
        [entry] = answer.json()["entry"]
        assert entry["response"]["status"] == "503" and "resource" not in entry
    finally:
        await door.country.mitz.up()
    assert shown(await door.ask(ALLOWS)) == {"allows"}


async def test_a_mitz_that_restarts_in_the_middle_gives_nothing_then_and_its_answer_afterwards(
    door: Door,
) -> None:
    taken, again = asyncio.Event(), asyncio.Event()

    async def restarts(passing: Passing) -> Any:
        taken.set()
        await again.wait()
        return await passes(passing)

    door.country.mitz.behave = restarts
    asking = asyncio.create_task(door.ask(ALLOWS))
    await asyncio.wait_for(taken.wait(), 5)
    await door.country.stop("mitz")
    again.set()
    answer = await asking
    assert (answer.status_code, shown(answer)) == (503, set())
    door.country.mitz.behave = passes
    assert (await door.ask(ALLOWS)).status_code == 503
    await door.country.start("mitz")
    assert shown(await door.ask(ALLOWS)) == {"allows"}


async def test_many_who_ask_the_same_wait_for_one_answer_and_all_go_without(door: Door) -> None:
    door.country.mitz.behave = slow()
    before = door.country.mitz.asked
    answers = await asyncio.gather(*(door.timed(ALLOWS) for _ in range(8)))
    assert door.country.mitz.asked == before + 1
    for answer, took in answers:
        assert (answer.status_code, shown(answer)) == (503, set()) and took < IN_TIME
    door.country.mitz.behave = passes
    assert shown(await door.ask(ALLOWS)) == {"allows"}


@pytest.mark.slow
async def test_after_failures_nobody_waits_and_a_mitz_that_is_back_is_found_by_itself(door: Door) -> None:
    door.country.mitz.behave = slow()
    for _ in range(RULES.failures):
        answer, took = await door.timed(ALLOWS)
        assert answer.status_code == 503 and took < IN_TIME
    before = door.country.mitz.asked
    resting = time.monotonic()
    answer, took = await door.timed(ALLOWS)
    assert (answer.status_code, shown(answer)) == (503, set()) and took < SECONDS / 2
    assert await door.logged(answer) == ("8", "consent-unavailable", "8")
    other, others = await door.timed(ALSO_ALLOWS)
    assert other.status_code == 200 and others < SECONDS / 2
    door.country.mitz.behave = passes
    assert (await door.ask(ALLOWS)).status_code == 503
    assert door.country.mitz.asked == before, "it was asked while it rested"
    async with asyncio.timeout(RULES.pause + 2):
        while (answer := await door.ask(ALLOWS)).status_code == 503:  # noqa: ASYNC110 # no door tells when
            await asyncio.sleep(0.2)
    assert shown(answer) == {"allows"} and door.country.mitz.asked == before + 1
    assert time.monotonic() - resting >= RULES.pause - SECONDS - 1
