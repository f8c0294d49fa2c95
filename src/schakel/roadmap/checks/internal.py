"""What several checks read from an organisation's own door."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from schakel.fhir.moments import interval
from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.checks.model import Target, Unclear
from schakel.roadmap.checks.tools import Answer, Tools
from schakel.roadmap.model import Text

_OLD = timedelta(days=1)
"""What is known of a facility from longer ago says nothing of today."""

_SECONDS = 45.0
"""How long the door has to ask facilities."""

_NAMES = {
    "nvi": Text("de NVI", "the NVI"),
    "nvi-tokens": Text("de tokenserver van de NVI", "the token server of the NVI"),
    "prs": Text("de pseudoniemendienst (PRS)", "the pseudonym service (PRS)"),
    "prs-tokens": Text("de tokenserver van de PRS", "the token server of the PRS"),
    "mitz": Text("Mitz", "Mitz"),
}


def code_of(answer: Answer) -> str:
    """The stable word of a refusal, '' when it has none."""
    table = answer.table()
    return str(table.get("code", "")) if table is not None else ""


def counted(value: object) -> int:
    """A number of an answer; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


async def need_facilities(
    target: Target, tools: Tools, part: Literal["localisation", "consent", "addressing"]
) -> None:
    """Makes sure that the facilities answer which the organisation depends on for `part`: what it keeps of one that
    does not, may no longer be so, and what failed by that is no fault of its own. Raises `Unclear`."""
    answer = await tools.internal(target.organisation, "facilities", seconds=_SECONDS)
    table = answer.table()
    lives = table.get(part) if answer.status == 200 and table is not None else None
    if not isinstance(lives, list) or not all(isinstance(one, dict) for one in lives):
        raise refused(answer)
    if not lives and part != "addressing":  # A node may follow no directory; the rest was set up.
        raise refused(answer)
    away, details = list[Text](), list[str]()
    for one in lives:
        name = str(one.get("id"))
        answered = _moment(one.get("answered"))
        if one.get("answers") is True and answered is not None and tools.began - answered < _OLD:
            continue
        said = _NAMES.get(name, Text(f"het adresboek {name}", f"the directory {name}"))
        away.append(Text(f"{said.nl} ({_last(answered).nl})", f"{said.en} ({_last(answered).en})"))
        details.append(f"{name}: {one.get('away') or 'too long ago'}")
    if away:
        dutch, english = (", ".join(words) for words in zip(*((one.nl, one.en) for one in away), strict=True))
        raise Unclear(
            Text(
                f"Dit is nu niet te controleren: er is geen antwoord van {dutch}.",
                f"This cannot be checked at the moment: there is no answer of {english}.",
            ),
            "; ".join(details),
        )


def _last(answered: datetime | None) -> Text:
    if answered is None:
        return Text("ook niet eerder", "nor was there before")
    shown = answered.astimezone(AMSTERDAM).strftime("%d-%m-%Y %H:%M")
    return Text(f"het laatst op {shown}", f"the last was on {shown}")


def _moment(value: object) -> datetime | None:
    try:
        return interval(str(value))[0]
    except Invalid:
        return None


def refused(answer: Answer) -> Unclear:
    """That the internal door did not tell what was asked."""
    return Unclear(
        Text(
            f"De interne deur gaf hierover geen gegevens (status {answer.status}).",
            f"The internal door gave no data about this (status {answer.status}).",
        ),
        f"{answer.address.partition('?')[0]}: status {answer.status} {code_of(answer)}".strip(),
    )
