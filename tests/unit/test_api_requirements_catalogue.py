"""The catalogue of the API requirements: all there are, counted as they were published, each with words in both
languages."""

from __future__ import annotations

import pytest

from schakel.conformance.api_requirements.catalogue import at, catalogue, keys
from schakel.conformance.api_requirements.checks import CHECKS
from schakel.conformance.api_requirements.model import Level, Standard


def test_every_requirement_is_there_with_its_parts() -> None:
    assert len(catalogue()) == 78
    assert sum(len(one.subs) for one in catalogue().values()) == 158
    assert len(keys()) == 78 + 158


def test_the_levels_include_one_another_and_count_as_published() -> None:
    assert len(at(Standard.OPEN)) == 40
    assert len([one for one in at(Standard.OPEN) if one.level is Level.MUST]) == 28
    assert set(at(Standard.OPEN)) < set(at(Standard.TECHNICAL)) < set(at(Standard.FULL))
    assert len(at(Standard.FULL)) == 78


def test_every_word_is_there_in_both_languages() -> None:
    for one in catalogue().values():
        for short in (one.short, *(sub.short for sub in one.subs)):
            assert short.nl.strip() and short.en.strip()
        assert one.short.nl != one.short.en


def test_numbers_are_never_given_twice_and_gaps_stay() -> None:
    assert "DR010" not in catalogue()
    assert list(catalogue()) == list(dict.fromkeys(catalogue()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.keys[0])
def test_a_check_is_about_requirements_that_a_machine_can_see(check) -> None:  # type: ignore[no-untyped-def]
    assert set(check.keys) <= keys()
    assert all(catalogue()[key.partition(".")[0]].how != "person" for key in check.keys)


def test_what_a_machine_can_see_has_a_check() -> None:
    checked = {key.partition(".")[0] for check in CHECKS for key in check.keys}
    assert {code for code, one in catalogue().items() if one.how != "person"} == checked


def test_the_style_follows_from_the_code() -> None:
    styles = {code: one.style for code, one in catalogue().items()}
    assert (styles["SC-S001"], styles["DR-R004"], styles["SD001"]) == ("soap", "rest", "any")
    assert {code for code, one in catalogue().items() if one.only_clients} == {"LM007", "DR-S002", "DR-R005"}
