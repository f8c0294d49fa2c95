"""The published patch cases: all of them pass.

Source: `FHIR/fhir-test-cases`, folder `r4/patch`; see the README of the shared suite.
"""

from __future__ import annotations

import json as plain
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree
from tests.shared import shared

from schakel.fhir import xml
from schakel.fhir.definitions import definitions
from schakel.fhir.patch import apply_fhirpath_patch, apply_json_patch
from schakel.kernel.outcomes import Outcome

pytestmark = pytest.mark.shared
R4 = definitions("r4")


def _fhirpath_cases() -> Iterator[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]]:
    for case in etree.parse(shared("suites", "patch", "fhir-patch-tests.xml")).getroot().iter("case"):
        parts = [case.find(name) for name in ("input", "diff", "output")]
        read = [xml.parse(etree.tostring(part[0]), R4) for part in parts if part is not None]
        yield case.get("name") or "", read[0], read[1], read[2]


def test_every_fhirpath_patch_case_passes() -> None:
    cases = list(_fhirpath_cases())
    wrong = [name for name, before, diff, after in cases if apply_fhirpath_patch(before, diff, R4) != after]

    assert wrong == []
    assert len(cases) == 21


def test_every_json_patch_case_passes() -> None:
    cases = plain.loads(shared("suites", "patch", "json-patch-tests.json").read_text("utf-8"))
    wrong = []
    for case in cases:
        try:
            found = apply_json_patch(case["doc"], case["patch"])
        except Outcome:
            found = {"refused": True}
        if found != case.get("expected", {"refused": True}):
            wrong.append(case["comment"])

    assert wrong == []
    assert len(cases) == 10
