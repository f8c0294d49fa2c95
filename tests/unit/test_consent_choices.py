"""What a patient chose in Mitz, for whom and about what: when it says no to a request."""

from __future__ import annotations

import pytest

from schakel.generic.consent.choices import refused
from schakel.generic.consent.organisations import TREATMENT

MEDICATION, RESULTS = "GGC013", "GGC012"
GPS, PHARMACIES = "RPZAC1", "RPZAC2"

Known = list[tuple[str, str, bool]]
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
    assert refused(known, [MEDICATION], GPS) is no
    assert refused(known[::-1], [MEDICATION], GPS) is no


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
    assert refused(known, [MEDICATION], "") is no


def test_about_no_category_nothing_is_refused() -> None:
    assert not refused([(MEDICATION, "", False)], [], GPS)
