"""Long records of one patient: `$lastn` of 2,000 Observations, and the medication of 500 building blocks."""

from __future__ import annotations

import asyncio
from collections import Counter
from urllib.parse import quote

import orjson

from bench import bulk, records
from bench.asking import asked, middle
from bench.generator import Rounds, measure, request, served_seconds
from bench.ingest import bundle
from bench.pair import Pair, Place
from bench.report import Figure
from schakel.demo.patients.elements import LOINC, SNOMED
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.kernel.values import BSN_SYSTEM

_SECONDS = 2.0
_ROUNDS = 3
_RETRIEVALS = 60
_PART = 500
_POTASSIUM = "2823-3"

_ITERATE = "".join(
    f"&_include:iterate=PractitionerRole:{name}" for name in ("organization", "practitioner", "location")
)
MP9 = (
    ("MedicationRequest", "33633005", ("medication", "subject", "reason", "next-practitioner", "requester")),
    ("MedicationRequest", "395067002", ("medication", "subject")),
    ("MedicationRequest", "52711000146108", ("medication", "subject", "requester", "dispense-location")),
    ("MedicationDispense", "422037009", ("medication", "subject", "performer")),
    ("MedicationDispense", "373784005", ("medication", "subject", "performer", "destination")),
    ("MedicationStatement", "422979000", ("medication", "subject", "author", "prescriber", "source")),
    ("MedicationAdministration", "18629005", ("medication", "subject", "performer")),
)
"""The seven searches with which medication is retrieved (MP9 3.0): type, category, and what is included."""


async def lastn(pair: Pair) -> list[Figure]:
    """`Observation/$lastn` of a patient with 2,000 of them, at the asker."""
    place = pair.asker
    resources = records.long_laboratory(records.person(records.LASTN))
    figures = await _put(pair, place, "stu3", resources, f"lastn, {len(resources):,} resources")
    bsn = quote(f"{BSN_SYSTEM}|{resources[0]['identifier'][0]['value']}")
    path = f"/{place.slug}/fhir/stu3/Observation/$lastn?patient.identifier={bsn}"
    last = _last(resources)
    for what, query, answers in (
        (f"of all {len(last)} codes", "", sum(last.values())),
        ("of one code", f"&code={quote(f'{LOINC}|{_POTASSIUM}')}", last[_POTASSIUM]),
    ):
        requests = [request("GET", f"{path}{query}", place.headers)]
        total = b'"total":%d' % answers
        runs = [await asked(place, requests, 4, _SECONDS, total) for _ in range(_ROUNDS)]
        found = middle(runs)
        figures += [
            Figure("lastn", f"{what}, 4 clients", found.rate, "/s", "more"),
            Figure("lastn", f"{what}: p50", found.p50, "ms", "less"),
            Figure("lastn", f"{what}: p95", found.p95, "ms", "less"),
        ]
    return figures


def _last(resources: list[Resource]) -> Counter[str]:
    """By code, how many Observations are of its last moment."""
    moments: dict[str, list[str]] = {}
    for resource in resources:
        if resource["resourceType"] == "Observation":
            code = resource["code"]["coding"][0]["code"]
            moments.setdefault(code, []).append(resource["effectiveDateTime"][:10])
    return Counter({code: found.count(max(found)) for code, found in moments.items()})


async def mp9(pair: Pair) -> list[Figure]:
    """The retrieval of a patient's medication at the asker: seven searches at once, each with all its pages."""
    place = pair.asker
    blocks = records.medicines(records.person(records.MEDICATION))
    resources = [*records.shared(), *blocks]
    figures = await _put(pair, place, "r4", resources, f"mp9, {len(blocks) - 1} building blocks")
    bsn = quote(f"{BSN_SYSTEM}|{blocks[0]['identifier'][0]['value']}")
    urls = []
    for kind, category, included in MP9:
        includes = "".join(f"&_include={kind}:{name}" for name in included)
        query = f"patient.identifier={bsn}&category={quote(f'{SNOMED}|{category}')}{includes}{_ITERATE}"
        urls.append(f"http://127.0.0.1:{place.internal_port}/{place.slug}/fhir/r4/{kind}?{query}&_count=500")
    await _complete(pair, place, urls, len(blocks) - 1)
    before = served_seconds(place.pid)
    plan = Rounds(tuple(urls), _RETRIEVALS, place.headers)
    found = await asyncio.to_thread(measure, plan)
    node = (served_seconds(place.pid) - before) / (found.answers + plan.warm_up)
    size = found.received / found.answers / 1000
    return [
        *figures,
        Figure("mp9", f"seven searches at once, {size:,.0f} kB: p50", found.p50, "ms", "less"),
        Figure("mp9", "p95", found.p95, "ms", "less"),
        Figure("mp9", "processor time of the node", node * 1000, "ms", "less"),
    ]


async def _put(
    pair: Pair, place: Place, version: Version, resources: list[Resource], name: str
) -> list[Figure]:
    """Puts resources through the internal door; says what they take."""
    before = await bulk.stored(place)
    headers = {**place.headers, "Content-Type": "application/fhir+json"}
    url = f"http://127.0.0.1:{place.internal_port}/{place.slug}/fhir/{version}"
    for first in range(0, len(resources), _PART):
        async with pair.session.post(
            url, data=bundle(resources[first : first + _PART]), headers=headers
        ) as response:
            if response.status != 200:
                raise RuntimeError(f"{url} answered {response.status}: {(await response.text())[:500]}")
    await bulk.vacuum(place)
    added = (await bulk.stored(place)).since(before)
    return [
        Figure(name, "index rows of a resource", added.rows / added.resources, "rows", "less"),
        Figure(name, "stored with all indexes", added.size / added.resources, "bytes a resource", "less"),
    ]


async def _complete(pair: Pair, place: Place, urls: list[str], blocks: int) -> None:
    """Raises `RuntimeError` when the seven answers do not hold every building block once, with what it includes."""
    matches: list[str] = []
    included: set[str] = set()
    for url in urls:
        async with pair.session.get(url, headers=place.headers) as response:
            page = orjson.loads(await response.read())
        if response.status != 200 or any(link["relation"] == "next" for link in page["link"]):
            raise RuntimeError(f"{url} answered {response.status}, or with more than one page")
        for entry in page["entry"]:
            resource = entry["resource"]
            if entry["search"]["mode"] == "match":
                matches.append(f"{resource['resourceType']}/{resource['id']}")
            else:
                included.add(resource["resourceType"])
    wanted = {"Medication", "Patient", "PractitionerRole", "Practitioner", "Organization", "Location"}
    if len(matches) != blocks or len(set(matches)) != blocks or not wanted <= included:
        raise RuntimeError(f"{len(matches)} building blocks of {blocks}, with {sorted(included)}")
