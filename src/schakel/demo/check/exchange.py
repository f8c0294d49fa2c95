"""The exchange: what came from each holder, why it was allowed there, and what was written down of it.

What arrived is compared with each holder's own door, which is asked once more for all 27 searches; the rules are worked
out here anew and not taken from the gateway. `localise` makes the exchange; the steps here look at each holder that
gave something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from schakel.demo.check.trial import (
    Party,
    Trial,
    detail,
    disclosed,
    identifier,
    key,
    prove,
    prove_equal,
    searches,
    troubles,
)
from schakel.fhir.json import Resource, dump, parse
from schakel.kernel.values import BSN_SYSTEM

LEAST = 3
"""Holders that must give something, of both operators."""


async def identify(trial: Trial) -> str:
    """The holder's authorisation server knows the requester, the user and the purpose by the assertion."""
    token = await trial.token(trial.requester)
    reply = await trial.client.send(
        "POST",
        f"{trial.holder.internal}/oauth2/introspect",
        headers={"X-API-Key": trial.holder.internal_key},
        data={"token": token},
    )
    prove_equal(reply.status, 200, "introspection")
    said = reply.json()
    user = trial.user(trial.requester)
    prove_equal(said.get("active"), True, "the token is active")
    prove_equal(said["client_id"], trial.requester.ura, "requester")
    prove_equal(said["user"], user.json(), "user")
    prove_equal(said["purpose_of_use"], "TREAT", "purpose")
    prove(0 < said["exp"] - said["iat"] <= 3600, "the token lives longer than an hour")
    return (
        f"{trial.holder.slug} gave a token to URA {said['client_id']} for {user.name}, role {user.role}, "
        f"purpose {said['purpose_of_use']}, valid for {said['exp'] - said['iat']} s"
    )


async def bgz(trial: Trial) -> str:
    """Complete, equal to the source in every byte of every resource, and nothing kept by the requester."""
    for told in trial.answer["holders"]:
        requests = told["requests"]
        prove_equal(
            (told["status"], len(requests)), ("complete", 27), f"URA {told['ura']} ({troubles(told)})"
        )
        prove_equal([r["query"] for r in requests], searches(trial.bsn), "requests")
    prove_equal(trial.answer["status"], "complete", "exchange")
    givers = trial.givers()
    prove(len(givers) >= LEAST, f"{len(givers)} holders gave something, not {LEAST}")
    prove_equal({one.operator for one in givers}, {"first", "second"}, "operators of those that gave")
    _provenances(trial)
    sources = await asyncio.gather(*(_at_the_source(trial, one) for one in givers))
    for party, expected in zip(givers, sources, strict=True):
        arrived = trial.given(party)
        prove_equal(sorted(set(expected) - set(arrived)), [], f"missing of {party.slug}")
        prove_equal(sorted(set(arrived) - set(expected)), [], f"too much of {party.slug}")
        unlike = [name for name in arrived if dump(arrived[name]) != dump(expected[name])]
        prove_equal(unlike, [], f"other than at {party.slug}")
    await _nothing_kept(trial, {name.partition("/")[0] for one in givers for name in trial.given(one)})
    amounts = ", ".join(f"{len(trial.given(one))} of {one.slug}" for one in givers)
    return (
        f"27 of 27 requests complete at each of {len(trial.answer['holders'])} holders; {amounts}, all equal to the "
        f"source; nothing was stored at {trial.requester.slug}"
    )


async def assembled(trial: Trial) -> str:
    """What holders share under one identifier is one thing: once where they say the same, side by side where not."""
    prove(bool(trial.answer), "the exchange has not been made")
    shared = [
        (section["zib"], thing)
        for section in trial.answer["sections"]
        for thing in section["things"]
        if len({source["ura"] for version in thing["versions"] for source in version}) > 1
    ]
    there = {entry["fullUrl"] for entry in trial.answer["bundle"]["entry"]}
    for _, thing in shared:
        urls = [source["url"] for version in thing["versions"] for source in version]
        prove(len(set(urls)) == len(urls) and set(urls) <= there, "a source of a thing is not in the Bundle")
    folded = [zib for zib, thing in shared if len(thing["versions"]) == 1]
    beside = [(zib, thing["differs"]) for zib, thing in shared if len(thing["versions"]) > 1]
    prove(bool(folded), "no double was folded")
    prove(bool(beside) and all(differs for _, differs in beside), "no difference stands side by side")
    names = ", ".join(sorted({f"{zib} ({' '.join(differs)})" for zib, differs in beside}))
    return f"{len(folded)} things that holders share say the same; side by side what differs: {names}"


