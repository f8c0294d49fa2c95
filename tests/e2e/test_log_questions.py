"""The page of the log when a requester keeps one correlation id: each person and each day under its own name and date,
and an emergency in sight whatever followed it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.nodes import RunningNode, databases, running_node
from tests.patients import Person, person

from schakel.generic.logging import AuditLog, Event
from schakel.generic.logging.events import LoggedPerson
from schakel.kernel.clock import new_id
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

ANNA = "999990019"
ARTS, NURSE = LoggedPerson("900000008", "A. Arts"), LoggedPerson("900000009", "N. Zuster")
MORNING = datetime(2026, 3, 2, 9, 5, tzinfo=UTC)
"""10:05 in Amsterdam, on 02-03-2026."""


class Story:
    """What one requester, which no other story has, did with the data of Anna under one correlation id."""

    def __init__(self, node: RunningNode, anna: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: AuditLog = node.node.organisations["a"].log
        self.anna, self.clock, self.mark = anna, monkeypatch, f"Kliniek {new_id()}"
        self.base = Event(
            subtype="search-type",
            action="E",
            outcome="0",
            requester=new_id(),
            requester_name=self.mark,
            holder=node["a"].ura,
            patient=ANNA,
            purpose="TREAT",
            user=ARTS,
            correlation="ehr-session",
        )

    async def happened(self, moment: datetime, **changes: Any) -> None:
        """An event, written as the gateway would have done at that moment."""
        members = {name: getattr(self.base, name) for name in self.base.__slots__}
        event = Event(**{**members, "decision": new_id(), **changes})
        with self.clock.context() as clock:
            clock.setattr("schakel.generic.logging.writer.now", lambda: moment)
            await self.log.write(event)

    async def page(self, query: str = "") -> str:
        organisation = self.anna.organisation
        answer: httpx.Response = await self.anna.client.get(
            f"{organisation.front_root}/a/log{query}", headers={"Authorization": f"Bearer {self.anna.token}"}
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    async def told(self) -> list[str]:
        """The parts of the first page about this requester, the newest first."""
        text = await self.page("?_count=100")
        return [part for part in text.split("<section>")[1:] if self.mark in part]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "log_questions") as make, running_node(make) as node:
        resource = {
            "resourceType": "Patient",
            "id": "anna",
            "identifier": [{"system": BSN_SYSTEM, "value": ANNA}],
        }
        assert (await node["a"].internal.put("Patient/anna", json=resource)).status_code == 201
        yield node


@pytest_asyncio.fixture(loop_scope="session")
async def story(node: RunningNode, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    async with person(node, "a", ANNA) as anna:
        yield Story(node, anna, monkeypatch)


def day(part: str) -> str:
    [found] = re.findall(r"<time [^>]*>([0-9-]+)</time>", part)
    return str(found)


def lines(part: str) -> int:
    return part.count("<li>")


async def test_two_people_under_one_correlation_are_both_named(story: Story) -> None:
    for seconds, who in enumerate((ARTS, NURSE, ARTS, NURSE)):
        await story.happened(MORNING + timedelta(seconds=seconds), user=who)
    nurse, arts = await story.told()
    assert "N. Zuster" in nurse and "A. Arts" not in nurse
    assert "A. Arts" in arts and "N. Zuster" not in arts
    assert [part.count("Dit gebeurde 2 keer.") for part in (nurse, arts)] == [1, 1]


async def test_what_names_nobody_is_not_put_on_a_person(story: Story) -> None:
    await story.happened(MORNING)
    await story.happened(MORNING + timedelta(seconds=1), user=None)
    nobody, arts = await story.told()
    assert "A. Arts" in arts and "A. Arts" not in nobody


async def test_the_same_time_on_two_days_is_two_questions_with_their_own_dates(story: Story) -> None:
    for days in (0, 1, 20):
        await story.happened(MORNING + timedelta(days=days))
    parts = await story.told()
    assert [day(part) for part in parts] == ["22-03-2026", "03-03-2026", "02-03-2026"]
    assert all("Dit gebeurde" not in part and lines(part) == 1 for part in parts)


async def test_the_day_is_the_day_in_amsterdam(story: Story) -> None:
    for hour, minute in ((21, 59), (22, 0), (23, 30)):  # Summer time: midnight is at 22:00 UTC.
        await story.happened(datetime(2026, 6, 30, hour, minute, tzinfo=UTC))
    parts = await story.told()
    assert [(day(part), lines(part)) for part in parts] == [("01-07-2026", 2), ("30-06-2026", 1)]


async def test_each_part_of_a_long_session_is_on_one_page_only(story: Story) -> None:
    for number in range(3):
        for seconds, who in enumerate((ARTS, NURSE, ARTS)):
            await story.happened(MORNING + timedelta(days=number, seconds=seconds), user=who)
    seen: list[tuple[str, str]] = []
    query = "?_count=2"
    for _ in range(50):
        text = await story.page(query)
        for part in text.split("<section>")[1:]:
            if story.mark in part:
                seen.append((day(part), "arts" if "A. Arts" in part else "nurse"))
        found = re.search(r'<a href="[^"?]*(\?[^"]*)">Ouder', text)
        if found is None:
            break
        query = found[1].replace("&amp;", "&")
    else:
        pytest.fail("the pages do not end")
    days = ["04-03-2026", "03-03-2026", "02-03-2026"]
    assert seen == [(one, who) for one in days for who in ("arts", "nurse")]


async def test_without_a_correlation_the_decision_tells_questions_apart(story: Story) -> None:
    first, second = new_id(), new_id()
    for seconds, decision in enumerate((first, second, first)):
        await story.happened(MORNING + timedelta(seconds=seconds), correlation="", decision=decision)
    times = [re.findall("Dit gebeurde ([0-9]+) keer", part) for part in await story.told()]
    assert times == [["2"], []]


@pytest.mark.parametrize("emergencies", [1, 3])
async def test_an_emergency_stays_in_sight_however_much_follows_it(
    story: Story, monkeypatch: pytest.MonkeyPatch, emergencies: int
) -> None:
    monkeypatch.setattr("schakel.http.log_page._MOST_EVENTS", 2)
    case = {"ground": new_id(), "ground_kind": "break-glass", "explanation": "bewusteloos"}
    for minutes in range(emergencies):
        await story.happened(MORNING + timedelta(minutes=minutes), subtype="break-glass", **case)
    for minutes in range(5):
        await story.happened(MORNING + timedelta(hours=1, minutes=minutes))
    [part] = await story.told()
    assert "Noodgeval." in part and "gaat nog controleren" in part
    assert "Deze reden is gegeven: bewusteloos" in part and "Er is meer dan hier past." in part
    assert lines(part) == 2 + min(emergencies, 2)
    assert part.index("11:09") < part.index("10:0")


async def test_an_emergency_is_that_of_who_opened_the_data_on_that_day(story: Story) -> None:
    case = {"ground": new_id(), "ground_kind": "break-glass"}
    await story.happened(MORNING, subtype="break-glass", **case)
    await story.happened(MORNING + timedelta(minutes=1), user=NURSE)
    await story.happened(MORNING + timedelta(days=1))
    marked = ["Noodgeval." in part for part in await story.told()]
    assert marked == [False, False, True]
