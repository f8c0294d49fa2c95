"""The `${...}` notation of scripts and fixtures: dates, new identifiers and variables.

Dates are relative to one moment, fixed for the whole run, so that data loaded and queries asked agree even
when midnight passes between them. The notation is that of the Interoplab and Touchstone test engines:

| text | becomes |
|---|---|
| `${DATE, T, D, -150}` | the date that many days (`D`), months (`M`) or years (`Y`) from date T |
| `${DATETIME, T, D, -1}` | the same with the run's time of day and offset |
| `${CURRENTDATE}`, `${CURRENTDATE, M, -1}`, `${CURRENTDATETIME}` | relative to the run's own date |
| `${UUID}`, `${UUID-ST}` | a new UUID, the second as `urn:uuid:` |
| `${CD6}`, `${C6}`, `${D6}` | that many random letters and digits, letters, digits |
| `${name}` | the variable |
"""

from __future__ import annotations

import calendar
import re
import secrets
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from schakel.kernel.outcomes import Invalid

_MACRO = re.compile(r"\$\{([^${}]+)\}")
_RANDOM = re.compile(r"(CD|C|D)([1-9][0-9]?)")
_ALPHABETS = {"CD": string.ascii_letters + string.digits, "C": string.ascii_letters, "D": string.digits}


@dataclass(frozen=True, slots=True)
class Calendar:
    """The dates of one run: `moment` is its start (aware), `t` is date T."""

    moment: datetime
    t: date

    def shifted(self, start: date, unit: str, amount: int, *, with_time: bool) -> str:
        """`start` moved and written as a FHIR date, or as a dateTime with the run's time of day."""
        moved = shift(start, unit, amount)
        if not with_time:
            return moved.isoformat()
        return datetime.combine(moved, self.moment.time(), self.moment.tzinfo).isoformat(timespec="seconds")


def shift(start: date, unit: str, amount: int) -> date:
    """`start` moved by `amount` days (`D`), months (`M`) or years (`Y`).

    A day that the month lacks becomes its last.
    Raises `Invalid` for another unit or a date out of reach.
    """
    try:
        if unit.upper() == "D":
            return start + timedelta(days=amount)
        if unit.upper() not in ("M", "Y"):
            raise Invalid(f"date macro with unit '{unit}': the units are D, M and Y")
        year, month = divmod(
            start.year * 12 + start.month - 1 + amount * (12 if unit.upper() == "Y" else 1), 12
        )
        return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))
    except (OverflowError, ValueError) as error:
        raise Invalid(f"date macro moves {start} by {amount} {unit}, outside the calendar") from error


def substitute(
    text: str,
    dates: Calendar,
    variable: Callable[[str], str],
    escape: Callable[[str], str] = str,
) -> str:
    """`text` with every `${...}` replaced; the value of a variable passes through `escape`.

    `variable` answers for names that are no macro and raises when it has no value.
    """

    def replacement(match: re.Match[str]) -> str:
        made = _made(match[1], dates, variable)
        return made if made is not None else escape(variable(match[1].strip()))

    return _MACRO.sub(replacement, text)


def _made(macro: str, dates: Calendar, variable: Callable[[str], str]) -> str | None:
    """What a macro makes; None when `macro` is the name of a variable."""
    name, *arguments = (part.strip() for part in macro.split(","))
    match name, len(arguments):
        case (("DATE" | "DATETIME"), 3):
            start = dates.t if arguments[0] == "T" else _date(arguments[0], variable)
            return dates.shifted(start, arguments[1], _amount(arguments[2]), with_time=name.endswith("TIME"))
        case (("CURRENTDATE" | "CURRENTDATETIME"), 0):
            return dates.shifted(dates.moment.date(), "D", 0, with_time=name.endswith("TIME"))
        case (("CURRENTDATE" | "CURRENTDATETIME"), 2):
            return dates.shifted(
                dates.moment.date(), arguments[0], _amount(arguments[1]), with_time=name.endswith("TIME")
            )
        case "UUID", 0:
            return str(uuid.uuid4())
        case "UUID-ST", 0:
            return f"urn:uuid:{uuid.uuid4()}"
    if arguments:
        raise Invalid(f"the macro '${{{macro}}}' is not known")
    if random := _RANDOM.fullmatch(name):
        return "".join(secrets.choice(_ALPHABETS[random[1]]) for _ in range(int(random[2])))
    return None


def _amount(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,6}", text):
        raise Invalid(f"date macro with amount '{text}': a whole number is needed")
    return int(text)


def _date(name: str, variable: Callable[[str], str]) -> date:
    value = variable(name)
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        raise Invalid(f"date macro relative to variable '{name}', whose value is no date") from None
