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
    """What is aimed at, and its name ('2026'); of a share from 0 to 1."""

    name: str
    value: float


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
    if not all(0 <= one <= 1 for one in (share or 0, *(target.value for target in targets))):
        raise ValueError("a share lies between 0 and 1")
    room = 288 - 2 * _EDGE
    marks: list[Mark] = []
    ends: list[float] = []
    for target in sorted(targets, key=lambda one: one.value):
        x = round(_EDGE + target.value * room, 2)
        row = next((n for n, end in enumerate(ends) if x - end >= _WORD), len(ends))
        ends[row : row + 1] = [x]
        marks.append(Mark(target, x, row))
    return Against(share, tuple(marks), round((share or 0) * room, 2), len(ends))


@dataclass(frozen=True, slots=True)
class Point:
    """A moment or a stretch of time with its value, None when it is not known or not shown."""

    name: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Dot:
    """Where a point stands; `y` is None for a value that is not known, `named` says that there is room for its name."""

    point: Point
    x: float
    y: float | None
    named: bool


@dataclass(frozen=True, slots=True)
class Level:
    """A target where it stands, as a line across; `word` is where its name stands."""

    target: Target
    y: float
    word: float


@dataclass(frozen=True, slots=True)
class Course:
    """Values over time with the targets as lines across. `lines` join the points that follow each other without one
    that is not known between them, as the points of an SVG polyline; `ticks` are a value and its height."""

    dots: tuple[Dot, ...]
    lines: tuple[str, ...]
    levels: tuple[Level, ...]
    ticks: tuple[tuple[float, float], ...]
    width: float
    right: float
    height: float = _HEIGHT + _TOP + _FOOT
    left: float = _LEFT
    ground: float = _TOP + _HEIGHT


_APART = 16
"""Between the names of two targets."""
_SLOT = 58
"""Room that a point takes: with the names of the targets beside it, eight fit on a printed page."""


def over_time(points: Sequence[Point], targets: Sequence[Target], *, share: bool) -> Course:
    """The course of `points` from left to right; a share has the whole axis from 0 to 1. Raises `ValueError` for a
    value or a target below 0, and for a share above 1."""
    known = [one for one in (*(p.value for p in points), *(t.value for t in targets)) if one is not None]
    if any(one < 0 or (share and one > 1) for one in known):
        raise ValueError("a value lies from 0 up, and a share not above 1")
    step = 0.2 if share else float(_step(ceil(max(known, default=0))))
    steps = 5 if share else max(1, ceil(max(known, default=0) / step))
    unit = _HEIGHT / (steps * step)

    def at(value: float) -> float:
        return round(_TOP + _HEIGHT - value * unit, 2)

    every = ceil(_LABEL / _SLOT)
    dots = tuple(
        Dot(
            point,
            _LEFT + (place + 0.5) * _SLOT,
            None if point.value is None else at(point.value),
            (len(points) - 1 - place) % every == 0,  # The newest always has its name.
        )
        for place, point in enumerate(points)
    )
    runs: list[list[str]] = [[]]
    for dot in dots:
        if dot.y is None:
            runs.append([])
        else:
            runs[-1].append(f"{dot.x},{dot.y}")
    right = _LEFT + max(len(points), 1) * _SLOT
    levels: list[Level] = []
    for target in sorted(targets, key=lambda one: one.value):
        highest = levels[-1].word - _APART if levels else float(_TOP + _HEIGHT)
        levels.append(Level(target, at(target.value), min(at(target.value) + 4, highest)))
    return Course(
        dots,
        tuple(" ".join(run) for run in runs if len(run) > 1),
        tuple(levels),
        tuple((round(number * step, 1), at(number * step)) for number in range(steps + 1)),
        right + _WORD + _RIGHT,
        right,
    )
