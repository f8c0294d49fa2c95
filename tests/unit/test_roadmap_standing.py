"""Where an organisation stands follows from evidence and declarations, and never looks better than those."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.standings import (
    DAY,
    HOSPITAL,
    MOMENT,
    PRACTICE,
    SMALL,
    TERMS,
    declaration,
    evidence,
    item,
    roadmap,
    step,
)

from schakel.roadmap.evidence import Declaration, Evidence
from schakel.roadmap.standing import (
    TERM,
    Cell,
    State,
    StepStanding,
    cell,
    cells,
    next_changes,
    step_standing,
)
from schakel.roadmap.weighing import weighed

MEASURED, DECLARED = step("S1", "tls", "certificate"), step("S2")
BOTH = {"tls": evidence("tls"), "certificate": evidence("certificate")}


def measured(*found: Evidence, said: Declaration | None = None, moment: datetime = MOMENT) -> StepStanding:
    by_check = {**BOTH, **{one.finding.check: one for one in found}}
    return step_standing(MEASURED, by_check, {} if said is None else {"S1": said}, TERMS, moment)


def said(moment: datetime = MOMENT, **members: Any) -> StepStanding:
    return step_standing(DECLARED, BOTH, {"S2": declaration("S2", **members)}, TERMS, moment)


# -- a step that checks measure ----------------------------------------------------------------------------------------


def test_a_step_is_proved_when_all_its_checks_hold() -> None:
    found = measured()
    assert (found.state, found.last_true) == ("proved", MOMENT - DAY / 2)
    assert "5 maart 2026" in found.reason.nl and "5 March 2026" in found.reason.en


ONE_OFF: dict[str, tuple[Evidence, State]] = {
    "fails": (evidence("tls", "fails"), "fails"),
    "could not be checked": (evidence("tls", "unknown"), "unknown"),
    "older than its term": (evidence("tls", at=MOMENT - 7 * DAY), "stale"),
    "known to have ended": (evidence("tls", until=MOMENT), "stale"),
}


@pytest.mark.parametrize("case", ONE_OFF)
def test_one_check_that_does_not_hold_keeps_a_step_from_being_proved(case: str) -> None:
    found, state = ONE_OFF[case]
    assert measured(found).state == state


def test_one_check_that_was_never_done_keeps_a_step_from_being_proved() -> None:
    found = step_standing(MEASURED, {"tls": evidence("tls")}, {}, TERMS, MOMENT)
    assert (found.state, found.last_true) == ("not-checked", None)
    assert "certificate" in found.reason.en and "tls" not in found.reason.en
    assert step_standing(MEASURED, {}, {}, TERMS, MOMENT).state == "not-checked"


def test_stale_and_failing_steps_say_when_they_last_held() -> None:
    last = MOMENT - 30 * DAY
    stale = measured(evidence("tls", at=last))
    assert (stale.state, stale.last_true) == ("stale", last)
    assert "3 February 2026" in stale.reason.en
    failing = measured(evidence("tls", "fails", last_true=last))
    assert (failing.state, failing.last_true) == ("fails", last)
    assert "tls fails (en)" in failing.reason.en


def test_a_failure_stays_a_failure_however_old_it_is() -> None:
    assert measured(evidence("tls", "fails", at=MOMENT - 900 * DAY)).state == "fails"


def test_evidence_of_a_check_without_a_term_of_its_own_grows_old_too() -> None:
    one = step("S", "new-check")
    for age, state in ((TERM - DAY, "proved"), (TERM, "stale")):
        found = {"new-check": evidence("new-check", at=MOMENT - age)}
        assert step_standing(one, found, {}, {}, MOMENT).state == state


def test_what_no_check_applies_to_is_not_applicable_and_one_that_does_not_apply_is_left_out() -> None:
    none = [evidence(check, "not-applicable") for check in ("tls", "certificate")]
    assert measured(*none).state == "not-applicable"
    assert measured(none[0]).state == "proved"


# -- declarations ------------------------------------------------------------------------------------------------------


def test_a_step_without_checks_is_declared_when_a_second_reader_has_seen_it() -> None:
    found = said()
    assert (found.state, found.last_true) == ("declared", MOMENT - 4 * DAY)
    assert "Anna" in found.reason.nl and "Bert" in found.reason.nl
    assert step_standing(DECLARED, BOTH, {}, TERMS, MOMENT).state == "not-declared"


UNSEEN: dict[str, tuple[dict[str, Any], State]] = {
    "without a second reader": ({"seen_by": "", "seen_at": None}, "unconfirmed"),
    "with itself as second reader": ({"seen_by": "Anna"}, "unconfirmed"),
    "past its term": ({"until": date(2026, 3, 4)}, "stale"),
    "that it is not done": ({"claim": "not-done"}, "fails"),
    "that it is not done, unseen": ({"claim": "not-done", "seen_by": ""}, "fails"),
    "that it does not apply": ({"claim": "not-applicable"}, "not-applicable"),
    "that it does not apply, unseen": ({"claim": "not-applicable", "seen_by": ""}, "unconfirmed"),
    "that it does not apply, without a reason": ({"claim": "not-applicable", "reason": " "}, "unconfirmed"),
}


@pytest.mark.parametrize("case", UNSEEN)
def test_a_declaration(case: str) -> None:
    members, state = UNSEEN[case]
    assert said(**members).state == state


def test_a_declaration_counts_until_the_end_of_its_last_day_in_amsterdam() -> None:
    end = datetime(2027, 3, 1, 23, tzinfo=UTC)
    assert said(end - timedelta(seconds=1)).state == "declared"
    assert said(end).state == "stale"


@pytest.mark.parametrize(
    "found", [evidence("tls", "fails"), evidence("tls", "unknown"), evidence("tls", until=MOMENT)]
)
def test_a_declaration_never_makes_a_measured_step_good(found: Evidence) -> None:
    assert measured(found, said=declaration("S1")) == replace(measured(found), declaration=declaration("S1"))


def test_a_measured_step_may_be_declared_not_applicable_and_tells_what_the_check_says() -> None:
    none = declaration("S1", "not-applicable")
    found = measured(evidence("tls", "fails"), said=none)
    assert found.state == "not-applicable"
    assert "because" in found.reason.en and "tls fails (en)" in found.reason.en
    for missing in ({"seen_by": ""}, {"reason": ""}):
        assert measured(evidence("tls", "fails"), said=replace(none, **missing)).state == "fails"  # type: ignore[arg-type]


def test_what_was_declared_not_applicable_must_be_measured_anew_after_its_term() -> None:
    none = declaration("S1", "not-applicable", until=date(2026, 3, 4))
    assert (
        measured(
            evidence("tls", at=MOMENT - 2 * DAY), evidence("certificate", at=MOMENT - 2 * DAY), said=none
        ).state
        == "stale"
    )
    assert measured(said=none).state == "proved"
    assert measured(evidence("tls", "fails", at=MOMENT - 2 * DAY), said=none).state == "fails"


# -- items -------------------------------------------------------------------------------------------------------------

SUMS: dict[tuple[State, ...], State] = {
    (): "not-applicable",
    ("not-applicable",): "not-applicable",
    ("proved", "proved"): "proved",
    ("proved", "not-applicable"): "proved",
    ("proved", "declared"): "declared",
    ("declared",): "declared",
    ("proved", "fails"): "fails",
    ("unknown", "fails"): "fails",
    ("proved", "unknown"): "partly",
    ("declared", "not-declared"): "partly",
    ("proved", "stale"): "partly",
    ("stale", "unknown"): "unknown",
    ("unknown", "not-checked"): "not-checked",
    ("not-checked", "not-declared"): "not-declared",
    ("stale", "unconfirmed"): "unconfirmed",
    ("not-applicable", "stale"): "stale",
}

VERDICTS: dict[str, Any] = {
    "proved": "holds",
    "unknown": "unknown",
    "fails": "fails",
    "not-applicable": "not-applicable",
}


def standing_so(states: tuple[State, ...]) -> Cell:
    """An item of which each step stands so."""
    steps, found, declared = [], {}, {}
    for number, state in enumerate(states):
        name, check = f"X.S{number}", f"check-{number}"
        by_declaration = state in ("declared", "not-declared", "unconfirmed")
        steps.append(step(name) if by_declaration else step(name, check))
        if state in ("declared", "unconfirmed"):
            declared[name] = declaration(name, **({} if state == "declared" else {"seen_by": ""}))
        elif not by_declaration and state != "not-checked":
            age = 60 * DAY if state == "stale" else DAY
            found[check] = evidence(check, VERDICTS.get(state, "holds"), at=MOMENT - age)
    made = cell(item("X", *steps), HOSPITAL, found, declared, {}, MOMENT)
    assert tuple(one.state for one in made.steps) == states
    return made


@pytest.mark.parametrize("states", SUMS)
def test_an_item_sums_up_the_steps_that_apply(states: tuple[State, ...]) -> None:
    made = standing_so(states)
    assert made.state == SUMS[states]
    assert made.reason.nl and made.reason.en


def test_an_item_names_the_step_that_decides_and_how_many_are_good() -> None:
    made = standing_so(("proved", "fails", "unknown"))
    assert made.reason.en.startswith("X.S1: ")
    assert standing_so(("proved", "unknown")).reason.en.startswith("1 of 2 steps are good. Open is X.S1: ")


def test_an_item_was_last_true_when_all_its_steps_were() -> None:
    assert standing_so(("proved", "stale")).last_true == MOMENT - 60 * DAY
    assert standing_so(("proved", "not-checked")).last_true is None


def test_an_item_for_other_sectors_is_not_applicable_and_says_for_whom_it_is() -> None:
    found = cells(SMALL, (HOSPITAL, PRACTICE), (), (), TERMS, MOMENT)
    assert set(found) == {(one.ura, name) for one in (HOSPITAL, PRACTICE) for name in ("GF-1", "GF-2")}
    assert found[HOSPITAL.ura, "GF-2"].state == "not-checked"
    other = found[PRACTICE.ura, "GF-2"]
    assert (other.state, other.steps) == ("not-applicable", ())
    assert "hospitals (en)" in other.reason.en and "practices (en)" in other.reason.en


def test_the_last_evidence_and_the_last_declaration_that_stands_count() -> None:
    one = roadmap(item("X", step("X.S1", "tls")), item("Y", step("Y.S1")))
    old, new = evidence("tls", "fails", at=MOMENT - 2 * DAY), evidence("tls")
    first = declaration("Y.S1", "not-done", declared_at=MOMENT - 9 * DAY)
    last = declaration("Y.S1")
    back = declaration("Y.S1", "not-done", declared_at=MOMENT, withdrawn_at=MOMENT)
    for found in ([old, new], [new, old]):
        for declared in ([first, last, back], [back, last, first]):
            made = cells(one, [HOSPITAL], found, declared, TERMS, MOMENT)
            assert made[HOSPITAL.ura, "X"].state == "proved"
            assert made[HOSPITAL.ura, "Y"].state == "declared"


# -- laws --------------------------------------------------------------------------------------------------------------

RANK: dict[State, int] = {"not-applicable": 3, "proved": 3, "declared": 2, "partly": 1}
"""How good a state is; what does not apply asks nothing, and all others are open."""

CHECKS = ("tls", "certificate", "log-seals")
ITEM = item("X", step("X.S1", *CHECKS[:2]), step("X.S2", CHECKS[2]), step("X.S3"), step("X.S4"))
_ages = st.timedeltas(timedelta(0), 20 * DAY)
_evidence = st.builds(
    lambda check, verdict, age, until, own: evidence(
        check, verdict, at=MOMENT - age, until=None if until is None else MOMENT + until, own=own
    ),
    st.sampled_from(CHECKS),
    st.sampled_from(("holds", "holds", "fails", "unknown", "not-applicable")),
    _ages,
    st.none() | st.timedeltas(-9 * DAY, 9 * DAY),
    st.booleans(),
)
_declarations = st.builds(
    lambda name, claim, seen, days, reason: declaration(
        name, claim, seen_by=seen, reason=reason, until=(MOMENT + timedelta(days=days)).date()
    ),
    st.sampled_from([one.id for one in ITEM.steps]),
    st.sampled_from(("done", "not-applicable", "not-done")),
    st.sampled_from(("", "Anna", "Bert", "Bert")),
    st.integers(-5, 20),
    st.sampled_from(("", "because")),
)
_known = st.lists(_evidence, max_size=6)
_said = st.lists(_declarations, max_size=5)


def stands(found: list[Evidence], declared: list[Declaration], moment: datetime = MOMENT) -> Cell:
    return cells(roadmap(ITEM), [HOSPITAL], found, declared, TERMS, moment)[HOSPITAL.ura, "X"]


def rank(made: Cell) -> list[int]:
    """How good an item is and each of its steps."""
    return [RANK.get(one, 0) for one in (made.state, *(one.state for one in made.steps))]


@given(_known, _said, _ages)
def test_nothing_is_proved_or_declared_without_fresh_evidence(
    found: list[Evidence], declared: list[Declaration], later: timedelta
) -> None:
    moment = MOMENT + later
    made = stands(found, declared, moment)
    for one in made.steps:
        if one.state == "proved":
            assert {known.finding.check for known in one.evidence} == {*one.step.checks}
            for known in one.evidence:
                assert known.finding.verdict in ("holds", "not-applicable")
                assert moment < known.at + TERMS[known.finding.check]
                assert known.finding.until is None or moment < known.finding.until
            assert any(known.finding.verdict == "holds" for known in one.evidence)
        if one.state == "declared":
            assert one.declaration is not None and not one.step.checks
            assert one.declaration.seen_by == "Bert" and one.declaration.claim == "done"
            assert moment.date() <= one.declaration.until + DAY
        if one.state in ("proved", "declared"):
            assert one.last_true is not None
    if made.state in ("proved", "declared"):
        assert {one.state for one in made.steps} <= {"proved", "declared", "not-applicable"}


@given(_known, _said, st.sampled_from(CHECKS), st.booleans())
def test_a_finding_that_fails_makes_nothing_better(
    found: list[Evidence], declared: list[Declaration], check: str, own: bool
) -> None:
    failing = evidence(check, "fails", at=MOMENT, own=own)
    before, after = stands(found, declared), stands([*found, failing], declared)
    assert all(new <= old for old, new in zip(rank(before), rank(after), strict=True))


@given(_known, _said, _evidence)
def test_what_an_organisation_says_of_itself_makes_nothing_better_than_a_keeper_found(
    found: list[Evidence], declared: list[Declaration], word: Evidence
) -> None:
    kept = [one for one in found if not one.own]
    last = weighed(kept).get(HOSPITAL.ura, {}).get(word.finding.check)
    assume(last is not None and last.finding.verdict != word.finding.verdict)
    before, after = stands(kept, declared), stands([*kept, replace(word, own=True)], declared)
    assert all(new <= old for old, new in zip(rank(before), rank(after), strict=True))


@given(_known, _said, _ages)
def test_time_alone_makes_nothing_better(
    found: list[Evidence], declared: list[Declaration], later: timedelta
) -> None:
    before, after = stands(found, declared), stands(found, declared, MOMENT + later)
    assert all(new <= old for old, new in zip(rank(before), rank(after), strict=True))


@given(_known, _said)
def test_until_the_next_change_everything_stands_as_it_does(
    found: list[Evidence], declared: list[Declaration]
) -> None:
    change = next_changes(found, declared, TERMS, MOMENT).get(HOSPITAL.ura)
    end = MOMENT + 400 * DAY if change is None else change - timedelta(microseconds=1)
    assert end >= MOMENT
    assert stands(found, declared, end) == stands(found, declared)
