"""`nvi-registration`: the national index knows who has data here, and nothing that should be there failed.

The numbers are what the organisation was told; while the index, the PRS or a token server is away they say nothing.

Source: the ministry's guide on generic functions, localisation (NVI); the numbers are those of the internal door,
`localisation/status`.
"""

from __future__ import annotations

from datetime import timedelta

from schakel.roadmap.checks.internal import code_of, counted, need_facilities, refused
from schakel.roadmap.checks.model import Check, Target, found, judged
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "nvi-registration"


async def _measure(target: Target, tools: Tools) -> Finding:
    answer = await tools.internal(target.organisation, "localisation/status")
    if answer.status == 404 and code_of(answer) == "nvi-off":
        reason = Text(
            "De organisatie is niet aangesloten op de NVI.", "The organisation is not connected to the NVI."
        )
        return found(ID, "fails", reason)
    table = answer.table()
    if answer.status != 200 or table is None:
        raise refused(answer)
    await need_facilities(target, tools, "localisation")
    states = table.get("states")
    states = states if isinstance(states, dict) else {}
    active, refusals = counted(states.get("active")), counted(states.get("refused"))
    failing = counted(table.get("failing"))
    faults = []
    if not counted(table.get("categories")):
        faults.append(
            Text(
                "Er is geen regel om aan te melden: er wordt niets aangemeld.",
                "There is no rule to register by: nothing is registered.",
            )
        )
    if not active:
        faults.append(Text("Er is niemand aangemeld bij de NVI.", "Nobody is registered with the NVI."))
    if failing:
        faults.append(
            Text(
                f"Van {failing} patiënten is het aanmelden mislukt; het wordt opnieuw geprobeerd.",
                f"Registering failed for {failing} patients; it is tried again.",
            )
        )
    if refusals:
        faults.append(
            Text(f"De NVI weigerde {refusals} aanmeldingen.", f"The NVI refused {refusals} registrations.")
        )
    return judged(
        ID,
        faults,
        Text(
            f"Aanmeldingen in de NVI: {active}, en geen is mislukt.",
            f"Registrations in the NVI: {active}, and none failed.",
        ),
        facts={
            "active": active,
            "failing": failing,
            "refused": refusals,
            "due": counted(table.get("due")),
            "without_bsn": counted(table.get("without_bsn")),
        },
    )


CHECK = Check(
    ID,
    Text("Aanmelden bij de NVI", "Registration with the NVI"),
    Text(
        "Vraagt aan de eigen deur van de organisatie hoeveel er is aangemeld bij de NVI, en of er iets mislukte.",
        "Asks the organisation's own door how many patients are registered with the NVI, and whether anything failed.",
    ),
    timedelta(days=7),
    wants=lambda one: bool(one.internal),
    measure=_measure,
)
