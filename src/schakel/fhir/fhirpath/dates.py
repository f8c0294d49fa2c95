"""Dates, times and moments of any precision (FHIRPath N1 2.0, sections 4.1.5 to 4.1.7, 6.1, 6.2 and 6.8)."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache

_FORM = re.compile(
    r"(?P<y>\d{4})(?:-(?P<mo>\d\d)(?:-(?P<d>\d\d))?)?"
    r"(?P<t>T(?:(?P<h>\d\d)(?::(?P<mi>\d\d)(?::(?P<s>\d\d(?:\.\d+)?))?)?)?(?P<z>Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_TIME = re.compile(r"T?(?P<h>\d\d)(?::(?P<mi>\d\d)(?::(?P<s>\d\d(?:\.\d+)?))?)?", re.ASCII)
_LONGEST = 64
"""Longest text of a date or time; what is longer has more digits than any clock."""
_SECONDS: dict[str, Decimal] = {
    "week": Decimal(604800),
    "day": Decimal(86400),
    "hour": Decimal(3600),
    "minute": Decimal(60),
    "second": Decimal(1),
    "millisecond": Decimal("0.001"),
}
_MOST = 10**15
"""Larger amounts lead out of the calendar in any unit."""

_RANK = {"year": 1, "month": 2, "week": 3, "day": 3, "hour": 4, "minute": 5, "second": 6, "millisecond": 6}


@dataclass(frozen=True, slots=True)
class Temporal:
    """A `kind` System.Date, System.DateTime or System.Time.

    `parts` are year, month, day, hour, minute and second (for a time the last three) as far as given; the
    second is a `Decimal` with the digits as written. `zone` is the offset in minutes, None when not given.
    """

    kind: str
    parts: tuple[int | Decimal, ...]
    zone: int | None = None

    @staticmethod
    def parse(text: str, kind: str) -> Temporal | None:
        """`text` as a `kind`; None when it has another form or does not exist."""
        return Temporal._parsed(text, kind) if len(text) <= _LONGEST else None

    @staticmethod
    @lru_cache(maxsize=4096)
    def _parsed(text: str, kind: str) -> Temporal | None:
        match = (_TIME if kind == "System.Time" else _FORM).fullmatch(text)
        if match is None or (kind == "System.Date" and match["t"]):
            return None
        names = ("h", "mi", "s") if kind == "System.Time" else ("y", "mo", "d", "h", "mi", "s")
        given = [match[name] for name in names if match[name] is not None]
        parts = tuple(Decimal(g) if n == "s" else int(g) for n, g in zip(names, given, strict=False))
        zone = None if kind == "System.Time" else _offset(match["z"])
        value = Temporal(kind, parts, zone)
        return value if value._exists() else None

    def _exists(self) -> bool:
        if self.kind == "System.Time":
            clock = self.parts
        else:
            year, month, day = (*map(int, self.parts[:3]), 1, 1)[:3]
            if not (year >= 1 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
                return False
            clock = self.parts[3:]
        bounds = (24, 60, 61)  # a leap second is a second of FHIR
        return all(part < bound for part, bound in zip(clock, bounds, strict=False)) and (
            self.zone is None or abs(self.zone) <= 14 * 60
        )

    @property
    def precision(self) -> int:
        """How many parts are given."""
        return len(self.parts)

    def __str__(self) -> str:
        if self.kind == "System.Time":
            return _clock(self.parts)
        text = "-".join(f"{int(p):0{4 if i == 0 else 2}}" for i, p in enumerate(self.parts[:3]))
        if self.precision <= 3:
            return text
        zone = ""
        if self.zone is not None:
            zone = f"{'-' if self.zone < 0 else '+'}{abs(self.zone) // 60:02}:{abs(self.zone) % 60:02}"
        return f"{text}T{_clock(self.parts[3:])}{zone}"

    def in_utc(self) -> Temporal:
        """The same moment with offset zero; without zone or time of day itself."""
        if not self.zone or self.precision < 4:
            return self
        try:
            moment = self._naive() - timedelta(minutes=self.zone)
        except OverflowError:
            return self
        second = self.parts[5] if self.precision == 6 else Decimal(0)
        shifted = (moment.year, moment.month, moment.day, moment.hour, moment.minute, second)
        return Temporal(self.kind, shifted[: max(self.precision, 5) if self.zone % 60 else self.precision], 0)

    def compare(self, other: Temporal) -> int | None:
        """-1, 0 or 1 as this is before, at or after `other`; None when precisions or zones leave it open."""
        mine, theirs = self, other
        if self.precision > 3 and other.precision > 3 and self.kind != "System.Time":
            if (self.zone is None) != (other.zone is None):
                return self._compare_unzoned(other)
            mine, theirs = self.in_utc(), other.in_utc()
        for a, b in zip(mine.parts, theirs.parts, strict=False):
            if a != b:
                return -1 if a < b else 1
        return 0 if mine.precision == theirs.precision else None

    def _compare_unzoned(self, other: Temporal) -> int | None:
        """One of both has no zone: only decidable when they are further apart than any zone can shift."""
        try:
            apart = self.in_utc()._naive() - other.in_utc()._naive()
        except OverflowError:
            return None
        if abs(apart) <= timedelta(hours=15):
            return None
        return -1 if apart < timedelta(0) else 1

    def _naive(self) -> datetime:
        """The first moment of this date or dateTime, as written, in whole microseconds."""
        year, month, day, hour, minute = (*map(int, self.parts[:5]), *(1, 1, 1, 0, 0)[len(self.parts[:5]) :])
        second = Decimal(self.parts[5]) if self.precision == 6 else Decimal(0)
        start = datetime(year, month, day, hour, minute)
        return start + timedelta(microseconds=int(second * 1_000_000))

    def key(self) -> tuple[object, ...]:
        """Hashable; equal for two values that `compare` finds equal."""
        at = self.in_utc()
        return (self.kind == "System.Time", at.parts, at.zone is None)

    def plus(self, amount: Decimal, unit: str) -> Temporal | None:
        """This moved by `amount` calendar `unit`s; None when the result is out of range.

        Fractions count for seconds only. A unit finer than the precision is first cut down to whole units of
        the precision (365 days a year, 30 days a month). A time of day goes round the clock.
        """
        if abs(amount) > _MOST:
            return None
        if self.kind == "System.Time":
            return self._time_plus(amount, unit)
        if unit not in ("second", "millisecond"):
            amount = Decimal(int(amount))
        if _RANK[unit] > self.precision:
            amount, unit = self._coarser(amount, unit)
        if unit in ("year", "month"):
            return self._months_plus(int(amount) * (12 if unit == "year" else 1))
        try:
            moved = self._naive() + timedelta(microseconds=int(amount * _SECONDS[unit] * 1_000_000))
        except OverflowError:
            return None
        second = Decimal(moved.second) + Decimal(moved.microsecond) / 1_000_000
        digits = _scale(self.parts[-1])
        if unit == "millisecond" or amount % 1:
            digits = max(digits, 3)
        second = second.quantize(Decimal(1).scaleb(-digits))
        parts = (moved.year, moved.month, moved.day, moved.hour, moved.minute, second)
        return Temporal(self.kind, parts[: self.precision], self.zone)

    def _coarser(self, amount: Decimal, unit: str) -> tuple[Decimal, str]:
        if unit == "month":
            return Decimal(int(amount / 12)), "year"
        seconds = amount * _SECONDS[unit]
        if self.precision == 1:
            return Decimal(int(seconds / (365 * 86400))), "year"
        if self.precision == 2:
            return Decimal(int(seconds / (30 * 86400))), "month"
        target = {3: "day", 4: "hour", 5: "minute"}[self.precision]
        return Decimal(int(seconds / _SECONDS[target])), target

    def _months_plus(self, months: int) -> Temporal | None:
        year, month = int(self.parts[0]), int(self.parts[1]) if self.precision > 1 else 1
        year, month = year + (month - 1 + months) // 12, (month - 1 + months) % 12 + 1
        if not 1 <= year <= 9999:
            return None
        parts: tuple[int | Decimal, ...] = (year, month)
        if self.precision > 2:
            parts += (min(int(self.parts[2]), calendar.monthrange(year, month)[1]), *self.parts[3:])
        return Temporal(self.kind, parts[: self.precision], self.zone)

    def _time_plus(self, amount: Decimal, unit: str) -> Temporal | None:
        sizes = (3600, 60, 1)
        total = sum((Decimal(p) * s for p, s in zip(self.parts, sizes, strict=False)), Decimal(0))
        total = (
            total + (amount if unit in ("second", "millisecond") else int(amount)) * _SECONDS[unit]
        ) % 86400
        hour, rest = divmod(total, 3600)
        minute, second = divmod(rest, 60)
        return Temporal(self.kind, (int(hour), int(minute), second)[: self.precision])


def _scale(part: int | Decimal) -> int:
    return max(0, -int(part.as_tuple().exponent)) if isinstance(part, Decimal) else 0


def _clock(parts: tuple[int | Decimal, ...]) -> str:
    texts = [f"{int(p):02}" for p in parts[:2]]
    if len(parts) == 3:
        whole, _, fraction = f"{parts[2]:f}".partition(".")
        texts.append(whole.zfill(2) + (f".{fraction}" if fraction else ""))
    return ":".join(texts)


def _offset(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "Z":
        return 0
    return (-1 if text[0] == "-" else 1) * (int(text[1:3]) * 60 + int(text[4:6]))


def from_moment(moment: datetime) -> Temporal:
    """An aware `datetime` as a dateTime with milliseconds in its own zone."""
    zone = moment.utcoffset() or timedelta(0)
    local = moment.astimezone(timezone(zone)) if zone else moment.astimezone(UTC)
    second = Decimal(local.second) + Decimal(local.microsecond // 1000) / 1000
    parts = (local.year, local.month, local.day, local.hour, local.minute, second.quantize(Decimal("0.001")))
    return Temporal("System.DateTime", parts, int(zone.total_seconds()) // 60)
