"""How hybrid care went: quarter by quarter, and the periods that a visitor may choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from schakel.portal.charts import Period as Bar
from schakel.portal.charts import Series, Stacked, stacked
from schakel.portal.hybrid import Counts, Row, first_of
from schakel.roadmap.hybrid import figures
from schakel.roadmap.hybrid.counting import Period, quarter_of
from schakel.roadmap.hybrid.overview import Overview, Part
from schakel.roadmap.model import Language, Text

_QUARTERS, _YEARS = 8, 3
"""How many periods are offered."""

_PATHWAYS = (
    (Text("hybride", "hybrid"), "state-proved", "✓"),
    (Text("geschikt, niet hybride", "suitable, not hybrid"), "state-partly", "◐"),
    (Text("nog niet besloten", "not decided yet"), "state-not-declared", "□"),
)
_PEOPLE = (
    (Text("actief", "active"), "state-proved", "✓"),
    (Text("ingeschreven, niet actief", "enrolled, not active"), "state-partly", "◐"),
    (Text("doet niet mee", "takes no part"), "state-not-checked", "○"),
    (Text("uitgezonderd", "excluded"), "state-not-applicable", "–"),
)


@dataclass(frozen=True, slots=True)
class Quarter:
    """A quarter, with the first figures of the share hybrid and of inclusion."""

    name: Text
    share: Row
    inclusion: Row


@dataclass(frozen=True, slots=True)
class Course:
    """The quarters, the newest last. `pathways` is None when none of them has a pathway to show; `people` too when they
    may not be shown in exact numbers."""

    rows: tuple[Quarter, ...]
    pathways: Stacked | None
    people: Stacked | None


def course(quarters: Sequence[Overview], ura: str, language: Language, counts: Counts) -> Course:
    """How it went at an organisation, or in the region when `ura` is ''."""
    parts = [(one.period, one.parts.get(ura) if ura else one.region) for one in quarters]
    there = [(named(quarter_of(period.start)), part) for period, part in parts if part is not None]
    return Course(
        tuple(
            Quarter(name, first_of(part, figures.SHARE, counts), first_of(part, figures.INCLUSION, counts))
            for name, part in there
        ),
        _chart(_PATHWAYS, [(name, _pathways(part)) for name, part in there], language),
        _chart(_PEOPLE, [(name, _people(part)) for name, part in there], language)
        if counts.small < 2
        else None,
    )


def offered(today: date) -> tuple[tuple[str, Text], ...]:
    """The periods to choose from, the newest first: years, then quarters."""
    years = [str(today.year - ago) for ago in range(_YEARS)]
    quarters = [one.name for one in reversed(Period.quarters(today, _QUARTERS))]
    return (*((one, Text(one, one)) for one in years), *((one, named(one)) for one in quarters))


def named(quarter: str) -> Text:
    """A quarter ("2026-Q3") in words."""
    year, _, number = quarter.partition("-Q")
    return Text(f"{number}e kwartaal {year}", f"Q{number} {year}")


def _pathways(part: Part) -> tuple[int, ...]:
    suitable = [one for one in part.pathways if one.pathway.decision.suitability == "yes"]
    hybrid = sum(one.verdict.hybrid for one in suitable)
    return hybrid, len(suitable) - hybrid, len(part.undecided)


def _people(part: Part) -> tuple[int, ...]:
    tally = part.tally
    return tally.active, tally.enrolled - tally.active, tally.counted - tally.enrolled, tally.excluded


def _chart(
    series: Sequence[tuple[Text, str, str]],
    bars: Sequence[tuple[Text, tuple[int, ...]]],
    language: Language,
) -> Stacked | None:
    if not any(any(numbers) for _, numbers in bars):
        return None
    return stacked(
        [Series(name.of(language), css, sign) for name, css, sign in series],
        [Bar(name.of(language), numbers) for name, numbers in bars],
    )
