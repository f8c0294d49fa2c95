"""An event of the log as the patient it is about reads it: who, when, why and what, in words as well.

It is made of the fields that the log shows to patients; BSNs go out of it. Source: NEN 7513 and the Dutch law on electronic records (Wabvpz, article 15e): a patient may see who had access.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from html import escape
from typing import Any

from schakel.fhir.json import Resource
from schakel.kernel.clock import AMSTERDAM
from schakel.patient_access.mask import mask

_WHY = {
    "PATRQT": "op uw eigen verzoek",
    "TREAT": "voor uw behandeling",
    "ETREAT": "voor spoedzorg aan u",
    "COC": "voor de afstemming van uw zorg",
}
_WHAT = {
    "C": "legde gegevens vast",
    "R": "las gegevens",
    "U": "wijzigde gegevens",
    "D": "wiste gegevens",
    "E": "vroeg gegevens op",
}


def readable(event: Resource, bsn: str) -> Resource:
    """The AuditEvent for the patient with this BSN; the argument itself is not changed."""
    masked = mask(event, bsn).resource
    return {**masked, "text": {"status": "generated", "div": _narrative(masked)}}


def _narrative(event: Resource) -> str:
    """One sentence in Dutch as XHTML."""
    moment = datetime.fromisoformat(event["recorded"]).astimezone(AMSTERDAM)
    why = next((_WHY[code] for code in _codes(event.get("purposeOfEvent", [])) if code in _WHY), "")
    sentence = f"Op {moment:%d-%m-%Y} om {moment:%H:%M:%S} {_what(event)} {_who(event)}"
    what = ", ".join(f"{number} {kind}" for kind, number in sorted(_kinds(event).items()))
    parts = [sentence, why, f"het ging om: {what}" if what else ""]
    if event.get("outcome") != "0":
        parts.append("dit is niet gelukt of geweigerd: er is niets verstrekt")
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{escape("; ".join(p for p in parts if p))}.</div>'


def _what(event: Resource) -> str:
    return _WHAT.get(str(event.get("action")), "gebruikte gegevens")


def _who(event: Resource) -> str:
    """The person who asked, and the organisation or program."""
    agents = event.get("agent", [])
    person = next((a.get("name") or a.get("altId", "") for a in agents if a.get("requestor")), "")
    who = agents[0].get("who", {}) if agents else {}
    party = who.get("display") or who.get("identifier", {}).get("value", "onbekend")
    return f"{person} namens {party}" if person else str(party)


def _codes(concepts: list[Mapping[str, Any]]) -> Iterator[str]:
    for concept in concepts:
        yield from (c.get("code", "") for c in concept.get("coding", []))


def _kinds(event: Resource) -> Counter[str]:
    """How many resources of each type were disclosed or written."""
    references = (e.get("what", {}).get("reference", "") for e in event.get("entity", []))
    return Counter(reference.partition("/")[0] for reference in references if reference)
