"""FHIR dates and times as half-open intervals of UTC moments.

A value without a time zone is read in Europe/Amsterdam. Source: FHIR search, section Date (STU3 3.1.1.4.7).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import Invalid

FIRST = datetime(1, 1, 2, tzinfo=UTC)
LAST = datetime(9999, 12, 30, tzinfo=UTC)
"""The ends of an open period; a day inside what a time zone can shift out of range."""

_FORM = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)


@lru_cache(maxsize=4096)
def interval(text: str) -> tuple[datetime, datetime]:
    """First moment of a FHIR date, dateTime or instant, and the first moment after it. Raises `Invalid`.

    Days, months and years end by the calendar of their zone, so that a day may have 23 or 25 hours. A time that
    the clock shows twice is the first one. A leap second counts as the second before it.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise Invalid(f"not a date or time: {text[:40]!r} (use YYYY, YYYY-MM, YYYY-MM-DD or an instant)")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if second == "60":
        second = "59"
    try:
        start = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
            tzinfo=_zone(zone),
        )
    except ValueError as error:
        raise Invalid(f"no such date or time: {text[:40]!r}") from error
    if hour is None:
        return _utc(start), _utc(_next(start, month, day))
    first = _utc(start)
    if second is None:
        return first, first + timedelta(minutes=1)
    if fraction is None:
        return first, first + timedelta(seconds=1)
    return first, first + timedelta(microseconds=10 ** max(0, 6 - len(fraction)))


def _next(start: datetime, month: str | None, day: str | None) -> datetime:
    """Midnight after the year, month or day that begins at `start`."""
    if start.year >= LAST.year:
        return LAST  # The calendar of Python ends here; so does every open period.
    if month is None:
        return start.replace(year=start.year + 1)
    if day is None:
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=1)


@lru_cache(maxsize=256)
def _zone(text: str | None) -> tzinfo:
    if text is None:
        return AMSTERDAM
    return UTC if text == "Z" else datetime.fromisoformat(f"2000-01-01T00:00:00{text}").tzinfo or UTC


def _utc(moment: datetime) -> datetime:
    """`moment` in UTC; in the first and the last year the end of an open period, which no zone can pass."""
    if moment.year <= FIRST.year:
        return FIRST
    if moment.year >= LAST.year:
        return LAST
    return moment.astimezone(UTC)
