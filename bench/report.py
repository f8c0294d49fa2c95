"""Figures, the table they are printed in, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Better = Literal["more", "less"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `reference` is what `beside` measured in the same run; `goal` is the bound that the
    figure, or with `of_ratio` its ratio to the reference, must keep."""

    scenario: str
    name: str
    value: float
    unit: str
    better: Better
    reference: float | None = None
    beside: str = ""
    goal: float | None = None
    of_ratio: bool = False

    @property
    def ratio(self) -> float | None:
        return self.value / self.reference if self.reference else None

    @property
    def met(self) -> bool | None:
        """Whether the goal was kept; None without a goal."""
        judged = self.ratio if self.of_ratio else self.value
        if self.goal is None or judged is None:
            return None
        return judged >= self.goal if self.better == "more" else judged < self.goal

    def json(self) -> dict[str, object]:
        """The figure as `--json` writes it."""
        return {
            "scenario": self.scenario,
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "reference": None if self.reference is None else round(self.reference, 3),
            "beside": self.beside,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "goal": self.goal,
            "goal_of": "ratio" if self.of_ratio else "value",
            "better": self.better,
            "met": self.met,
        }

    def cells(self) -> tuple[str, ...]:
        """The figure as a row of the table."""
        sign = ">=" if self.better == "more" else "<"
        goal = "" if self.goal is None else f"{sign} {_number(self.goal)}"
        if self.of_ratio:
            goal = f"ratio {goal}"
        return (
            f"{self.scenario}: {self.name}",
            f"{_number(self.value)} {self.unit}",
            "" if self.reference is None else f"{_number(self.reference)} {self.unit} ({self.beside})",
            "" if self.ratio is None else f"{self.ratio:.2f}",
            goal,
            {True: "met", False: "MISSED", None: ""}[self.met],
        )


def table(figures: list[Figure]) -> str:
    """The figures as one table with a heading."""
    rows = [("figure", "measured", "reference", "ratio", "goal", ""), *(one.cells() for one in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
    return "\n".join(lines)


def hardware() -> str:
    """One line on the machine and the programs."""
    model, memory = platform.machine(), 0
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    except (OSError, ValueError):
        pass
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({model}), {memory} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load before {load}"
    )


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
