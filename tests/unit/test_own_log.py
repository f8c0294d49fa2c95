"""The questions of a patient's log, as the page tells them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from schakel.generic.logging import Event, Logged
from schakel.generic.logging.events import LoggedPerson
from schakel.kernel.clock import new_id
from schakel.patient_access.own_log import Question, questions

BSN = "999990019"
READ = Event(
    subtype="read",
    action="R",
    outcome="0",
    requester="22222222",
    requester_name="Kliniek B",
    holder="11111111",
    user=LoggedPerson("900000008", "A. Arts"),
    purpose="TREAT",
    patient=BSN,
    correlation="ehr-session",
    resources=("Flag/a/_history/1",),
)
MOMENT = datetime(2026, 11, 1, 9, 5, 30, tzinfo=UTC)


def told(*events: Event, moments: tuple[datetime, ...]) -> Question:
    """The one question of these events, the newest first."""
    group = [Logged(new_id(), moment, event) for event, moment in zip(events, moments, strict=True)]
    [question] = questions([group], BSN)
    return question


def test_a_question_has_the_person_and_the_day_of_its_events() -> None:
    question = told(READ, moments=(MOMENT,))
    assert (question.person, question.day) == ("A. Arts", "01-11-2026")
    assert question.at == "2026-11-01T10:05:30+01:00"


def test_events_of_one_minute_that_are_alike_are_one_line() -> None:
    question = told(READ, READ, moments=(MOMENT, MOMENT - timedelta(seconds=20)))
    [line] = question.events
    assert (line.time, line.times, line.records) == ("10:05", 2, 2)


def test_events_of_two_minutes_or_two_outcomes_are_two_lines() -> None:
    question = told(READ, READ, moments=(MOMENT, MOMENT - timedelta(minutes=1)))
    assert [(line.time, line.times) for line in question.events] == [("10:05", 1), ("10:04", 1)]
    refused = replace(READ, outcome="4", reason="no-ground")
    assert [line.went for line in told(READ, refused, moments=(MOMENT, MOMENT)).events] == ["done", "refused"]


def test_the_hour_that_comes_twice_keeps_its_minutes_apart() -> None:
    later = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    question = told(READ, READ, moments=(later, later - timedelta(hours=1)))
    assert [(line.time, line.times) for line in question.events] == [("02:30", 1), ("02:30", 1)]
    assert question.day == "25-10-2026"
