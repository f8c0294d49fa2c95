"""What somebody declares in a form or a file, from text to a statement, with all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final, cast

from schakel.kernel.outcomes import Invalid
from schakel.portal.filled import day
from schakel.roadmap.board import Statement
from schakel.roadmap.board.declarations import faults as of_statement
from schakel.roadmap.evidence import Claim
from schakel.roadmap.model import Roadmap, Text

CLAIMS: Final[Mapping[Claim, Text]] = {
    "done": Text("Gedaan", "Done"),
    "not-done": Text("Niet gedaan", "Not done"),
    "not-applicable": Text("Niet voor deze organisatie", "Not for this organisation"),
}
"""What can be declared, in words."""

FIELDS: Final = ("claim", "owner", "on", "until", "document", "link", "reason")
"""What is typed for a declaration about a step of an organisation."""


def statement(
    ura: str, step: str, typed: Mapping[str, str], roadmap: Roadmap
) -> tuple[Statement | None, tuple[Invalid, ...]]:
    """What was typed as a statement, with all that is wrong with it; no statement when anything is."""
    wrong: list[Invalid] = []
    days: dict[str, date] = {}
    for name in ("on", "until"):
        try:
            days[name] = day(name, typed.get(name, ""))
        except Invalid as error:
            wrong.append(error)
    known = max(days.values(), default=date.min)
    made = Statement(
        ura=ura,
        step=step,
        claim=cast(Claim, typed.get("claim", "").strip()),  # What it is not, `of_statement` says.
        owner=typed.get("owner", ""),
        on=days.get("on", known),
        until=days.get("until", known),
        reason=typed.get("reason", ""),
        document=typed.get("document", ""),
        link=typed.get("link", ""),
    )
    unread = {one.expression for one in wrong}
    wrong += [one for one in of_statement(made, roadmap) if one.expression not in unread]
    return (None if wrong else made), tuple(wrong)


def proposed(today: date) -> dict[str, str]:
    """What a new form begins with: so today, and good for a year."""
    return {"on": today.isoformat(), "until": (today + timedelta(days=365)).isoformat()}
