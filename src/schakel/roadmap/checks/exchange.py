"""`exchange-bgz`: the BgZ of a test patient comes in whole, as the EHR would ask it.

It is a real exchange, at real holders, that stands in their logs. Of what comes nothing is kept. Who refuses or gives
only a part has answered; a holder or a facility that is silent says nothing of who asks.

Source: BgZ-MSZ 2.0, request list.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from schakel.roadmap.checks.internal import refused
from schakel.roadmap.checks.model import Check, Target, Unclear, found
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "exchange-bgz"

_SECONDS = 120.0


async def _measure(target: Target, tools: Tools) -> Finding:
    given = target.organisation.exchange
    assert given is not None, "`wants` says so"
    ask: dict[str, Any] = {
        "patient": given.patient,
        "user": given.user.model_dump(),
        "purpose": given.purpose,
        "treatment_relation": given.treatment_relation,
    }
    if given.holders:
        ask["holders"] = list(given.holders)
    answer = await tools.internal(
        target.organisation, "exchanges/bgz", method="POST", json=ask, seconds=_SECONDS
    )
    table = answer.table()
    if answer.status != 200 or table is None or not isinstance(table.get("holders"), list):
        raise refused(answer)
    holders = [one for one in table["holders"] if isinstance(one, dict)]
    exchange = f"exchange {table.get('id', '')}"
    if not holders and table.get("status") == "complete":
        raise Unclear(
            Text(
                "Van deze testpatiënt is niemand gevonden die gegevens heeft, dus er was niets uit te wisselen.",
                "Nobody was found to have data of this test patient, so there was nothing to exchange.",
            ),
            exchange,
        )
    requests = [one for holder in holders for one in holder.get("requests") or ()]
    facts = {"holders": len(holders), "requests": len(requests)}
    if table.get("status") == "complete":
        reason = Text(
            f"De BgZ kwam volledig binnen; bronhouders: {len(holders)}.",
            f"The BgZ came in whole; holders: {len(holders)}.",
        )
        return found(ID, "holds", reason, exchange, facts)
    if short := [f"{one.get('ura')} ({one.get('status')})" for one in holders if _answered_short(one)]:
        shown = ", ".join(short)
        reason = Text(f"De BgZ is niet volledig: {shown}.", f"The BgZ is not complete: {shown}.")
        return found(ID, "fails", reason, exchange, facts)
    asked = [one for one in table.get("localised") or () if isinstance(one, dict)]
    silent = [
        f"{one.get('by')} ({one.get('status')})"
        for one in asked
        if one.get("status") != "answered" or one.get("reason")
    ]
    silent += [
        f"{one.get('ura')} ({one.get('status')})" for one in holders if one.get("status") != "complete"
    ]
    shown = ", ".join(silent) or str(table.get("status"))
    return found(
        ID,
        "unknown",
        Text(
            f"Of de BgZ volledig binnenkomt is nu niet te controleren: geen bruikbaar antwoord van {shown}.",
            f"Whether the BgZ comes in whole cannot be checked at the moment: no usable answer of {shown}.",
        ),
        exchange,
        facts,
    )


def _answered_short(holder: Mapping[str, Any]) -> bool:
    """Whether a holder refused, gave a part, or has no endpoint for a part: not when all that is missing is what it was
    silent on."""
    if holder.get("missing"):
        return True
    asked: list[Mapping[str, Any]] = [one for one in holder.get("requests") or () if isinstance(one, dict)]
    return any(one.get("status") in ("refused", "incomplete") for one in asked or (holder,))


CHECK = Check(
    ID,
    Text("Uitwisseling van de BgZ", "Exchange of the BgZ"),
    Text(
        "Vraagt de BgZ van een testpatiënt op, zoals het EPD dat doet, en kijkt of alles is gekomen.",
        "Asks for the BgZ of a test patient, as the EHR does, and looks whether all of it came.",
    ),
    timedelta(days=7),
    wants=lambda one: one.exchange is not None,
    measure=_measure,
    seconds=_SECONDS + 10,
)
