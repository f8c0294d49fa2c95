"""Who counts: each person once, whatever the order and the number of rows about them.

A person stands, in a pathway and in the region, where their best row puts them: active, enrolled, open (eligible and
not taking part), or excluded. So a row more never makes someone count twice, and who takes part is never excluded.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from schakel.kernel.outcomes import Invalid
from schakel.roadmap.hybrid.model import Person

_EXCLUDED, _OPEN, _ENROLLED, _ACTIVE = range(4)
_NAME = re.compile(r"((?:19|20|21)[0-9]{2})(?:-Q([1-4]))?", re.ASCII)


def quarter_of(day: date) -> str:
    """The name of the quarter of a day."""
    return f"{day.year}-Q{(day.month + 2) // 3}"


@dataclass(frozen=True, slots=True)
class Period:
    """The days from `start` to `end`, both counted in."""

    start: date
    end: date

    @classmethod
    def year_to(cls, end: date) -> Period:
        """The 365 days that end with `end`."""
        return cls(end - timedelta(days=364), end)

    @classmethod
    def of(cls, name: str) -> Period:
        """A year ("2026") or a quarter ("2026-Q3"). Raises `Invalid`."""
        if (found := _NAME.fullmatch(name)) is None:
            raise Invalid(
                "period is a year or a quarter, such as 2026 or 2026-Q3",
                code="period-form",
                expression="period",
            )
        year, quarter = int(found[1]), int(found[2] or 0)
        if not quarter:
            return cls(date(year, 1, 1), date(year, 12, 31))
        start = date(year, 3 * quarter - 2, 1)
        after = date(year + quarter // 4, 3 * quarter % 12 + 1, 1)
        return cls(start, after - timedelta(days=1))

    @property
    def name(self) -> str:
        """What `of` makes it from; '' for another period than a year or a quarter."""
        named = (str(self.start.year), quarter_of(self.start))
        return next((one for one in named if Period.of(one) == self), "")

    @classmethod
    def quarters(cls, end: date, number: int) -> tuple[Period, ...]:
        """The last `number` quarters, the newest last: the one that has `end` in it."""
        found: list[Period] = []
        day = end
        for _ in range(number):
            found.insert(0, cls.of(quarter_of(day)))
            day = found[0].start - timedelta(days=1)
        return tuple(found)

    def until(self, last: date) -> Period:
        """The period as far as `last`, which is not before its start."""
        return Period(self.start, min(self.end, last))

    def meets(self, first: date, last: date | None) -> bool:
        """Whether a term (None: without an end) has a day in the period."""
        return first <= self.end and (last is None or last >= self.start)


@dataclass(frozen=True, slots=True)
class Tally:
    """People, each counted once.

    `eligible` had an indication in the period. Of these `enrolled` took part for at least a day, and `active` also had
    a digital event; `excluded` do not take part for a reason that their pathway takes out of the count. `reasons` has
    everyone who does not take part and for whom a reason is known, by reason; `ended` whose part ended in the period,
    by reason; `now` are eligible and enrolled on the last day.
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
            last = Period(period.end, period.end)
            if last.meets(person.enrolled_from, person.enrolled_until) and last.meets(
                person.eligible_from, person.eligible_until
            ):
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


def with_exclusions(people: Iterable[Person]) -> list[Person]:
    """The same rows, in which those counted from a record have the exclusion that somebody recorded by hand about the
    same person and pathway, for a time that meets theirs. The record knows no exclusions, and does not undo one."""
    rows = list(people)
    recorded: dict[tuple[str, str, str], list[Person]] = defaultdict(list)
    for one in rows:
        if not one.counted and one.exclusion:
            recorded[(*one.of, one.pseudonym)].append(one)

    def excluded(one: Person) -> Person:
        if not one.counted or one.exclusion:
            return one
        term = Period(one.eligible_from, one.eligible_until or date.max)
        found = [
            by_hand
            for by_hand in recorded.get((*one.of, one.pseudonym), ())
            if term.meets(by_hand.eligible_from, by_hand.eligible_until)
        ]
        last = max(found, key=lambda by_hand: by_hand.eligible_from, default=None)
        return replace(one, exclusion=last.exclusion) if last else one

    return [excluded(one) for one in rows]


def _standing(person: Person, excludes: frozenset[str], period: Period) -> int:
    if person.enrolled_from is not None and period.meets(person.enrolled_from, person.enrolled_until):
        events = (person.last_event, *person.earlier_events)
        digital = any(event is not None and period.start <= event <= period.end for event in events)
        return _ACTIVE if digital else _ENROLLED
    return _EXCLUDED if person.exclusion and person.exclusion in excludes else _OPEN


def _numbers(people: Mapping[str, set[str]]) -> Mapping[str, int]:
    return {name: len(who) for name, who in sorted(people.items()) if who}
