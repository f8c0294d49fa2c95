"""`schakel explain ID`: what the log holds of one decision, in words, for a security officer."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson

from schakel.commands.decided import decided
from schakel.commands.doors import Client, Door, Places
from schakel.commands.reasons import explained
from schakel.gateway.replay import replay
from schakel.generic.authorisation import Policy
from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import NotFound

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored decision: its bytes, what they say, and the text of the policy."""

    body: bytes
    told: dict[str, Any]
    policy: str


_HEAD = 15
_OUTCOMES = {
    "0": "permitted",
    "4": "refused",
    "8": "failed",
    "12": "failed",
}
_KINDS = {"search-type": "search", "search-system": "search of everything"}
_NOT_DONE = {
    "4": "permitted, but not carried out: it was refused when it was to be done",
    "8": "permitted, but it failed when it was to be done; whether it was done is not certain",
}
"""What is said of an event that permits, by the outcome with which its decision ended."""
_DONE = {"C": " written", "U": " changed", "D": " deleted"}
"""Said of what is no interaction with a name of its own, such as a ground."""
_ACTS = frozenset({"consent-notified", "break-glass-review", "retention"})
"""Events whose name says already what was done."""


def explain(places: Places, doors: Sequence[Door], decision: str, *, again: bool = False) -> int:
    """Prints every event of the decision, of the organisations in `doors`, in the order of time, with what is stored of
    the decision itself. With `again` it is decided anew from that; 1 when that gives something else, or cannot be
    done."""
    found = asyncio.run(_found(doors, decision))
    if not found:
        where = doors[0].name if len(doors) == 1 else f"the {len(doors)} organisations of {places.source}"
        raise NotFound(f"the log of {where} has no decision {decision!r}")
    stored = asyncio.run(_stored(found, decision))
    ends = {door.ura: stored[event["id"]].told["outcome"] for door, event in found if event["id"] in stored}
    for door, event in found:
        print(f"In the log of {door.name} ({door.ura})")
        one = stored.get(event["id"])
        for line in _lines(places, event, one.told if one else None, ends.get(door.ura, "")):
            print(f"  {line}")
        print()
    return _replayed(found, stored, ends) if again else 0


def _replayed(
    found: Sequence[tuple[Door, Event]], stored: Mapping[str, Stored], ends: Mapping[str, str]
) -> int:
    """Says of each stored decision whether it is made the same again, and whether it was carried out."""
    code = 0 if stored else 1
    if not stored:
        print("there is no stored decision to make again")
    for door, event in found:
        one = stored.get(event["id"])
        if one is None:
            continue
        result = replay(one.body, Policy.from_text(one.policy))
        if result.same:
            print(f"{door.name}: made again from what is stored, the decision is the same")
            if not_done := _not_done(one.told, ends[door.ura]):
                print(f"  {not_done}")
        else:
            code = 1
            print(f"{door.name}: made again from what is stored, the decision DIFFERS")
            for difference in result.differences:
                print(f"  {difference}")
    return code


async def _found(doors: Sequence[Door], decision: str) -> list[tuple[Door, Event]]:
    logs = await asyncio.gather(*(_events(door, decision) for door in doors))
    found = [(door, event) for door, events in zip(doors, logs, strict=True) for event in events]
    return sorted(found, key=lambda one: _order(one[1]))


def _not_done(told: dict[str, Any], end: str) -> str:
    """What became of what was permitted, when its decision `end`ed otherwise; '' when it did not."""
    return _NOT_DONE.get(end, "") if told["outcome"] == "0" else ""


def _order(event: Event) -> tuple[str, int]:
    """The place of an event in time; in one millisecond what was permitted comes before its refusal."""
    return str(event.get("recorded", "")), int(event.get("outcome", "0"))


async def _stored(found: Iterable[tuple[Door, Event]], decision: str) -> dict[str, Stored]:
    """What was stored of the decision with these events, by the id of the event; nothing of one that carried none."""
    stored = {}
    for door, event in found:
        async with Client(door) as client:
            try:
                path, params = f"log/decisions/{quote(decision)}", [("event", event["id"])]
                body = (await client.good("GET", path, params=params)).body
                told = orjson.loads(body)
                text = (await client.good("GET", f"log/policies/{told['policy']}")).body.decode()
            except NotFound:
                continue
        stored[event["id"]] = Stored(body, told, text)
    return stored


async def _events(door: Door, decision: str) -> list[Event]:
    """All events of the decision in the log of one organisation; a text that is no id is the id of nothing."""
    params = [("entity:identifier", decision), ("_count", "1000")]
    async with Client(door) as client:
        try:
            bundle = (await client.good("GET", "log/fhir/r4/AuditEvent", params=params)).table()
        except NotFound:
            return []
    return [entry["resource"] for entry in bundle.get("entry", [])]


