"""Small parts of resources, the same in STU3 and R4: codings, concepts, quantities, references, dates.

The code systems named here are those of STU3; `zibs2020.elements` has those that R4 names otherwise.

Every function returns new, plain JSON members, so that a caller may change what it gets.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

from schakel.fhir.json import FhirDecimal
from schakel.kernel.clock import AMSTERDAM

Json = dict[str, Any]

NICTIZ = "http://nictiz.nl/fhir/StructureDefinition/"
NL_CORE = "http://fhir.nl/fhir/StructureDefinition/"
HL7 = "http://hl7.org/fhir/StructureDefinition/"

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ATC = "http://www.whocc.no/atc"
NULL_FLAVOR = "http://hl7.org/fhir/v3/NullFlavor"
PARTICIPATION = "http://hl7.org/fhir/v3/ParticipationType"
ACT_CODE = "http://hl7.org/fhir/v3/ActCode"

POLICY = "http://wetten.overheid.nl/"


class Code(NamedTuple):
    """A code with its system and Dutch display."""

    system: str
    code: str
    display: str


class Link(NamedTuple):
    """Where a resource is (`Type/id`) and the text by which a reference names it."""

    target: str
    display: str


def sct(code: str, display: str) -> Code:
    """A SNOMED CT concept."""
    return Code(SNOMED, code, display)


def loinc(code: str, display: str) -> Code:
    """A LOINC concept."""
    return Code(LOINC, code, display)


def other(text: str) -> Json:
    """A concept for which the list has no code: null flavor OTH with the meaning in `text`."""
    return {"coding": [coding(Code(NULL_FLAVOR, "OTH", "Anders"))], "text": text}


def coding(code: Code) -> Json:
    return {"system": code.system, "code": code.code, "display": code.display}


def concept(*codes: Code, text: str = "") -> Json:
    """A CodeableConcept with these codings, and `text` when given."""
    out: Json = {"coding": [coding(code) for code in codes]}
    if text:
        out["text"] = text
    return out


def extension(url: str, **value: Any) -> Json:
    """An extension with one value, such as `valueBoolean=True`."""
    return {"url": url, **value}


def specified(code: Code) -> Json:
    """The sibling of a primitive that carries the zib's own code for it (`code-specification`)."""
    return {"extension": [extension(NICTIZ + "code-specification", valueCodeableConcept=concept(code))]}


def number(text: str) -> int | FhirDecimal:
    """A JSON number that keeps its digits."""
    return int(text) if text.isdigit() else FhirDecimal(text)


def quantity(value: str, unit: str, code: str = "", system: str = UCUM) -> Json:
    """A Quantity; `code` defaults to `unit`, which then is UCUM."""
    return {"value": number(value), "unit": unit, "system": system, "code": code or unit}


def reference(link: Link) -> Json:
    return {"reference": link.target, "display": link.display}


def period(start: str | None = None, end: str | None = None) -> Json:
    """A Period; each side may be open."""
    return {name: value for name, value in (("start", start), ("end", end)) if value}


def day(today: date, days_ago: int) -> str:
    """The FHIR date that many days before `today`."""
    return (today - timedelta(days=days_ago)).isoformat()


def moment(today: date, days_ago: int, hour: int, minute: int = 0) -> str:
    """The FHIR dateTime of that clock time in Amsterdam, that many days before `today`."""
    at = datetime.combine(today - timedelta(days=days_ago), time(hour, minute), AMSTERDAM)
    return at.isoformat()


def laterality(side: Code) -> Json:
    """The extension that says left or right of a body site."""
    return extension(NICTIZ + "BodySite-Qualifier", valueCodeableConcept=concept(side))


def body_site(site: Code, side: Code | None = None) -> Json:
    """A body site, with its side when there is one."""
    out = concept(site)
    return {"extension": [laterality(side)], **out} if side else out


def present(members: Json) -> Json:
    """`members` without those that are None or an empty list: FHIR has neither null nor empty arrays."""
    return {name: value for name, value in members.items() if value is not None and value != []}


LEFT = sct("7771000", "Links")
RIGHT = sct("24028007", "Rechts")
