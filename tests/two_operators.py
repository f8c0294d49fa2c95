"""Two operators as they run: a node of each in a process of its own, on a database of its own, with the national
facilities between them.

The holder keeps data, registers its patients at the index and publishes its entries; the asker follows the directory
and asks without naming anybody. `Two.agree` proves that what index, directory and logs say is the same.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson
from tests.fault.processes import Site, ehr, free_port, running_site, toml, verified
from tests.followed import Follower
from tests.guarded import condition, patient
from tests.lrza import URA as URA_SYSTEM
from tests.middleman import Middleman, Passing, middleman
from tests.nation import HOLDER, OPERATOR, REQUESTER, Nation, nation
from tests.nodes import DOCTOR
from tests.operators import DIRECTORY, PLACE, Way, asking_as, asking_by, central, holding, served, ways

from schakel.commands.addressing import findings, sync
from schakel.commands.localisation import reconcile
from schakel.commands.published import published
from schakel.generic.addressing.ledger import Ledger
from schakel.generic.addressing.replica import Replica
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel.store.database import connect, disconnect
from schakel.store.resources import Store
from schakel.store.tenants import tenant_of
from schakel.store.writing import RidBlocks

ASKING_OPERATOR = "00000099000000020000"
THIRD = "90000077"
"""Another organisation, for which the asking operator writes in the central directory."""

TYPES = ("Organization", "Location", "HealthcareService", "Endpoint", "OrganizationAffiliation")
SETTLED = 90.0
"""Seconds in which everything is made good after a kill: a lease of a quarter of a minute, and a slow machine."""


def fictional() -> Iterator[str]:
    """BSNs of nobody."""
    for number in range(999_930_000, 999_940_000):
        try:
            yield str(Bsn(str(number)))
        except Invalid:
            continue


@dataclass
class Told:
    """What the EHR of the asker was told: the events as they came."""

    patient: str
    located: dict[str, Any] = field(default_factory=dict)
    holders: list[dict[str, Any]] = field(default_factory=list)
    whole: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return str(self.whole.get("status", ""))


@dataclass
class Two:
    """Both. `given` are the ids of the decisions with which the holder's answers came through to the asker."""

    country: Nation
    holder: Site
    asker: Site
    registering: Way
    asking: Way
    between: Middleman
    client: aiohttp.ClientSession
    given: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    _fictional: Iterator[str] = field(default_factory=fictional)
    _looked: int = 0

    async def passes(self, passing: Passing) -> Any:
        """Passes on what the holder says, and remembers its decisions."""
        said = await passing.passed()
        if decision := said.headers.get("X-Decision-ID"):
            self.given.append(decision)
        return said.response()

    # -- what people do ------------------------------------------------------------------------------------

    async def patient(self, *, until_registered: bool = True) -> str:
        """A new patient of the holder with data, whom the asker may ask about; the BSN."""
        bsn = next(self._fictional)
        self.patients.append(bsn)
        ground = {
            "requester": REQUESTER,
            "patient": bsn,
            "exchange": "bgz",
            "until": "2027-06-01",
            "reason": "test",
        }
        async with self.client.post(f"{self.holder.internal}/noord/grounds", json=ground) as answer:
            assert answer.status == 201, await answer.text()
        for one in (patient(bsn, bsn), condition(bsn, {"reference": f"Patient/{bsn}"})):
            url = f"{self.holder.fhir}/{one['resourceType']}/{bsn}"
            async with self.client.put(url, json=one) as answer:
                assert answer.status == 201, await answer.text()
        if until_registered:
            await self.registered(bsn)
        return bsn

    async def ask(self, bsn: str, until: str = "assembled") -> Told:
        """The question of the asker's EHR, as it is told step by step up to the first event `until`."""
        told = Told(bsn)
        self.told.append(told)
        ask = {
            "patient": bsn,
            "user": DOCTOR.json(),
            "purpose": "TREAT",
            "treatment_relation": "current",
        }
        url = f"{self.asker.internal}/zuid/exchanges/bgz"
        async with self.client.post(url, json=ask, headers={"Accept": "text/event-stream"}) as answer:
            assert answer.status == 200, await answer.text()
            name = ""
            async for line in answer.content:
                kind, _, value = line.decode().strip().partition(": ")
                if kind == "event":
                    name = value
                if kind == "data":
                    _take(told, name, orjson.loads(value))
                    if name == until:
                        break
        return told

    async def asked(self, bsn: str) -> None:
        """Asks, and is told everything of the holder."""
        told = await self.ask(bsn)
        assert [(one["ura"], one["status"]) for one in told.holders] == [(HOLDER, "complete")], told
        assert told.status == "complete"
        kinds = {entry["resource"]["resourceType"] for entry in told.holders[0]["entry"]}
        assert {"Patient", "Condition"} <= kinds

    # -- until it is so ------------------------------------------------------------------------------------

    async def registered(self, bsn: str) -> None:
        """Waits until the holder knows that it is in the index with this patient."""

        async def done() -> bool:
            rows = await _rows(
                self.holder, "SELECT FROM localisation_record WHERE patient = $1 AND state = 'active'", bsn
            )
            return len(rows) == 1

        await eventually(done, "the registration")

    async def published(self) -> None:
        """Waits until the holder knows that all its entries are in the central directory."""

        async def done() -> bool:
            rows = await _rows(self.holder, "SELECT state, version FROM publication")
            return bool(rows) and all(row["state"] == "published" for row in rows)

        await asyncio.sleep(1)  # The worker looks for changes first.
        await eventually(done, "the publication")

    async def in_step(self) -> None:
        """Brings the asker in step with the central directory."""
        assert await asyncio.to_thread(sync, None, self.asker.config, DIRECTORY, whole=False) == 0

    def place(self, name: str, key: str) -> None:
        """From its next start the holder has a location with this key by this name."""
        [organisation] = self.holder.settings["organisations"]
        others = [one for one in organisation["entries"]["locations"] if one["key"] != key]
        organisation["entries"]["locations"] = [*others, {"key": key, "name": name, "type": [PLACE]}]
        self.holder.config.write_text(toml(self.holder.settings))

    # -- what must be so -----------------------------------------------------------------------------------

    async def agree(self, *patients: str) -> None:
        """Index, directory and logs say the same, and nobody was told of anything that they lack."""
        await self.published()
        await self.in_step()
        for bsn in patients:
            await self._index(bsn)
        await self._directory()
        for told in self.told:
            if told.patient in patients:
                await self._logs(told)
        while self._looked < len(self.given):
            await self.decision(self.given[self._looked])
            self._looked += 1

    async def nothing_is_wrong(self) -> None:
        """The commands by which an operator looks find nothing, and the technical logs have nothing of a patient."""
        await asyncio.sleep(1.5)  # What the last second brought is sealed.
        for code, said in await asyncio.gather(verified(self.holder), verified(self.asker)):
            assert code == 0 and "nothing is wrong" in said and "not sealed yet" not in said, said
        holder, asker = self.holder.config, self.asker.config
        assert await asyncio.to_thread(lambda: reconcile(None, holder, None, mend=False)) == 0
        assert await asyncio.to_thread(lambda: published(None, holder, "", overwrite=False)) == 0
        assert await asyncio.to_thread(lambda: findings(None, asker, "", resolved=False)) == 0
        for log in (self.holder.log, self.asker.log):
            assert not [bsn for bsn in self.patients if bsn in log]
            assert "eyJ" not in log and '"fault"' not in log and '"level":"error"' not in log

    async def _index(self, bsn: str) -> None:
        """The index has one record of the holder and the patient, the one that the holder knows."""
        url = f"{self.asker.internal}/zuid/localisation/fhir/r4/List"
        async with self.client.get(url, params={"patient:identifier": bsn}) as answer:
            assert answer.status == 200, await answer.text()
            told = orjson.loads(await answer.read())
        there = [entry["resource"]["id"] for entry in told.get("entry", [])]
        rows = await _rows(
            self.holder, "SELECT record FROM localisation_record WHERE patient = $1 AND state = 'active'", bsn
        )
        assert there == [row["record"] for row in rows] and len(there) == 1

    async def _directory(self) -> None:
        """Each entry of the holder is in the central directory once, and the asker has what that has."""
        there = await self.central()
        rows = await _rows(self.holder, "SELECT type, id, remote FROM publication")
        ours = Counter(
            one["value"]
            for resource in there.values()
            for one in resource.get("identifier", ())
            if "assigner" in one
        )
        for row in rows:
            assert (row["type"], row["remote"]) in there
            number = ours[f"urn:uuid:{row['id']}"]
            # The organisation itself was there before; it is known by its URA.
            assert number == 1 or (row["type"] == "Organization" and number == 0), dict(row)
        assert len({row["remote"] for row in rows}) == len(rows)
        numbers = [
            one["value"]
            for resource in there.values()
            for one in resource.get("identifier", ())
            if resource["resourceType"] == "Organization" and one.get("system") == URA_SYSTEM
        ]
        assert Counter(numbers)[HOLDER] == 1
        assert await self._replica() == {key: _told(one) for key, one in there.items()}

    async def central(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What the central directory has, by type and id, asked past both nodes."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        between = self.asking.between["lrza"]
        for kind in TYPES:
            url = f"{between.target}/fhir/{kind}"
            while url:
                async with between.session.get(url) as answer:
                    assert answer.status == 200, await answer.text()
                    page = orjson.loads(await answer.read())
                for entry in page.get("entry", []):
                    found[kind, entry["resource"]["id"]] = entry["resource"]
                following = [link["url"] for link in page.get("link", []) if link["relation"] == "next"]
                url = following[0].replace(self.asking.at("lrza"), between.target) if following else ""
        return found

    async def _replica(self) -> dict[tuple[str, str], Any]:
        """What the asker has of the central directory, by type and id there."""
        pool = await connect(self.asker.settings["database"], connections=2)
        try:
            tenant = await tenant_of(pool, "", "", "Query directory", "/directory")
            store = Store(pool, tenant, RidBlocks())
            follower = Follower("", Replica(pool, store, Ledger(pool, tenant)), store)
            return {key: _told(one) for key, one in (await follower.here()).items()}
        finally:
            await disconnect(pool)

    async def decision(self, name: str) -> dict[str, Any]:
        """A decision that the asker got an answer by; it stands in the holder's log."""
        async with self.client.get(f"{self.holder.internal}/noord/log/decisions/{name}") as answer:
            assert answer.status == 200, f"the holder's log has no decision {name}"
            found: dict[str, Any] = orjson.loads(await answer.read())
            return found

    async def events(self, site: Site, slug: str, bsn: str, subtype: str = "") -> list[dict[str, Any]]:
        """The events about a patient in a log, of this subtype if one is given."""
        url = f"{site.internal}/{slug}/log/fhir/r4/AuditEvent"
        async with self.client.get(url, params={"patient.identifier": bsn, "_count": "500"}) as answer:
            assert answer.status == 200, await answer.text()
            found = [one["resource"] for one in orjson.loads(await answer.read()).get("entry", [])]
        return [
            one
            for one in found
            if not subtype or subtype in [code["code"] for code in one.get("subtype", [])]
        ]

    async def _logs(self, told: Told) -> None:
        """What was told of a patient stands in both logs, and what the asker's log says came was shown by the
        holder."""
        shown: set[str] = set()
        for event in await self.events(self.holder, "noord", told.patient):
            shown |= _versions(event)
        exchanges = await self.events(self.asker, "zuid", told.patient, "exchange")
        for event in exchanges:
            assert _versions(event) <= shown, "the asker's log has what the holder's has not"
        for holder in told.holders:
            [event] = [one for one in exchanges if told.located["id"] in orjson.dumps(one).decode()]
            came = {
                f"{r['resourceType']}/{r['id']}/_history/{r['meta']['versionId']}"
                for entry in holder["entry"]
                if (r := entry["resource"])["resourceType"] != "Provenance"
            }
            assert came == _versions(event)
            for request in holder["requests"]:
                if request["status"] == "complete":
                    await self.decision(request["decision"])
        if told.located:
            looked = await self.events(self.asker, "zuid", told.patient, "localised")
            assert told.located["id"] in orjson.dumps(looked).decode()


def _take(told: Told, name: str, body: dict[str, Any]) -> None:
    if name == "localised":
        told.located = body
    elif name == "holder":
        told.holders.append(body)
    else:
        assert name == "assembled", body
        told.whole = body


def _versions(event: dict[str, Any]) -> set[str]:
    """The versions of resources that an event is about."""
    found = [entity.get("what", {}).get("reference", "") for entity in event.get("entity", ())]
    return {one for one in found if "/_history/" in one}


def _told(resource: dict[str, Any]) -> Any:
    """What tells two versions apart, whatever names they have here and there."""
    names = ("name", "status", "active", "address", "identifier")
    return {name: resource.get(name) for name in names}


async def _rows(site: Site, query: str, *values: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(site.settings["database"])
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


async def eventually(true: Callable[[], Awaitable[bool]], what: str, seconds: float = SETTLED) -> None:
    """Returns when it is so; `what` is said when it never is."""
    end = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < end, f"{what}: not after {seconds} seconds"
        await asyncio.sleep(0.2)


# -- setting up ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def two_operators(open_folder: Path, folder: Path) -> AsyncIterator[Two]:
    """Both, in step and with everything published; `folder` is that of the facilities."""
    async with AsyncExitStack() as stack:
        country = await stack.enter_async_context(nation(folder))
        await country.refer({REQUESTER: ASKING_OPERATOR})
        shown, _ = await country.certificate(
            "asking", kind="server", organisation="Operator Zuid", number=ASKING_OPERATOR
        )
        registering = await stack.enter_async_context(ways(country, country.operator, OPERATOR))
        asking = await stack.enter_async_context(ways(country, shown, ASKING_OPERATOR))
        known = {HOLDER: "V6", REQUESTER: "Z3", THIRD: "V6", **{f"9000010{n}": "J8" for n in range(8)}}
        parties = {HOLDER: OPERATOR, THIRD: ASKING_OPERATOR}
        await central(country, asking, registering, known=known, parties=parties)
        back = free_port()
        between = await stack.enter_async_context(
            middleman(served(country), asking_as(country, country.requester.certificate))
        )
        between.target = f"https://127.0.0.1:{back}"
        settings = holding(country, registering, back, country.at(between))
        holder, _ = await stack.enter_async_context(running_site(open_folder, **settings))
        asker, _ = await stack.enter_async_context(running_site(open_folder, **asking_by(country, asking)))
        client = await stack.enter_async_context(ehr())
        made = Two(country, holder, asker, registering, asking, between, client)
        between.behave = made.passes
        await made.published()
        await made.in_step()
        yield made
