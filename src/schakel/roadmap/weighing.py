"""Whose word counts: a keeper of the board measures the whole region, and an organisation may say what it found of
itself.

The newer of the two counts where both found the same, and where the keeper measured after the organisation spoke. Else
the less good of the two counts, until the keeper measures again or both find the same: what an organisation says of
itself does not take away what a keeper found. The other stands `beside` it, so that a page shows both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from schakel.roadmap.evidence import Evidence, Verdict

_GOODNESS: Final[Mapping[Verdict, int]] = {"fails": 0, "unknown": 1, "not-applicable": 2, "holds": 2}
"""What does not apply asks nothing, and is as good as what holds."""


def weighed(evidence: Iterable[Evidence]) -> dict[str, dict[str, Evidence]]:
    """What counts of each check (by id) at each organisation (by URA), of all that was found there."""
    kept: dict[str, dict[str, Evidence]] = {}
    own: dict[str, dict[str, Evidence]] = {}
    for one in evidence:
        there = (own if one.own else kept).setdefault(one.ura, {})
        if (other := there.get(one.finding.check)) is None or other.at <= one.at:
            there[one.finding.check] = one
    for ura, said in own.items():
        there = kept.setdefault(ura, {})
        for check, one in said.items():
            measured = there.get(check)
            there[check] = one if measured is None else _of_two(measured, one)
    return kept


def _of_two(kept: Evidence, own: Evidence) -> Evidence:
    """What counts: the last that a keeper found, or the last word of the organisation itself."""
    if own.at <= kept.at:
        return replace(kept, last_true=_held(kept, own))
    if own.finding.verdict == kept.finding.verdict:
        return replace(own, last_true=_held(own, kept))
    if _GOODNESS[own.finding.verdict] < _GOODNESS[kept.finding.verdict]:
        return replace(own, last_true=_held(own, kept), beside=kept)
    return replace(kept, last_true=_held(kept, own), beside=own)


def _held(counts: Evidence, other: Evidence) -> datetime | None:
    """When the check last held by the word of either, up to the evidence that counts."""
    known = (one.last_true for one in (counts, other))
    return max((one for one in known if one is not None and one <= counts.at), default=None)
