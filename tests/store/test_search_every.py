"""Every search parameter of both specifications can be asked, in every way that it has, and finds its own element."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from tests.searching import filled, found

from schakel.fhir.definitions import VERSIONS, SearchParameter, Version, definitions
from schakel.fhir.search import component_parameters, supported
from schakel.fhir.search.conditions import MODIFIERS
from schakel.kernel.outcomes import Outcome
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store

GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
VALUES = {
    "token": r"urn:s|a\|b,c",
    "reference": "Patient/p,urn:x",
    "string": "tekst",
    "date": "ge2024-01,ap2024",
    "uri": "http://a.example/b",
    "number": "gt1,ap2,3",
    "quantity": "lt5|http://unitsofmeasure.org|mg,5.4||mg,ne6",
    "special": "true",
}
MODIFIED = {
    "missing": "true",
    "in": GENDERS,
    "not-in": GENDERS,
    "of-type": "urn:s|code|value",
    "below": "http://a.example/b",
    "above": "http://a.example/b",
    "identifier": "urn:s|1",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    async with filled(cluster, "every", [{"resourceType": "Patient", "id": "p"}]) as store:
        yield store


def asked(version: Version, kind: str, parameter: SearchParameter) -> Iterator[str]:
    """Searches on a type by one of its parameters."""
    code = parameter.code
    if parameter.type == "composite":
        parts = component_parameters(definitions(version), kind, parameter) or ()
        yield f"{code}=" + "$".join(VALUES[p.type].partition(",")[0] for p in parts)
    elif code == "_id":
        yield "_id=a,b"
    else:
        yield f"{code}={VALUES[parameter.type]}"
    for modifier in sorted(MODIFIERS[parameter.type] - {""}):
        yield f"{code}:{modifier}={MODIFIED.get(modifier, 'tekst')}"
    if parameter.type not in ("composite", "special"):
        yield f"_sort=-{code}"
    if parameter.type == "reference":
        target = (parameter.targets or ("Patient",))[0]
        yield f"{code}:{target}._tag=x&_include={kind}:{code}&_revinclude={kind}:{code}"
        if kind in (parameter.targets or (kind,)):
            yield f"_has:{kind}:{code}:_tag:missing=false"


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
async def test_every_parameter_can_be_asked_in_every_way(store: Store, version: Version) -> None:
    refused: list[str] = []
    number = 0
    for kind in sorted(definitions(version).resource_types):
        for parameter in definitions(version).search_parameters(kind).values():
            if not supported(parameter) or parameter.code in ("_profile", "_security", "_lastUpdated"):
                continue
            for text in asked(version, kind, parameter):
                number += 1
                try:
                    await found(store, kind, text, version=version)
                except Outcome as outcome:
                    refused.append(f"{kind}?{text}: {outcome.message}")
    assert number > 10_000
    unexpected = [
        r
        for r in refused
        if not (":of-type=" in r and version == "stu3") and not r.partition("?")[2].startswith("_id:")
    ]
    assert unexpected == []
