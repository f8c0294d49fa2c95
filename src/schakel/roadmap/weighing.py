"""Whose word counts: a keeper of the board measures the whole region, and an organisation may say what it found of
itself.

What a keeper found counts when it was found last. What the organisation found after that counts where it is less good,
or where both found the same and the keeper's is too old to count. So what an organisation says of itself does not take
away what a keeper found, and does not keep it fresh either: evidence that counts and is `own` rests on nobody else's
word. What was found otherwise stands `beside` it, so that a page shows both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from schakel.roadmap.evidence import Evidence, Verdict

TERM: Final = timedelta(days=7)
"""After how long evidence of a check is stale, when nothing says so for that check."""

_GOODNESS: Final[Mapping[Verdict, int]] = {"fails": 0, "unknown": 1, "not-applicable": 2, "holds": 2}
"""What does not apply asks nothing, and is as good as what holds."""


def weighed(
    evidence: Iterable[Evidence], terms: Mapping[str, timedelta], moment: datetime
) -> dict[str, dict[str, Evidence]]:
    """What counts at `moment` of each check (by id) at each organisation (by URA), of all that was found there. `terms`
    say by check after how long evidence is stale (`TERM` for others)."""
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
            there[check] = one if measured is None else _of_two(measured, one, terms, moment)
    return kept


def counts_until(one: Evidence, terms: Mapping[str, timedelta]) -> datetime:
    """Until when evidence counts: after the term of its check, or when it is known to end, whichever comes first. What
    fails or could not be checked does not grow old, whatever this is."""
    term = one.at + terms.get(one.finding.check, TERM)
    return term if one.finding.until is None else min(term, one.finding.until)


def _of_two(kept: Evidence, own: Evidence, terms: Mapping[str, timedelta], moment: datetime) -> Evidence:
    """What counts: the last that a keeper found, or the last word of the organisation itself."""
    found, said = _GOODNESS[kept.finding.verdict], _GOODNESS[own.finding.verdict]
    if own.at <= kept.at:
        return replace(kept, last_true=_held(kept, own))
    if own.finding.verdict == kept.finding.verdict:
        fresh = found == _GOODNESS["holds"] and moment < counts_until(kept, terms)
        counts, other = (kept, own) if fresh else (own, kept)
        return replace(counts, last_true=_held(counts, other))
    if said < found:
        return replace(own, last_true=_held(own, kept), beside=kept)
    return replace(kept, last_true=_held(kept, own), beside=own)


def _held(counts: Evidence, other: Evidence) -> datetime | None:
    """When the check last held by the word of either, up to the evidence that counts."""
    known = (one.last_true for one in (counts, other))
    return max((one for one in known if one is not None and one <= counts.at), default=None)