def _lines(places: Places, event: Event, told: dict[str, Any] | None, end: str) -> Iterator[str]:
    """One event: a word and what it says per line. What is `told` by the stored decision says more than the event.
    `end` is the outcome with which the decision ended: what was permitted may have been refused after all."""
    words = dict(_facts(places, event))
    if told is not None:
        decision = words.pop("decision")
        words |= {**dict(decided(told)), "decision": decision}
        if not_done := _not_done(told, end):
            words["outcome"] = not_done
            words = {("was to be" if word == "disclosed" else word): text for word, text in words.items()}
    for word, text in words.items():
        if text:
            first, *more = text.splitlines()
            yield f"{word:<{_HEAD}}{first}"
            for line in more:
                yield f"{'':<{_HEAD}}{line}"


def _facts(places: Places, event: Event) -> Iterator[tuple[str, str]]:
    agents = event.get("agent", [])
    organisations = [
        a for a in agents if a.get("requestor") is False and "type" in a and not _part(a, "RESP")
    ]
    users = [a for a in agents if a.get("requestor")]
    decision = _entity(event, "decision")
    details = {d.get("type"): d.get("valueString", "") for d in (decision or {}).get("detail", [])}
    yield "when", _moment(str(event.get("recorded", "")))
    yield "what", _kind(event)
    if organisations:
        yield "asked by", _organisation(places, organisations[0])
    for user in users:
        yield "user", _user(user)
    for agent in agents:
        if _part(agent, "RESP"):
            yield "responsible", _number(agent)
    if len(organisations) > 1:
        yield "asked of", _organisation(places, organisations[1])
    yield "patient", _patient(event)
    yield (
        "purpose",
        ", ".join(c.get("code", "") for p in event.get("purposeOfEvent", []) for c in p["coding"]),
    )
    yield "request", _query(event)
    yield "outcome", _OUTCOMES.get(str(event.get("outcome")), "unknown")
    yield "reason", explained(str(event.get("outcomeDesc", "")))
    yield "explanation", details.get("toelichting", "")
    yield "rule", details.get("autorisatieProtocol", "")
    yield "ground", details.get("toestemmingsProfiel", "")
    yield "treatment", details.get("behandelrelatieProtocol", "")
    yield "checks done", "\n".join(details.get("controles", "").split("; "))
    yield "disclosed", "\n".join(_disclosed(event))
    yield "token", ", ".join(_tokens(agents))
    yield "request id", _identifier(_entity(event, "XrequestId"))
    yield "decision", _identifier(decision).removeprefix("urn:uuid:")


def _kind(event: Event) -> str:
    """What happened, by the most specific of the event's codes."""
    codings: list[Event] = [event.get("type", {}), *event.get("subtype", [])]
    coding = codings[-1]
    if "display" not in coding:
        return _KINDS.get(coding.get("code", ""), str(coding.get("code", "unknown")))
    done = "" if coding.get("code") in _ACTS else _DONE.get(str(event.get("action")), "")
    return f"{coding['display']}{done}"


def _moment(text: str) -> str:
    """An instant as a clock in the Netherlands shows it, with the zone."""
    try:
        moment = datetime.fromisoformat(text).astimezone(AMSTERDAM)
    except ValueError:
        return text
    return moment.isoformat(" ", "milliseconds")


def _organisation(places: Places, agent: Event) -> str:
    who = agent.get("who", {})
    ura = who.get("identifier", {}).get("value", "")
    named = f"{who['display']} ({ura})" if who.get("display") else places.named(ura)
    address = agent.get("network", {}).get("address")
    return f"{named} at {address}" if address else named


def _user(agent: Event) -> str:
    roles = ", ".join(c.get("code", "") for role in agent.get("role", []) for c in role.get("coding", []))
    return f"{agent.get('name', '')} ({_number(agent)}), role {roles or 'unknown'}"


def _number(agent: Event) -> str:
    return str(agent.get("who", {}).get("identifier", {}).get("value", ""))


def _part(agent: Event, code: str) -> bool:
    return any(c.get("code") == code for c in agent.get("type", {}).get("coding", []))


def _patient(event: Event) -> str:
    for entity in event.get("entity", []):
        if entity.get("what", {}).get("type") == "Patient":
            number = entity["what"].get("identifier", {}).get("value", "")
            return f"BSN {number} {entity.get('name', '')}".strip()
    return ""


def _query(event: Event) -> str:
    texts = (entity.get("query") for entity in event.get("entity", []))
    return "\n".join(base64.b64decode(text).decode(errors="replace") for text in texts if text)


def _disclosed(event: Event) -> Iterable[str]:
    for entity in event.get("entity", []):
        reference = entity.get("what", {}).get("reference")
        if reference:
            yield str(reference)


def _tokens(agents: Iterable[Event]) -> Iterable[str]:
    for agent in agents:
        yield from (policy.removeprefix("urn:jti:") for policy in agent.get("policy", []))


def _entity(event: Event, code: str) -> Event | None:
    """The entity whose type has this code."""
    entities: list[Event] = event.get("entity", [])
    return next((one for one in entities if one.get("type", {}).get("code") == code), None)


def _identifier(entity: Event | None) -> str:
    return str((entity or {}).get("what", {}).get("identifier", {}).get("value", ""))
