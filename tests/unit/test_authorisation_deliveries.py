"""Which Bundles the matrix takes: every resource in one is of a kind that one row names, or comes beside these."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schakel.generic.authorisation import Brought, Policy, bundled
from schakel.generic.authorisation.checks import checked
from schakel.generic.authorisation.deliveries import accepting, block, overlapping, parameters
from schakel.kernel.outcomes import Forbidden, Invalid

SNOMED = "http://snomed.info/sct"
TAGS = "http://terminology.hl7.org/CodeSystem/common-tags"
MATRIX = bundled()
ROWS = [row for row in MATRIX.rows if row.interaction == "transaction"]
MA, WDS, VV, TA, MVE, MGB, MTD = (
    "33633005",
    "395067002",
    "52711000146108",
    "422037009",
    "373784005",
    "422979000",
    "18629005",
)
BESIDE = Brought("Medication", frozenset())


def of(kind: str, category: str = "", intent: str = "", *tags: str) -> Brought:
    """A building block with these tokens."""
    tokens = {("category", category, SNOMED)} if category else set()
    tokens |= {("intent", intent, "")} if intent else set()
    return Brought(kind, frozenset(tokens | {("_tag", tag, TAGS) for tag in tags}))


PRESCRIBED = of("MedicationRequest", MA, "order", "actionable")
TAKEN = {
    "medication-bring-MGO": [
        of("MedicationRequest", MA, "order"),
        of("MedicationRequest", WDS, "order"),
        of("MedicationRequest", VV, "order"),
        of("MedicationDispense", TA),
        of("MedicationDispense", MVE),
        of("MedicationStatement", MGB),
        of("MedicationAdministration", MTD),
    ],
    "medication-bring-VOO": [PRESCRIBED, of("MedicationRequest", VV, "order", "actionable")],
    "medication-bring-VAO": [
        of("MedicationDispense", TA, "", "actionable"),
        of("MedicationDispense", MVE, "", "actionable"),
    ],
    "medication-bring-proposal": [
        of("MedicationRequest", MA, "plan", "actionable"),
        of("MedicationRequest", VV, "plan", "actionable"),
    ],
    "medication-bring-reply": [of("Communication", "", "", "actionable")],
}


def test_every_row_that_takes_a_bundle_is_tried_here() -> None:
    assert [row.id for row in ROWS] == list(TAKEN)
    assert parameters(ROWS) == {"_tag", "category", "intent"}


@pytest.mark.parametrize("row", TAKEN)
def test_a_bundle_is_taken_by_its_row_alone_whatever_the_order(row: str) -> None:
    for one in TAKEN[row]:
        assert accepting(ROWS, [BESIDE, one]).id == row
        assert accepting(ROWS[::-1], [one, BESIDE]).id == row
    assert accepting(ROWS, TAKEN[row]).id == row


NOT_TAKEN = {
    "nothing to take": [BESIDE],
    "nothing": [],
    "a type that no row has": [PRESCRIBED, of("Flag")],
    "a category that is none of these": [of("MedicationRequest", "16076005", "order")],
    "no category": [of("MedicationRequest", "", "order", "actionable")],
    "no intent": [of("MedicationRequest", MA)],
    "a second category beside a good one": [
        replace(PRESCRIBED, tokens=PRESCRIBED.tokens | {("category", "1", SNOMED)})
    ],
    "the code in another system": [
        Brought("MedicationStatement", frozenset({("category", MGB, "urn:oid:1.2.3")}))
    ],
    "a tag that no row has": [of("MedicationStatement", MGB, "", "other")],
    "a tag beside a good one": [of("MedicationRequest", MA, "order", "actionable", "other")],
    "kinds of two rows": [PRESCRIBED, of("MedicationRequest", MA, "plan", "actionable")],
    "one that is to be acted on among data": [of("MedicationRequest", MA, "order"), PRESCRIBED],
    "a reply that is not to be acted on": [of("Communication")],
}


@pytest.mark.parametrize("brought", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_what_no_row_takes_is_refused(brought: list[Brought]) -> None:
    with pytest.raises(Forbidden) as refused:
        accepting(ROWS, brought)
    assert refused.value.kind == "form-not-allowed"


def test_rows_that_take_the_same_bundle_are_found() -> None:
    one, two = ROWS[0], ROWS[1]
    assert not any(overlapping(a, b) for a in ROWS for b in ROWS if a is not b)
    assert all(overlapping(row, row) for row in ROWS)
    wider = replace(two, id="wider", brings=frozenset({"MedicationStatement?status=active"}))
    assert overlapping(one, wider)
    with pytest.raises(Invalid, match="accepts a request that row 'medication-bring-MGO' accepts as well"):
        checked(replace(MATRIX, rows=(*MATRIX.rows, wider)), "own.toml")


WRONG: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "brings": [
        ("it brings nothing", {"brings": frozenset[str]()}),
        ("no type", {"brings": frozenset({"Medicine?code=1"})}),
        ("no parameters", {"brings": frozenset({"Communication"})}),
        ("a parameter that is none", {"brings": frozenset({"Communication?colour=red"})}),
        ("a search that brings", {"interaction": "search", "type": "Flag", "patients": ("patient",)}),
    ],
    "beside": [
        ("a type that is none", {"beside": frozenset({"Medicine"})}),
        ("a type that it takes by its kind", {"beside": frozenset({"Communication"})}),
    ],
    "type": [("a type", {"type": "Communication"})],
}


@pytest.mark.parametrize(
    ("member", "changed"),
    [pytest.param(member, changed, id=what) for member, cases in WRONG.items() for what, changed in cases],
)
def test_a_row_that_cannot_be_is_refused(member: str, changed: dict[str, Any]) -> None:
    wrong = replace(ROWS[-1], **changed)
    rows = tuple(row for row in MATRIX.rows if row.id != wrong.id)
    with pytest.raises(Invalid) as refused:
        checked(replace(MATRIX, rows=(*rows, wrong)), "own.toml")
    assert refused.value.expression == member, refused.value.message


def test_the_text_of_a_matrix_keeps_what_is_brought() -> None:
    policy = Policy()
    assert Policy.from_text(policy.text).matrix == policy.matrix
    assert block("Communication?_tag=a|b,a|c").parameters == {"_tag": frozenset({"a|b", "a|c"})}
