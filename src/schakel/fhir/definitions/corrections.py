"""Where the published search parameters are wrong, or lack one that the exchanges need.

Every correction has its reason. `ADDED` is our own table of parameters (code, base, type, expression) that
exchanges ask and the FHIR version lacks.
"""

from __future__ import annotations

from schakel.fhir.definitions import SearchParameter, Version

_SP = "http://hl7.org/fhir/SearchParameter/"

# version -> (wrong text, right text, reason); applied to every expression with the wrong text.
_CASE = "names of primitive types begin with a small letter; so spelled the test never holds"
_CORRECTIONS: dict[Version, tuple[tuple[str, str, str], ...]] = {
    # Ten parameters: CommunicationRequest occurrence, ConceptMap source-uri and target-uri, clinical date (its
    # branch for RiskAssessment), DeviceRequest event-date, Goal start-date and target-date, Observation
    # value-date and value-string, Patient death-date.
    "stu3": (
        (".as(DateTime)", ".as(dateTime)", _CASE),
        (".as(Date)", ".as(date)", _CASE),
        (".as(String)", ".as(string)", _CASE),
        (".as(Uri)", ".as(uri)", _CASE),
    ),
    "r4": (),
}

_RANGE_ONLY = "the element is a decimal or a Range, and a decimal has no low and high"
_RAS_1 = (
    "(low.empty() or ((low.code = '%') and (low.system = %ucum))) and "
    "(high.empty() or ((high.code = '%') and (high.system = %ucum)))"
)

# version -> (key of the invariant, wrong text, right text, reason); one of which nothing is left is dropped.
_INVARIANTS: dict[Version, tuple[tuple[str, str, str, str], ...]] = {
    "stu3": (
        ("ras-1", _RAS_1, f"ofType(Range).all({_RAS_1})", _RANGE_ONLY),
        ("mad-3", "notGiven = 'false'", "notGiven = false", "a boolean never equals a string"),
    ),
    "r4": (
        ("ras-1", _RAS_1, f"ofType(Range).all({_RAS_1})", _RANGE_ONLY),
        (
            "que-7",
            "(answer is Boolean)",
            "(answer is boolean)",
            "the answer is a FHIR boolean, not a System one",
        ),
        (
            "cid-0",
            "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')",
            "",
            "ChargeItemDefinition has no name; copied from the resources that have one",
        ),
    ),
}

ADDED: dict[Version, tuple[SearchParameter, ...]] = {
    "stu3": (
        SearchParameter(
            code="category",
            base=("MedicationDispense",),
            type="token",
            expression="MedicationDispense.category",
            url="urn:schakel:search-parameter:MedicationDispense-category",
        ),
    ),
    "r4": (),
}
"""`MedicationDispense.category` (STU3): BgZ row 17 searches administration agreements by it; STU3 has no such
parameter (facts on the exchanges, section 1; Nictiz zib2017 carries it as a custom parameter)."""


def corrected(version: Version, url: str, expression: str) -> str:
    """`expression` of the parameter `url` with this version's corrections applied."""
    for wrong, right, _reason in _CORRECTIONS[version]:
        expression = expression.replace(wrong, right)
    return expression


def corrected_invariant(version: Version, key: str, expression: str) -> str:
    """`expression` of the invariant `key` with this version's corrections applied; empty to drop it."""
    for wrong_key, wrong, right, _reason in _INVARIANTS[version]:
        if key == wrong_key:
            expression = expression.replace(wrong, right)
    return expression
