"""Quantities and the part of UCUM that comparing and calculating with them needs.

A unit becomes a factor and powers of base units. A unit that is not in the table (arbitrary units such as
`[IU]`) is a base unit of its own: equal units still compare, different ones do not convert.
Sources: FHIRPath N1 2.0 sections 4.1.8 and 6.1; UCUM 2.1 tables 1 to 5, grammar of section 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from schakel.fhir.fhirpath.nodes import plain

UCUM = "http://unitsofmeasure.org"

CALENDAR_UNITS = {
    word: unit
    for unit in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for word in (unit, unit + "s")
}
"""The words of FHIRPath for durations to their singular."""

TO_CALENDAR = {"wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}
"""UCUM units that are the same as a calendar duration; `a` and `mo` are not."""

_OF_FHIR = {"a": "year", "mo": "month"}
"""What these UCUM units also mean in a Quantity of FHIR (R4, FHIRPath "Use of FHIR Quantity")."""

_PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
    "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip

Powers = tuple[tuple[str, int], ...]

# Unit to factor and definition; those of _METRIC take a prefix.
_DERIVED = {
    "10*": ("10", "1"), "10^": ("10", "1"), "%": ("0.01", "1"), "[ppth]": ("0.001", "1"),
    "[ppm]": ("0.000001", "1"), "l": ("0.001", "m3"), "L": ("0.001", "m3"), "ar": ("100", "m2"),
    "min": ("60", "s"), "h": ("3600", "s"), "d": ("86400", "s"), "wk": ("604800", "s"),
    "mo": ("2629800", "s"), "a": ("31557600", "s"), "mo_g": ("2629746", "s"), "a_g": ("31556952", "s"),
    "t": ("1000000", "g"), "Hz": ("1", "s-1"), "N": ("1000", "g.m.s-2"), "Pa": ("1000", "g.m-1.s-2"),
    "J": ("1000", "g.m2.s-2"), "W": ("1000", "g.m2.s-3"), "bar": ("100000000", "g.m-1.s-2"),
    "m[Hg]": ("133322000", "g.m-1.s-2"), "m[H2O]": ("9806650", "g.m-1.s-2"),
    "cal": ("4184", "g.m2.s-2"), "[Cal]": ("4184000", "g.m2.s-2"), "kat": ("1", "mol.s-1"),
    "U": ("0.0000000166666666666666666667", "mol.s-1"), "[lb_av]": ("453.59237", "g"),
    "[oz_av]": ("28.349523125", "g"), "[st_av]": ("6350.29318", "g"), "[gr]": ("0.06479891", "g"),
    "[in_i]": ("0.0254", "m"), "[ft_i]": ("0.3048", "m"), "[yd_i]": ("0.9144", "m"),
    "[mi_i]": ("1609.344", "m"), "Ao": ("0.0000000001", "m"), "A": ("1", "C.s-1"),
    "V": ("1000", "g.m2.s-2.C-1"), "Ohm": ("1000", "g.m2.s-1.C-2"), "Gy": ("1", "m2.s-2"),
    "Sv": ("1", "m2.s-2"), "Bq": ("1", "s-1"), "deg": ("0.0174532925199432957692", "rad"),
    "lm": ("1", "cd.sr"),
}  # fmt: skip
_BASE = {"m", "s", "g", "rad", "sr", "K", "C", "cd", "mol", "eq", "osm"}
_SPECIAL = {
    "Cel": (Decimal("273.15"), Decimal(1)),
    "[degF]": (Decimal("459.67"), Decimal(5) / Decimal(9)),
}  # what is added and then multiplied by, to get kelvin
_METRIC = _BASE | {
    "l", "L", "ar", "t", "Hz", "N", "Pa", "J", "W", "bar", "m[Hg]", "m[H2O]", "cal", "kat", "U", "V", "Ohm",
    "Gy", "Sv", "Bq", "A", "[IU]", "[iU]", "lm",
}  # fmt: skip
_LOGARITHMIC = frozenset({"B", "dB", "Np", "[pH]", "B[SPL]", "B[V]", "B[mV]", "B[uV]", "B[W]", "B[kW]"})
"""Units on a scale that is not one of multiples: their quantities compare, and no more."""
_COMPONENT = re.compile(
    r"(?P<unit>10[*^]|(?:\[[^\]]*\]|[^\d\[+-])(?:\[[^\]]*\]|[^\[+\-\d])*)(?P<power>[+-]?\d+)?", re.ASCII
)
_MAX_POWER = 99
_MAX_UNIT = 200  # characters


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a UCUM unit, or with a calendar duration (`unit` is then its singular word).

    One of `fhir` comes from a Quantity of FHIR: there `a` and `mo` also stand for the calendar durations.
    """

    value: Decimal
    unit: str
    calendar: bool = False
    fhir: bool = False

    def __str__(self) -> str:
        number = plain(self.value)
        if self.calendar:
            return f"{number} {self.unit}{'' if self.value == 1 else 's'}"
        return f"{number} '{self.unit}'"

    @property
    def logarithmic(self) -> bool:
        """On a scale where twice the number is not twice as much: nothing can be calculated with it."""
        return self.unit in _LOGARITHMIC

    @property
    def in_calendar(self) -> Quantity | None:
        """As a calendar duration, where it is one; a UCUM year or month is one only in FHIR."""
        if self.calendar:
            return self
        word = TO_CALENDAR.get(self.unit) or (_OF_FHIR.get(self.unit) if self.fhir else None)
        return None if word is None else Quantity(self.value, word, calendar=True)

    def canonical(self) -> tuple[Decimal, Powers]:
        """The value in base units, and those units."""
        if self.unit in _SPECIAL:
            offset, factor = _SPECIAL[self.unit]
            return (self.value + offset) * factor, (("K", 1),)
        if self.calendar and self.unit in ("year", "month"):
            return self.value * (12 if self.unit == "year" else 1), (("month", 1),)
        factor, powers = canonical_unit(_UCUM_OF[self.unit] if self.calendar else self.unit)
        return self.value * factor, powers

    def unit_size(self) -> Decimal:
        """How much one of the unit is in base units; of a calendar year or month, in seconds."""
        if self.calendar and self.unit in _DAYS:
            return Decimal(_DAYS[self.unit] * 86400)
        return Quantity(Decimal(1), self.unit, self.calendar).canonical()[0]

    def value_in(self, other: Quantity) -> Decimal:
        """The value in the unit of `other`. Raises `ZeroDivisionError` when there is no such value."""
        if (self.unit, self.calendar) == (other.unit, other.calendar):
            return self.value
        pair = in_one_unit(self, Quantity(Decimal(1), other.unit, other.calendar))
        if pair is None or other.unit in _SPECIAL:
            raise ZeroDivisionError(other.unit)
        return pair[0] / pair[1]

    def times(self, other: Quantity, direction: int) -> Quantity:
        """The product (`direction` 1) or quotient (-1). Raises `ZeroDivisionError` or a decimal exception.

        A calendar duration is multiplied by a number only: its length depends on where it begins.
        """
        if self.logarithmic or other.logarithmic:
            raise ZeroDivisionError("a logarithm is no multiple of its unit")
        factor, powers = (Decimal(1), ((other.unit, 1),)) if other.calendar else canonical_unit(other.unit)
        if not powers:
            number = other.value * factor
            return replace(self, value=self.value * number if direction > 0 else self.value / number)
        if self.calendar or other.calendar:
            raise ZeroDivisionError("a calendar duration is no multiple of a unit")
        if self.unit in _SPECIAL or other.unit in _SPECIAL:
            raise ZeroDivisionError("degrees are no multiples of a zero")
        mine, my_powers = self.canonical()
        theirs, their_powers = other.canonical()
        return Quantity(
            mine * theirs if direction > 0 else mine / theirs,
            _text(_multiply(my_powers, their_powers, direction)),
        )


