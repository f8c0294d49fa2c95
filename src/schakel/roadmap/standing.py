"""Where organisations stand: what follows from the roadmap, what was measured and what was declared, at a moment.

Nothing is proved without evidence, and evidence grows old: what held when it was last looked at is `stale` after the
term of its check, and says when it was last true.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schakel.roadmap.evidence import Declaration, Evidence
from schakel.roadmap.model import Item, Step, Text

State = Literal[
    "proved",
    "declared",
    "partly",
    "stale",
    "unconfirmed",
    "unknown",
    "not-checked",
    "not-declared",
    "fails",
    "not-applicable",
]
"""How a step stands: measured and so; declared and seen by a second reader; in part (items only); it was so, too long
ago; declared without a second reader; it could not be checked; a check exists and was never done; only a declaration
can tell and there is none; measured or declared and not so; not for this organisation."""


@dataclass(frozen=True, slots=True)
class StepStanding:
    """How one step stands at one organisation. `reason` says why in both languages; `last_true` is when it was last
    known to be so, None for never."""

    step: Step
    state: State
    reason: Text
    last_true: datetime | None
    evidence: tuple[Evidence, ...]
    declaration: Declaration | None


@dataclass(frozen=True, slots=True)
class Cell:
    """How an item stands at the organisation `ura`: its `steps`, and the `state` that sums them up."""

    item: Item
    ura: str
    state: State
    reason: Text
    last_true: datetime | None
    steps: tuple[StepStanding, ...]
