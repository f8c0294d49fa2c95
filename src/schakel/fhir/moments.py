"""FHIR dates and times as half-open intervals of UTC moments.

A value without a time zone is read in Europe/Amsterdam. Source: FHIR search, section Date (STU3 3.1.1.4.7).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import Invalid

FIRST = datetime(1, 1, 2, tzinfo=UTC)
LAST = datetime(9999, 12, 30, tzinfo=UTC)
"""The ends of an open period; a day inside what a time zone can shift out of range."""

_FORM = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)


def interval(text: str) -> tuple[datetime, datetime]:
    """First moment of a FHIR date, dateTime or instant, and the first moment after it. Raises `Invalid`."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise Invalid(f"not a date or time: {text[:40]!r} (use YYYY, YYYY-MM, YYYY-MM-DD or an instant)")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        start = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            min(int(second or 0), 59),
            int((fraction or "0")[:6].ljust(6, "0")),
            tzinfo=_zone(zone),
        )
        if month is None:
            end = start.replace(year=start.year + 1)
        elif day is None:
            end = (start + timedelta(days=32)).replace(day=1)
        elif hour is None:
            end = start + timedelta(days=1)
        elif second is None:
            end = start + timedelta(minutes=1)
        elif fraction is None:
            end = start + timedelta(seconds=1)
        else:
            end = start + timedelta(microseconds=10 ** max(0, 6 - len(fraction)))
        return _utc(start), _utc(end)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"no such date or time: {text[:40]!r}") from error


def _zone(text: str | None) -> tzinfo:
    if text is None:
        return AMSTERDAM
    return UTC if text == "Z" else datetime.fromisoformat(f"2000-01-01T00:00:00{text}").tzinfo or UTC


def _utc(moment: datetime) -> datetime:
    if moment.year <= 1:
        return FIRST
    if moment.year >= 9999:
        return LAST
    return moment.astimezone(UTC)
