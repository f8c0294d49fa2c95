"""An event of the log as the patient it is about reads it: who, when, why and what, in words as well.

It is made of the fields that the log shows to patients; BSNs go out of it. Source: NEN 7513 and the Dutch law on
electronic records (Wabvpz, article 15e): a patient may see who had access.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from html import escape
from itertools import groupby
from typing import Any, Literal, TypeAlias

from schakel.fhir.json import Resource
from schakel.generic.logging import Event, Logged, audit_event
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


Went: TypeAlias = Literal["done", "refused", "failed"]
Emergency: TypeAlias = Literal["", "refused", "waiting", "accepted", "not-accepted"]
"""Access without permission in an emergency: none, one that was refused, one that was given and waits for its second
look, and what came of that look."""

EMERGENCY = "break-glass"
REVIEW = "break-glass-review"
OVERDUE = "overdue"
"""Why there is a line about a second look that was not given: its term has passed."""


@dataclass(frozen=True, slots=True)
class Told:
    """What happened, in what a page needs for a sentence: `kind` is the subtype of the event, `action` its letter,
    `reason` the code of a refusal, `records` how many records it was about, `times` how often it happened in that
    minute."""

    time: str
    kind: str
    action: str
    went: Went
    reason: str
    records: int
    times: int = 1


@dataclass(frozen=True, slots=True)
class Question:
    """The events that belong to one question, of one person on one day, the newest first. `day` is that date, `at` the
    moment of the newest for machines.

    `own` says that the patient asked: by the program `party`, or on the page of the log when that is ''. Else `person`
    is the professional, '' when none is known, of the organisation `party`. `purpose` is a code or '', `ground` the
    kind of the ground or ''; `told` is the reason that was given for an emergency. `more` says that there is more than
    is shown.
    """

    day: str
    at: str
    own: bool
    person: str
    party: str
    purpose: str
    ground: str
    emergency: Emergency
    told: str
    events: tuple[Told, ...]
    more: bool = False


def questions(
    found: Sequence[Sequence[Logged]], bsn: str, reviews: Iterable[Logged] = (), most: int = 0
) -> list[Question]:
    """What the log of one organisation has of the questions about the patient with this BSN, each of one person on one
    day in Amsterdam, the newest event first; one with `most` events has more than that. `reviews` are the second looks
    at emergencies of this patient."""
    masked = text_mask(bsn)
    looks = [one.event for one in reversed(list(reviews))]
    judged = {look.ground: look.reason for look in looks if look.reason != OVERDUE}
    return [_question(group, masked, judged, most) for group in found]


def was_emergency(question: Sequence[Logged]) -> bool:
    """Whether data were given without permission in an emergency."""
    return any(_is_emergency(one.event) and one.event.outcome == "0" for one in question)


def _is_emergency(event: Event) -> bool:
    return event.subtype != REVIEW and EMERGENCY in (event.subtype, event.ground_kind)


def _question(
    group: Sequence[Logged], masked: Callable[[str], str], judged: Mapping[str, str], most: int
) -> Question:
    events = [seen(one.event, "patient") for one in group]
    moment, first = group[0].recorded.astimezone(AMSTERDAM), events[0]
    users = (event.user for event in events if event.user)
    user = next(users, None)
    party = first.requester_name or first.requester
    own = any(event.purpose == "PATRQT" for event in events)
    if own and first.requester == first.holder:
        party = ""
    elif first.subtype == REVIEW:
        party = first.holder_name or first.holder
    emergency = _emergency(group, judged)
    return Question(
        day=f"{moment:%d-%m-%Y}",
        at=moment.isoformat(timespec="seconds"),
        own=own,
        person=masked(user.name or user.id) if user else "",
        party=masked(party),
        purpose=next((event.purpose for event in events if event.purpose), ""),
        ground=next((e.ground_kind for e in events if e.ground_kind and _is_ground(e)), ""),
        emergency=emergency,
        told=masked(next((e.explanation for e in events if e.explanation), "")) if emergency else "",
        events=tuple(_merged(group)),
        more=0 < most <= len(group),
    )


def _is_ground(event: Event) -> bool:
    """Whether what stands as its ground is why data were given: a second look and an objection are about one."""
    return event.subtype != REVIEW and event.ground_kind != "objection"


def _emergency(group: Sequence[Logged], judged: Mapping[str, str]) -> Emergency:
    if was_emergency(group):
        cases = (one.event.ground for one in group if _is_emergency(one.event))
        found = {judged.get(case, "waiting") for case in cases}
        # One that was not right, and then one that nobody looked at yet, is what the patient must know.
        return next(state for state in ("not-accepted", "waiting", "accepted") if state in found)
    asked = any(
        _is_emergency(e) or e.reason.startswith(f"{EMERGENCY}-") for e in (one.event for one in group)
    )
    return "refused" if asked else ""


def _told(logged: Logged) -> Told:
    event = logged.event
    went: Went = "done" if event.outcome == "0" else "refused" if event.outcome == "4" else "failed"
    time = f"{logged.recorded.astimezone(AMSTERDAM):%H:%M}"
    return Told(time, event.subtype, event.action, went, event.reason, len(event.resources))


def _merged(group: Iterable[Logged]) -> Iterator[Told]:
    """The events, with those that were the same in the same minute as one; the hour that comes twice when summer time
    ends has other minutes each time."""
    events = ((one.recorded.replace(second=0, microsecond=0), _told(one)) for one in group)
    for _, same in groupby(events, lambda one: (one[0], replace(one[1], records=0))):
        alike = [told for _, told in same]
        yield replace(alike[0], records=sum(one.records for one in alike), times=len(alike))


def readable(events: Iterable[Logged], bsn: str) -> list[Resource]:
    """The events as AuditEvents for the patient with this BSN."""
    masked = cache(text_mask(bsn))  # Names, rules and paths come back in event after event.
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
    return {**made, "text": {"status": "generated", "div": _narrative(made, event)}}


def _is_bare_bsn(text: str) -> bool:
    """Whether what a caller sent as an id of its own is a BSN by its looks."""
    return Bsn.fits(text)


def _narrative(event: Resource, logged: Event) -> str:
    """One sentence in Dutch as XHTML."""
    moment = datetime.fromisoformat(event["recorded"]).astimezone(AMSTERDAM)
    why = next((_WHY[code] for code in _codes(event.get("purposeOfEvent", [])) if code in _WHY), "")
    sentence = f"Op {moment:%d-%m-%Y} om {moment:%H:%M:%S} {_what(event, logged)} {_who(event)}"
    what = ", ".join(f"{number} {kind}" for kind, number in sorted(_kinds(event).items()))
    parts = [sentence, why, f"het ging om: {what}" if what else ""]
    if event.get("outcome") != "0":
        parts.append("dit is niet gelukt of geweigerd: er is niets verstrekt")
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{escape("; ".join(p for p in parts if p))}.</div>'


def _what(event: Resource, logged: Event) -> str:
    if logged.subtype == REVIEW:
        if logged.reason == OVERDUE:
            return "was nog niet gecontroleerd, terwijl dat al had gemoeten: de noodtoegang van"
        return "is gecontroleerd: de noodtoegang van"
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
