"""The steps of the exchange: found, known, fetched, allowed, consented, minimised and written down.

What arrived is compared with the holder's own door, which is asked for every resource and, once more, for all
27 searches; the rules are worked out here anew and not taken from the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from schakel.demo.check.trial import (
    Trial,
    detail,
    disclosed,
    identifier,
    key,
    prove,
    prove_equal,
    searches,
)
from schakel.fhir.json import Resource, dump, parse
from schakel.kernel.clock import instant, now
from schakel.kernel.values import BSN_SYSTEM

_AT_ONCE = 8


async def address(trial: Trial) -> str:
    """The directory's addresses and keys of the holder are those that the holder itself publishes."""
    entry = trial.directory()[trial.holder.ura]
    origin, _, slug = entry["issuer"].rpartition("/")
    reply = await trial.client.send("GET", f"{origin}/.well-known/oauth-authorization-server/{slug}")
    prove_equal(reply.status, 200, "metadata of the holder")
    metadata = reply.json()
    prove_equal(metadata["issuer"], entry["issuer"], "issuer")
    aliases = metadata["mtls_endpoint_aliases"]
    prove_equal(aliases["token_endpoint"], entry["token_endpoint"], "token endpoint with a certificate")
    keys = (await trial.client.send("GET", metadata["jwks_uri"])).json()
    prove_equal(keys, entry["jwks"], "keys of the holder")
    statement = await trial.requester.outside.send("GET", f"{entry['fhir']['stu3']}/metadata")
    prove_equal(statement.status, 200, "CapabilityStatement of the holder")
    version = str(statement.json()["fhirVersion"])
    prove(version.startswith("3.0."), f"the FHIR version there is {version}, not STU3")
    return (
        f"URA {trial.holder.ura} is at {entry['issuer']}: issuer, token endpoint and keys agree; "
        f"FHIR is {version}"
    )


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
    bsn = await trial.patient()
    trial.begun = instant(now())
    answer = await trial.fetch(trial.requester, bsn)
    trial.answer, trial.bsn = answer, bsn
    [holder] = answer["holders"]
    troubles = [
        f"{r['number']}: {r['status']} {r['reason']}" for r in holder["requests"] if r["status"] != "complete"
    ]
    prove(not troubles, f"requests that are not complete: {'; '.join(troubles)[:400]}")
    prove_equal(
        (answer["status"], holder["status"], len(holder["requests"])),
        ("complete", "complete", 27),
        "exchange",
    )
    prove_equal([r["query"] for r in holder["requests"]], searches(bsn), "requests")
    arrived = _arrived(trial)
    expected = await _at_the_source(trial, bsn)
    prove_equal(sorted(set(expected) - set(arrived)), [], "missing")
    prove_equal(sorted(set(arrived) - set(expected)), [], "too much")
    read = await _read_at_the_source(trial, list(arrived))
    unlike = [name for name in arrived if not dump(arrived[name]) == dump(expected[name]) == dump(read[name])]
    prove_equal(unlike, [], "other than at the source")
    await _nothing_kept(trial, {one["resourceType"] for one in arrived.values()})
    return (
        f"27 of 27 requests complete; {len(arrived)} resources of {len({n.split('/')[0] for n in arrived})} types, "
        f"each equal to the one at {trial.holder.slug}; nothing was stored at {trial.requester.slug}"
    )


async def authorise(trial: Trial) -> str:
    """The log names, for each request, the row of the BgZ that has its number."""
    lines = await _lines(trial)
    rows = {
        number: {detail(event, "autorisatieProtocol") for event in events} for number, events in lines.items()
    }
    wrong = {n: r for n, r in rows.items() if len(r) != 1 or not next(iter(r)).startswith(f"bgz-{n}-")}
    prove_equal(wrong, {}, "requests allowed under another row")
    return f"27 requests were allowed under 27 rows, {min(rows[1])} to {min(rows[27])}"


async def consent(trial: Trial) -> str:
    """The log names one ground for all requests, and the holder's list has it, for this requester and patient."""
    lines = await _lines(trial)
    named = {detail(event, "toestemmingsProfiel") for events in lines.values() for event in events}
    prove_equal(len(named), 1, f"grounds in the log ({sorted(named)})")
    [profile] = named
    kind, _, ground_id = profile.partition("/")
    prove_equal(kind, "recorded", "kind of ground")
    ground = next((g for g in await trial.grounds(trial.bsn, active=True) if g["id"] == ground_id), None)
    prove(ground is not None, f"the list of grounds does not have {ground_id!r}")
    assert ground is not None
    prove_equal(
        (ground["requester"], ground["patient"], ground.get("exchange"), ground["ended"]),
        (trial.requester.ura, trial.bsn, "bgz", None),
        "the ground",
    )
    return f"all under ground {ground_id}, for URA {ground['requester']} until {ground['until'][:10]}"


