"""`schakel roadmap hybrid count`: people counted from the record of an organisation, over its internal doors.

Each FHIR version of the record is read, page by page to the end. The BSNs that are found go to the inventory of the
same node, which turns them into pseudonyms of the region before it writes anything.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson

from schakel.commands.doors import Client, Door, refusal
from schakel.commands.hybrid import DOOR
from schakel.commands.tables import count
from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import Invalid, Upstream
from schakel.roadmap.hybrid import record
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.record import Chart, Resource, Rules, Undated
from schakel.roadmap.hybrid.store import today

_BSN = "http://fhir.nl/fhir/NamingSystem/bsn"
_VERSIONS: Mapping[Version, str] = {"stu3": "STU3", "r4": "R4"}
_AT_ONCE = 50
"""People in one search."""


def count_record(door: Door, pathway: str, year: str) -> int:
    """Counts the pathways of an organisation, or one, in a year, hands that over and prints it. 0 when every pathway
    that was asked for could be counted, 1 when there was one without rules. Raises `Invalid`."""
    day = today()
    year = year or str(day.year)
    period = Period.of(year)
    if "-" in year or period.start > day:
        raise Invalid("--period is a year that has begun, such as 2026", expression="period")
    return asyncio.run(_count(door, pathway, year, period))


async def _count(door: Door, name: str, year: str, period: Period) -> int:
    async with Client(door) as client:
        chosen = _chosen(door, (await client.good("GET", DOOR)).table(), name)
        versions = [one for one in _VERSIONS if await _is_served(client, one)]
        missing = 0
        for pathway in chosen:
            rules = Rules(frozenset(pathway["indication"]), frozenset(pathway["plan"]))
            if not (rules.indication and rules.plan):
                missing += 1
                print(f"{pathway['id']}: cannot be counted, it has no rules (columns indication and plan)")
                continue
            found = Reading([Record(client, one) for one in versions], rules, period)
            rows = await found.rows(pathway["id"])
            kept = await _hand_over(client, pathway["id"], year, rows)
            for line in _told(pathway["id"], year, found, rows, kept):
                print(line)
    return 1 if missing else 0


def _chosen(door: Door, shown: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The pathways of the organisation to count. Raises `Invalid` when there are none."""
    own = [
        pathway
        for one in shown["organisations"]
        if one["ura"] == door.ura
        for pathway in one["pathways"]
        if name in ("", pathway["id"])
    ]
    if not own:
        what = f"no pathway {name[:64]!r}" if name else "no pathways"
        raise Invalid(f"{door.name} ({door.ura}) has sent {what}: send them first", expression="pathway")
    return own


async def _is_served(client: Client, version: Version) -> bool:
    """Whether the record is kept in a FHIR version. Raises what fits when the door is shut."""
    answer = await client.send("GET", f"fhir/{version}/metadata")
    if answer.status not in (200, 404):
        raise refusal(answer)
    return answer.status == 200


async def _hand_over(
    client: Client, pathway: str, year: str, rows: Sequence[Mapping[str, str]]
) -> Mapping[str, Any]:
    answer = await client.send(
        "POST",
        f"{DOOR}/people",
        params=(("counted", year), ("pathway", pathway)),
        body=orjson.dumps(rows),
    )
    if answer.status != 200:
        raise refusal(answer)
    return answer.table()


def _told(
    pathway: str, year: str, found: Reading, rows: Sequence[Mapping[str, str]], kept: Mapping[str, Any]
) -> Iterator[str]:
    enrolled = sum("enrolled_from" in row for row in rows)
    active = sum("last_event" in row for row in rows)
    yield f"{pathway}: {len(rows):,} eligible in {year}, {enrolled:,} enrolled, {active:,} active"
    for one in found.records:
        read = ", ".join(f"{number:,} {kind}" for kind, number in sorted(one.read.items()))
        yield f"  {_VERSIONS[one.version]}: {count(one.pages, 'page')} read to the end; {read or 'nothing found'}"
    if found.nobody:
        yield f"  left out: {count(found.nobody, 'patient')} without a BSN"
    for kind, number in sorted(found.undated.items()):
        yield f"  left out: {number:,} {kind} of which nothing says when it was"
    if kept["by_hand"]:
        yield (
            f"  {count(kept['by_hand'], 'row')} of a file about the same pathway and year stand beside this; send a "
            "file with the exclusions alone to take them away"
        )


