"""What a resource puts into the search index, and the patient it belongs to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.generated import resources

from schakel.fhir import definitions
from schakel.fhir.definitions import VERSIONS, Version
from schakel.fhir.fhirpath import Expression, Node, compile_expression
from schakel.fhir.moments import FIRST, LAST
from schakel.fhir.search import component_parameters, parts_of
from schakel.store.index_values import key, parse_literal, time_interval
from schakel.store.indexing import INDEXED, IndexRows, indexer, needed_members

BASE = "https://node.example/a/fhir/stu3"


def rows(kind: str, **members: Any) -> IndexRows:
    return indexer("stu3", kind).rows({"resourceType": kind, **members}, (BASE,))


def tokens(found: IndexRows, parameter: str) -> set[tuple[str, str]]:
    """(system, code) of a parameter."""
    return {(system, code) for name, code, system in found.token if name == parameter}


def references(found: IndexRows, parameter: str) -> set[tuple[str, str]]:
    return {(kind, target) for name, kind, target in found.reference if name == parameter}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Patient/p1", ("Patient", "p1")),
        ("Patient/p1/_history/3", ("Patient", "p1")),
        (f"{BASE}/Patient/p1", ("Patient", "p1")),
        (f"{BASE}/Patient/p1/_history/3", ("Patient", "p1")),
        ("https://other.example/fhir/Patient/p1", ("", "https://other.example/fhir/Patient/p1")),
        (f"{BASE}x/Patient/p1", ("", f"{BASE}x/Patient/p1")),
        (
            "urn:uuid:8d6cbd30-6a0b-4b0c-8c0a-1d4b1f1a0f53",
            ("", "urn:uuid:8d6cbd30-6a0b-4b0c-8c0a-1d4b1f1a0f53"),
        ),
        ("Patient/" + "p" * 65, ("", "Patient/" + "p" * 65)),
        ("p1", ("", "p1")),
    ],
)
def test_a_literal_reference_leads_to_us_or_elsewhere(reference: str, expected: tuple[str, str]) -> None:
    assert parse_literal(reference, (BASE,)) == expected


def test_a_concept_is_found_by_each_of_its_codings() -> None:
    coding = [
        {"system": "http://loinc.org", "code": "1-8"},
        {"code": "x"},
        {"system": "s", "display": "no code"},
    ]
    assert tokens(rows("Observation", code={"coding": coding}), "code") == {
        ("http://loinc.org", "1-8"),
        ("", "x"),
    }


def test_tokens_come_from_identifiers_contacts_codes_and_booleans() -> None:
    found = rows(
        "Patient",
        identifier=[{"system": "s", "value": "1"}, {"value": "2"}, {"system": "without value"}],
        telecom=[{"system": "phone", "value": "06"}],
        gender="female",
        active=False,
    )
    assert tokens(found, "identifier") == {("s", "1"), ("", "2")}
    assert tokens(found, "phone") == {("", "06")}
    assert tokens(found, "gender") == {("", "female")}
    assert tokens(found, "active") == {("", "false")}


def test_a_reference_is_found_by_its_target_and_by_its_identifier() -> None:
    subject = {"reference": "Patient/p1", "identifier": {"system": "s", "value": "1"}}
    found = rows("Observation", subject=subject)
    assert references(found, "subject") == references(found, "patient") == {("Patient", "p1")}
    assert tokens(found, "subject:identifier") == {("s", "1")}


def test_a_reference_inside_the_resource_is_no_target() -> None:
    assert not references(rows("Observation", subject={"reference": "#p"}), "subject")


def test_what_is_about_a_group_belongs_to_no_patient() -> None:
    found = rows("Observation", subject={"reference": "Group/g"})
    assert references(found, "subject") == {("Group", "g")}
    assert found.patient == ""


def test_a_name_is_found_by_each_of_its_parts() -> None:
    found = rows("Patient", name=[{"family": "De Böer", "given": ["Ève", "Anna"], "use": "official"}])
    assert {(f, v) for p, f, v in found.string if p == "name"} == {
        ("de boer", "De Böer"),
        ("eve", "Ève"),
        ("anna", "Anna"),
    }
    assert {f for p, f, _ in found.string if p == "family"} == {"de boer"}


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (
            {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"},
            {(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, 0, 0, 1, tzinfo=UTC))},
        ),
        ({"start": "2024-01-01T00:00:00Z"}, {(datetime(2024, 1, 1, tzinfo=UTC), LAST)}),
        ({"end": "2024-01-01T00:00:00Z"}, {(FIRST, datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC))}),
        ({"start": "2024-01-01T00:00:00Z", "end": "9999-12-31"}, {(datetime(2024, 1, 1, tzinfo=UTC), LAST)}),
        ({"id": "neither"}, set()),
    ],
)
def test_a_period_is_open_where_it_has_no_end(period: dict[str, str], expected: set[object]) -> None:
    found = rows("Encounter", period=period)
    assert {(low, high) for name, low, high in found.date if name == "date"} == expected


def test_a_timing_is_found_by_its_events() -> None:
    timing = {
        "event": ["2024-01-01T00:00:00Z"],
        "repeat": {"boundsPeriod": {"start": "2024-02-01T00:00:00Z"}},
    }
    found = rows("ProcedureRequest", occurrenceTiming=timing)
    assert {low for name, low, _ in found.date if name == "occurrence"} == {
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 1, tzinfo=UTC),
    }


def test_a_profile_is_found_as_it_is_written() -> None:
    found = rows("Patient", meta={"profile": ["http://p/a|1"], "tag": [{"system": "s", "code": "t"}]})
    assert tokens(found, "_profile") == {("", "http://p/a|1")}
    assert tokens(found, "_tag") == {("s", "t")}


def test_what_is_longer_than_a_key_is_cut() -> None:
    found = rows("Patient", identifier=[{"system": "s" * 900, "value": "v" * 900}])
    [(system, code)] = tokens(found, "identifier")
    assert (code, system) == (key("v" * 900), key("s" * 900))
    assert len(code) < 900


def test_a_resource_belongs_to_the_one_patient_it_names() -> None:
    assert rows("Observation", subject={"reference": "Patient/p1"}).patient == "p1"
    assert rows("Coverage", beneficiary={"reference": "Patient/p1"}).patient == "p1"
    assert rows("Observation", subject={"reference": "https://other.example/Patient/p1"}).patient == ""
    assert rows("Patient", id="p1").patient == ""


def test_the_patient_of_a_coverage_is_its_beneficiary_in_rows_that_older_ones_have_too() -> None:
    assert rows("Coverage", beneficiary={"reference": "Patient/p1"}).reference == {
        ("beneficiary", "Patient", "p1")
    }
    assert definitions("stu3").search_parameters("Coverage")["patient"].index_name == "beneficiary"


def test_a_resource_that_names_two_patients_belongs_to_none() -> None:
    performer = [{"reference": "Patient/p2"}]
    assert rows("Observation", subject={"reference": "Patient/p1"}, performer=performer).patient == ""


def test_more_values_than_the_maximum_do_not_stop_indexing() -> None:
    """A lenient write keeps such resources; they are found by what can be read."""
    found = rows(
        "Condition",
        subject=[{"reference": "Patient/p1"}],
        code={"coding": [{"system": ["a", "b"], "code": ["c", "d"]}, {"system": "s", "code": "e"}]},
        identifier=[{"system": ["a"], "value": "1"}],
        onsetPeriod={"start": ["2024", "2025"], "end": "2026"},
        abatementAge=[{"value": 1}, {"value": 2}],
        asserter={"identifier": [{"value": "1"}]},
        assertedDate=["2024-01-01", "2024-01-02"],
    )
    assert tokens(found, "code") == {("s", "e")}
    assert tokens(found, "identifier") == {("", "1")}
    assert found.patient == "p1"
    assert len([d for d in found.date if d[0] == "asserted-date"]) == 2


def test_a_date_that_cannot_be_read_is_kept_and_not_found() -> None:
    assert not rows("Observation", effectiveDateTime="2024-13").date


@given(resources(definitions("stu3")))
@settings(max_examples=60, deadline=None)
def test_any_resource_can_be_indexed(resource: dict[str, Any]) -> None:
    found = indexer("stu3", resource["resourceType"]).rows(resource, (BASE,))
    texts = [*found.token, *found.reference, *found.string]
    assert all(isinstance(text, str) and len(text) <= 400 for row in texts for text in row)
    assert all(low <= high for _, low, high in found.date)


@given(resources(definitions("stu3")), st.data())
@settings(max_examples=60, deadline=None)
def test_any_resource_with_a_value_too_many_can_be_indexed(
    resource: dict[str, Any], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([n for n in resource if n != "resourceType"]))
    doubled = {**resource, name: [resource[name], resource[name]]}
    indexer("stu3", resource["resourceType"]).rows(doubled)


@cache
def expressions(kind: str) -> list[tuple[frozenset[str], Expression]]:
    """The search expressions of a type of which can be told what they need, with that."""
    table = definitions("stu3")
    texts = {
        p.expression for p in table.search_parameters(kind).values() if p.type in INDEXED and p.expression
    }
    told = ((needed_members(text, table, kind), text) for text in sorted(texts))
    return [(m, compile_expression(text, table, context=kind)) for m, text in told if m is not None]


@given(resources(definitions("stu3")))
@settings(max_examples=60, deadline=None)
def test_an_expression_gives_nothing_without_the_members_it_needs(resource: dict[str, Any]) -> None:
    for members, expression in expressions(resource["resourceType"]):
        rest = {name: value for name, value in resource.items() if name not in members}
        assert expression.evaluate(rest) == []


def test_what_most_expressions_need_can_be_told() -> None:
    assert len(expressions("Observation")) > 20
    needed = needed_members("(Observation.value as Quantity)", definitions("stu3"), "Observation")
    assert needed is not None and {"valueQuantity", "_valueString"} <= needed
    for text in ("Patient.deceased.exists()", "Resource.meta.tag", "Patient.name.given[0] = 'A'", "true"):
        assert needed_members(text, definitions("stu3"), "Patient") is None


UCUM = "http://unitsofmeasure.org"


def quantities(found: IndexRows, parameter: str) -> set[tuple[object, ...]]:
    return {row[1:] for row in found.quantity if row[0] == parameter}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"value": Decimal("72.5"), "unit": "kilo", "system": UCUM, "code": "kg"},
            (72.5, 72.5, UCUM, "kg", "kilo", "g1", 72500.0, 72500.0),
        ),
        ({"value": 5, "comparator": "<"}, (-inf, 5.0, "", "", "", "", -inf, 5.0)),
        (
            {"value": 5, "comparator": ">=", "system": UCUM, "code": "d"},
            (5.0, inf, UCUM, "d", "", "s1", 432000.0, inf),
        ),
        ({"value": 5, "system": UCUM, "code": "\u00b2"}, (5.0, 5.0, UCUM, "\u00b2", "", "\u00b21", 5.0, 5.0)),
        ({"value": Decimal("1e999"), "system": "urn:x"}, (inf, inf, "urn:x", "", "", "", inf, inf)),
        ({"unit": "kg"}, None),
        ({"value": "5"}, None),
    ],
)
def test_a_quantity_stands_in_the_index_as_it_is_and_in_base_units(
    value: dict[str, Any], expected: tuple[object, ...] | None
) -> None:
    found = rows("Observation", valueQuantity=value)
    assert quantities(found, "value-quantity") == ({expected} if expected else set())
    assert (("value-quantity:present", "", "") in found.token) is (expected is None)


def test_a_range_reaches_from_its_low_to_its_high() -> None:
    low, high = ({"value": n, "system": UCUM, "code": "%"} for n in (10, 20))
    found = rows("RiskAssessment", prediction=[{"probabilityRange": {"low": low, "high": high}}])
    assert {row[:2] for row in quantities(found, "probability")} == {(10.0, 20.0)}
    half = rows("RiskAssessment", prediction=[{"probabilityRange": {"low": low}}])
    assert {row[:2] for row in quantities(half, "probability")} == {(10.0, inf)}
    assert not quantities(rows("RiskAssessment", prediction=[{"probabilityRange": {}}]), "probability")


def test_an_element_that_has_no_value_for_the_index_is_there_all_the_same() -> None:
    found = rows("Observation", code={"text": "x"}, subject={"display": "y"}, effectiveDateTime="2024-13")
    marks = {name for name, _, _ in found.token if name.endswith(":present")}
    assert {"code:present", "subject:present", "date:present"} <= marks
    assert not {m for m in marks if m.startswith(("status", "category", "combo-code"))}


def test_what_is_said_beside_codes_is_one_row() -> None:
    code = {"text": "Hoofd  PIJN", "coding": [{"code": "1", "display": "Ergens"}, {"code": "2"}]}
    [(_, [(words,)])] = [t for t in rows("Condition", code=code).tables() if t[0] == "index_text"]
    assert words == "\ncode\x1fergens\ncode\x1fhoofd pijn"
    assert not rows("Condition", code={"coding": [{"code": "1"}]}).words


def test_parts_of_a_composite_stand_together_with_the_number_of_their_element() -> None:
    component = [
        {"code": {"coding": [{"code": "a"}, {"code": "b"}]}, "valueQuantity": {"value": 1}},
        {"code": {"coding": [{"code": "c"}]}},
        {"code": {"coding": [{"code": "d"}]}, "valueQuantity": {"value": 2}},
    ]
    found = rows(
        "Observation", component=component, code={"coding": [{"code": "x"}]}, valueQuantity={"value": 3}
    )
    [name] = {row[0] for row in found.composite}
    assert name == "component-code-value-quantity"
    assert {row[1:4] for row in found.composite} == {
        (0, 1, "a"),
        (0, 1, "b"),
        (0, 2, ""),
        (2, 1, "d"),
        (2, 2, ""),
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_parameters_that_are_others_together_have_no_rows(version: Version) -> None:
    unions = parts_of(definitions(version), "Observation")
    assert {c: {p.code for p in parts} for c, parts in unions.items()} == {
        f"combo-{name}": {name, f"component-{name}"}
        for name in ("code", "value-concept", "value-quantity", "data-absent-reason")
    } | {
        f"combo-{name}": {name, f"component-{name}"} for name in ("code-value-concept", "code-value-quantity")
    }
    found = indexer(version, "Observation").rows(
        {"resourceType": "Observation", "code": {"coding": [{"code": "x"}]}}
    )
    assert {name for name, _, _ in found.token} == {"code"}
    assert all(not parts_of(definitions(version), kind) for kind in ("Patient", "MedicationRequest"))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_composite_has_parts_that_its_type_knows(version: Version) -> None:
    known = definitions(version)
    for kind in known.resource_types:
        for parameter in known.search_parameters(kind).values():
            parts = component_parameters(known, kind, parameter)
            assert (parts is not None) is (parameter.type == "composite"), f"{kind}: {parameter.code}"


@pytest.mark.parametrize(
    ("amount", "unit", "days"),
    [(7, "d", 7), (2, "wk", 14), (1, "mo", 31), (1, "a", 366), (Decimal("1.5"), "d", 1.5)],
)
def test_a_time_interval_ends_its_duration_after_its_start(amount: Any, unit: str, days: float) -> None:
    url = "http://nictiz.nl/fhir/StructureDefinition/ext-TimeInterval.Duration"
    duration = {"url": url, "valueDuration": {"value": amount, "code": unit}}
    start = datetime(2024, 1, 1, tzinfo=UTC)
    period = {"start": "2024-01-01T00:00:00Z", "extension": [duration]}
    [(_, low, high)] = [
        row
        for row in indexer("r4", "MedicationStatement")
        .rows({"resourceType": "MedicationStatement", "effectivePeriod": period})
        .date
        if row[0] == "period-of-use"
    ]
    assert (low, high) == (start, start + timedelta(days=days, seconds=1))


@given(
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from(["s", "min", "h", "d", "wk", "mo", "a"]),
    st.sampled_from(["start", "end"]),
)
def test_a_time_interval_stays_within_all_time(amount: Decimal, unit: str, end: str) -> None:
    url = "http://nictiz.nl/fhir/StructureDefinition/ext-TimeInterval.Duration"
    period = {
        end: "2024-01-01",
        "extension": [{"url": url, "valueDuration": {"value": amount, "code": unit}}],
    }
    for low, high in time_interval(Node(period, "Period"), {}):
        assert FIRST <= low <= LAST and FIRST <= high <= LAST
