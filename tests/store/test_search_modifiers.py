"""Modifiers: words beside codes, value sets, types of identifiers, and what is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.searching import BSN, SNOMED, filled, listed, resource, to

from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import NotSupported
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store

GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"


def code(text: str = "", **members: str) -> dict[str, Any]:
    return {"coding": [members], **({"text": text} if text else {})}


PATIENTS = [
    resource(
        "Patient",
        "full",
        meta={"tag": [{"system": "urn:tags", "code": "t"}], "security": [{"system": "urn:s", "code": "R"}]},
        identifier=[
            {
                "system": "urn:mrn",
                "value": "1|2,3",
                "type": {"coding": [{"system": V2_0203, "code": "MR"}], "text": "Ziekenhuisnummer"},
            },
            {"system": BSN, "value": "999901370"},
        ],
        name=[{"family": "Jansen"}],
        gender="female",
        birthDate="1980",
        generalPractitioner=[{"display": "Dr. No"}],
    ),
    resource("Patient", "bare"),
    resource("Patient", "unknown", _gender={"extension": [{"url": "urn:why", "valueCode": "unknown"}]}),
    resource("Patient", "other", gender="other", generalPractitioner=[to("Practitioner/p")]),
    resource("Patient", "named", generalPractitioner=[{"identifier": {"system": "urn:agb", "value": "1"}}]),
    resource(
        "Condition",
        "worded",
        code=code("Een ernstige hoofdpijn", system=SNOMED, code="1", display="Hoofdpijn (bevinding)"),
        subject=to("Patient/full"),
    ),
    resource("Condition", "text", code={"text": "Hóófdpijn"}, subject=to("Patient/full")),
    resource(
        "Condition", "bare", code={"coding": [{"system": SNOMED, "code": "2"}]}, subject=to("Patient/full")
    ),
    resource("Condition", "none", subject=to("Patient/full")),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["stu3", "r4"])
async def held(
    request: pytest.FixtureRequest, cluster: EmbeddedServer
) -> AsyncIterator[tuple[Store, Version]]:
    async with filled(cluster, f"modifiers_{request.param}", PATIENTS, request.param) as store:
        yield store, request.param


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Condition", "code:text=hoofdpijn", "text worded"),
        ("Condition", "code:text=EEN ernst", "worded"),
        ("Condition", "code:text=ernstige", ""),
        ("Condition", "code:text=hoofdpijn&patient=full", "text worded"),
        ("Condition", "code:missing=true", "none"),
        ("Condition", "code:missing=false", "bare text worded"),
        ("Condition", "code:not=1", "bare none text"),
        ("Patient", "identifier:text=ziekenhuis", "full"),
        (r"Patient", r"identifier=urn:mrn|1\|2\,3", "full"),
        (r"Patient", r"identifier=1\|2\,3", "full"),
        (r"Patient", r"identifier=1|2\,3", ""),
        ("Patient", f"gender:in={GENDERS}", "full other"),
        ("Patient", f"gender:not-in={GENDERS}", "bare named unknown"),
        ("Patient", "gender:missing=true", "bare named unknown"),
        ("Patient", "gender:missing=false", "full other"),
        ("Patient", "birthdate:missing=false", "full"),
        ("Patient", "family:missing=true", "bare named other unknown"),
        ("Patient", "general-practitioner:missing=true", "bare unknown"),
        ("Patient", "general-practitioner:missing=false", "full named other"),
        ("Patient", "general-practitioner:identifier=urn:agb|1", "named"),
        ("Patient", "_tag=urn:tags|t", "full"),
        ("Patient", "_tag:missing=false", "full"),
        ("Patient", "_tag:not=t", "bare named other unknown"),
        ("Patient", "_security=urn:s|R", "full"),
        ("Patient", "_security:missing=true", "bare named other unknown"),
        ("Patient", "_id:missing=true", ""),
        ("Patient", "_id:missing=false&_id=bare", "bare"),
        ("Patient", "_lastUpdated:missing=true", ""),
        ("Condition", "patient.gender:missing=true", ""),
        ("Condition", "patient.family:missing=false&code:missing=true", "none"),
    ],
)
async def test_a_modifier_says_how_a_value_is_compared(
    held: tuple[Store, Version], kind: str, text: str, expected: str
) -> None:
    store, version = held
    assert await listed(store, kind, text, version) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rf"identifier:of-type={V2_0203}|MR|1\|2\,3", "full"),
        (rf"identifier:of-type={V2_0203}|SS|1\|2\,3", ""),
        (r"identifier:of-type=urn:other|MR|1\|2\,3", ""),
        (f"identifier:of-type={V2_0203}|MR|999901370", ""),
    ],
)
async def test_an_identifier_is_found_by_its_type(
    held: tuple[Store, Version], text: str, expected: str
) -> None:
    store, version = held
    if version == "stu3":
        with pytest.raises(NotSupported, match="of-type"):
            await listed(store, "Patient", text, version)
        return
    assert await listed(store, "Patient", text, version) == expected


async def test_a_canonical_is_found_with_and_without_its_version(cluster: EmbeddedServer) -> None:
    url = "http://example.org/Questionnaire/q"
    answers = [
        resource("QuestionnaireResponse", "v1", status="completed", questionnaire=f"{url}|1.2"),
        resource("QuestionnaireResponse", "plain", status="completed", questionnaire=url),
        resource(
            "StructureMap", "map", url="http://example.org/m", version="1.2.3", name="m", status="draft"
        ),
    ]
    async with filled(cluster, "canonical", answers, "r4") as store:
        for text, expected in ((url, "plain v1"), (f"{url}|1.2", "v1"), (f"{url}|1.3", "")):
            assert await listed(store, "QuestionnaireResponse", f"questionnaire={text}", "r4") == expected
