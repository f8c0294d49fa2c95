"""`mitz-subscription`: Mitz tells the organisation of choices of its patients.

Of the subscriptions only their states are looked at, at the internal door; nothing of a patient is kept. They are what
Mitz said before: while it is away they say nothing.

Source: pages of Mitz on subscriptions.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from schakel.roadmap.checks.internal import code_of, counted, need_facilities, refused
from schakel.roadmap.checks.model import Check, Target, found, judged
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "mitz-subscription"

_PAGE = 1000
_MOST_PAGES = 1000
_OFF = "mitz-subscriptions-off"


async def _measure(target: Target, tools: Tools) -> Finding:
    numbers = dict.fromkeys(("active", "waiting", "refused"), 0)
    failing, after = 0, ""
    for _ in range(_MOST_PAGES):
        page = await _page(target, tools, after)
        if page is None:
            reason = Text(
                "De organisatie heeft geen abonnementen bij Mitz ingesteld.",
                "The organisation has no subscriptions at Mitz set up.",
            )
            return found(ID, "fails", reason)
        if not after:
            await need_facilities(target, tools, "consent")
        for one in page:
            state = str(one.get("state"))
            if state in numbers:
                numbers[state] += 1
            failing += state == "waiting" and bool(one.get("error")) and counted(one.get("attempts")) > 0
        if len(page) < _PAGE:
            break
        after = str(page[-1].get("id", ""))
    faults = []
    if not numbers["active"]:
        faults.append(
            Text(
                "Er is geen abonnement bij Mitz dat loopt.",
                "There is no subscription at Mitz that is in force.",
            )
        )
    if numbers["refused"]:
        faults.append(
            Text(
                f"Mitz weigerde {numbers['refused']} abonnementen.",
                f"Mitz refused {numbers['refused']} subscriptions.",
            )
        )
    if failing:
        faults.append(
            Text(
                f"Bij {failing} abonnementen mislukte het vragen aan Mitz; het wordt opnieuw geprobeerd.",
                f"Asking Mitz failed for {failing} subscriptions; it is tried again.",
            )
        )
    return judged(
        ID,
        faults,
        Text(
            f"Patiënten van wie Mitz de keuzes vertelt: {numbers['active']}.",
            f"Patients whose choices Mitz tells: {numbers['active']}.",
        ),
        facts={**numbers, "failing": failing},
    )


async def _page(target: Target, tools: Tools, after: str) -> list[dict[str, Any]] | None:
    """The subscriptions after one; None when the organisation has none set up."""
    params = [("count", str(_PAGE)), *([("after", after)] if after else [])]
    answer = await tools.internal(target.organisation, "consent/subscriptions", params=params)
    if code_of(answer) == _OFF:
        return None
    table = answer.table()
    if answer.status != 200 or table is None or not isinstance(table.get("subscriptions"), list):
        raise refused(answer)
    return [one for one in table["subscriptions"] if isinstance(one, dict)]


CHECK = Check(
    ID,
    Text("Abonnement bij Mitz", "Subscription at Mitz"),
    Text(
        "Telt aan de eigen deur van de organisatie de abonnementen bij Mitz: lopend, geweigerd en mislukt.",
        "Counts the subscriptions at Mitz at the organisation's own door: those in force, refused and failed.",
    ),
    timedelta(days=7),
    wants=lambda one: bool(one.internal),
    measure=_measure,
)
