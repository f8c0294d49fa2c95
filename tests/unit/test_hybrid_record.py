"""Hybrid care counted from a record: who is eligible, enrolled and active by the rules of a pathway, and for when."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.kernel.outcomes import Invalid
from schakel.roadmap.hybrid import blocks, reading, record
from schakel.roadmap.hybrid.counting import Period, count, quarter_of, with_exclusions
from schakel.roadmap.hybrid.model import EXCLUSIONS, Person
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms
from schakel.roadmap.hybrid.record import Chart, Rules, Term, Undated
from schakel.roadmap.tables import rows_of

TODAY = date(2026, 11, 22)
YEAR = Period.of("2026")
BSN = "999911120"
SNOMED = "http://snomed.info/sct"
RULES = Rules(
    frozenset({f"{SNOMED}|84114007"}), frozenset({"http://a.example/PlanDefinition/hf", f"{SNOMED}|1"})
)


def coded(code: str, system: str = SNOMED) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def condition(**changes: Any) -> dict[str, Any]:
    return {"clinicalStatus": "active", "code": coded("84114007"), "onsetDateTime": "2026-02", **changes}


def care_plan(**changes: Any) -> dict[str, Any]:
    made = {
        "status": "active",
        "intent": "plan",
        "instantiatesCanonical": ["http://a.example/PlanDefinition/hf|1"],
        "period": {"start": "2026-03-01"},
    }
    return {**made, **changes}


START = date(2026, 2, 1)


@pytest.mark.parametrize(
    ("changes", "term"),
    [
        ({}, Term(START, None)),
        ({"clinicalStatus": coded("recurrence", "http://x")}, Term(START, None)),
        ({"code": coded("1")}, None),
        ({"code": coded("84114007", "http://other")}, None),
        ({"verificationStatus": "entered-in-error"}, None),
        ({"verificationStatus": coded("refuted", "http://x")}, None),
        ({"abatementDateTime": "2026-04"}, Term(START, date(2026, 4, 30))),
        ({"clinicalStatus": "resolved", "abatementDateTime": "2026-04-02"}, Term(START, date(2026, 4, 2))),
        ({"onsetDateTime": None}, Term(None, None)),
        ({"onsetDateTime": None, "assertedDate": "2026-02-01"}, Term(START, None)),
        ({"onsetDateTime": None, "recordedDate": "2026-01-31T23:30:00Z"}, Term(START, None)),
        ({"onsetDateTime": None, "onsetPeriod": {"start": "2026-02"}}, Term(START, None)),
    ],
)
def test_a_condition_of_the_rule_makes_someone_eligible_while_it_is_there(
    changes: dict[str, Any], term: Term | None
) -> None:
    assert record.indication(condition(**changes), RULES) == term


@pytest.mark.parametrize(
    "changes",
    [
        {"clinicalStatus": "inactive"},
        {"clinicalStatus": "resolved", "onsetDateTime": None, "abatementDateTime": "2026-04-02"},
        {"abatementDateTime": "2026-01-02"},
    ],
)
def test_a_condition_of_which_nothing_says_when_it_was_is_said_to_be_so(changes: dict[str, Any]) -> None:
    with pytest.raises(Undated):
        record.indication(condition(**changes), RULES)


MARCH = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("changes", "term"),
    [
        ({}, Term(MARCH, None)),
        ({"instantiatesCanonical": ["http://a.example/PlanDefinition/hf"]}, Term(MARCH, None)),
        ({"instantiatesCanonical": ["http://a.example/PlanDefinition/other"]}, None),
        ({"instantiatesCanonical": [], "category": [coded("1")]}, Term(MARCH, None)),
        (
            {
                "instantiatesCanonical": [],
                "definition": [{"reference": "http://a.example/PlanDefinition/hf"}],
            },
            Term(MARCH, None),
        ),
        ({"status": "draft"}, None),
        ({"status": "entered-in-error"}, None),
        ({"intent": "proposal"}, None),
        (
            {"status": "completed", "period": {"start": "2026-03-01", "end": "2026-05-01"}},
            Term(MARCH, date(2026, 5, 1), "completed"),
        ),
        (
            {"status": "revoked", "period": {"start": "2026-03-01", "end": "2026-05-01"}},
            Term(MARCH, date(2026, 5, 1), "other"),
        ),
    ],
)
def test_a_care_plan_of_the_rule_is_taking_part(changes: dict[str, Any], term: Term | None) -> None:
    assert record.plan(care_plan(**changes), RULES) == term


@pytest.mark.parametrize("changes", [{"period": {}}, {"status": "completed"}, {"status": "on-hold"}])
def test_a_care_plan_of_which_nothing_says_when_it_was_is_said_to_be_so(changes: dict[str, Any]) -> None:
    with pytest.raises(Undated):
        record.plan(care_plan(**changes), RULES)


PATIENT, DOCTOR = {"reference": "Patient/1"}, {"reference": "Practitioner/1"}
DAY = "2026-06-01"


@pytest.mark.parametrize(
    ("resource", "counts"),
    [
        ({"resourceType": "QuestionnaireResponse", "status": "completed", "authored": DAY}, True),
        ({"resourceType": "QuestionnaireResponse", "status": "in-progress", "authored": DAY}, False),
        ({"resourceType": "Observation", "status": "final", "performer": [PATIENT], "issued": DAY}, True),
        ({"resourceType": "Observation", "status": "final", "performer": [DOCTOR], "issued": DAY}, False),
        (
            {"resourceType": "Observation", "status": "cancelled", "performer": [PATIENT], "issued": DAY},
            False,
        ),
        ({"resourceType": "Observation", "status": "final", "device": {}, "effectiveDateTime": DAY}, True),
        (
            {"resourceType": "Observation", "status": "final", "device": {}, "encounter": {}, "issued": DAY},
            False,
        ),
        ({"resourceType": "Communication", "status": "completed", "sender": PATIENT, "sent": DAY}, True),
        ({"resourceType": "Communication", "status": "completed", "recipient": [PATIENT], "sent": DAY}, True),
        ({"resourceType": "Communication", "status": "completed", "sender": DOCTOR, "sent": DAY}, False),
        (
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"code": "VR"},
                "period": {"start": DAY},
            },
            True,
        ),
        (
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"code": "AMB"},
                "period": {"start": DAY},
            },
            False,
        ),
        (
            {
                "resourceType": "Encounter",
                "status": "planned",
                "class": {"code": "VR"},
                "period": {"start": DAY},
            },
            False,
        ),
        ({"resourceType": "Condition", "status": "active"}, False),
    ],
)
def test_what_is_a_digital_event(resource: dict[str, Any], counts: bool) -> None:
    assert record.event(resource) == (date(2026, 6, 1) if counts else None)


def test_an_event_without_a_day_is_said_to_be_so() -> None:
    with pytest.raises(Undated):
        record.event({"resourceType": "QuestionnaireResponse", "status": "completed"})


def test_an_indication_without_a_beginning_counts_now_and_for_no_other_year() -> None:
    chart = Chart([Term(None, None)])
    assert record.row("hf", BSN, chart, Period.of("2025"), TODAY) is None
    found = record.row("hf", BSN, chart, YEAR, TODAY)
    assert found is not None and found["eligible_from"] == TODAY.isoformat()
    chart.plans.append(Term(date(2025, 5, 1), None))
    found = record.row("hf", BSN, chart, YEAR, TODAY)
    assert found is not None and (found["eligible_from"], found["enrolled_from"]) == ("2026-01-01",) * 2


def test_of_each_quarter_the_last_event_is_kept() -> None:
    events = {date(2026, 1, 5), date(2026, 2, 5), date(2026, 7, 5), date(2026, 11, 5), date(2025, 12, 31)}
    chart = Chart([Term(date(2025, 1, 1), None)], [Term(date(2025, 1, 1), None)], events)
    found = record.row("hf", BSN, chart, YEAR, TODAY)
    assert found is not None
    assert (found["last_event"], found["earlier_events"]) == ("2026-11-05", "2026-02-05 2026-07-05")


DAYS = st.dates(date(2024, 6, 1), date(2027, 6, 1))


@st.composite
def terms(draw: st.DrawFn) -> Term:
    start = draw(DAYS)
    return Term(start, draw(st.none() | st.dates(start, date(2027, 12, 31))))


CHARTS = st.builds(
    Chart, st.lists(terms(), max_size=3), st.lists(terms(), max_size=3), st.sets(DAYS, max_size=12)
)


@given(CHARTS, st.sampled_from(["2024", "2025", "2026"]))
def test_a_person_is_one_row_that_the_inventory_takes_and_counts_as_the_record_says(
    chart: Chart, name: str
) -> None:
    period = Period.of(name)
    upto = period.until(TODAY)
    found = record.row("hf", BSN, chart, period, TODAY)
    eligible = any(one.start is not None and upto.meets(one.start, one.end) for one in chart.indications)
    assert (found is not None) == eligible
    if found is None:
        return
    rows = rows_of(orjson.dumps([found]), "people")
    [person] = reading.people(rows, "90000001", frozenset({"hf"}), Pseudonyms(b"k" * 32), TODAY)
    assert period.start <= person.eligible_from <= (person.eligible_until or date.max) <= period.end
    tally = count([person], {}, upto)
    assert tally.eligible == 1 and tally.active <= tally.enrolled <= 1
    if tally.enrolled:
        assert any(one.start is not None and upto.meets(one.start, one.end) for one in chart.plans)
    # Of each quarter alone the row says what the record says of it.
    for quarter in {quarter_of(day) for day in chart.events if upto.start <= day <= upto.end}:
        part = Period.of(quarter).until(TODAY)
        begun, ended = person.enrolled_from, person.enrolled_until or date.max
        digital = begun is not None and any(
            begun <= day <= ended for day in chart.events if part.meets(day, day)
        )
        if (
            begun is not None
            and part.meets(person.eligible_from, person.eligible_until)
            and part.meets(begun, ended)
        ):
            assert count([person], {}, part).active == digital


PEOPLE = st.lists(
    st.builds(
        lambda who, start, length, exclusion, counted: Person(
            "90000001",
            "hf",
            who,
            start,
            start + timedelta(days=length),
            exclusion="" if counted else exclusion,
            counted="2026" if counted else "",
        ),
        st.sampled_from(["p1", "p2"]),
        st.dates(date(2026, 1, 1), date(2026, 11, 1)),
        st.integers(0, 200),
        st.sampled_from(["", *EXCLUSIONS]),
        st.booleans(),
    ),
    max_size=6,
)


@given(PEOPLE)
def test_a_recorded_exclusion_is_kept_beside_a_count_and_nobody_counts_twice(people: list[Person]) -> None:
    everything = frozenset(EXCLUSIONS)
    tally = count(with_exclusions(people), {("90000001", "hf"): everything}, YEAR)
    assert tally.eligible == len({one.pseudonym for one in people})
    open_people = set()
    for one in people:
        by_hand = [
            other
            for other in people
            if other.pseudonym == one.pseudonym
            and other.exclusion
            and Period(one.eligible_from, one.eligible_until or date.max).meets(
                other.eligible_from, other.eligible_until
            )
        ]
        if not one.exclusion and not (one.counted and by_hand):
            open_people.add(one.pseudonym)
    assert tally.excluded == tally.eligible - len(open_people)


# -- periods -----------------------------------------------------------------------------------------------------


def test_a_period_is_a_year_or_a_quarter() -> None:
    assert Period.of("2024") == Period(date(2024, 1, 1), date(2024, 12, 31))
    assert Period.of("2024-Q1") == Period(date(2024, 1, 1), date(2024, 3, 31))
    assert Period.of("2024-Q4") == Period(date(2024, 10, 1), date(2024, 12, 31))
    for wrong in ("", "24", "2024-Q0", "2024-Q5", "2024Q1", "2024-q1", "2024 ", "٢٠٢٤"):
        with pytest.raises(Invalid, match="a year or a quarter"):
            Period.of(wrong)


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.integers(1, 12))
def test_quarters_follow_each_other_and_the_last_has_the_day(day: date, number: int) -> None:
    found = Period.quarters(day, number)
    assert len(found) == number and found[-1].start <= day <= found[-1].end
    for before, after in pairwise(found):
        assert before.end + timedelta(days=1) == after.start
    assert all(Period.of(one.name) == one for one in found)


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("indication", "84114007", "indication"),
        ("indication", f"{SNOMED}|", "indication"),
        ("indication", f"{SNOMED}|1,{SNOMED}|2", "indication"),
        ("plan", "hartfalen", "plan"),
    ],
)
def test_a_rule_that_no_record_could_fit_is_refused(column: str, value: str, named: str) -> None:
    row = {
        "id": "hf",
        "name": "Hartfalen",
        "sector": "MSZ",
        "suitability": "yes",
        "decided_by": "x",
        "decided_on": "2026-01-01",
        "reason": "x",
        "indication": f"{SNOMED}|1 {SNOMED}|2",
        "plan": f"http://a.example/PlanDefinition/hf {SNOMED}|3",
    }
    [made] = reading.pathways(rows_of(orjson.dumps([row]), "pathways"), "90000001", blocks.shipped(), TODAY)
    assert (len(made.indication), len(made.plan)) == (2, 2)
    rows = rows_of(orjson.dumps([{**row, column: value}]), "pathways")
    with pytest.raises(Invalid) as refused:
        reading.pathways(rows, "90000001", blocks.shipped(), TODAY)
    assert refused.value.expression == f"pathways[0].{named}"
