"""kill -9 of the node and of the whole database while transactions are loaded, again and again.

The loaders go on through it all, as an import does. What was acknowledged is there afterwards; of every
transaction there is all or nothing; and nobody lent a hand: the same commands were given again, and a node whose
database was away went on by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from tests.fault.processes import BSN, Database, Site, check_log, ehr, running_site

from schakel.store.cluster_folder import wait_until
from schakel.store.sql import INDEX_TABLES

LOADERS = 4
SHARED = 6
"""Resources that every transaction of two loaders updates: one Patient and its Observations."""
CREATED = 24
"""Resources that a transaction creates: one Patient and its Observations."""
MARKERS = "https://example.org/markers"
PAUSE, BACK_OFF = 0.01, 0.3
"""Seconds between two requests, and after one that failed."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Sent:
    """A transaction that was sent: which shared resources it updates, and the answer if there was one."""

    marker: str
    shared: str
    answer: dict[str, dict[str, Any]] | None
    """Resources by Type/id."""


@dataclass
class Load:
    """What was sent, and which decisions of the guarded door were answered."""

    sent: list[Sent] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def acknowledged(self) -> list[Sent]:
        return [one for one in self.sent if one.answer is not None]

    async def grows(self, by: int = 12) -> None:
        """Returns when so many more transactions and at least one more guarded answer were acknowledged."""
        sent, decided = len(self.acknowledged) + by, len(self.decisions) + 1

        def grown() -> bool:
            return len(self.acknowledged) >= sent and len(self.decisions) >= decided

        assert await asyncio.to_thread(wait_until, grown, 20.0), "the load does not go on"


def _resource(kind: str, marker: str, subject: str) -> dict[str, Any]:
    identifier = [{"system": MARKERS, "value": marker}]
    if kind == "Patient":
        return {"resourceType": kind, "identifier": identifier, "name": [{"family": marker}]}
    return {
        "resourceType": kind,
        "identifier": identifier,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
        "subject": {"reference": subject},
        "effectiveDateTime": "2017-05-01T10:00:00+02:00",
        "valueQuantity": {"value": 120, "unit": "mmHg"},
    }


def _transaction(marker: str, shared: str) -> dict[str, Any]:
    """SHARED updates and CREATED creates, each with `marker`."""
    entries: list[dict[str, Any]] = []
    for number in range(SHARED):
        kind = "Observation" if number else "Patient"
        resource = _resource(kind, marker, f"Patient/{shared}-0") | {"id": f"{shared}-{number}"}
        entries.append(
            {"resource": resource, "request": {"method": "PUT", "url": f"{kind}/{shared}-{number}"}}
        )
    urn = f"urn:uuid:{uuid.uuid4()}"
    for number in range(CREATED):
        kind = "Observation" if number else "Patient"
        entry = {"resource": _resource(kind, marker, urn), "request": {"method": "POST", "url": kind}}
        entries.append(entry if number else {"fullUrl": urn, **entry})
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def _send(client: aiohttp.ClientSession, site: Site, marker: str, shared: str) -> Sent:
    """Sends one transaction; anything but 200 counts as not acknowledged, and has to be 503."""
    try:
        async with client.post(site.fhir, json=_transaction(marker, shared)) as answer:
            body = await answer.json(content_type="application/fhir+json")
            assert answer.status in (200, 503), body
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
        return Sent(marker, shared, None)
    if answer.status == 503:
        assert body["resourceType"] == "OperationOutcome"
        return Sent(marker, shared, None)
    resources = [entry["resource"] for entry in body["entry"]]
    return Sent(marker, shared, {f"{r['resourceType']}/{r['id']}": r for r in resources})


async def _load(client: aiohttp.ClientSession, site: Site, load: Load, shared: str) -> None:
    """Sends transactions until told to stop."""
    while not load.stop.is_set():
        marker = f"marker-{next(_numbers)}"
        load.sent.append(await _send(client, site, marker, shared))
        await asyncio.sleep(BACK_OFF if load.sent[-1].answer is None else PAUSE)


