"""Who counts: each person once, whatever the order and the number of rows about them.

A person stands, in a pathway and in the region, where their best row puts them: active, enrolled, open (eligible and
not taking part), or excluded. So a row more never makes someone count twice, and who takes part is never excluded.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from schakel.roadmap.hybrid.model import Person

_EXCLUDED, _OPEN, _ENROLLED, _ACTIVE = range(4)


@dataclass(frozen=True, slots=True)
class Period:
    """The days from `start` to `end`, both counted in."""

    start: date
    end: date

    @classmethod
    def year_to(cls, end: date) -> Period:
        """The 365 days that end with `end`."""
        return cls(end - timedelta(days=364), end)

    def meets(self, first: date, last: date | None) -> bool:
        """Whether a term (None: without an end) has a day in the period."""
        return first <= self.end and (last is None or last >= self.start)


@dataclass(frozen=True, slots=True)
class Tally:
    """People, each counted once.

    `eligible` had an indication in the period. Of these `enrolled` took part for at least a day, and `active` also had
    a digital event; `excluded` do not take part for a reason that their pathway takes out of the count. `reasons` has
    everyone who does not take part and for whom a reason is known, by reason; `ended` whose part ended in the period,
    by reason; `now` are enrolled on the last day.
    """

    eligible: int = 0
    excluded: int = 0
    enrolled: int = 0
    active: int = 0
    now: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    ended: Mapping[str, int] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        """The eligible people without those excluded."""
        return self.eligible - self.excluded


def count(
    people: Iterable[Person], excludes: Mapping[tuple[str, str], frozenset[str]], period: Period
) -> Tally:
    """The people of some pathways, each once. `excludes` has, by the key of a pathway, the reasons that it takes out of
    the count; a pathway that is not in it has none."""
    best: dict[str, int] = {}
    now: set[str] = set()
    reasons: dict[str, set[str]] = defaultdict(set)
    ended: dict[str, set[str]] = defaultdict(set)
    for person in people:
        if not period.meets(person.eligible_from, person.eligible_until):
            continue
        who = person.pseudonym
        standing = _standing(person, excludes.get(person.of, frozenset()), period)
        best[who] = max(best.get(who, _EXCLUDED), standing)
        if person.exclusion:
            reasons[person.exclusion].add(who)
        if person.enrolled_from is not None:
            if Period(period.end, period.end).meets(person.enrolled_from, person.enrolled_until):
                now.add(who)
            if person.enrolled_until is not None and period.start <= person.enrolled_until <= period.end:
                ended[person.ended_reason or "other"].add(who)
    standings = Counter(best.values())
    active = standings[_ACTIVE]
    return Tally(
        eligible=len(best),
        excluded=standings[_EXCLUDED],
        enrolled=standings[_ENROLLED] + active,
        active=active,
        now=len(now),
        reasons=_numbers({name: {w for w in who if best[w] <= _OPEN} for name, who in reasons.items()}),
        ended=_numbers(ended),
    )


def _standing(person: Person, excludes: frozenset[str], period: Period) -> int:
    if person.enrolled_from is not None and period.meets(person.enrolled_from, person.enrolled_until):
        event = person.last_event
        return _ACTIVE if event is not None and period.start <= event <= period.end else _ENROLLED
    return _EXCLUDED if person.exclusion and person.exclusion in excludes else _OPEN


def _numbers(people: Mapping[str, set[str]]) -> Mapping[str, int]:
    return {name: len(who) for name, who in sorted(people.items()) if who}
