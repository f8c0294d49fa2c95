"""Every search parameter and invariant of both specifications compiles and means something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from schakel.fhir.definitions import VERSIONS, Version, definitions
from schakel.fhir.fhirpath import Node, compile_expression


def _parameters(version: Version) -> Iterator[tuple[str, str, str]]:
    """Resource type, code and expression of each parameter on each type; composites have no expression."""
    known = definitions(version)
    for type in sorted(known.resource_types):
        for code, parameter in known.search_parameters(type).items():
            if parameter.expression:
                yield type, code, parameter.expression


def _invariants(version: Version) -> Iterator[tuple[str, str, str]]:
    """Type, key and expression of each invariant; one of a choice element comes with each of its types."""
    for definition in definitions(version).types.values():
        for invariant in definition.invariants:
            yield definition.name, invariant.key, invariant.expression
        for element in definition.elements.values():
            for invariant in element.invariants:
                for type in element.types:
                    yield type, invariant.key, invariant.expression


@pytest.mark.parametrize("version", VERSIONS)
def test_every_search_expression_compiles_on_its_type_and_can_have_results(version: Version) -> None:
    known = definitions(version)
    without_results = [
        (type, code)
        for type, code, text in _parameters(version)
        if compile_expression(text, known, context=type).types == frozenset()
    ]

    assert without_results == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_invariant_compiles_on_its_type(version: Version) -> None:
    known = definitions(version)
    seen = {compile_expression(text, known, context=type).text for type, _, text in set(_invariants(version))}

    assert len(seen) > 150


_STU3_TYPE_CASE = [
    ("CommunicationRequest", "occurrence", "occurrenceDateTime", "2024-03-01", "dateTime"),
    ("ConceptMap", "source-uri", "sourceUri", "urn:source", "uri"),
    ("ConceptMap", "target-uri", "targetUri", "urn:target", "uri"),
    ("RiskAssessment", "date", "occurrenceDateTime", "2024-03-01", "dateTime"),
    ("DeviceRequest", "event-date", "occurrenceDateTime", "2024-03-01", "dateTime"),
    ("Goal", "start-date", "startDate", "2024-03-01", "date"),
    ("Observation", "value-date", "valueDateTime", "2024-03-01", "dateTime"),
    ("Observation", "value-string", "valueString", "positive", "string"),
    ("Patient", "death-date", "deceasedDateTime", "2024-03-01", "dateTime"),
]


@pytest.mark.parametrize(("type", "code", "member", "value", "kind"), _STU3_TYPE_CASE)
def test_an_stu3_parameter_with_a_type_in_wrong_case_finds_its_value(
    type: str, code: str, member: str, value: str, kind: str
) -> None:
    found = _search("stu3", type, code, {"resourceType": type, member: value})

    assert [(node.value, node.type) for node in found] == [(value, kind)]


def test_the_target_date_of_an_stu3_goal_is_found() -> None:
    goal = {"resourceType": "Goal", "target": [{"dueDate": "2025-01-01"}]}

    assert [node.value for node in _search("stu3", "Goal", "target-date", goal)] == ["2025-01-01"]


def _search(version: Version, type: str, code: str, resource: dict[str, Any]) -> list[Node]:
    known = definitions(version)
    expression = known.search_parameters(type)[code].expression
    return compile_expression(expression, known, context=type).evaluate(resource)


def test_a_union_over_many_types_keeps_only_the_branch_of_the_context() -> None:
    known = definitions("r4")
    parameter = known.search_parameters("CarePlan")["patient"]
    care_plan = {"resourceType": "CarePlan", "subject": {"reference": "Patient/1"}}

    pruned = compile_expression(parameter.expression, known, context="CarePlan")

    assert parameter.expression.count("|") > 20
    assert pruned.types == frozenset({"Reference"})
    assert [node.value for node in pruned.evaluate(care_plan)] == [{"reference": "Patient/1"}]
    assert pruned.evaluate({"resourceType": "Observation", "subject": {"reference": "Patient/1"}}) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_correction_is_still_needed(version: Version) -> None:
    """Each corrected text stood in the publication, so the right text stands in what is loaded."""
    from schakel.fhir.definitions import corrections

    texts = {text for _, _, text in _parameters(version)}
    for wrong, right, reason in corrections._CORRECTIONS[version]:
        assert reason
        assert any(right in text for text in texts)
        assert not any(wrong in text for text in texts)


def test_an_invariant_of_only_one_type_of_a_choice_holds_for_the_other() -> None:
    known = definitions("r4")
    element = known.types["RiskAssessment.prediction"].elements["probability"]
    [expression] = [i.expression for i in element.invariants if i.key == "ras-1"]

    number = compile_expression(expression, known, context="decimal").evaluate(Node(5, "decimal"))
    per_mille = {"low": {"value": 1, "code": "[ppth]", "system": "http://unitsofmeasure.org"}}
    wrong = compile_expression(expression, known, context="Range").evaluate(per_mille)

    assert [node.value for node in number] == [True]
    assert [node.value for node in wrong] == [False]
