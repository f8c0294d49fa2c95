"""What a patient chose in Mitz, for whom and about what: when it says no to a request."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schakel.generic.consent.choices import Told, refused
from schakel.generic.consent.organisations import TREATMENT

MEDICATION, RESULTS = "GGC013", "GGC012"
GPS, PHARMACIES = "RPZAC1", "RPZAC2"

Known = list[tuple[str, str, bool]]


def made(known: Known, *days: int) -> list[Told]:
    """Choices of these days, all of the same moment without."""
    moments = days or (1,) * len(known)
    return [(*one, datetime(2026, 1, day, tzinfo=UTC)) for one, day in zip(known, moments, strict=True)]


CASES: dict[str, tuple[Known, bool]] = {
    "nothing is known": ([], False),
    "a no": ([(MEDICATION, GPS, False)], True),
    "a no to all": ([(MEDICATION, "", False)], True),
    "a no to others": ([(MEDICATION, PHARMACIES, False)], False),
    "a no about other data": ([(RESULTS, GPS, False)], False),
    "a yes": ([(MEDICATION, GPS, True)], False),
    "a yes to us and a no to all": ([(MEDICATION, GPS, True), (MEDICATION, "", False)], True),
    "a no about treatment": ([(TREATMENT, GPS, False)], True),
    "a no about treatment to all": ([(TREATMENT, "", False)], True),
    "a yes about this, whatever is said of treatment": (
        [(MEDICATION, GPS, True), (TREATMENT, GPS, False), (TREATMENT, "", False)],
        False,
    ),
    "a yes about this to others, and a no about treatment to us": (
        [(MEDICATION, PHARMACIES, True), (TREATMENT, GPS, False)],
        True,
    ),
    "a no about treatment to others": ([(TREATMENT, PHARMACIES, False)], False),
}


@pytest.mark.parametrize(("known", "no"), CASES.values(), ids=CASES)
def test_a_no_counts_for_whom_and_about_what_it_was_said(known: Known, no: bool) -> None:
    assert refused(made(known), [MEDICATION], GPS) is no
    assert refused(made(known[::-1]), [MEDICATION], GPS) is no


@pytest.mark.parametrize(
    ("known", "no"),
    [
        ([(MEDICATION, PHARMACIES, False)], True),
        ([(MEDICATION, GPS, True), (TREATMENT, PHARMACIES, False)], True),
        ([(MEDICATION, GPS, True), (TREATMENT, "", False)], True),
        ([(MEDICATION, GPS, True), (TREATMENT, GPS, False)], False),
        ([(MEDICATION, "", True), (TREATMENT, "", False)], False),
        ([(MEDICATION, GPS, True)], False),
    ],
)
def test_a_requester_of_no_known_category_may_be_any(known: Known, no: bool) -> None:
    assert refused(made(known), [MEDICATION], "") is no


@pytest.mark.parametrize("category", [MEDICATION, TREATMENT])
def test_of_a_choice_for_these_providers_and_one_for_all_the_younger_counts(category: str) -> None:
    known = [(category, "", False), (category, GPS, True)]
    for days, no in (((1, 2), False), ((2, 1), True), ((1, 1), True)):
        assert refused(made(known, *days), [MEDICATION], GPS) is no
        assert refused(made(known, *days)[::-1], [MEDICATION], GPS) is no
        # Who may be of any category may be one that the no for all is still for.
        assert refused(made(known, *days), [MEDICATION], "") is True
    assert refused(made(known, 1, 2), [MEDICATION], PHARMACIES) is True


def test_about_no_category_nothing_is_refused() -> None:
    assert not refused(made([(MEDICATION, "", False)]), [], GPS)
