"""The figures of a finding have words. That each figure of each check has one, the tests that measure look at
(`tests.measuring.told`)."""

from __future__ import annotations

import pytest

from schakel.portal.pages.numbers import figure
from schakel.roadmap.facts import called
from schakel.roadmap.model import Text


def test_a_figure_is_called_by_the_check_that_found_it() -> None:
    assert called("certificate", "days") == Text("dagen tot het einde", "days until the end")
    assert called("core-data", "days") == Text("dagen die bekeken zijn", "days that were looked at")
    assert called("another", "days") is None
    assert called("nvi-registration", "without_bsn") == Text("patiënten zonder BSN", "patients without a BSN")


@pytest.mark.parametrize(
    ("value", "nl", "en"),
    [
        (1234, "1.234", "1,234"),
        (0.9934, "0,9934", "0.9934"),
        (1.0, "1", "1"),
        ("a.example", "a.example", "a.example"),
    ],
)
def test_a_figure_reads_as_people_write_it(value: str | float, nl: str, en: str) -> None:
    assert (figure(value, "nl"), figure(value, "en")) == (nl, en)
