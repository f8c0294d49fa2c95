"""Numbers, quantities, URIs and composites are found as the specification says, in both FHIR versions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from tests.searching import SNOMED, concept, filled, ids, listed, resource, to

from schakel.kernel.clock import now
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store

UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
SYSTOLIC, DIASTOLIC = concept((LOINC, "8480-6")), concept((LOINC, "8462-4"))


def amount(value: str, code: str = "", **members: Any) -> dict[str, Any]:
    coded = {"system": UCUM, "code": code} if code else {}
    return {"value": Decimal(value), **coded, **members}


def measured(logical_id: str, code: dict[str, Any], **members: Any) -> dict[str, Any]:
    return resource("Observation", logical_id, status="final", code=code, subject=to("Patient/p"), **members)


def pressure(logical_id: str, systolic: int, diastolic: int) -> dict[str, Any]:
    parts = [(SYSTOLIC, systolic), (DIASTOLIC, diastolic)]
    return measured(
        logical_id,
        concept((LOINC, "85354-9")),
        component=[{"code": code, "valueQuantity": amount(str(value), "mm[Hg]")} for code, value in parts],
    )


WEIGHT = concept((LOINC, "29463-7"), (SNOMED, "27113001"))
OBSERVED = [
    measured("kg", WEIGHT, valueQuantity=amount("72.5", "kg", unit="kilo")),
    measured("g", WEIGHT, valueQuantity=amount("72500", "g")),
    measured("heavier", WEIGHT, valueQuantity=amount("75", "kg")),
    measured("stone", WEIGHT, valueQuantity={"value": Decimal("72.5"), "unit": "stone"}),
    measured("own", WEIGHT, valueQuantity={"value": Decimal("72.5"), "system": "urn:units", "code": "kg"}),
    measured("less", WEIGHT, valueQuantity=amount("5", "kg", comparator="<")),
    measured("warm", concept((LOINC, "8310-5")), valueQuantity=amount("37", "Cel")),
    measured("coded", WEIGHT, valueCodeableConcept=concept((SNOMED, "1"))),
    measured("dated", WEIGHT, valueDateTime="2024-03-31"),
    measured("worded", WEIGHT, valueString="Fairly heavy"),
    pressure("high", 140, 90),
    pressure("low", 90, 60),
]
OTHERS = [
    resource("RiskAssessment", "r8", status="final", prediction=[{"probabilityDecimal": Decimal("0.8")}]),
    resource("RiskAssessment", "r80", status="final", prediction=[{"probabilityDecimal": Decimal("0.80")}]),
    resource("RiskAssessment", "r100", status="final", prediction=[{"probabilityDecimal": Decimal("100")}]),
    resource(
        "RiskAssessment",
        "range",
        status="final",
        prediction=[{"probabilityRange": {"low": amount("0.7"), "high": amount("0.9")}}],
    ),
    resource("ValueSet", "top", status="active", url="http://acme.org/fhir/ValueSet"),
    resource("ValueSet", "one", status="active", url="http://acme.org/fhir/ValueSet/123", version="1.0"),
    resource("Patient", "alive", deceasedBoolean=False, active=True),
    resource("Patient", "dead", deceasedBoolean=True),
    resource("Patient", "died", deceasedDateTime="2020-01-01"),
    resource("Patient", "unsaid"),
    resource("ValueSet", "part", status="active", url="http://acme.org/fhir/ValueSet/123/_history/5"),
    resource("ValueSet", "beside", status="active", url="http://acme.org/fhir/ValueSets"),
    resource("ValueSet", "urn", status="active", url="urn:oid:1.2.3"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["stu3", "r4"])
async def held(request: pytest.FixtureRequest, cluster: EmbeddedServer) -> AsyncIterator[tuple[Store, Any]]:
    """A store and the version of what it holds."""
    async with filled(cluster, f"kinds_{request.param}", [*OBSERVED, *OTHERS], request.param) as store:
        yield store, request.param


QUANTITY = [
    ("value-quantity=72.5", "kg own stone"),
    (f"value-quantity=72.5|{UCUM}|kg", "g kg"),
    (f"value-quantity=72500|{UCUM}|g", "g kg"),
    (f"value-quantity=73|{UCUM}|kg", "g kg"),
    (f"value-quantity=72.50|{UCUM}|kg", "g kg"),
    (f"value-quantity=72.51|{UCUM}|kg", ""),
    (f"value-quantity=1e2|{UCUM}|kg", ""),
    (f"value-quantity=ap70|{UCUM}|kg", "g heavier kg"),
    (f"value-quantity=gt72.5|{UCUM}|kg", "heavier"),
    (f"value-quantity=ge72.5|{UCUM}|kg", "g heavier kg"),
    (f"value-quantity=lt72.5|{UCUM}|kg", "less"),
    (f"value-quantity=le72500|{UCUM}|g", "g kg less"),
    (f"value-quantity=lt3|{UCUM}|kg", "less"),
    (f"value-quantity=sa72.5|{UCUM}|kg", "heavier"),
    (f"value-quantity=eb6|{UCUM}|kg", "less"),
    (f"value-quantity=ne75|{UCUM}|kg", "g kg less"),
    (f"value-quantity=310.15|{UCUM}|K", "warm"),
    ("value-quantity=72.5|urn:units|kg", "own"),
    ("value-quantity=72.5||kg", "kg own"),
    ("value-quantity=72.5||kilo", "kg"),
    ("value-quantity=72.5||stone", "stone"),
    ("value-quantity=72.5||", "kg own stone"),
    ("value-quantity=72.5|urn:units|", "own"),
    (f"value-quantity=gt72.5|{UCUM}|", "g heavier"),
    (f"value-quantity=75|{UCUM}|kg,37|{UCUM}|Cel", "heavier warm"),
    (f"value-quantity=72.5|{UCUM}|m", ""),
    ("value-quantity=37&patient=p", "warm"),
    (f"value-quantity:missing=true&code={LOINC}|29463-7", "coded dated worded"),
    ("value-quantity:missing=false&patient=p", "g heavier kg less own stone warm"),
]
COMPOSITE = [
    (f"code-value-quantity={LOINC}|29463-7$72.5|{UCUM}|kg", "g kg"),
    (f"code-value-quantity=27113001$gt72.5|{UCUM}|kg", "heavier"),
    (f"code-value-quantity={LOINC}|8310-5$72.5|{UCUM}|kg", ""),
    ("code-value-quantity=27113001$75,8310-5$37", "heavier warm"),
    (f"component-code-value-quantity={LOINC}|8480-6$140", "high"),
    (f"component-code-value-quantity={LOINC}|8480-6$90", "low"),
    (f"component-code-value-quantity={LOINC}|8462-4$90", "high"),
    (f"component-code-value-quantity={LOINC}|8462-4$gt50|{UCUM}|mm[Hg]", "high low"),
    ("component-code-value-quantity=8480-6$gt100&component-code-value-quantity=8462-4$gt80", "high"),
    ("component-code-value-quantity=8480-6$gt100&patient=p", "high"),
    ("combo-code-value-quantity=8480-6$90,8310-5$37", "low warm"),
    (f"code-value-concept=29463-7${SNOMED}|1", "coded"),
    (f"code-value-concept=8310-5${SNOMED}|1", ""),
    ("code-value-date=29463-7$2024-03-31", "dated"),
    ("code-value-date=29463-7$gt2024", ""),
    ("code-value-string=29463-7$fairly", "worded"),
    ("component-code-value-quantity:missing=false", "high low"),
    ("code-value-quantity:missing=false&code=8310-5", "warm"),
    ("code-value-quantity:missing=true&code=29463-7", "coded dated worded"),
]


@pytest.mark.parametrize(("text", "expected"), [*QUANTITY, *COMPOSITE])
async def test_observations_are_found_by_what_was_measured(
    held: tuple[Store, Any], text: str, expected: str
) -> None:
    store, version = held
    assert await listed(store, "Observation", text, version) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("probability=0.8", "r8 r80"),
        ("probability=0.80", "r8 r80"),
        ("probability=1", "r8 r80 range"),
        ("probability=1e2", "r100"),
        ("probability=100.00", "r100"),
        ("probability=gt0.8", "r100 range"),
        ("probability=ge0.8", "r100 r8 r80 range"),
        ("probability=lt100", "r8 r80 range"),
        ("probability=ne0.8", "r100 range"),
        ("probability=ap0.85", "r8 r80 range"),
        ("probability=0.8,100", "r100 r8 r80"),
        ("probability=0.8&probability=100", ""),
    ],
)
async def test_numbers_are_found_by_their_precision(
    held: tuple[Store, Any], text: str, expected: str
) -> None:
    store, version = held
    assert await listed(store, "RiskAssessment", text, version) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("url=http://acme.org/fhir/ValueSet/123", "one"),
        ("url=http://acme.org/fhir/valueset/123", ""),
        ("url=http://acme.org/fhir/ValueSet/123|1.0", "one"),
        ("url=http://acme.org/fhir/ValueSet/123|2.0", ""),
        ("url=http://acme.org/fhir/ValueSet|1.0", ""),
        ("url=urn:oid:1.2.3", "urn"),
        ("url:below=http://acme.org/fhir/ValueSet", "one part top"),
        ("url:below=http://acme.org/fhir/ValueSet/", "one part top"),
        ("url:below=http://acme.org/", "beside one part top"),
        ("url:below=http://acme.org/fhir/%25", ""),
        ("url:above=http://acme.org/fhir/ValueSet/123/_history/5", "one part top"),
        ("url:above=http://acme.org/fhir/ValueSet/123/_history/6", "one top"),
        ("url:above=http://acme.org/fhir/ValueSet", "top"),
        ("url:missing=true", ""),
    ],
)
async def test_urls_are_found_by_their_place(held: tuple[Store, Any], text: str, expected: str) -> None:
    store, version = held
    assert await listed(store, "ValueSet", text, version) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deceased=true", "dead died"),
        ("deceased=false", "alive unsaid"),
        ("active=true", "alive"),
        ("active=http://hl7.org/fhir/special-values|true", "alive"),
        ("active=http://hl7.org/fhir/special-values|", "alive"),
        ("active=urn:other|true", ""),
    ],
)
async def test_what_is_true_or_false_is_found(held: tuple[Store, Any], text: str, expected: str) -> None:
    store, version = held
    assert await listed(store, "Patient", text, version) == expected


async def test_what_is_sorted_by_a_quantity_compares_units(held: tuple[Store, Any]) -> None:
    store, version = held
    text = "_id=kg,heavier,g,worded&_sort={}value-quantity,_id"
    assert await ids(store, "Observation", text.format(""), version) == ["g", "kg", "heavier", "worded"]
    assert await ids(store, "Observation", text.format("-"), version) == ["heavier", "g", "kg", "worded"]


async def test_what_is_approximately_a_date_depends_on_how_long_ago_it_was(held: tuple[Store, Any]) -> None:
    store, version = held
    days = (now() - datetime(2024, 3, 31, tzinfo=UTC)).days
    for distance, expected in (
        (days // 20, "dated"),
        (-days // 20, "dated"),
        (days // 2, ""),
        (-days // 2, ""),
    ):
        day = datetime(2024, 3, 31, tzinfo=UTC) + timedelta(days=distance)
        assert await listed(store, "Observation", f"value-date=ap{day:%Y-%m-%d}", version) == expected, day