async def streamed(trial: Trial) -> str:
    """The same question told step by step brings the same."""
    prove(bool(trial.answer), "the exchange has not been made")
    question = trial.question(trial.requester, trial.bsn, trial.login, ())
    reply = await trial.client.send(
        "POST",
        f"{trial.requester.internal}/exchanges/bgz",
        headers={"X-API-Key": trial.requester.internal_key, "Accept": "text/event-stream"},
        data=dump(question),
    )
    prove_equal(reply.status, 200, f"the exchange ({reply.said()[:100]})")
    events = list(_events(reply.body))
    kinds = [kind for kind, _ in events]
    holders = len(trial.answer["holders"])
    prove_equal(kinds, ["localised", *["holder"] * holders, "assembled"], "events")
    came = {e["fullUrl"]: e["resource"] for _, body in events[1:-1] for e in body["entry"]}
    whole = {e["fullUrl"]: e["resource"] for e in trial.answer["bundle"]["entry"]}
    mine = {url: dump(one) for url, one in came.items() if not url.startswith("urn:")}
    prove(
        mine == {url: dump(one) for url, one in whole.items() if not url.startswith("urn:")},
        "other resources came",
    )
    prove(events[-1][1]["sections"] == trial.answer["sections"], "they were put together in another way")
    return f"{holders} holders told as they came, in {len(events)} events: the same {len(mine)} resources and sections"


async def authorise(trial: Trial) -> str:
    """Each log names, for each request, the row of the BgZ that has its number."""
    for party in _givers(trial):
        rows = {
            number: {detail(event, "autorisatieProtocol") for event in events}
            for number, events in (await _lines(trial, party)).items()
        }
        wrong = {n: r for n, r in rows.items() if len(r) != 1 or not next(iter(r)).startswith(f"bgz-{n}-")}
        prove_equal(wrong, {}, f"requests that {party.slug} allowed under another row")
    return f"27 requests were allowed under 27 rows, {min(rows[1])} to {min(rows[27])}, at {_slugs(trial)}"


async def consent(trial: Trial) -> str:
    """Each log names one ground for all requests: a recorded one, which the holder's list has for this requester and
    patient, or what the patient chose at Mitz."""
    found: dict[str, str] = {}
    for party in _givers(trial):
        lines = await _lines(trial, party)
        named = {detail(event, "toestemmingsProfiel") for events in lines.values() for event in events}
        kinds = {one.partition("/")[0] for one in named}
        prove(len(kinds) == 1, f"kinds of ground in the log of {party.slug}: {sorted(kinds)}")
        [found[party.slug]] = kinds
        if kinds == {"recorded"}:
            await _recorded(trial, party, named)
    prove_equal(set(found.values()), {"recorded", "mitz"}, "kinds of ground")
    return "; ".join(f"{slug}: {kind}" for slug, kind in found.items())


async def _recorded(trial: Trial, party: Party, named: set[str]) -> None:
    prove_equal(len(named), 1, f"grounds in the log ({sorted(named)})")
    ground_id = next(iter(named)).partition("/")[2]
    grounds = await trial.grounds(trial.bsn, active=True, holder=party)
    ground = next((g for g in grounds if g["id"] == ground_id), None)
    prove(ground is not None, f"the list of grounds of {party.slug} does not have {ground_id!r}")
    assert ground is not None
    prove_equal(
        (ground["requester"], ground["patient"], ground.get("exchange"), ground["ended"]),
        (trial.requester.ura, trial.bsn, "bgz", None),
        "the ground",
    )


async def minimise(trial: Trial) -> str:
    """Each resource is about the patient, or a resource about the patient refers to it; others are there."""
    proofs = [await _minimised(trial, party) for party in _givers(trial)]
    return "; ".join(proofs)


async def _minimised(trial: Trial, party: Party) -> str:
    arrived = trial.given(party)
    [person] = [r for r in arrived.values() if r["resourceType"] == "Patient"]
    prove(
        any(i.get("system") == BSN_SYSTEM and i.get("value") == trial.bsn for i in person["identifier"]),
        f"the Patient of {party.slug} has another BSN",
    )
    about: list[str] = []
    linked: list[str] = []
    for name, resource in arrived.items():
        patients = {r for r in _references(resource) if r.startswith("Patient/")} | ({name} & {key(person)})
        prove(patients <= {key(person)}, f"{name} names another patient")
        (about if patients else linked).append(name)
    referred = {r for name in about for r in _references(arrived[name])}
    for name in linked:
        resource = arrived[name]
        if resource["resourceType"] == "Provenance":
            targets = {t.get("reference", "") for t in resource["target"]}
            prove(targets <= set(arrived), f"{name} is about something that was not given")
        else:
            prove(name in referred, f"{name} is not about the patient, and nothing given refers to it")
    dropped = sum(r["dropped"] for r in trial.report(party)["requests"])
    prove_equal(dropped, 0, f"held back by the requester, so sent too much by {party.slug}")
    everyone = len(await trial.search(party, "Patient"))
    prove(everyone > 1, f"{party.slug} knows only this patient, so that nothing could leak")
    return (
        f"{party.slug}: {len(about)} resources about the patient and {len(linked)} that those refer to, nothing of the "
        f"{everyone - 1} others there"
    )


