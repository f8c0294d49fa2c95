"""`exchange-bgz`: the BgZ of a test patient comes in whole, as the EHR would ask it.

It is a real exchange, at real holders, that stands in their logs. Of what comes nothing is kept. Who refuses or gives
only a part has answered, and whom the directory does not tell how to ask, or who asks cannot show what is needed, gives
nothing either; a holder or a facility that is silent says nothing of who asks.

Source: BgZ-MSZ 2.0, request list.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from schakel.roadmap.checks.internal import need_facilities, refused
from schakel.roadmap.checks.model import Check, Target, Unclear, found
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "exchange-bgz"

_SECONDS = 120.0

_WHY: Mapping[str, Text] = {
    "refused": Text("weigert", "refuses"),
    "short": Text("gaf een deel", "gave a part"),
    "not-addressable": Text(
        "niet gevraagd: het adresboek zegt niet of niet eenduidig waar",
        "not asked: the directory does not say where, or not as one",
    ),
    "not-provable": Text(
        "niet gevraagd: wie vraagt kan niet tonen wat daar nodig is",
        "not asked: who asks cannot show what is needed there",
    ),
}
"""What keeps an exchange from being whole, by the word of the request; any other word is silence."""


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
    causes = {str(one.get("ura")): _causes(one) for one in holders}
    if known := {cause for found_of in causes.values() for cause in found_of if cause in _WHY}:
        if known == {"not-addressable"}:  # What a copy of a directory does not have, it may have by now.
            await need_facilities(target, tools, "addressing")
        short = [
            Text(f"{ura} ({why.nl})", f"{ura} ({why.en})")
            for ura, found_of in causes.items()
            for cause, why in _WHY.items()
            if cause in found_of
        ]
        reason = Text(
            f"De BgZ is niet volledig: {', '.join(one.nl for one in short)}.",
            f"The BgZ is not complete: {', '.join(one.en for one in short)}.",
        )
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


def _causes(holder: Mapping[str, Any]) -> frozenset[str]:
    """Why requests to a holder have no whole answer. A node that does not say so itself says it by the status alone:
    then only a refusal is known."""
    asked: list[Mapping[str, Any]] = [one for one in holder.get("requests") or () if isinstance(one, dict)]
    return frozenset(
        str(one.get("cause") or ("refused" if one.get("status") == "refused" else ""))
        for one in asked or (holder,)
        if one.get("status") != "complete"
    )


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