async def _ask(client: aiohttp.ClientSession, site: Site, load: Load, headers: dict[str, str]) -> None:
    """Asks at the guarded door until told to stop."""
    while not load.stop.is_set():
        try:
            async with client.get(site.guarded_patient, headers=headers) as answer:
                body = await answer.json(content_type="application/fhir+json")
            if answer.status == 200:
                assert [e["resource"]["id"] for e in body["entry"]] == ["known"]
                load.decisions.append(answer.headers["X-Decision-ID"])
            else:
                assert (answer.status, body["resourceType"]) == (503, "OperationOutcome"), body
                await asyncio.sleep(BACK_OFF)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            await asyncio.sleep(BACK_OFF)
        await asyncio.sleep(PAUSE)


async def _kill_node(client: aiohttp.ClientSession, site: Site, database: Database) -> None:
    await site.kill()
    await site.start()


async def _kill_database(client: aiohttp.ClientSession, site: Site, database: Database) -> None:
    """Only the database is started again: the node that lost it goes on."""
    node = site.process.pid
    await database.kill()
    async with client.get(f"{site.internal}/health/ready") as answer:
        assert answer.status == 503
    await database.start()
    await site.until_ready(client)
    assert site.process.pid == node and site.process.poll() is None


async def _kill_both(client: aiohttp.ClientSession, site: Site, database: Database) -> None:
    await site.kill()
    await database.kill()
    await database.start()
    await site.start()


KILLS = {"node": _kill_node, "database": _kill_database, "both": _kill_both}


async def _found(client: aiohttp.ClientSession, site: Site, query: str) -> dict[str, dict[str, Any]]:
    """What a search finds, by Type/id."""
    async with client.get(f"{site.fhir}/{query}&_count=200") as answer:
        body = await answer.json(content_type="application/fhir+json")
        assert answer.status == 200, body
    resources = [entry["resource"] for entry in body.get("entry", [])]
    return {f"{r['resourceType']}/{r['id']}": r for r in resources}


async def _read(client: aiohttp.ClientSession, site: Site, path: str) -> dict[str, Any] | None:
    """A resource; None when there is none."""
    async with client.get(f"{site.fhir}/{path}") as answer:
        body: dict[str, Any] = await answer.json(content_type="application/fhir+json")
        assert answer.status in (200, 404), body
        return body if answer.status == 200 else None


async def _history(client: aiohttp.ClientSession, site: Site, shared: str) -> list[list[dict[str, Any]]]:
    """All versions of the shared resources, each version as the list of those resources.

    They were always updated together, so they stand side by side; a hole or a half transaction does not.
    """
    paths = [f"{'Observation' if n else 'Patient'}/{shared}-{n}" for n in range(SHARED)]
    current = [await _read(client, site, path) for path in paths]
    numbers = {int(r["meta"]["versionId"]) for r in current if r is not None}
    assert None not in current and len(numbers) == 1, f"{shared}: {numbers}"
    last = numbers.pop()

    async def version(number: int) -> list[dict[str, Any]]:
        found = [await _read(client, site, f"{path}/_history/{number}") for path in paths]
        whole = [one for one in found if one is not None]
        assert len(whole) == SHARED, f"version {number} of {last} has a hole"
        return whole

    history = list(await asyncio.gather(*(version(number) for number in range(1, last + 1))))
    assert history[-1] == current
    assert await _read(client, site, f"{paths[0]}/_history/{last + 1}") is None
    return history


async def _check_transaction(
    client: aiohttp.ClientSession, site: Site, sent: Sent, updated: Sequence[dict[str, Any]], newest: bool
) -> None:
    """All of one transaction; `updated` are the versions of the shared resources with its marker, which are
    still the current ones when it is the `newest`. Each search goes through another index."""
    shared = {f"{r['resourceType']}/{r['id']}": r for r in updated}
    by_token = await _found(client, site, f"Observation?identifier={MARKERS}|{sent.marker}")
    by_string = await _found(client, site, f"Patient?family:exact={sent.marker}")
    found = by_token | by_string
    assert {key: one for key, one in found.items() if key in shared} == (shared if newest else {})
    created = {key: one for key, one in found.items() if key not in shared}
    assert len(created) == CREATED, f"of {sent.marker} there are {len(created)}"
    [patient] = [key for key in created if key.startswith("Patient/")]
    by_reference = await _found(client, site, f"Observation?subject={patient}")
    assert by_reference == {key: one for key, one in created.items() if key != patient}
    if sent.answer is not None:
        assert shared | created == sent.answer, f"{sent.marker} is not what was acknowledged"


