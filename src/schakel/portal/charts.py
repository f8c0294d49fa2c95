"""Charts as geometry: where each bar, line and word of an SVG stands. `portal/charts.html` draws them.

    chart = stacked([Series("proved", "state-proved", "✓"), ...], [Period("1 dec", (12, ...)), ...])
    {{ stacked(chart, "trend", _("How it went"), _("Cells by state, per measurement."), _("Measurement")) }}

A unit is a sixteenth of the size of the text (1 px where that is 16 px), so that a chart grows with the text. Words
come in the language of the page. Beside each chart its macro writes the same numbers in a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

_BAR, _GAP = 46, 18
_LEFT, _RIGHT, _TOP, _FOOT = 48, 12, 12, 30
_HEIGHT = 260
_LABEL = 72
"""Room that the name of a period takes."""
_TEXT = 15
"""Height under which a part has no room for its number."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is counted in each period: its name, the class of its colours and the sign that tells it without colour."""

    name: str
    css: str
    sign: str


@dataclass(frozen=True, slots=True)
class Period:
    """A moment or a stretch of time, with the number of each series in their order."""

    name: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar; `inside` says that its number fits in."""

    series: Series
    number: int
    y: float
    height: float
    inside: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """The pieces of a period from below to above; `named` says that there is room for its name."""

    period: Period
    x: float
    parts: tuple[Part, ...]
    named: bool

    @property
    def middle(self) -> float:
        """Where the words of the bar stand."""
        return self.x + _BAR / 2


@dataclass(frozen=True, slots=True)
class Stacked:
    """Bars of several parts on one axis; `ticks` are a number and its height."""

    series: tuple[Series, ...]
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[int, float], ...]
    width: float
    height: float = _HEIGHT + _TOP + _FOOT
    left: float = _LEFT
    bar: float = _BAR
    ground: float = _TOP + _HEIGHT


def stacked(series: Sequence[Series], periods: Sequence[Period]) -> Stacked:
    """Bars of `periods` from left to right. Raises `ValueError` when a period has not one number for each series."""
    most = max((sum(one.numbers) for one in periods), default=0)
    step = _step(most)
    top = max(step, ceil(most / step) * step)
    unit = _HEIGHT / top
    every = ceil(_LABEL / (_BAR + _GAP))
    bars = []
    for place, period in enumerate(periods):
        parts, y = [], float(_TOP + _HEIGHT)
        for one, number in zip(series, period.numbers, strict=True):
            if number:
                height = number * unit
                y -= height
                parts.append(Part(one, number, round(y, 2), round(height, 2), height >= _TEXT))
        named = (len(periods) - 1 - place) % every == 0  # The newest always has its name.
        bars.append(Bar(period, _LEFT + _GAP + place * (_BAR + _GAP), tuple(parts), named))
    ticks = tuple((number, round(_TOP + _HEIGHT - number * unit, 2)) for number in range(0, top + 1, step))
    width = _LEFT + _GAP + max(len(periods), 1) * (_BAR + _GAP) + _RIGHT
    return Stacked(tuple(series), tuple(bars), ticks, width)


def _step(most: int) -> int:
    """The distance between ticks: 1, 2 or 5 times a power of ten, for at most six of them."""
    if most <= 5:
        return 1
    power = 10 ** floor(log10(most / 5))
    return int(next(m * power for m in (1, 2, 5, 10) if most / (m * power) <= 5))


@dataclass(frozen=True, slots=True)
class Target:
    """What is aimed at: a share from 0 to 1, and its name ('2026')."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A target where it stands on the bar; `row` keeps the names of near ones apart."""

    target: Target
    x: float
    row: int


@dataclass(frozen=True, slots=True)
class Against:
    """A share against targets. `share` is None when it is not known: then there is no bar."""

    share: float | None
    marks: tuple[Mark, ...]
    length: float
    rows: int
    width: float = 288
    bar: float = 28

    @property
    def top(self) -> float:
        """Where the bar begins, under the names of the targets."""
        return 20.0 * self.rows + 4

    @property
    def height(self) -> float:
        """Of the whole."""
        return self.top + self.bar + 24


_EDGE = 2
_WORD = 120
"""Room that the name of a target takes."""


def against(share: float | None, targets: Sequence[Target]) -> Against:
    """A bar of `share` (0 to 1) with a line at each target. Raises `ValueError` for a share or a target outside
    that."""
    if not all(0 <= one <= 1 for one in (share or 0, *(target.share for target in targets))):
        raise ValueError("a share lies between 0 and 1")
    room = 288 - 2 * _EDGE
    marks: list[Mark] = []
    ends: list[float] = []
    for target in sorted(targets, key=lambda one: one.share):
        x = round(_EDGE + target.share * room, 2)
        row = next((n for n, end in enumerate(ends) if x - end >= _WORD), len(ends))
        ends[row : row + 1] = [x]
        marks.append(Mark(target, x, row))
    return Against(share, tuple(marks), round((share or 0) * room, 2), len(ends))
