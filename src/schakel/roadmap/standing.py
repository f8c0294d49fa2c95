"""Where organisations stand: what follows from the roadmap, what was measured and what was declared, at a moment.

Nothing is proved without evidence, and evidence grows old: what held when it was last looked at is `stale` after the
term of its check, and says when it was last true. Five laws hold (and are tested): nothing is proved or declared
without fresh evidence, and nothing at all by what an organisation says of itself; a finding that fails makes nothing
better, neither does time alone, and neither does an organisation that says of itself what a keeper of the board did not
find.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, get_args

from schakel.kernel.clock import AMSTERDAM
from schakel.roadmap import reasons
from schakel.roadmap.evidence import Declaration, Evidence, Member
from schakel.roadmap.model import Item, Roadmap, Step, Text
from schakel.roadmap.weighing import TERM, weighed

State = Literal[
    "proved",
    "declared",
    "partly",
    "self-measured",
    "stale",
    "unconfirmed",
    "unknown",
    "not-checked",
    "not-declared",
    "fails",
    "not-named",
    "not-applicable",
]
"""How a step stands: measured and so; declared and seen by a second reader; in part; measured and so, by the
organisation itself alone; it was so, too long ago; declared without a second reader; it could not be checked; a check
exists and was never done; only a declaration can tell and there is none; measured or declared and not so; the sources
name it for other sectors, and nothing is known of it here; not for this organisation."""


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


_GOOD = frozenset({"proved", "declared"})
_PLACE = {state: place for place, state in enumerate(get_args(State))}


def step_standing(
    step: Step,
    evidence: Mapping[str, Evidence],
    declarations: Mapping[str, Declaration],
    terms: Mapping[str, timedelta],
    moment: datetime,
) -> StepStanding:
    """How `step` stands at one organisation at `moment`.

    `evidence` is what counts of each check there, by the id of the check; `declarations` are those that were not taken
    back, by the id of the step; `terms` say by check that this program has after how long evidence is stale (`TERM` for
    others). A check of a newer program, of which nothing was found, is none that a step waits for: a declaration tells
    of what it would see.
    """
    step = _measurable(step, evidence, terms)
    declaration = declarations.get(step.id)
    found = tuple([one for check in step.checks if (one := evidence.get(check)) is not None])
    if not found and declaration is None:
        return _untold(step)
    if not step.checks and declaration is not None:
        return _by_declaration(step, declaration, moment)
    if declaration is not None and declaration.claim == "not-applicable" and _seen(declaration):
        if not _past(declaration, moment):
            reason = reasons.not_applicable(declaration, _failing(found))
            return StepStanding(step, "not-applicable", reason, None, found, declaration)
        if _failing(found) is None and not any(one.at >= _end(declaration) for one in found):
            # What was found while it counted for nothing does not count because that time is over.
            return StepStanding(
                step, "stale", reasons.declaration_past(declaration), None, found, declaration
            )
    state, reason = _measured(step, found, terms, moment)
    if step.unseen is not None:
        state, reason = _with_rest(state, reason, step.unseen, declaration, moment)
    return StepStanding(step, state, reason, _last_true(step, found, declaration), found, declaration)


def cell(
    item: Item,
    member: Member,
    evidence: Mapping[str, Evidence],
    declarations: Mapping[str, Declaration],
    terms: Mapping[str, timedelta],
    moment: datetime,
    sectors: Mapping[str, Text] | None = None,
) -> Cell:
    """How `item` stands at `member` at `moment`; the rest as for `step_standing`. `sectors` are the names of sectors by
    code, for the reason."""
    return _Anywhere(item, sectors or {}).at(member, evidence, declarations, terms, moment)


def cells(
    roadmap: Roadmap,
    members: Iterable[Member],
    evidence: Iterable[Evidence],
    declarations: Iterable[Declaration],
    terms: Mapping[str, timedelta],
    moment: datetime,
) -> dict[tuple[str, str], Cell]:
    """How every item stands at every member at `moment`, by (URA, id of the item).

    Of more evidence of one check at one organisation counts what `weighing` says; of more declarations about one step
    the last, and none that was taken back.
    """
    found = weighed(evidence, terms, moment)
    declared: dict[str, dict[str, Declaration]] = {}
    for said in declarations:
        if said.withdrawn_at is None:
            spoken = declared.setdefault(said.ura, {})
            if (before := spoken.get(said.step)) is None or before.declared_at <= said.declared_at:
                spoken[said.step] = said
    anywhere = [_Anywhere(item, roadmap.sectors) for item in roadmap.items]
    stand: dict[tuple[str, str], Cell] = {}
    for member in members:
        there, said_there = found.get(member.ura, {}), declared.get(member.ura, {})
        for one in anywhere:
            stand[member.ura, one.item.id] = one.at(member, there, said_there, terms, moment)
    return stand


class _Anywhere:
    """An item, with how its steps stand where nothing is known about them: the same everywhere in a sector, so that it
    is worked out once. `sectors` are the names of sectors by code."""

    def __init__(self, item: Item, sectors: Mapping[str, Text]) -> None:
        self.item = item
        self._sectors = sectors
        self._by_sector: dict[str, tuple[tuple[StepStanding, ...], tuple[State, Text, datetime | None]]] = {}

    def at(
        self,
        member: Member,
        evidence: Mapping[str, Evidence],
        declarations: Mapping[str, Declaration],
        terms: Mapping[str, timedelta],
        moment: datetime,
    ) -> Cell:
        """How it stands at `member` at `moment`; the rest as for `step_standing`."""
        if (known := self._by_sector.get(member.sector)) is None:
            known = self._by_sector[member.sector] = self._unknown(member, terms)
        untold, (state, reason, last_true) = known
        told = [
            place
            for place, step in enumerate(self.item.steps)
            if step.id in declarations or not evidence.keys().isdisjoint(step.checks)
        ]
        if not told:
            return Cell(self.item, member.ura, state, reason, last_true, untold)
        steps = list(untold)
        for place in told:
            steps[place] = step_standing(self.item.steps[place], evidence, declarations, terms, moment)
        state, reason, last_true = _summed(steps)
        return Cell(self.item, member.ura, state, reason, last_true, tuple(steps))

    def _unknown(
        self, member: Member, terms: Mapping[str, timedelta]
    ) -> tuple[tuple[StepStanding, ...], tuple[State, Text, datetime | None]]:
        """How its steps stand in the sector of `member` when nothing is known about them, and what they come to."""
        steps = tuple([_untold(_measurable(step, {}, terms)) for step in self.item.steps])
        if self.item.is_for(member.sector):
            return steps, _summed(steps)
        reason = reasons.other_sectors(self.item, member, self._sectors)
        unnamed = tuple([replace(one, state="not-named", reason=reason) for one in steps])
        return unnamed, ("not-named", reason, None)


def _measurable(step: Step, evidence: Mapping[str, Evidence], terms: Mapping[str, timedelta]) -> Step:
    """The step with the checks alone that can tell of it: those that this program has, or that found something. What
    the others would see is not seen here."""
    checks = tuple([check for check in step.checks if check in terms or check in evidence])
    if len(checks) == len(step.checks):
        return step
    others = tuple([check for check in step.checks if check not in checks])
    return replace(step, checks=checks, unseen=step.unseen or reasons.of_newer_checks(others))


def next_changes(
    evidence: Iterable[Evidence],
    declarations: Iterable[Declaration],
    terms: Mapping[str, timedelta],
    moment: datetime,
) -> dict[str, datetime]:
    """The first moment after `moment` at which an organisation (by URA) may stand otherwise by time alone; those for
    which there is none are not in it."""
    ends: dict[str, datetime] = {}

    def may(ura: str, end: datetime | None) -> None:
        if end is not None and end > moment and ((known := ends.get(ura)) is None or end < known):
            ends[ura] = end

    for one in evidence:
        may(one.ura, one.at + terms.get(one.finding.check, TERM))
        may(one.ura, one.finding.until)
    for said in declarations:
        may(said.ura, _end(said))
    return ends


def _measured(
    step: Step, found: tuple[Evidence, ...], terms: Mapping[str, timedelta], moment: datetime
) -> tuple[State, Text]:
    """What the evidence of its checks says of a step."""
    if (failing := _failing(found)) is not None:
        return "fails", reasons.fails(failing)
    for one in found:
        if one.finding.verdict == "unknown":
            return "unknown", reasons.unknown(one)
    for one in found:
        if one.finding.until is not None and one.finding.until <= moment:
            return "stale", reasons.ended(one)
        if one.at + terms.get(one.finding.check, TERM) <= moment:
            return "stale", reasons.old(one)
    if len(found) < len(step.checks):
        known = {one.finding.check for one in found}
        return "not-checked", reasons.not_checked(tuple(check for check in step.checks if check not in known))
    for one in found:
        if one.own:
            return "self-measured", reasons.self_measured(one)
    holding = [one for one in found if one.finding.verdict == "holds"]
    if not holding:
        return "not-applicable", reasons.measured_not_applicable(found[0])
    return "proved", reasons.proved(holding[0], len(holding))


def _with_rest(
    state: State, reason: Text, unseen: Text, declaration: Declaration | None, moment: datetime
) -> tuple[State, Text]:
    """How a step stands of which checks see a part, that stands as `state` says, and not the rest: who declares that it
    is not done knows of the rest too. Where that part does not apply, it stands as the rest."""
    rest = None if declaration is None else _by_declaration_alone(declaration, moment)
    if state != "fails" and rest is not None and rest[0] == "fails":
        return rest
    if state not in ("proved", "self-measured", "not-applicable"):
        return state, reason
    alone: State
    alone, told = rest or ("not-declared", reasons.NOT_DECLARED_REST)
    shown = (
        reasons.with_rest(reason, told) if alone == "declared" else reasons.without_rest(reason, unseen, told)
    )
    match state:
        case "proved":
            return ("declared" if alone == "declared" else "partly"), shown
        case "not-applicable":
            return alone, shown
        case _:
            return state, shown


def _by_declaration(step: Step, declaration: Declaration, moment: datetime) -> StepStanding:
    """How a step stands that no check can measure."""
    state, reason = _by_declaration_alone(declaration, moment)
    return StepStanding(step, state, reason, _done(declaration), (), declaration)


def _by_declaration_alone(declaration: Declaration, moment: datetime) -> tuple[State, Text]:
    """What a declaration comes to, and why."""
    if declaration.claim == "not-done":
        return "fails", reasons.declared_not_done(declaration)
    if _past(declaration, moment):
        return "stale", reasons.declaration_past(declaration)
    if not _seen(declaration):
        return "unconfirmed", reasons.unconfirmed(declaration)
    if declaration.claim == "not-applicable":
        return "not-applicable", reasons.not_applicable(declaration, None)
    return "declared", reasons.declared(declaration)


def _summed(steps: Sequence[StepStanding]) -> tuple[State, Text, datetime | None]:
    """What the steps of an item come to; those that do not apply are left out, and those that are not named here take
    no part in it, but that the item is not good as a whole."""
    apply = [one for one in steps if one.state != "not-applicable"]
    if not apply:
        return "not-applicable", reasons.no_step_applies(len(steps)), None
    unnamed = [one for one in apply if one.state == "not-named"]
    if len(unnamed) == len(apply):
        return "not-named", unnamed[0].reason, None
    known = [one.last_true for one in apply if one.last_true is not None]
    last_true = min(known) if len(known) == len(apply) else None
    still_open = [one for one in apply if one.state not in _GOOD and one.state != "not-named"]
    good = len(apply) - len(unnamed) - len(still_open)
    if not still_open and not unnamed:
        proved = sum([one.state == "proved" for one in apply])
        if proved == len(apply):
            return "proved", reasons.all_proved(proved), last_true
        return "declared", reasons.all_declared(proved, len(apply)), last_true
    weakest = max(still_open or unnamed, key=_weakness)
    if weakest.state == "fails" or not good:
        return weakest.state, reasons.first(weakest.step.id, weakest.reason), last_true
    return "partly", reasons.partly(good, len(apply), weakest.step.id, weakest.reason), last_true


def _weakness(one: StepStanding) -> int:
    return _PLACE[one.state]


def _failing(found: tuple[Evidence, ...]) -> Evidence | None:
    for one in found:
        if one.finding.verdict == "fails":
            return one
    return None


def _last_true(step: Step, found: tuple[Evidence, ...], declaration: Declaration | None) -> datetime | None:
    """When all checks of a step were last known to hold, and what they do not see was declared: that of the one that
    was so the longest ago. None when one of them never was, or was never done; a check that does not apply is left
    out."""
    moments = [one.last_true for one in found if one.finding.verdict != "not-applicable"]
    if step.unseen is not None:
        moments.append(None if declaration is None else _done(declaration))
    if len(found) < len(step.checks) or not moments:
        return None
    known = [one for one in moments if one is not None]
    return min(known) if len(known) == len(moments) else None


def _done(declaration: Declaration) -> datetime | None:
    """When it was declared done, as a second reader has seen; None when it was not."""
    return declaration.declared_at if declaration.claim == "done" and _seen(declaration) else None


def _seen(declaration: Declaration) -> bool:
    """Whether someone else than who declared it has seen it; what does not apply must say why."""
    if declaration.claim == "not-applicable" and not declaration.reason.strip():
        return False
    return bool(declaration.seen_by) and declaration.seen_by != declaration.declared_by


def _past(declaration: Declaration, moment: datetime) -> bool:
    return moment >= _end(declaration)


def _end(declaration: Declaration) -> datetime:
    """The end of the last day on which a declaration counts, as the day goes in Amsterdam."""
    return _midnight(declaration.until)


@lru_cache(maxsize=4096)
def _midnight(until: date) -> datetime:
    return datetime.combine(until + timedelta(days=1), time(), AMSTERDAM)


def _untold(step: Step) -> StepStanding:
    """How a step stands of which nothing is known."""
    if step.checks:
        return StepStanding(step, "not-checked", reasons.not_checked(step.checks), None, (), None)
    return StepStanding(step, "not-declared", reasons.NOT_DECLARED, None, (), None)
