"""`log-seals`: the log of who saw what is as it was sealed.

The node reads its whole log for this. Who wants to know it without trusting the program that wrote the log, runs
`schakel log verify` on the database and the file of the seals.

Source: NEN 7513, integrity of the log; docs/explanation/log.md.
"""

from __future__ import annotations

from datetime import timedelta

from schakel.roadmap.checks.internal import counted, refused
from schakel.roadmap.checks.model import Check, Target, found
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "log-seals"

_SECONDS = 600.0


async def _measure(target: Target, tools: Tools) -> Finding:
    answer = await tools.internal(target.organisation, "log/verification", seconds=_SECONDS)
    table = answer.table()
    if answer.status != 200 or table is None:
        raise refused(answer)
    wrong, seals, events = (counted(table.get(name)) for name in ("findings", "seals", "events"))
    facts = {"seals": seals, "events": events, "findings": wrong, "unsealed": counted(table.get("unsealed"))}
    told = table.get("told")
    if wrong:
        return found(
            ID,
            "fails",
            Text(
                f"Het log is niet zoals het is verzegeld: {wrong} bevindingen.",
                f"The log is not as it was sealed: {wrong} findings.",
            ),
            "; ".join(str(one) for one in told[:5]) if isinstance(told, list) else "",
            facts,
        )
    if not seals:
        return found(
            ID,
            "unknown",
            Text("Er is nog niets verzegeld in het log.", "Nothing in the log has been sealed yet."),
            facts=facts,
        )
    reason = Text(
        f"Alle {events} gebeurtenissen in {seals} zegels zijn zoals ze zijn verzegeld.",
        f"All {events} events in {seals} seals are as they were sealed.",
    )
    return found(ID, "holds", reason, f"last seal {table.get('last')}", facts)


CHECK = Check(
    ID,
    Text("Verzegeld log", "Sealed log"),
    Text(
        "Laat de organisatie haar log met de zegels vergelijken: niets veranderd, weggehaald of tussengevoegd.",
        "Has the organisation compare its log with the seals: nothing changed, removed or put in.",
    ),
    timedelta(days=7),
    wants=lambda one: bool(one.internal),
    measure=_measure,
    seconds=_SECONDS + 10,
)