def in_one_unit(a: Quantity, b: Quantity) -> tuple[Decimal, Decimal] | None:
    """The values of both in the same unit; None when they do not convert.

    A calendar month is 30 days and a year 365 days; neither converts to the UCUM units `mo` and `a`.
    """
    if a.unit == b.unit and a.calendar == b.calendar:
        return a.value, b.value
    if a.calendar != b.calendar and (a.unit in _OF_FHIR or b.unit in _OF_FHIR):
        pair = a.in_calendar, b.in_calendar
        return None if pair[0] is None or pair[1] is None else in_one_unit(pair[0], pair[1])
    if a.logarithmic or b.logarithmic:
        return None
    if a.calendar and b.calendar and (a.unit in _DAYS) != (b.unit in _DAYS):
        a, b = (Quantity(q.value * _DAYS[q.unit], "day", True) if q.unit in _DAYS else q for q in (a, b))
    mine, my_units = a.canonical()
    theirs, their_units = b.canonical()
    return (mine, theirs) if my_units == their_units else None


_DAYS = {"year": 365, "month": 30}
_UCUM_OF = {word: unit for unit, word in TO_CALENDAR.items()}


@lru_cache(maxsize=1024)
def canonical_unit(unit: str) -> tuple[Decimal, Powers]:
    """Factor and base units of a UCUM unit; one that cannot be read is a base unit of its own."""
    try:
        if len(unit) <= _MAX_UNIT:
            return _expression(re.sub(r"\{[^}]*\}", "", unit) or "1")
    except (ValueError, ArithmeticError):
        pass
    return Decimal(1), ((unit, 1),)


def _expression(text: str) -> tuple[Decimal, Powers]:
    if "(" in text:
        raise ValueError(text)
    factor = Decimal(1)
    powers: Powers = ()
    sign = 1
    for part in re.split(r"([./])(?![^\[]*\])", text):
        if part == "." or part == "/":
            sign = -1 if part == "/" else 1
        elif part:
            part_factor, part_powers = _component(part)
            factor = factor * part_factor if sign > 0 else factor / part_factor
            powers = _multiply(powers, part_powers, sign)
    return factor, powers


def _component(text: str) -> tuple[Decimal, Powers]:
    if text.isdecimal():
        return Decimal(text), ()
    match = _COMPONENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    power = int(match["power"] or 1)
    if abs(power) > _MAX_POWER:
        raise ValueError(text)
    factor, powers = _atom(match["unit"])
    return factor**power, tuple((name, count * power) for name, count in powers if count * power)


def _atom(name: str) -> tuple[Decimal, Powers]:
    if name in _DERIVED:
        factor, definition = _DERIVED[name]
        inner, powers = _expression(definition)
        return Decimal(factor) * inner, powers
    if name not in _BASE:
        for length in (2, 1):
            prefix, rest = name[:length], name[length:]
            if prefix in _PREFIXES and rest in _METRIC:
                factor_of, powers = _atom(rest)
                return factor_of.scaleb(_PREFIXES[prefix]), powers
    return Decimal(1), ((name, 1),)


def _multiply(left: Powers, right: Powers, sign: int) -> Powers:
    total = dict(left)
    for name, power in right:
        total[name] = total.get(name, 0) + sign * power
    return tuple(sorted((name, power) for name, power in total.items() if power))


def _text(powers: Powers) -> str:
    return ".".join(name + (str(power) if power != 1 else "") for name, power in powers) or "1"
