"""Deciding again: the stored object of a decision and the text of the policy it was made with give the same verdict.

What is made again is what the policy says: the row that accepts a search, the kinds of ground that could suffice, the
verdict on the facts. What others said then (the token, the ground, what the source held) stands in the object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from schakel.gateway.decision import FORM
from schakel.generic.authorisation import Facts, Policy, Verdict
from schakel.kernel.outcomes import Invalid, Outcome
from schakel.server import Request, parse


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it: the verdict as it was told, the verdict now, and every difference, in words."""

    then: Verdict | None
    now: Verdict | None
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the same would be decided."""
        return not self.differences


def replay(stored: bytes, policy: Policy) -> Replayed:
    """Decides again from a stored object. Raises `Invalid` for what is none."""
    try:
        told = orjson.loads(stored)
        if told["form"] != FORM:
            raise Invalid(f"this version replays decisions of form {FORM}, not {told['form']!r}")
        then = None if told["verdict"] is None else Verdict(**told["verdict"])
        facts = None if told["facts"] is None else Facts(**told["facts"])
        ground = told["ground"]["kind"] if told["ground"] else None
        differences = list(_differences(told, policy))
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid("this is not the object of a decision") from error
    if facts is None:
        return Replayed(then, None, tuple(differences))
    kinds = policy.grounds(facts)
    now = policy.decide(facts, ground or ("none" if kinds == {"none"} else None))
    if then is not None and then != now:
        differences += _between(then, now)
    if then is None and now.permitted:
        differences.append("it was refused before a verdict, and would be permitted")
    return Replayed(then, now, tuple(differences))


def _differences(told: dict[str, Any], policy: Policy) -> Iterator[str]:
    """What differs before the verdict: the policy itself, the row that accepts the request, the outcome."""
    if told["policy"] != policy.digest:
        yield f"the policy has digest {policy.digest}, the decision was made with {told['policy']}"
    if told["verdict"] is not None and told["outcome"] == "0" and not told["verdict"]["permitted"]:
        yield "it was done though the verdict refused it"
    if told["outcome"] == "0" and told["verdict"] is None:
        yield "it was done without a verdict"
    asked = told["asked"]
    if asked.get("query") is None:
        return
    row, reason = _judged(told, policy)
    if told["row"] is not None and row != told["row"]["id"]:
        yield f"the search is accepted by row {row or 'none'}, then by {told['row']['id']}"
    if told["row"] is None and told["reason"] != reason:
        yield f"the search is refused as {reason or 'nothing'}, then as {told['reason']}"


def _judged(told: dict[str, Any], policy: Policy) -> tuple[str, str]:
    """The row that accepts the search, and the reason when none does."""
    asked = told["asked"]
    try:
        interaction = parse(Request(asked["version"], "GET", asked["path"], asked["query"], {}))
        return policy.judge(told["requester"]["scope"].split(), interaction).row.id, ""
    except Outcome as outcome:
        return "", outcome.kind


def _between(then: Verdict, now: Verdict) -> Iterator[str]:
    before, after = asdict(then), asdict(now)
    for name in before:
        if before[name] != after[name]:
            yield f"{name} is {after[name]!r}, then {before[name]!r}"