@dataclass
class Record:
    """The record of an organisation in one FHIR version; `pages` and `read` (by type) are what was read of it."""

    client: Client
    version: Version
    pages: int = 0
    read: Counter[str] = field(default_factory=Counter)

    async def search(self, kind: str, *params: tuple[str, str]) -> AsyncIterator[Resource]:
        """What a search finds and includes, page after page. Raises what fits when the node refuses."""
        base = f"fhir/{self.version}/"
        answer = await self.client.send(
            "POST",
            f"{base}{kind}/_search",
            body=urlencode(params).encode(),
            media="application/x-www-form-urlencoded",
        )
        while True:
            if answer.status != 200:
                raise refusal(answer)
            self.pages += 1
            bundle = answer.table()
            for entry in bundle.get("entry", ()):
                resource = entry["resource"]
                if entry.get("search", {}).get("mode") != "outcome":
                    self.read[resource["resourceType"]] += 1
                    yield resource
            following = [one["url"] for one in bundle.get("link", ()) if one["relation"] == "next"]
            if not following:
                return
            _, found, rest = following[0].partition(f"/{base}")
            if not found:
                raise Upstream("the next page of a search is at an address that is not of this record")
            answer = await self.client.send("GET", f"{base}{rest}")


class Reading:
    """What the records have of the people of one pathway, joined by BSN. `nobody` are patients without one, `undated`
    (by type) what fits the rules while nothing says when it was."""

    def __init__(self, records: Sequence[Record], rules: Rules, period: Period) -> None:
        self.records = records
        self.nobody = 0
        self.undated: Counter[str] = Counter()
        self._rules = rules
        self._period = period
        self._charts: dict[str, Chart] = defaultdict(Chart)

    async def rows(self, pathway: str) -> list[dict[str, str]]:
        """The people who were eligible in the period, as rows of a file of people."""
        for one in self.records:
            await self._indications(one)
        for one in self.records:
            await self._taking_part(one)
        day = today()
        rows = (
            record.row(pathway, bsn, chart, self._period, day) for bsn, chart in sorted(self._charts.items())
        )
        return [one for one in rows if one is not None]

    async def _indications(self, of: Record) -> None:
        terms: dict[str, list[record.Term]] = defaultdict(list)
        bsns: dict[str, str] = {}
        codes = ",".join(sorted(self._rules.indication))
        async for one in of.search("Condition", ("code", codes), ("_include", "Condition:subject")):
            if one["resourceType"] == "Patient":
                bsns[f"Patient/{one['id']}"] = _bsn(of.client.door, one)
                continue
            try:
                term = record.indication(one, self._rules)
            except Undated:
                self.undated["Condition"] += 1
                continue
            if term is not None:
                terms[_subject(one)].append(term)
        for reference, found in terms.items():
            if bsn := bsns.get(reference, ""):
                self._charts[bsn].indications += found
            else:
                self.nobody += 1

    async def _taking_part(self, of: Record) -> None:
        people: dict[str, str] = {}
        for some in _parts(sorted(self._charts)):
            sought = ",".join(f"{_BSN}|{bsn}" for bsn in some)
            async for one in of.search("Patient", ("identifier", sought)):
                people[f"Patient/{one['id']}"] = _bsn(of.client.door, one)
        for some in _parts(sorted(people)):
            async for one in of.search("CarePlan", ("subject", ",".join(some))):
                try:
                    term = record.plan(one, self._rules)
                except Undated:
                    self.undated["CarePlan"] += 1
                    continue
                if term is not None:
                    self._charts[people[_subject(one)]].plans.append(term)
        taking_part = {reference for reference, bsn in people.items() if self._charts[bsn].plans}
        for kind, day in record.EVENTS.items():
            virtual = (("class", record.VIRTUAL),) if kind == "Encounter" else ()
            for some in _parts(sorted(taking_part)):
                params = (
                    ("subject", ",".join(some)),
                    (day, f"ge{self._period.start}"),
                    (day, f"le{self._period.end}"),
                    *virtual,
                )
                async for one in of.search(kind, *params):
                    try:
                        found = record.event(one)
                    except Undated:
                        self.undated[kind] += 1
                        continue
                    if found is not None:
                        self._charts[people[_subject(one)]].events.add(found)


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[place : place + _AT_ONCE] for place in range(0, len(names), _AT_ONCE))


def _subject(resource: Resource) -> str:
    """`Patient/<id>` of the person that a resource is about."""
    reference = str(resource.get("subject", {}).get("reference", "")).split("/_history/")[0]
    return "/".join(reference.split("/")[-2:])


def _bsn(door: Door, patient: Resource) -> str:
    """The BSN of a patient, '' for none that is one."""
    for one in patient.get("identifier", ()):
        if one.get("system") == _BSN:
            with suppress(Invalid):
                return str(door.bsn(one.get("value", "")))
    return ""
