"""An event of the log as the patient it is about reads it: who, when, why and what, in words as well.

It is made of the fields that the log shows to patients; BSNs go out of it. Source: NEN 7513 and the Dutch law on
electronic records (Wabvpz, article 15e): a patient may see who had access.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from itertools import groupby
from typing import Any

from schakel.fhir.json import Resource
from schakel.generic.logging import Logged, audit_event
from schakel.generic.logging.events import FIELDS, LoggedPerson, seen
from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.values import BSN_SYSTEM, Bsn
from schakel.patient_access.mask import STARS, absent, text_mask

_BARE = ("request_id", "correlation")
_TEXTS = tuple(
    name
    for name, field in FIELDS.items()
    if "patient" in field.by
    and name not in ("subtype", "action", "outcome", "view", "user", "patient", "decision", "resources")
)
"""The fields that may hold text of others."""

_EMERGENCY = frozenset({"break-glass", "break-glass-review"})

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


@dataclass(frozen=True, slots=True)
class Told:
    """An event in what a page needs for a sentence: `kind` is its subtype, `action` the letter, `records` how many
    records it was about."""

    time: str
    kind: str
    action: str
    refused: bool
    records: int


@dataclass(frozen=True, slots=True)
class Question:
    """The events that belong to one question, the newest first. `day` is a date, `at` the moment for machines, both of
    the newest; `person` and `role` are '' when no professional is known, `purpose` is a code or ''."""

    day: str
    at: str
    person: str
    party: str
    purpose: str
    emergency: bool
    events: tuple[Told, ...]


def questions(events: Sequence[Logged]) -> list[Question]:
    """The events of a page (the newest first) by question: what has the same correlation or, without one, the same
    decision, asked by the same party."""
    return [_question(list(group)) for _, group in groupby(events, _key)]


def _key(logged: Logged) -> tuple[str, str]:
    return logged.event.correlation or logged.event.decision, logged.event.requester


def _question(group: list[Logged]) -> Question:
    shown = [(one.recorded.astimezone(AMSTERDAM), seen(one.event, "patient")) for one in group]
    moment, first = shown[0]
    person = next((event.user.name or event.user.id for _, event in shown if event.user), "")
    return Question(
        day=f"{moment:%d-%m-%Y}",
        at=moment.isoformat(timespec="seconds"),
        person=person,
        party=first.requester_name or first.requester,
        purpose=next((event.purpose for _, event in shown if event.purpose), ""),
        emergency=any(event.subtype in _EMERGENCY or event.purpose == "ETREAT" for _, event in shown),
        events=tuple(
            Told(f"{at:%H:%M}", event.subtype, event.action, event.outcome != "0", len(event.resources))
            for at, event in shown
        ),
    )


def readable(events: Iterable[Logged], bsn: str) -> list[Resource]:
    """The events as AuditEvents for the patient with this BSN."""
    masked = text_mask(bsn)
    return [_readable(one, masked) for one in events]


def _readable(logged: Logged, masked: Callable[[str], str]) -> Resource:
    """An event with what patients see, every text of it masked before the AuditEvent is made of it."""
    event = seen(logged.event, "patient")
    texts: dict[str, Any] = {name: masked(text) for name in _TEXTS if (text := getattr(event, name))}
    texts |= {name: STARS for name in _BARE if _is_bare_bsn(getattr(event, name))}
    if event.user is not None:
        user = event.user
        texts["user"] = LoggedPerson(masked(user.id), masked(user.name), user.role, masked(user.responsible))
    resources = tuple(masked(one) for one in event.resources)
    made = audit_event(replace(event, **texts, resources=resources), logged.recorded, logged.id)
    if event.patient:
        made["entity"][0]["what"]["identifier"] = {"system": BSN_SYSTEM, "_value": absent(None)}
    return {**made, "text": {"status": "generated", "div": _narrative(made)}}


def _is_bare_bsn(text: str) -> bool:
    """Whether what a caller sent as an id of its own is a BSN by its looks."""
    return len(text) == 9 and text.isascii() and text.isdigit() and Bsn.passes(text)


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
