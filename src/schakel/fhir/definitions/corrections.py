"""Where the published search parameters and invariants are wrong. Every correction has its reason."""

from __future__ import annotations

from schakel.fhir.definitions import Version

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
        (
            "Patient.deceased.exists()",
            "Patient.deceased.where($this != false).exists()",
            "who is said not to be deceased is not (R4 has it so)",
        ),
    ),
    # The second part of the composite parameter Observation code-value-date.
    "r4": ((".as(DateTime)", ".as(dateTime)", _CASE),),
}

_RANGE_ONLY = "the element is a decimal or a Range, and a decimal has no low and high"
_RAS_1 = (
    "(low.empty() or ((low.code = '%') and (low.system = %ucum))) and "
    "(high.empty() or ((high.code = '%') and (high.system = %ucum)))"
)

_MANY_WHEN = (
    "(when in ('C' | 'CM' | 'CD' | 'CV')).not()",
    "when.all(($this in ('C' | 'CM' | 'CD' | 'CV')).not())",
    "when repeats, and `in` takes one item on its left",
)

# version -> (key of the invariant, wrong text, right text, reason); one of which nothing is left is dropped.
_INVARIANTS: dict[Version, tuple[tuple[str, str, str, str], ...]] = {
    "stu3": (
        ("ras-1", _RAS_1, f"ofType(Range).all({_RAS_1})", _RANGE_ONLY),
        ("tim-9", *_MANY_WHEN),
        ("mad-3", "notGiven = 'false'", "notGiven = false", "a boolean never equals a string"),
    ),
    "r4": (
        ("ras-1", _RAS_1, f"ofType(Range).all({_RAS_1})", _RANGE_ONLY),
        ("tim-9", *_MANY_WHEN),
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
