"""A FHIR date or time is an interval of moments, as long as its precision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.fhir.moments import FIRST, LAST, interval
from schakel.kernel.outcomes import Invalid


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        pytest.param("2024", "2023-12-31T23:00", "2024-12-31T23:00", id="year"),
        pytest.param("2024-02", "2024-01-31T23:00", "2024-02-29T23:00", id="month in winter"),
        pytest.param("2024-07", "2024-06-30T22:00", "2024-07-31T22:00", id="month in summer"),
        pytest.param("2024-12", "2024-11-30T23:00", "2024-12-31T23:00", id="last month of a year"),
        pytest.param("2024-02-29", "2024-02-28T23:00", "2024-02-29T23:00", id="leap day"),
        pytest.param("2024-12-31", "2024-12-30T23:00", "2024-12-31T23:00", id="last day of a year"),
        pytest.param("2024-01-01T10:00", "2024-01-01T09:00", "2024-01-01T09:01", id="minute without zone"),
        pytest.param("2024-07-01T10:00:00", "2024-07-01T08:00:00", "2024-07-01T08:00:01", id="second"),
        pytest.param("2024-01-01T10:00:00Z", "2024-01-01T10:00:00", "2024-01-01T10:00:01", id="UTC"),
        pytest.param("2024-01-01T10:00:00-03:30", "2024-01-01T13:30:00", "2024-01-01T13:30:01", id="offset"),
        pytest.param(
            "2024-01-01T10:00:00.5Z", "2024-01-01T10:00:00.500", "2024-01-01T10:00:00.600", id="tenth"
        ),
        pytest.param(
            "2024-01-01T10:00:00.123456789Z",
            "2024-01-01T10:00:00.123456",
            "2024-01-01T10:00:00.123457",
            id="finer than a microsecond",
        ),
    ],
)
def test_an_interval_is_as_long_as_the_precision(text: str, low: str, high: str) -> None:
    assert interval(text) == (utc(low), utc(high))


def test_the_day_the_clock_goes_forward_has_23_hours() -> None:
    low, high = interval("2024-03-31")
    assert high - low == timedelta(hours=23)


def test_the_day_the_clock_goes_back_has_25_hours() -> None:
    low, high = interval("2024-10-27")
    assert high - low == timedelta(hours=25)


def test_a_time_that_the_clock_shows_twice_is_the_first_one_and_no_longer_than_its_precision() -> None:
    assert interval("2024-10-27T02:59:59") == (utc("2024-10-27T00:59:59"), utc("2024-10-27T01:00:00"))


def test_a_time_that_the_clock_skips_is_read_as_if_it_had_not_gone_forward_yet() -> None:
    assert interval("2024-03-31T02:30") == (utc("2024-03-31T01:30"), utc("2024-03-31T01:31"))


def test_a_leap_second_is_the_second_before_it() -> None:
    assert interval("2016-12-31T23:59:60Z") == interval("2016-12-31T23:59:59Z")


@pytest.mark.parametrize("text", ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59+14:00"])
def test_the_last_year_reaches_to_the_end_of_time(text: str) -> None:
    assert interval(text)[0] == LAST


@pytest.mark.parametrize("text", ["0001", "0001-01-01", "0001-01-01T00:00:00+14:00"])
def test_the_first_year_begins_at_the_beginning_of_time(text: str) -> None:
    low, high = interval(text)
    assert low == FIRST <= high


@pytest.mark.parametrize(
    "text",
    [
        "",
        "24",
        "0000",
        "2024-13",
        "2024-00",
        "2023-02-29",
        "2024-1-1",
        "2024-01-01T",
        "2024-01-01T24:00",
        "2024-01-01T10",
        "2024-01-01T10:60",
        "2024-01-01T10:00:61",
        "2024-01-01T10:00:00+99:99",
        "2024-01-01T10:00:00z",
        "2024-01-01T10:00:00 02:00",
        "2024-01-01 10:00",
        "12024-01-01",
        "2024Z",
        "٢٠٢٤",
        "2024\n",
        "today",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        interval(text)


@given(st.text())
def test_any_text_is_an_interval_or_refused(text: str) -> None:
    try:
        low, high = interval(text)
    except Invalid:
        return
    assert FIRST <= low <= high <= LAST


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_an_instant_with_a_zone_is_that_moment(moment: datetime, minutes: int) -> None:
    sign, offset = ("-", -minutes) if minutes < 0 else ("+", minutes)
    text = f"{moment.isoformat(timespec='microseconds')}{sign}{offset // 60:02}:{offset % 60:02}"
    assert interval(text)[0] == (moment - timedelta(minutes=minutes)).replace(tzinfo=UTC)


@given(st.dates())
def test_a_day_lies_in_its_month_and_its_month_in_its_year(day: object) -> None:
    text = str(day)
    (y1, y2), (m1, m2), (d1, d2) = interval(text[:4]), interval(text[:7]), interval(text)
    assert y1 <= m1 <= d1 <= d2 <= m2 <= y2