async def _check_everything(client: aiohttp.ClientSession, site: Site, load: Load) -> None:
    """Every transaction that was sent is there as a whole, or was not acknowledged and is not there at all."""
    places = asyncio.Semaphore(8)

    async def check(sent: Sent, updated: Sequence[dict[str, Any]], newest: bool) -> None:
        async with places:
            await _check_transaction(client, site, sent, updated, newest)

    for shared in {one.shared for one in load.sent}:
        applied: dict[str, list[dict[str, Any]]] = {}
        for versions in await _history(client, site, shared):
            [marker] = {one["identifier"][0]["value"] for one in versions}
            assert marker not in applied, "a transaction was applied twice"
            applied[marker] = versions
        newest = list(applied)[-1]
        sent = {one.marker: one for one in load.sent if one.shared == shared}
        await asyncio.gather(*(check(sent[m], versions, m == newest) for m, versions in applied.items()))
        absent = [one for one in sent.values() if one.marker not in applied]
        assert [one for one in absent if one.answer is not None] == [], "acknowledged, and lost"
        for some in (absent[start : start + 50] for start in range(0, len(absent), 50)):
            values = ",".join(f"{MARKERS}|{one.marker}" for one in some)
            for kind in ("Observation", "Patient"):
                assert await _found(client, site, f"{kind}?identifier={values}") == {}, "half applied"


async def _check_index(database: Database) -> None:
    """No index row is without its resource, and equal resources have equally many index rows."""
    connection = await asyncpg.connect(database.address)
    try:
        counts = []
        for table in INDEX_TABLES:
            lost = await connection.fetchval(
                f"SELECT count(*) FROM {table} i WHERE NOT EXISTS "
                "(SELECT FROM resource r WHERE r.tenant = i.tenant AND r.rid = i.rid AND r.type = i.type)"
            )
            assert lost == 0, f"{table} has rows of no resource"
            counts.append(f"(SELECT count(*) FROM {table} i WHERE i.tenant = r.tenant AND i.rid = r.rid)")
        shapes = await connection.fetch(
            f"SELECT DISTINCT type, {', '.join(counts)} FROM resource r WHERE id <> 'known'"
        )
        assert len(shapes) == 2, shapes
    finally:
        await connection.close()


async def _check_log(client: aiohttp.ClientSession, site: Site, decisions: Sequence[str]) -> None:
    """Every answered decision stands in the log, once."""
    url = f"{site.internal}/noord/log/fhir/r4/AuditEvent?patient.identifier={BSN}&_count=1000"
    logged: list[str] = []
    while url:
        async with client.get(url) as answer:
            body = await answer.json(content_type="application/fhir+json")
            assert answer.status == 200, body
        logged += [
            entity["what"]["identifier"]["value"].removeprefix("urn:uuid:")
            for entry in body.get("entry", [])
            for entity in entry["resource"].get("entity", [])
            if "identifier" in entity.get("what", {})
        ]
        url = next((link["url"] for link in body["link"] if link["relation"] == "next"), "")
    assert {d: logged.count(d) for d in decisions} == dict.fromkeys(decisions, 1)


async def _kill_during_load(open_folder: Path, kills: Sequence[str]) -> None:
    async with (
        running_site(open_folder) as (site, database),
        ehr() as client,
        aiohttp.ClientSession() as other,
    ):
        headers = await site.let_in(client)
        load = Load()
        async with asyncio.TaskGroup() as group:
            for number in range(LOADERS):
                group.create_task(_load(client, site, load, f"shared-{number % 2}"))
            group.create_task(_ask(other, site, load, headers))
            await load.grows()
            for kill in kills:
                before = len(load.sent) - len(load.acknowledged)
                await KILLS[kill](client, site, database)
                assert len(load.sent) - len(load.acknowledged) > before, "nothing was under way"
                await load.grows()
            load.stop.set()
        await _check_everything(client, site, load)
        await _check_index(database)
        await _check_log(client, site, load.decisions)
        assert "marker-" not in site.log
        check_log(site, headers)


async def test_no_acknowledged_write_is_lost_or_halved_by_kill_9(open_folder: Path) -> None:
    await _kill_during_load(open_folder, ["node", "database", "node", "database"])


@pytest.mark.slow
async def test_no_acknowledged_write_is_lost_or_halved_by_kill_9_many_times(open_folder: Path) -> None:
    await _kill_during_load(open_folder, ["node", "database", "both"] * 6)
