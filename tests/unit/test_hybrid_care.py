"""Hybrid care: the working definition, who counts, and pseudonyms."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hybrid_care import TODAY, URA, YEAR, pathway, person, taking_part

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel.roadmap.hybrid import blocks, figures
from schakel.roadmap.hybrid.counting import Tally, count
from schakel.roadmap.hybrid.definition import is_hybrid, verdict
from schakel.roadmap.hybrid.model import (
    EXCLUSIONS,
    Digitised,
    Person,
)
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms, is_pseudonym

# -- the definition ----------------------------------------------------------------------------------------------


def test_a_pathway_with_basic_functions_only_is_not_hybrid_until_a_care_function_is_added() -> None:
    assert not is_hybrid(pathway("B1", "B3"), blocks.shipped(), TODAY)
    assert is_hybrid(pathway("B1", "B3", "C5"), blocks.shipped(), TODAY)
    assert not is_hybrid(pathway("C5"), blocks.shipped(), TODAY)
    assert not is_hybrid(pathway(), blocks.shipped(), TODAY)


def test_the_reason_names_the_blocks_and_what_is_missing() -> None:
    found = verdict(pathway("B3", "B1"), blocks.shipped(), TODAY)
    assert found.reason.en == "Not hybrid: only basic functions (B1, B3), no block of care and treatment."
    assert verdict(pathway("C6", "B1"), blocks.shipped(), TODAY).reason.nl.startswith(
        "Hybride: basisfuncties B1;"
    )


def test_a_block_counts_from_the_day_that_it_is_digitised() -> None:
    soon = Digitised("C5", TODAY + timedelta(days=1), "")
    one = pathway("B1", digitised=(Digitised("B1", None, ""), soon))
    assert not is_hybrid(one, blocks.shipped(), TODAY)
    assert is_hybrid(one, blocks.shipped(), TODAY + timedelta(days=1))


def test_a_code_that_the_list_of_the_region_does_not_have_counts_for_nothing_and_is_named() -> None:
    found = verdict(pathway("B1", "Z9"), blocks.shipped(), TODAY)
    assert (found.hybrid, found.unlisted) == (False, ("Z9",))


@given(st.sets(st.sampled_from([block.code for block in blocks.shipped().blocks])))
def test_hybrid_is_a_block_of_each_group_and_nothing_else(codes: set[str]) -> None:
    groups = {blocks.shipped().by_code[code].group for code in codes}
    assert is_hybrid(pathway(*codes), blocks.shipped(), TODAY) == (groups == {"basic", "care"})


def test_the_list_that_comes_with_the_program_has_both_groups_and_both_languages() -> None:
    shipped = blocks.shipped()
    assert [b.code for b in shipped.blocks] == [f"B{n}" for n in range(1, 11)] + [
        f"C{n}" for n in range(1, 9)
    ]
    assert all(b.title.nl != b.title.en and b.about.nl != b.about.en for b in shipped.blocks)
    assert [b.code for b in shipped.blocks if b.monitoring] == ["C6"]


GOOD_BLOCK = (
    b'{"code": "X1", "group": "basic", "title": {"nl": "a", "en": "b"}, "about": {"nl": "c", "en": "d"}}'
)


def listed(*rows: bytes) -> bytes:
    return b'{"version": "1", "title": {"nl": "t", "en": "t"}, "blocks": [' + b",".join(rows) + b"]}"


CARE = GOOD_BLOCK.replace(b"X1", b"Y1").replace(b"basic", b"care")


def test_a_region_can_give_its_own_list_of_blocks() -> None:
    own = blocks.read(listed(GOOD_BLOCK, CARE))
    assert is_hybrid(pathway("X1", "Y1"), own, TODAY)
    assert not is_hybrid(pathway("B1", "C5"), own, TODAY)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (listed(GOOD_BLOCK), "no block has the group care"),
        (listed(CARE), "no block has the group basic"),
        (listed(GOOD_BLOCK, GOOD_BLOCK, CARE), "blocks[1].code"),
        (listed(GOOD_BLOCK.replace(b"basic", b"other"), CARE), "blocks[0].group"),
        (listed(GOOD_BLOCK.replace(b"X1", b"1 X"), CARE), "blocks[0].code"),
        (listed(GOOD_BLOCK.replace(b'"en": "b"', b'"fr": "b"'), CARE), "blocks[0].title"),
        (listed(GOOD_BLOCK.replace(b'"c"', b'""'), CARE), "blocks[0].about.nl"),
        (listed(GOOD_BLOCK.replace(b"{", b'{"more": 1,', 1), CARE), "'more'"),
        (listed(GOOD_BLOCK.replace(b"{", b'{"monitoring": 1,', 1), CARE), "blocks[0].monitoring"),
        (listed(), "blocks"),
    ],
)
def test_a_list_of_blocks_with_one_thing_wrong_is_refused_by_its_place(body: bytes, named: str) -> None:
    with pytest.raises(Invalid) as refused:
        blocks.read(body)
    assert named in refused.value.message


# -- who counts --------------------------------------------------------------------------------------------------


def tally(*people: Person, excludes: frozenset[str] = frozenset()) -> Tally:
    return count(people, {(URA, "heart-failure"): excludes, (URA, "copd"): excludes}, YEAR)


def test_a_person_in_two_pathways_counts_once_in_the_region() -> None:
    found = tally(taking_part("p1"), taking_part("p1", pathway="copd"), taking_part("p2"))
    assert (found.eligible, found.enrolled, found.active, found.now) == (2, 2, 2, 2)


def test_who_takes_part_without_a_digital_event_in_the_year_is_enrolled_and_not_active() -> None:
    old = taking_part(enrolled_from=date(2025, 1, 1), eligible_from=date(2025, 1, 1), last_event=YEAR.start)
    assert (tally(old).enrolled, tally(old).active) == (1, 1)
    before = replace(old, last_event=YEAR.start - timedelta(days=1))
    assert (tally(before).enrolled, tally(before).active) == (1, 0)
    assert (tally(replace(old, last_event=None)).enrolled, tally(replace(old, last_event=None)).active) == (
        1,
        0,
    )


def test_terms_count_to_their_last_day() -> None:
    gone = person(eligible_from=date(2024, 1, 1), eligible_until=YEAR.start - timedelta(days=1))
    assert tally(gone).eligible == 0
    assert tally(replace(gone, eligible_until=YEAR.start)).eligible == 1
    assert tally(person(eligible_from=TODAY + timedelta(days=1))).eligible == 0
    assert tally(taking_part(enrolled_until=TODAY)).now == 1
    ended = taking_part(enrolled_until=TODAY - timedelta(days=1), ended_reason="dropped-out")
    assert (tally(ended).now, tally(ended).active, tally(ended).ended) == (0, 1, {"dropped-out": 1})


def test_who_has_no_device_stays_in_the_count_unless_the_pathway_excludes_it_and_the_reason_is_kept() -> None:
    people = (person("p1", exclusion="no-device"), taking_part("p2"))
    stays, goes = tally(*people), tally(*people, excludes=frozenset({"no-device"}))
    assert (stays.eligible, stays.excluded, stays.counted) == (2, 0, 2)
    assert (goes.eligible, goes.excluded, goes.counted) == (2, 1, 1)
    assert stays.reasons == goes.reasons == {"no-device": 1}


def test_who_is_excluded_from_one_pathway_and_takes_part_in_another_is_not_excluded() -> None:
    people = (person("p1", exclusion="frailty"), taking_part("p1", pathway="copd"))
    found = tally(*people, excludes=frozenset({"frailty"}))
    assert (found.eligible, found.excluded, found.active, found.reasons) == (1, 0, 1, {})


days = st.dates(YEAR.start - timedelta(days=40), TODAY + timedelta(days=40))
persons = st.builds(
    Person,
    ura=st.just(URA),
    pathway=st.sampled_from(["heart-failure", "copd"]),
    pseudonym=st.sampled_from("abcdef"),
    eligible_from=days,
    eligible_until=st.none() | days,
    exclusion=st.sampled_from(["", *EXCLUSIONS]),
    enrolled_from=st.none() | days,
    enrolled_until=st.none() | days,
    last_event=st.none() | days,
    ended_reason=st.sampled_from(["", "other"]),
)
excluding = st.frozensets(st.sampled_from(sorted(EXCLUSIONS)))


@given(st.data(), st.lists(persons, max_size=12), excluding)
def test_a_person_counts_once_whatever_the_order_and_the_repetition(
    data: st.DataObject, people: list[Person], excludes: frozenset[str]
) -> None:
    once = tally(*people, excludes=excludes)
    again = data.draw(
        st.permutations(people + data.draw(st.lists(st.sampled_from(people))) if people else people)
    )
    assert tally(*again, excludes=excludes) == once
    assert once.eligible <= len({one.pseudonym for one in people})


@given(st.lists(persons, max_size=12), excluding)
def test_who_is_active_is_enrolled_and_who_is_enrolled_is_eligible_and_not_excluded(
    people: list[Person], excludes: frozenset[str]
) -> None:
    found = tally(*people, excludes=excludes)
    assert 0 <= found.active <= found.enrolled <= found.counted <= found.eligible


@given(st.lists(persons, max_size=12), excluding)
def test_an_exclusion_changes_the_second_figure_only_and_the_first_shows_everybody(
    people: list[Person], excludes: frozenset[str]
) -> None:
    without, with_them = tally(*people), tally(*people, excludes=excludes)
    for first, second in zip(figures.inclusion(without), figures.inclusion(with_them), strict=True):
        assert first.top == second.top
        if "zonder" not in first.name.nl:
            assert first == second
    assert with_them.counted <= without.counted == without.eligible


# -- pseudonyms --------------------------------------------------------------------------------------------------

KEY = b"k" * 32


def test_the_same_person_has_the_same_pseudonym_under_one_key_and_another_under_another() -> None:
    first = Pseudonyms(KEY).of(Bsn("999911120"))
    assert first == Pseudonyms(KEY).of(Bsn("999911120")) and is_pseudonym(first)
    assert first != Pseudonyms(b"l" * 32).of(Bsn("999911120"))
    assert first != Pseudonyms(KEY).of(Bsn("999990019"))


def test_without_a_key_a_bsn_is_refused_with_the_setting_to_mend_it() -> None:
    with pytest.raises(Invalid, match=r"setting roadmap\.pseudonym_key"):
        Pseudonyms(None).of(Bsn("999911120"))


@pytest.mark.parametrize(
    "text", ["999911120", "9" * 16, "short", "with space in the middle", "a" * 129, "a" * 15]
)
def test_what_may_be_a_number_of_a_person_is_no_pseudonym(text: str) -> None:
    assert not is_pseudonym(text)
