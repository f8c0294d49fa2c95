"""What a decision on a pathway needs, when a person writes it down."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from schakel.kernel.outcomes import Invalid
from schakel.roadmap.hybrid.model import SUITABILITIES, Decision

LONGEST_REASON = 1000
"""Characters of who decided and why."""

_FIRST = date(1990, 1, 1)


def tidied(decision: Decision) -> Decision:
    """The decision with its texts without spaces around them, the reason on one line."""
    return Decision(decision.suitability, decision.by.strip(), decision.on, " ".join(decision.reason.split()))


def faults(decision: Decision, today: date) -> Iterator[Invalid]:
    """All that is wrong with a tidied decision; each names its member and why."""
    if decision.suitability not in SUITABILITIES:
        yield Invalid(
            f"suitability is one of {', '.join(SUITABILITIES)}",
            code="suitability-unknown",
            expression="suitability",
        )
    for name, value in (("decided_by", decision.by), ("reason", decision.reason)):
        why = "text-needed" if not value else "text-long" if len(value) > LONGEST_REASON else ""
        if why or not value.isprintable():
            yield Invalid(
                f"{name} is needed: 1 to {LONGEST_REASON} printable characters",
                code=why or "text-odd",
                expression=name,
            )
    if not _FIRST <= decision.on <= today:
        code = "decided-future" if decision.on > today else "decided-early"
        yield Invalid(
            "decided_on is not in the future, and not before 1990", code=code, expression="decided_on"
        )
