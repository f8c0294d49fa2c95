"""How it went: per month, how many stood how at its last measurement of the whole region."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from babel.dates import format_date

from schakel.kernel.clock import AMSTERDAM
from schakel.portal.charts import Period, Series, Stacked, stacked
from schakel.portal.filters import Filters
from schakel.portal.pages.times import LOCALES
from schakel.roadmap.board import Snapshot
from schakel.roadmap.model import Language
from schakel.roadmap.overview import Overview
from schakel.roadmap.words import STATES


@dataclass(frozen=True, slots=True)
class Trends:
    """What the page shows. `chart` is None when nothing was measured that the filters show; `last` is the measurement
    that the newest bar counts."""

    filters: Filters
    chart: Stacked | None
    last: datetime | None


def trends(overview: Overview, snapshots: Iterable[Snapshot], filters: Filters, language: Language) -> Trends:
    """The months, the oldest first, counted over what `filters` (sector and theme) show. An item that the roadmap of
    now does not have is counted when no theme is asked."""
    by_id = overview.roadmap.by_id
    last: dict[str, tuple[datetime, str]] = {}
    counted: dict[str, Counter[str]] = {}
    for one in snapshots:
        month = one.at.astimezone(AMSTERDAM).strftime("%Y-%m")
        last[month] = max(last.get(month, (one.at, one.run)), (one.at, one.run))
        item = by_id.get(one.item)
        if filters.sector in ("", one.sector) and (
            not filters.theme or (item is not None and item.category == filters.theme)
        ):
            counted.setdefault(one.run, Counter())[one.state] += one.number
    months = [(at, counted[run]) for _, (at, run) in sorted(last.items()) if counted.get(run)]
    if not months:
        return Trends(filters, None, None)
    shown = [look for look in STATES.values() if any(numbers[look.state] for _, numbers in months)]
    chart = stacked(
        [Series(look.word.of(language), f"state-{look.state}", look.sign) for look in shown],
        [
            Period(
                format_date(at.astimezone(AMSTERDAM).date(), "MMM y", locale=LOCALES[language]),
                tuple(numbers[look.state] for look in shown),
            )
            for at, numbers in months
        ],
    )
    return Trends(filters, chart, months[-1][0])
