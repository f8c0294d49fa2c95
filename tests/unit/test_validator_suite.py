"""The published validator cases: each has the reference's verdict (errors or none), or is listed with the reason.

Source: `FHIR/fhir-test-cases`, folder `validator`; see the README of the shared suite. Only steps against the base
specification are run; a terminology server is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from tests.shared import ROOT
from tests.validator_suite import cases

pytestmark = pytest.mark.shared

_PROFILE = "the error is one of a profile that the resource claims; profiles are not checked yet"
_DEFINITION = "the error is in a definition (snapshot, derivation); definitions are not worked out yet"
_EXTENSION = "the reference refuses an extension it cannot find; to us that is something not checked"
_TERMS = "needs the content or the properties of a code system"
_DISPLAY = "the error is a display text; those of the specification are not held"
_OPTION = "the error is made by a setting that we do not have: "

EXCEPTIONS: Mapping[str, str] = {
    "ai5": _PROFILE,
    "ai6": _PROFILE,
    "bundle-conformsto": _PROFILE,
    "maxvalue-example": _PROFILE,
    "profile-version-reference-test-instance": _PROFILE,
    "patient-ig-bad": _PROFILE,
    "obs-temp-bad": _PROFILE + " (a LOINC code makes the vital signs profile apply)",
    "obs-vs-1": _EXTENSION,
    "pat-dob-ext": _EXTENSION,
    "patient-with-turvakielto": _EXTENSION,
    "nested-questionnaire-nested-valueset": _EXTENSION,
    "profile-patient-op1": _EXTENSION,
    "profile-patient-op2": _EXTENSION,
    "ext-derived": _DEFINITION,
    "ext-derived-circle": _DEFINITION,
    "logical-boo-bad2": _DEFINITION,
    "obs-mz": _DEFINITION,
    "observation-bad-profile": _DEFINITION,
    "r3-sd-sd": "the extensions pack of 2024 gives another value type than STU3 itself",
    "bad-display": _DISPLAY,
    "choice-gender-coding-async-qr": _DISPLAY,
    "patient-translated-codes": _DISPLAY,
    "cm": _TERMS,
    "cs-bad-props": _TERMS,
    "cs-filter-bad": _TERMS,
    "fixed-quantity-binding-observation": _TERMS,
    "supplement-1": _TERMS,
    "supplement-1b": _TERMS,
    "supplement-2": _TERMS,
    "vs-bad-ecl-us": _TERMS,
    "vs-bad-props": _TERMS,
    "vs-filter-property-bad2": _TERMS,
    "encounter-period": "dates of another precision give no result in FHIRPath; that is not false to us",
    "mr-m-cql-library": "needs CQL",
    "measure-report-ihe": "the reference asks a code of a stratifier that has none in the measure",
    "questionnaireResponse-enableWhenEx-test-fail": "a condition in an extension of another country",
    "bad-bundle-reference-type-4": "by the rules of bundle.html the relative reference finds nothing there",
    "test-input-params-example1": "a modifier extension of example.org, which the reference lets pass",
    "bundle-bad-by-param": _OPTION + "a profile for an entry",
    "dr-example-org": _OPTION + "addresses of example.org are refused",
    "qr-bad-ref2": _OPTION + "references are looked up",
    "reference-invalid-resource-type-qr": _OPTION + "every address is one of a FHIR server",
    "pat-security-bad-string1": _OPTION + "tags in texts are refused",
    "aggregation-apart-good4": _OPTION + "only a part of the Bundle is validated",
    "contained-resource-bad-id-ignore": _OPTION + "contained resources are not validated",
}


def test_every_verdict_is_that_of_the_reference_but_for_the_listed_cases() -> None:
    found, verdicts, counts = Counter[str](), Counter[str](), Counter[str]()
    wrong = set()
    for case in cases():
        errors = sum(issue.severity == "error" for issue in case.issues())
        found[case.kind] += 1
        counts[case.kind] += errors == case.errors
        if bool(errors) == bool(case.errors):
            verdicts[case.kind] += 1
        else:
            wrong.add(case.name)

    assert wrong == set(EXCEPTIONS)
    page = (ROOT / "docs" / "explanation" / "validation.md").read_text("utf-8")
    for kind in ("plain", "terminology", "option"):
        total, same = found[kind], verdicts[kind]
        row = f"| {kind} | {total} | {same} | {same / total:.1%} | {counts[kind]} |"
        print(row)
        assert row in page


def test_every_exception_is_told_on_the_page() -> None:
    page = (ROOT / "docs" / "explanation" / "validation.md").read_text("utf-8")
    assert f"{len(EXCEPTIONS)} cases" in page
