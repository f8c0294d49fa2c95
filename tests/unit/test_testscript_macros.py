"""The `${...}` notation of scripts and fixtures."""

from __future__ import annotations

import re
import uuid
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.conformance.macros import Calendar, shift, substitute
from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import Invalid

DATES = Calendar(datetime(2024, 3, 31, 9, 30, tzinfo=AMSTERDAM), date(2024, 3, 31))


def value(name: str) -> str:
    return {"task-id": "t1", "T": "2024-03-31", "birth": "2000-02-29", "quoted": 'a "b" & c'}[name]


def filled(text: str) -> str:
    return substitute(text, DATES, value)


@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        ("${DATE, T, D, -150}", "2023-11-02"),
        ("${DATE, T, d, 2}", "2024-04-02"),
        ("${DATE,T, D,+1}", "2024-04-01"),
        ("${DATE, T, M, -1}", "2024-02-29"),
        ("${DATE, T, M, +11}", "2025-02-28"),
        ("${DATE, T, Y, -1}", "2023-03-31"),
        ("${DATE, birth, Y, 1}", "2001-02-28"),
        ("${DATETIME, T, D, -1}", "2024-03-30T09:30:00+01:00"),
        ("${CURRENTDATE}", "2024-03-31"),
        ("${CURRENTDATE,M,-1}", "2024-02-29"),
        ("${CURRENTDATETIME}", "2024-03-31T09:30:00+02:00"),
    ],
)
def test_a_date_macro_counts_from_the_moment_of_the_run(macro: str, expected: str) -> None:
    assert filled(macro) == expected


def test_macros_and_variables_are_replaced_inside_a_text() -> None:
    asked = "?period=ge${DATE, T, D,-1}&period=le${CURRENTDATE}&id=${task-id}"

    assert filled(asked) == "?period=ge2024-03-30&period=le2024-03-31&id=t1"


def test_every_uuid_is_new() -> None:
    first, second = filled("${UUID} ${UUID}").split()

    assert uuid.UUID(first) != uuid.UUID(second)
    assert filled("${UUID-ST}").startswith("urn:uuid:")


@pytest.mark.parametrize(
    ("macro", "form"), [("${CD6}", "[A-Za-z0-9]{6}"), ("${C4}", "[A-Za-z]{4}"), ("${D12}", "[0-9]{12}")]
)
def test_random_text_has_the_asked_length_and_characters(macro: str, form: str) -> None:
    assert re.fullmatch(form, filled(macro))


def test_the_value_of_a_variable_is_escaped_for_where_it_stands() -> None:
    assert substitute("${quoted}", DATES, value, lambda v: v.replace('"', "'")) == "a 'b' & c"


@pytest.mark.parametrize(
    "macro",
    [
        "${DATE, T, W, 1}",
        "${DATE, T, D, soon}",
        "${DATE, T, Y, 9000}",
        "${DATE, task-id, D, 1}",
        "${FUTURE, T, D}",
    ],
)
def test_a_macro_that_makes_no_sense_is_refused(macro: str) -> None:
    with pytest.raises(Invalid):
        filled(macro)


def test_a_name_that_is_no_macro_is_asked_as_a_variable() -> None:
    with pytest.raises(KeyError, match="unknown"):
        filled("${unknown}")


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(-20000, 20000))
def test_days_there_and_back_end_at_the_same_date(start: date, amount: int) -> None:
    assert shift(shift(start, "D", amount), "D", -amount) == start


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(-600, 600))
def test_a_month_shift_keeps_the_day_or_takes_the_last_of_a_shorter_month(start: date, amount: int) -> None:
    moved = shift(start, "M", amount)

    assert (moved.year * 12 + moved.month) - (start.year * 12 + start.month) == amount
    assert moved.day == start.day or (moved.day < start.day and shift(moved, "D", 1).day == 1)
