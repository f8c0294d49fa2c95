"""Where an organisation stands follows from evidence and declarations, and never looks better than those."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
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

from schakel.roadmap.evidence import Declaration, Evidence, Verdict
from schakel.roadmap.model import Roadmap
from schakel.roadmap.standing import (
    Cell,
    State,
    StepStanding,
    cell,
    cells,
    next_changes,
    step_standing,
)
from schakel.roadmap.weighing import TERM, weighed

MEASURED, DECLARED = step("S1", "tls", "certificate"), step("S2")
PART = step("S1", "tls", "certificate", unseen="contracts")
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


def test_a_check_that_only_a_newer_program_has_leaves_its_step_to_a_declaration() -> None:
    newer = item("X", step("X.S1", "brand-new"), step("X.S2", "tls", "brand-new"))
    said = {"X.S1": declaration("X.S1")}

    def states(found: dict[str, Evidence], declared: dict[str, Declaration]) -> list[State]:
        return [one.state for one in cell(newer, HOSPITAL, found, declared, TERMS, MOMENT).steps]

    assert states({}, {}) == ["not-declared", "not-checked"]
    assert states({}, said) == ["declared", "not-checked"]
    assert states({"tls": evidence("tls")}, said) == ["declared", "partly"]
    both = {**said, "X.S2": declaration("X.S2")}
    assert states({"tls": evidence("tls")}, both) == ["declared", "declared"]
    assert states({"tls": evidence("tls", "fails")}, both) == ["declared", "fails"]
    # What somebody else's newer program found counts all the same.
    found = {"tls": evidence("tls"), "brand-new": evidence("brand-new", "fails")}
    assert states(found, said) == ["fails", "fails"]


def test_what_no_check_applies_to_is_not_applicable_and_one_that_does_not_apply_is_left_out() -> None:
    none = [evidence(check, "not-applicable") for check in ("tls", "certificate")]
    assert measured(*none).state == "not-applicable"
    assert measured(none[0]).state == "proved"


# -- what an organisation measured itself ------------------------------------------------------------------------------

OWN: dict[str, tuple[tuple[Evidence, ...], State]] = {
    "one check": ((evidence("tls", own=True),), "self-measured"),
    "all checks": ((evidence("tls", own=True), evidence("certificate", own=True)), "self-measured"),
    "that a check does not apply": ((evidence("tls", "not-applicable", own=True),), "self-measured"),
    "that it fails": ((evidence("tls", "fails", own=True),), "fails"),
    "that it could not be checked": ((evidence("tls", "unknown", own=True),), "unknown"),
    "too long ago": ((evidence("tls", own=True, at=MOMENT - 7 * DAY),), "stale"),
}


@pytest.mark.parametrize("case", OWN)
def test_what_rests_on_the_word_of_the_organisation_alone_says_so(case: str) -> None:
    found, state = OWN[case]
    stands = measured(*found)
    assert stands.state == state
    assert "by the organisation itself" in stands.reason.en and "de organisatie zelf" in stands.reason.nl
    assert "itself" not in measured().reason.en and "zelf" not in measured().reason.nl


def test_a_step_that_was_measured_itself_is_not_never_checked_and_not_proved() -> None:
    found = step_standing(MEASURED, {"tls": evidence("tls", own=True)}, {}, TERMS, MOMENT)
    assert found.state == "not-checked"
    assert measured(evidence("tls", own=True)).last_true == MOMENT - DAY / 2


WORD = MOMENT - DAY
WEIGHED: dict[str, tuple[Evidence, Evidence, bool, str]] = {
    "a keeper's fresh finding counts beside the same word": (
        evidence(at=MOMENT - 2 * DAY), evidence(own=True, at=WORD), False, "proved"),
    "the same word does not keep a keeper's finding fresh": (
        evidence(at=MOMENT - 7 * DAY), evidence(own=True, at=WORD), True, "self-measured"),
    "nor one that is known to have ended": (
        evidence(at=MOMENT - 2 * DAY, until=MOMENT), evidence(own=True, at=WORD), True, "self-measured"),
    "an older word does nothing": (
        evidence(at=MOMENT - 7 * DAY), evidence(own=True, at=MOMENT - 8 * DAY), False, "stale"),
    "another word does not keep it fresh either": (
        evidence(at=MOMENT - 7 * DAY), evidence(verdict="not-applicable", own=True, at=WORD), False, "stale"),
    "what a keeper found broken stays so": (
        evidence(verdict="fails", at=MOMENT - 9 * DAY), evidence(own=True, at=WORD), False, "fails"),
    "what both find broken has the newer date": (
        evidence(verdict="fails", at=MOMENT - 2 * DAY), evidence(verdict="fails", own=True, at=WORD), True, "fails"),
}  # fmt: skip


@pytest.mark.parametrize("case", WEIGHED)
def test_the_word_of_an_organisation_beside_what_a_keeper_found(case: str) -> None:
    kept, own, counts, state = WEIGHED[case]
    for both in ([kept, own], [own, kept]):
        found = weighed(both, TERMS, MOMENT)[HOSPITAL.ura]
        assert found["tls"].own is counts
        assert step_standing(step("S", "tls"), found, {}, TERMS, MOMENT).state == state


# -- what checks see in part -------------------------------------------------------------------------------------------

RESTS: dict[str, tuple[Declaration | None, State]] = {
    "not declared": (None, "partly"),
    "declared": (declaration("S1"), "declared"),
    "declared without a second reader": (declaration("S1", seen_by="", seen_at=None), "partly"),
    "declared, and past": (declaration("S1", until=date(2026, 3, 4)), "partly"),
    "declared as not done": (declaration("S1", "not-done"), "fails"),
    "declared as not applicable": (declaration("S1", "not-applicable"), "not-applicable"),
}


def in_part(*found: Evidence, said: Declaration | None = None) -> StepStanding:
    by_check = {**BOTH, **{one.finding.check: one for one in found}}
    return step_standing(PART, by_check, {} if said is None else {"S1": said}, TERMS, MOMENT)


@pytest.mark.parametrize("case", RESTS)
def test_what_checks_do_not_see_of_a_step_takes_a_declaration(case: str) -> None:
    said, state = RESTS[case]
    found = in_part(said=said)
    assert found.state == state
    if state == "partly":
        assert "contracts (en)" in found.reason.en and "tls holds (en)" in found.reason.en
        assert found.last_true == (MOMENT - 4 * DAY if "past" in case else None)
    if state == "declared":
        assert "tls holds (en)" in found.reason.en and "plan.pdf" in found.reason.en
        assert found.last_true == MOMENT - 4 * DAY


@pytest.mark.parametrize("case", ONE_OFF)
def test_a_declaration_about_the_rest_never_makes_good_what_was_measured(case: str) -> None:
    found, state = ONE_OFF[case]
    assert in_part(found, said=declaration("S1")).state == state


def test_what_was_measured_itself_stays_that_whatever_is_declared_about_the_rest() -> None:
    word = evidence("tls", own=True)
    assert in_part(word).state == in_part(word, said=declaration("S1")).state == "self-measured"
    assert "contracts (en)" in in_part(word).reason.en
    assert in_part(word, said=declaration("S1", "not-done")).state == "fails"


@pytest.mark.parametrize("seen_by", ["Bert", ""])
@pytest.mark.parametrize("case", ONE_OFF)
def test_what_was_declared_not_done_fails_whatever_the_checks_say(case: str, seen_by: str) -> None:
    found, state = ONE_OFF[case]
    no = declaration("S1", "not-done", seen_by=seen_by)
    made = in_part(found, said=no)
    assert made.state == "fails"
    # A check that fails is the reason itself; otherwise it is the declaration.
    assert made.reason == (in_part(found).reason if state == "fails" else in_part(said=no).reason)
    assert step_standing(PART, {}, {"S1": no}, TERMS, MOMENT).reason == in_part(said=no).reason


NO_PART = (evidence("tls", "not-applicable"), evidence("certificate", "not-applicable"))


@pytest.mark.parametrize(
    ("said", "state"),
    [
        pytest.param(None, "not-declared", id="none"),
        pytest.param(declaration("S1"), "declared", id="done"),
        pytest.param(declaration("S1", seen_by="", seen_at=None), "unconfirmed", id="unseen"),
        pytest.param(declaration("S1", until=date(2026, 3, 4)), "stale", id="past"),
        pytest.param(declaration("S1", "not-done"), "fails", id="not-done"),
        pytest.param(declaration("S1", "not-applicable"), "not-applicable", id="not-applicable"),
    ],
)
def test_a_step_of_which_the_part_that_checks_see_does_not_apply_stands_as_the_rest(
    said: Declaration | None, state: State
) -> None:
    made = in_part(*NO_PART, said=said)
    assert made.state == state
    if state in ("not-declared", "unconfirmed"):
        assert "contracts (en)" in made.reason.en and made.last_true is None
    if state == "declared":
        assert "tls not-applicable (en)" in made.reason.en and "plan.pdf" in made.reason.en
        assert made.last_true == MOMENT - 4 * DAY


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
    ("self-measured",): "self-measured",
    ("self-measured", "self-measured"): "self-measured",
    ("proved", "self-measured"): "partly",
    ("self-measured", "stale"): "stale",
    ("self-measured", "fails"): "fails",
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
            own = state == "self-measured"
            found[check] = evidence(check, VERDICTS.get(state, "holds"), at=MOMENT - age, own=own)
    terms = {f"check-{number}": TERM for number in range(len(states))}
    made = cell(item("X", *steps), HOSPITAL, found, declared, terms, MOMENT)
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


def test_an_item_that_is_named_for_other_sectors_stands_apart_and_says_for_whom_it_is() -> None:
    found = cells(SMALL, (HOSPITAL, PRACTICE), (), (), TERMS, MOMENT)
    assert set(found) == {(one.ura, name) for one in (HOSPITAL, PRACTICE) for name in ("GF-1", "GF-2")}
    assert found[HOSPITAL.ura, "GF-2"].state == "not-checked"
    other = found[PRACTICE.ura, "GF-2"]
    assert (other.state, [one.state for one in other.steps]) == ("not-named", ["not-named"])
    assert "hospitals (en)" in other.reason.en and "practices (en)" in other.reason.en


UNNAMED = item("X", step("X.S1", "tls"), step("X.S2"), sectors=("HA",))
KNOWN_ANYWAY: dict[str, tuple[list[Evidence], list[Declaration], list[State]]] = {
    "nothing": ([], [], ["not-named", "not-named", "not-named"]),
    "that it holds": ([evidence()], [], ["partly", "proved", "not-named"]),
    "that it fails": ([evidence(verdict="fails")], [], ["fails", "fails", "not-named"]),
    "that it could not be checked": ([evidence(verdict="unknown")], [], ["unknown", "unknown", "not-named"]),
    "what it says itself": ([evidence(own=True)], [], ["self-measured", "self-measured", "not-named"]),
    "that it is declared": ([], [declaration("X.S2")], ["partly", "not-named", "declared"]),
    "that it is not done": ([], [declaration("X.S2", "not-done")], ["fails", "not-named", "fails"]),
    "that it does not apply": (
        [], [declaration("X.S2", "not-applicable")], ["not-named", "not-named", "not-applicable"]),
    "all of it": ([evidence()], [declaration("X.S2")], ["declared", "proved", "declared"]),
    "of another check": ([evidence("log-seals", "fails")], [], ["not-named", "not-named", "not-named"]),
}  # fmt: skip


@pytest.mark.parametrize("case", KNOWN_ANYWAY)
def test_what_is_known_where_an_item_is_not_named_counts_as_anywhere(case: str) -> None:
    found, said, states = KNOWN_ANYWAY[case]
    made = cells(roadmap(UNNAMED), [HOSPITAL], found, said, TERMS, MOMENT)[HOSPITAL.ura, "X"]
    assert [made.state, *(one.state for one in made.steps)] == states


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

RANK: dict[State, int] = {
    "not-applicable": 4,
    "not-named": 4,
    "proved": 4,
    "declared": 3,
    "partly": 2,
    "self-measured": 1,
}
"""How good a state is; what does not apply or is not named asks nothing, and all others are open."""

CHECKS = ("tls", "certificate", "log-seals")
ITEM = item(
    "X",
    *(step("X.S1", *CHECKS[:2]), step("X.S2", CHECKS[2]), step("X.S3"), step("X.S4")),
    step("X.S5", CHECKS[0], unseen="contracts"),
)
ANYWHERE, ELSEWHERE = roadmap(ITEM), roadmap(replace(ITEM, sectors=("HA",)))
"""The item where it is for everyone, and where it is named for others."""
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
_roadmaps = st.sampled_from([ANYWHERE, ELSEWHERE])


def stands(
    found: list[Evidence],
    declared: list[Declaration],
    moment: datetime = MOMENT,
    within: Roadmap = ANYWHERE,
) -> Cell:
    return cells(within, [HOSPITAL], found, declared, TERMS, moment)[HOSPITAL.ura, "X"]


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
            assert one.step.unseen is None
        if one.state == "proved" or (one.state == "declared" and one.step.checks):
            assert {known.finding.check for known in one.evidence} == {*one.step.checks}
            for known in one.evidence:
                assert known.finding.verdict in ("holds", "not-applicable") and not known.own
                assert moment < known.at + TERMS[known.finding.check]
                assert known.finding.until is None or moment < known.finding.until
            if one.state == "proved":
                assert any(known.finding.verdict == "holds" for known in one.evidence)
        if one.state == "declared":
            assert one.declaration is not None and (not one.step.checks or one.step.unseen is not None)
            assert one.declaration.seen_by == "Bert" and one.declaration.claim == "done"
            assert moment.date() <= one.declaration.until + DAY
        if one.state in ("proved", "declared"):
            assert one.last_true is not None
    if made.state in ("proved", "declared"):
        assert {one.state for one in made.steps} <= {"proved", "declared", "not-applicable"}


@given(_known, _said, st.sampled_from(CHECKS), st.booleans(), _roadmaps)
def test_a_finding_that_fails_makes_nothing_better(
    found: list[Evidence], declared: list[Declaration], check: str, own: bool, within: Roadmap
) -> None:
    failing = evidence(check, "fails", at=MOMENT, own=own)
    before = stands(found, declared, within=within)
    after = stands([*found, failing], declared, within=within)
    assert all(new <= old for old, new in zip(rank(before), rank(after), strict=True))


@given(st.lists(_evidence, min_size=1, max_size=6), _said, _ages, st.integers(0, 2), _roadmaps)
def test_what_an_organisation_says_of_itself_makes_nothing_better_than_a_keeper_found(
    found: list[Evidence], declared: list[Declaration], age: timedelta, other: int, within: Roadmap
) -> None:
    kept = [replace(one, own=False) for one in found]
    check = kept[0].finding.check
    last = weighed(kept, TERMS, MOMENT)[HOSPITAL.ura][check].finding.verdict
    said = [one for one in get_args(Verdict) if one != last][other]
    before = stands(kept, declared, within=within)
    after = stands([*kept, evidence(check, said, at=MOMENT - age, own=True)], declared, within=within)
    assert all(new <= old for old, new in zip(rank(before), rank(after), strict=True))


@given(_known, _said, _ages)
def test_nothing_is_proved_by_what_organisations_say_of_themselves(
    found: list[Evidence], declared: list[Declaration], later: timedelta
) -> None:
    moment = MOMENT + later
    alone = stands([one for one in found if not one.own], declared, moment)
    together = stands(found, declared, moment)
    for before, after in zip(alone.steps, together.steps, strict=True):
        if after.step.checks and after.state in ("proved", "declared", "partly"):
            assert before.state == after.state
        if after.state == "self-measured":
            assert any(one.own for one in after.evidence)


@given(_known, _said, _ages, _roadmaps)
def test_time_alone_makes_nothing_better(
    found: list[Evidence], declared: list[Declaration], later: timedelta, within: Roadmap
) -> None:
    before = stands(found, declared, within=within)
    after = stands(found, declared, MOMENT + later, within)
    assert all(new <= old for old, new in zip(rank(before), rank(after), strict=True))


@given(_known, _said)
def test_until_the_next_change_everything_stands_as_it_does(
    found: list[Evidence], declared: list[Declaration]
) -> None:
    change = next_changes(found, declared, TERMS, MOMENT).get(HOSPITAL.ura)
    end = MOMENT + 400 * DAY if change is None else change - timedelta(microseconds=1)
    assert end >= MOMENT
    assert stands(found, declared, end) == stands(found, declared)
