"""A store with people and observations, and searches on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.nodes import databases

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.search import QueryParser, pairs_of
from schakel.sources import Found, Write
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Limits, Store
from schakel.store.writing import RidBlocks

BASE = "https://node.example/a/fhir/stu3"
BSN = "http://fhir.nl/fhir/NamingSystem/bsn"
PARSER = QueryParser(definitions("stu3"))
SNOMED = "http://snomed.info/sct"


def resource(kind: str, logical_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": logical_id, **members}


def concept(*codings: tuple[str, str]) -> dict[str, Any]:
    return {"coding": [{"system": s, "code": c} if s else {"code": c} for s, c in codings]}


def to(reference: str, **members: Any) -> dict[str, Any]:
    return {"reference": reference, **members}


PEOPLE = [
    resource(
        "Patient",
        "eve",
        meta={"profile": ["http://p/patient", "http://p/other"]},
        identifier=[{"system": BSN, "value": "999901370"}, {"value": "loose"}],
        name=[{"family": "de Böer", "given": ["Ève", "Anna"]}],
        birthDate="1980-05-17",
        gender="female",
        active=True,
        generalPractitioner=[to("Practitioner/gp")],
    ),
    resource(
        "Patient",
        "adam",
        identifier=[{"system": BSN, "value": "999901382"}],
        name=[{"family": "Boersma_100%", "given": ["Adam"]}],
        birthDate="1980-05",
        gender="male",
        managingOrganization=to("Organization/org"),
    ),
    resource("Patient", "nameless", birthDate="1981", active=False),
    resource("Practitioner", "gp", name=[{"family": "Huisarts"}]),
    resource("Organization", "org", name="Ziekenhuis"),
]
CODE = concept((SNOMED, "1"), ("http://loinc.org", "A"))
OBSERVATIONS = [
    resource(
        "Observation",
        "o1",
        status="final",
        code=CODE,
        subject=to("Patient/eve"),
        effectiveDateTime="2024-03-31T10:00:00+02:00",
        performer=[to("Practitioner/gp")],
    ),
    resource(
        "Observation",
        "o2",
        status="final",
        code=concept((SNOMED, "2"), ("", "A")),
        subject=to(f"{BASE}/Patient/eve/_history/1"),
        effectiveDateTime="2024-03-31",
        performer=[to("Organization/org", identifier={"system": "http://ura", "value": "1"})],
    ),
    resource(
        "Observation",
        "o3",
        status="entered-in-error",
        code=CODE,
        subject=to("Patient/eve"),
        effectiveDateTime="2024-04-02",
    ),
    resource(
        "Observation",
        "o4",
        status="final",
        code=CODE,
        subject=to("Patient/adam"),
        effectivePeriod={"start": "2024-01-01"},
    ),
    resource("Observation", "o5", status="final", code={"text": "only text"}, subject=to("Patient/eve")),
    resource("Observation", "o6", status="final", code={"text": "other text"}, subject=to("Patient/eve")),
    resource(
        "Observation",
        "o7",
        status="preliminary",
        code=CODE,
        subject=to("https://other.example/fhir/Patient/eve"),
        effectiveDateTime="2023-12-31T23:30:00Z",
    ),
    resource(
        "Observation",
        "o8",
        status="final",
        code=CODE,
        subject={"identifier": {"system": BSN, "value": "999901370"}},
        effectiveDateTime="2020",
    ),
    resource("Provenance", "pr1", target=[to("Observation/o1")]),
    resource("Provenance", "pr2", target=[to("Observation/o2"), to("Patient/eve")]),
]


@asynccontextmanager
async def filled(
    cluster: EmbeddedServer, name: str, content: list[dict[str, Any]], version: Version = "stu3"
) -> AsyncIterator[Store]:
    """A store on a database of its own, with `content`."""
    async with databases(cluster, name) as make:
        pool = await connect(await make())
        store = Store(pool, 1, RidBlocks(), (BASE,), Limits(page=100, page_max=100, remembered=100))
        await store.write(version, [Write("PUT", r["resourceType"], r["id"], r) for r in content])
        yield store
        await disconnect(pool)


async def found(
    store: Store, kind: str, text: str, *, last: bool = False, version: Version = "stu3"
) -> Found:
    query = QueryParser(definitions(version)).parse(kind, pairs_of(text), last=last)
    return await store.search(version, query, "me")


async def ids(store: Store, kind: str, text: str, version: Version = "stu3") -> list[str]:
    return [s.id for s in (await found(store, kind, text, version=version)).matches]


async def listed(store: Store, kind: str, text: str, version: Version = "stu3") -> str:
    """The ids of all matches in one line, in order of the alphabet."""
    return " ".join(sorted(await ids(store, kind, text, version)))
