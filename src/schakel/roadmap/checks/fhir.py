"""`fhir-metadata`: each FHIR base answers with the CapabilityStatement of its version.

Source: FHIR STU3 and R4, http.html#capabilities (the resource, its fhirVersion and formats).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from schakel.roadmap.checks.model import Check, Target, judged
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "fhir-metadata"

_VERSIONS = {"stu3": "3.0.", "r4": "4.0."}
"""How `fhirVersion` begins."""
_JSON = frozenset({"json", "application/fhir+json", "application/json+fhir", "application/json"})


async def _measure(target: Target, tools: Tools) -> Finding:
    faults: list[Text] = []
    seen: list[str] = []
    for version, base in target.organisation.fhir.given():
        wrong, told = await _base(version, base, tools)
        faults += wrong
        seen.append(told)
    bases = target.organisation.fhir.given()
    return judged(
        ID,
        faults,
        Text(
            f"Elke FHIR-basis antwoordt met een CapabilityStatement van haar versie ({', '.join(seen)}).",
            f"Each FHIR base answers with a CapabilityStatement of its version ({', '.join(seen)}).",
        ),
        detail="; ".join(base for _, base in bases),
        facts={"bases": len(bases)},
    )


async def _base(version: Literal["stu3", "r4"], base: str, tools: Tools) -> tuple[list[Text], str]:
    """What is wrong with one base, and the version that it says."""
    answer = await tools.get(f"{base}/metadata", accept="application/fhir+json")
    if answer.status != 200:
        return [
            Text(
                f"{base}/metadata antwoordt met status {answer.status}.",
                f"{base}/metadata answers with status {answer.status}.",
            )
        ], ""
    table = answer.table()
    if table is None or table.get("resourceType") != "CapabilityStatement":
        return [
            Text(
                f"{base}/metadata is geen CapabilityStatement.", f"{base}/metadata is no CapabilityStatement."
            )
        ], ""
    faults = []
    said = str(table.get("fhirVersion", ""))
    if not said.startswith(_VERSIONS[version]):
        faults.append(
            Text(
                f"{base} zegt FHIR-versie {said[:20] or 'geen'}, niet {version.upper()}.",
                f"{base} says FHIR version {said[:20] or 'none'}, not {version.upper()}.",
            )
        )
    formats = table.get("format")
    if not isinstance(formats, list) or not _JSON & {str(one).partition(";")[0] for one in formats}:
        faults.append(Text(f"{base} noemt JSON niet als vorm.", f"{base} does not name JSON as a format."))
    return faults, said[:20]


CHECK = Check(
    ID,
    Text("FHIR-deuren in bedrijf", "FHIR doors in service"),
    Text(
        "Vraagt van elke FHIR-basis de CapabilityStatement, en vergelijkt de FHIR-versie en de vormen.",
        "Asks each FHIR base for its CapabilityStatement, and compares the FHIR version and the formats.",
    ),
    timedelta(days=7),
    wants=lambda one: bool(one.fhir.given()),
    measure=_measure,
    in_service=True,
)
