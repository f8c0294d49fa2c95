"""The form with which somebody decides whether a pathway suits hybrid care."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final, cast

from schakel.kernel.outcomes import Invalid
from schakel.portal.filled import day
from schakel.roadmap.hybrid.deciding import faults, tidied
from schakel.roadmap.hybrid.model import Decision, Suitability

FIELDS: Final = ("suitability", "decided_by", "decided_on", "reason")


def typed(form: Mapping[str, str], today: date) -> tuple[Decision | None, tuple[Invalid, ...]]:
    """What was typed as a decision, with all that is wrong with it; no decision when anything is."""
    wrong: list[Invalid] = []
    on = today
    try:
        on = day("decided_on", form.get("decided_on", ""))
    except Invalid as error:
        wrong.append(error)
    asked = cast(Suitability, form.get("suitability", ""))  # What it is not, `faults` says.
    decision = tidied(Decision(asked, form.get("decided_by", ""), on, form.get("reason", "")))
    wrong += faults(decision, today)
    return (None if wrong else decision), tuple(wrong)