async def minimise(trial: Trial) -> str:
    """Each resource is about the patient, or a resource about the patient refers to it; others are there."""
    arrived = _arrived(trial)
    [person] = [r for r in arrived.values() if r["resourceType"] == "Patient"]
    prove(
        any(i.get("system") == BSN_SYSTEM and i.get("value") == trial.bsn for i in person["identifier"]),
        "the Patient has another BSN",
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
    dropped = sum(r["dropped"] for r in trial.answer["holders"][0]["requests"])
    prove_equal(dropped, 0, "held back by the requester, so sent too much by the holder")
    everyone = len(await trial.search(trial.holder, "Patient"))
    prove(everyone > 1, "the holder knows only this patient, so that nothing could leak")
    return (
        f"{len(about)} resources about the patient and {len(linked)} that those refer to; nothing of the "
        f"{everyone - 1} others at {trial.holder.slug}"
    )


async def log(trial: Trial) -> str:
    """The holder's log has one event for each request with what was given, the requester's one for all."""
    lines = await _lines(trial)
    events = [event for of_one in lines.values() for event in of_one]
    prove(
        all(e["outcome"] == "0" and e["action"] == "E" for e in events),
        "an event that is no successful search",
    )
    decisions = {identifier(event, "decision") for event in events}
    prove_equal(len(decisions), len(events), "decisions")
    for request in trial.answer["holders"][0]["requests"]:
        logged = {identifier(event, "decision") for event in lines[request["number"]]}
        prove(
            f"urn:uuid:{request['decision']}" in logged, f"request {request['number']} names another decision"
        )
    for decision in sorted(decisions):
        [one] = await trial.log(trial.holder, entity__identifier=decision)
        prove(one in events, f"decision {decision} leads to another event")
    arrived = {f"{name}/_history/{one['meta']['versionId']}" for name, one in _arrived(trial).items()}
    given = {version for event in events for version in disclosed(event)}
    prove_equal(given ^ arrived, set(), "given according to the holder's log and not arrived, or the reverse")
    own = await trial.log(trial.requester, entity__identifier=f"urn:uuid:{trial.answer['id']}")
    prove_equal(len(own), 1, "events of the exchange at the requester")
    prove_equal(
        disclosed(own[0]) ^ arrived, set(), "received according to the requester's log, or the reverse"
    )
    prove_equal(identifier(own[0], "1"), trial.bsn, "patient in the requester's log")
    by_patient = await trial.log(trial.requester, patient_in_identifier=trial.bsn, date=f"ge{trial.begun}")
    prove(own[0] in by_patient, "the requester's log has no such event under the patient")
    return (
        f"{len(events)} events with their own decision at {trial.holder.slug} that name exactly the "
        f"{len(given)} versions that arrived; one at {trial.requester.slug}, decision {trial.answer['id']}"
    )


def _arrived(trial: Trial) -> dict[str, Resource]:
    """What the holder gave, by Type/id; the Provenance that the requester adds is left out, after a look."""
    prove(bool(trial.answer), "the exchange has not been made")
    entries = trial.answer["bundle"].get("entry", [])
    added = [e["resource"] for e in entries if e["fullUrl"].startswith("urn:uuid:")]
    given = {key(e["resource"]): e for e in entries if not e["fullUrl"].startswith("urn:uuid:")}
    prove(len(given) + len(added) == len(entries) > 1, "the Bundle is empty or has doubles")
    for name, entry in given.items():
        prove_equal(entry["fullUrl"], f"{trial.holder.guarded}/{name}", "address of a resource")
    prove_equal(
        [(p["resourceType"], {t["reference"] for t in p["target"]}) for p in added],
        [("Provenance", {e["fullUrl"] for e in given.values()})],
        "the Provenance that says where all came from",
    )
    return {name: entry["resource"] for name, entry in given.items()}


async def _at_the_source(trial: Trial, bsn: str) -> dict[str, Resource]:
    """What the 27 searches find at the holder's own door."""
    found: dict[str, Resource] = {}
    for query in searches(bsn):
        found |= {key(one): one for one in await trial.search(trial.holder, query)}
    return found


async def _read_at_the_source(trial: Trial, names: list[str]) -> dict[str, Resource]:
    """Each resource, read at the holder's own door."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def read(name: str) -> tuple[str, Resource]:
        async with places:
            reply = await trial.internal("GET", trial.holder, f"/fhir/stu3/{name}")
            prove_equal(reply.status, 200, f"reading {name} at the source")
            return name, parse(reply.body)

    return dict(await asyncio.gather(*map(read, names)))


async def _nothing_kept(trial: Trial, types: set[str]) -> None:
    for kind in sorted(types):
        written = await trial.search(trial.requester, f"{kind}?_lastUpdated=ge{trial.begun}")
        prove_equal([key(one) for one in written], [], f"written at {trial.requester.slug} meanwhile")


async def _lines(trial: Trial) -> dict[int, list[Resource]]:
    """The events at the holder of each request, by its number; more than one when a request had pages."""
    prove(bool(trial.answer), "the exchange has not been made")
    events = await trial.log(
        trial.holder, patient_in_identifier=trial.bsn, date=f"ge{trial.begun}", _count="1000"
    )
    lines: dict[int, list[Resource]] = {}
    for event in events:
        exchange, _, number = identifier(event, "XrequestId").partition(".")
        if exchange == trial.answer["id"]:
            lines.setdefault(int(number), []).append(event)
    prove_equal(sorted(lines), list(range(1, 28)), "requests in the holder's log")
    return lines


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