async def log(trial: Trial) -> str:
    """Each holder's log has one event for each request with what was given, the requester's one for each holder."""
    own = await trial.log(trial.requester, entity__identifier=f"urn:uuid:{trial.answer['id']}")
    by_patient = await trial.log(trial.requester, patient_in_identifier=trial.bsn, date=f"ge{trial.begun}")
    received = [event for event in own if disclosed(event)]
    given = [await _logged(trial, party, received) for party in _givers(trial)]
    for event in own:
        prove(event in by_patient, "the requester's log has not all of it under the patient")
    counts = ", ".join(f"{count} at {party.slug}" for count, party in zip(given, trial.givers(), strict=True))
    return (
        f"27 or more events with their own decision at each holder, that name exactly the versions that arrived "
        f"({counts}); at {trial.requester.slug} one for each, and who was found, under {trial.answer['id']}"
    )


async def _logged(trial: Trial, party: Party, received: list[Resource]) -> int:
    """How many versions a holder logged as given: those that arrived, by its own log and by the requester's."""
    lines = await _lines(trial, party)
    events = [event for of_one in lines.values() for event in of_one]
    prove(
        all(e["outcome"] == "0" and e["action"] == "E" for e in events),
        f"{party.slug} logged an event that is no successful search",
    )
    decisions = {identifier(event, "decision") for event in events}
    prove_equal(len(decisions), len(events), f"decisions at {party.slug}")
    for request in trial.report(party)["requests"]:
        logged = {identifier(event, "decision") for event in lines[request["number"]]}
        prove(
            f"urn:uuid:{request['decision']}" in logged, f"request {request['number']} names another decision"
        )
    arrived = {f"{name}/_history/{one['meta']['versionId']}" for name, one in trial.given(party).items()}
    given = {version for event in events for version in disclosed(event)}
    prove_equal(given ^ arrived, set(), f"logged as given by {party.slug} and not arrived, or the reverse")
    mine = [event for event in received if disclosed(event) == arrived]
    prove_equal(len(mine), 1, f"events of what came from {party.slug} in the requester's log")
    prove_equal(identifier(mine[0], "1"), trial.bsn, "patient in the requester's log")
    return len(given)


def _givers(trial: Trial) -> list[Party]:
    found = trial.givers()
    prove(bool(found), "the exchange brought nothing")
    return found


def _slugs(trial: Trial) -> str:
    return ", ".join(one.slug for one in trial.givers())


def _provenances(trial: Trial) -> None:
    """Every resource is from a holder of the exchange, and its Provenance says which."""
    entries = trial.answer["bundle"].get("entry", [])
    added = [e["resource"] for e in entries if e["fullUrl"].startswith("urn:uuid:")]
    given = {
        party.ura: {f"{party.guarded}/{name}" for name in trial.given(party)} for party in trial.givers()
    }
    prove_equal(sum(map(len, given.values())) + len(added), len(entries), "entries of known holders")
    told = {
        one["agent"][0]["whoReference"]["identifier"]["value"]: {t["reference"] for t in one["target"]}
        for one in added
    }
    prove_equal(told, given, "the Provenance that says where all came from")


async def _at_the_source(trial: Trial, party: Party) -> dict[str, Resource]:
    """What the 27 searches find at a holder's own door."""
    found: dict[str, Resource] = {}
    for query in searches(trial.bsn):
        found |= {key(one): one for one in await trial.search(party, query)}
    return found


async def _nothing_kept(trial: Trial, types: set[str]) -> None:
    for kind in sorted(types):
        written = await trial.search(trial.requester, f"{kind}?_lastUpdated=ge{trial.begun}")
        prove_equal([key(one) for one in written], [], f"written at {trial.requester.slug} meanwhile")


async def _lines(trial: Trial, party: Party) -> dict[int, list[Resource]]:
    """The events at a holder of each request, by its number; more than one when a request had pages."""
    events = await trial.log(party, patient_in_identifier=trial.bsn, date=f"ge{trial.begun}", _count="1000")
    lines: dict[int, list[Resource]] = {}
    for event in events:
        exchange, _, number = identifier(event, "XrequestId").partition(".")
        if exchange == trial.answer["id"]:
            lines.setdefault(int(number), []).append(event)
    prove_equal(sorted(lines), list(range(1, 28)), f"requests in the log of {party.slug}")
    return lines


def _events(body: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The server-sent events of an answer: kind and JSON."""
    for block in body.decode().replace("\r\n", "\n").split("\n\n"):
        fields = [line.partition(":") for line in block.split("\n") if line and not line.startswith(":")]
        kinds = [value.strip() for name, _, value in fields if name == "event"]
        if kinds:
            data = "\n".join(value.removeprefix(" ") for name, _, value in fields if name == "data")
            yield kinds[0], parse(data.encode(), max_depth=80)


def _references(value: Any) -> Iterator[str]:
    """Every literal reference in a resource, as it is written."""
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str):
            yield reference
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)
