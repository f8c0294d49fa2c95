"""Searches in the record of one patient, in a store of 62,500 and one of 1,000,000 resources (or other sizes, sixteen
times apart). Both are asked in turns, so that what the machine does meanwhile concerns both.

`NAMED` and `IDENTIFIED` give one laboratory test of a patient, `CHAINED` the results of one specimen. `BY_NUMBER`
names no patient: it stands beside them to show how it grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from bench import bulk, records
from bench.asking import Asked, asked, middle
from bench.generator import request
from bench.pair import Pair, Place
from bench.report import Better, Figure
from schakel.demo.patients.laboratory_tests import TESTS
from schakel.fhir.json import Resource
from schakel.kernel.values import BSN_SYSTEM

TIMES = 16
"""How much more there is in the large store than in the small one."""
_ASKED = 400
"""Patients in whose records is searched, spread over all of them."""
_SECONDS = 1.5
_ROUNDS = 3
_FEW, _MANY = 4, 16
NAMED, IDENTIFIED, CHAINED = "patient + code", "patient.identifier + code", "chained to the specimen"
BY_NUMBER = "specimen by number, without a patient"


@dataclass(frozen=True, slots=True)
class _Filled:
    """A node with the laboratory records of these people, by number."""

    place: Place
    people: range

    def requests(self) -> dict[str, list[bytes]]:
        """What is asked, by the name of the search."""
        patients = self.people[:: max(1, len(self.people) // _ASKED)]
        codes = [f"{test.code.system}|{test.code.code}" for test in TESTS.values()][:13]
        queries: dict[str, list[str]] = {NAMED: [], IDENTIFIED: [], CHAINED: [], BY_NUMBER: []}
        for number, who in enumerate(patients):
            record = records.laboratory_record(records.person(who))
            patient, specimens = record[0], [r for r in record if r["resourceType"] == "Specimen"]
            code = f"code={quote(codes[number % len(codes)])}"
            bsn = f"patient.identifier={quote(f'{BSN_SYSTEM}|{_identifier(patient)}')}"
            specimen = specimens[number % len(specimens)]
            of_specimen = f"{specimen['identifier'][0]['system']}|{_identifier(specimen)}"
            queries[NAMED].append(f"Observation?patient={patient['id']}&{code}")
            queries[IDENTIFIED].append(f"Observation?{bsn}&{code}")
            queries[CHAINED].append(f"Observation?{bsn}&specimen.identifier={quote(of_specimen)}")
            queries[BY_NUMBER].append(f"Specimen?identifier={quote(of_specimen)}")
        base = f"/{self.place.slug}/fhir/stu3"
        return {
            name: [request("GET", f"{base}/{query}", self.place.headers) for query in listed]
            for name, listed in queries.items()
        }


def _identifier(resource: Resource) -> str:
    return str(resource["identifier"][0]["value"])


async def search(pair: Pair, resources: int) -> list[Figure]:
    """Fills the holder up to a sixteenth of `resources`, the asker up to all of them, and measures in turns."""
    small, _ = await _filled(pair.holder, resources // TIMES)
    large, figures = await _filled(pair.asker, resources)
    of_small, of_large = small.requests(), large.requests()
    for name in of_large:
        for clients in (_FEW,) if name == BY_NUMBER else (_FEW, _MANY):
            figures += await _compared(
                name, clients, (small.place, of_small[name]), (large.place, of_large[name])
            )
    return figures


async def _filled(place: Place, resources: int) -> tuple[_Filled, list[Figure]]:
    """Laboratory records are added until so many resources are there, all together."""
    before = await bulk.stored(place)
    number = max(1, (resources - before.resources) // records.RECORD)
    people = range(records.FIRST, records.FIRST + number)
    seconds = await bulk.load(place, people)
    after = await bulk.stored(place)
    added = after.since(before)
    name = f"search, {after.resources:,}"
    return _Filled(place, people), [
        Figure(name, "loaded by the store's own writer", added.resources / seconds, "/s", "more"),
        Figure(name, "index rows of a resource", added.rows / added.resources, "rows", "less"),
        Figure(name, "stored with all indexes", added.size / added.resources, "bytes a resource", "less"),
    ]


async def _compared(
    name: str, clients: int, small: tuple[Place, list[bytes]], large: tuple[Place, list[bytes]]
) -> list[Figure]:
    """One search at so many clients, in the small and the large store in turns."""
    runs: tuple[list[Asked], list[Asked]] = ([], [])
    for _ in range(_ROUNDS):
        for found, (place, requests) in zip(runs, (small, large), strict=True):
            found.append(await asked(place, requests, clients, _SECONDS, b'"mode":"match"'))
    less, more = (middle(found) for found in runs)
    beside, which = f"1/{TIMES} of it", f"{name}, {clients} clients"

    def figure(what: str, kind: str, goal: float | None = None, *, of_ratio: bool = False) -> Figure:
        better: Better = "more" if kind == "rate" else "less"
        unit = "/s" if kind == "rate" else "ms"
        value, reference = getattr(more, kind), getattr(less, kind)
        return Figure("search", f"{which}{what}", value, unit, better, reference, beside, goal, of_ratio)

    few, bound = clients == _FEW, name in (NAMED, IDENTIFIED)
    figures = [
        figure("", "rate", 1000 if bound and not few else None),
        figure(": p50", "p50", 5 if bound and few else None),
        figure(": p95", "p95"),
        figure(": p99", "p99"),
    ]
    if not few:
        figures += [figure(": processor time of the node", "node"), figure(": of the database", "database")]
    elif name != BY_NUMBER:
        figures.append(figure(": growth of p50", "p50", 1.2, of_ratio=True))
    return figures
