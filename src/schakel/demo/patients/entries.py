"""The forms in which illness stories are written down. Times are days before today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schakel.demo.patients import codes as c
from schakel.demo.patients.elements import Code


@dataclass(frozen=True, slots=True)
class ProblemEntry:
    """Something the patient has or had. `ended` is 0 while it is active."""

    code: Code
    since: int
    kind: Code = c.DIAGNOSIS
    ended: int = 0
    site: Code | None = None
    side: Code | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class MedicineEntry:
    """A medicine in use: product of the formulary, `times` a day or week (0: when needed), units a dose.

    `every` is d or wk; `days` is how long it was used, 0 while it still is. `reason` is the place of its
    reason among the story's problems. With a `schedule` the dose differs by day: so many units on each of
    those days, over and over.
    """

    product: str
    since: int
    times: int = 1
    dose: str = "1"
    reason: int | None = 0
    instruction: str = ""
    every: str = "d"
    days: int = 0
    schedule: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcedureEntry:
    """A procedure that was done; `problem` is the place of its reason among the story's problems."""

    code: Code
    days_ago: int
    category: Code = c.SURGICAL
    site: Code | None = None
    side: Code | None = None
    problem: int | None = 0


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """A device in or with the patient."""

    code: Code
    since: int
    site: Code | None = None
    side: Code | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class VisitEntry:
    """A contact: class code of v3 ActCode, its length in days, and which of the story's problems it was for.

    Without a problem, `reason` says why.
    """

    kind: str
    days_ago: int
    days: int = 0
    problem: int | None = 0
    destination: Code = c.HOME
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """One illness. `ages` in years, both ends included; `weight` is how often it is drawn."""

    key: str
    function: str
    ages: tuple[int, int]
    weight: int
    problems: tuple[ProblemEntry, ...]
    medicines: tuple[MedicineEntry, ...] = ()
    panels: tuple[str, ...] = ("blood-count", "kidney")
    results: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    procedures: tuple[ProcedureEntry, ...] = ()
    planned: Code = c.ULTRASOUND
    devices: tuple[DeviceEntry, ...] = ()
    visits: tuple[VisitEntry, ...] = ()
    functioning: tuple[tuple[Code, Code, str], ...] = ()
    mental: tuple[tuple[Code, Code, str], ...] = ()
    diet: tuple[str, str] = ("", "")
    alert: str = ""
    pressure: tuple[int, int] = (128, 80)
    sex: str = ""
    sectors: frozenset[str] = frozenset()
