"""Answers against the questions: which items, how many, when, and of what type. And reports and parameters that
follow a definition."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schakel.fhir.definitions import Definitions, definitions
from schakel.fhir.validation import validate

STU3, R4 = definitions("stu3"), definitions("r4")
BOTH = pytest.mark.parametrize("known", [STU3, R4], ids=["stu3", "r4"])
URL = "http://example.org/Questionnaire/q"
EXTENSION = "http://hl7.org/fhir/StructureDefinition/"


def question(name: str, kind: str, *inner: dict[str, Any], **members: Any) -> dict[str, Any]:
    below = {"item": list(inner)} if inner else {}
    return {"linkId": name, "type": kind, **members, **below}


def item(name: str, *answers: Any, **members: Any) -> dict[str, Any]:
    """An item; an answer is a text, or the members of the answer."""
    made = [{"valueString": a} if isinstance(a, str) else a for a in answers]
    return {"linkId": name, **({"answer": made} if made else {}), **members}


def told(
    questions: list[dict[str, Any]],
    items: list[dict[str, Any]],
    known: Definitions = R4,
    *,
    severity: str = "error",
    status: str = "completed",
    more: dict[str, dict[str, Any]] | None = None,
) -> list[str]:
    """The places of the issues on a response with `items` to a questionnaire with `questions`."""
    questionnaire = {"resourceType": "Questionnaire", "status": "active", "url": URL, "item": questions}
    response = {
        "resourceType": "QuestionnaireResponse",
        "status": status,
        "questionnaire": {"reference": URL} if known is STU3 else URL,
        **({"item": items} if items else {}),
    }
    held = {URL: questionnaire, **(more or {})}
    issues = validate(response, known, find=held.get)
    return [
        issue.expression.removeprefix("QuestionnaireResponse.")
        for issue in issues
        if issue.severity == severity
    ]


def extended(**values: Any) -> dict[str, Any]:
    """Extensions of the specification on a question, by the type of their value."""
    return {"extension": [{"url": EXTENSION + name, **value} for name, value in values.items()]}


@BOTH
def test_items_are_those_of_the_questionnaire_in_its_places_and_order(known: Definitions) -> None:
    asked = [question("g", "group", question("1", "string")), question("2", "string")]

    assert told(asked, [item("g", item=[item("1", "a")]), item("2", "b")], known) == []
    assert told(asked, [item("3", "a")], known) == ["item[0]"]
    assert told(asked, [item("1", "a")], known) == ["item[0]"]
    assert told(asked, [item("2", "b"), item("g", item=[item("1", "a")])], known) == ["item[1]"]
    assert told(asked, [item("g", "a")], known) == ["item[0]"]
    assert told(asked, [item("2", {"valueString": "b", "item": [item("1", "a")]})], known) == [
        "item[0].answer[0].item[0]"
    ]


@BOTH
def test_a_required_item_is_answered_unless_the_response_is_in_progress(known: Definitions) -> None:
    asked = [question("1", "string", required=True), question("2", "string")]

    assert told(asked, [item("1", "a")], known) == []
    assert told(asked, [item("2", "a")], known) == ["QuestionnaireResponse"]
    assert told(asked, [item("1")], known) == ["item[0]"]
    assert told(asked, [item("2", "a")], known, status="in-progress") == []
    assert told(asked, [item("2", "a")], known, status="in-progress", severity="warning") == [
        "QuestionnaireResponse"
    ]


@BOTH
def test_an_item_that_does_not_repeat_stands_once_with_one_answer(known: Definitions) -> None:
    assert told([question("1", "string")], [item("1", "a", "b")], known) == ["item[0]"]
    assert told([question("1", "string")], [item("1", "a"), item("1", "b")], known) == ["item[1]"]
    assert told([question("1", "string", repeats=True)], [item("1", "a", "b")], known) == []


def test_the_number_of_answers_has_limits() -> None:
    bounded = extended(
        **{"questionnaire-minOccurs": {"valueInteger": 2}, "questionnaire-maxOccurs": {"valueInteger": 3}}
    )
    asked = [question("1", "string", repeats=True, **bounded)]

    assert [len(told(asked, [item("1", *"abcd"[:count])])) for count in (1, 2, 3, 4)] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("boolean", {"valueBoolean": True}, {"valueString": "true"}),
        ("decimal", {"valueDecimal": 1}, {"valueInteger": 1}),
        ("date", {"valueDate": "2024-01-01"}, {"valueDateTime": "2024-01-01"}),
        ("text", {"valueString": "a"}, {"valueCoding": {"system": "urn:s", "code": "a"}}),
        ("url", {"valueUri": "urn:x"}, {"valueString": "urn:x"}),
        ("choice", {"valueCoding": {"system": "urn:s", "code": "a"}}, {"valueString": "a"}),
        ("quantity", {"valueQuantity": {"value": 1}}, {"valueDecimal": 1}),
        ("reference", {"valueReference": {"reference": "Patient/1"}}, {"valueString": "Patient/1"}),
    ],
)
@BOTH
def test_an_answer_has_the_type_of_its_question(
    known: Definitions, kind: str, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    assert told([question("1", kind)], [item("1", right)], known) == []
    assert told([question("1", kind)], [item("1", wrong)], known) == ["item[0].answer[0].value"]


def coding(code: str) -> dict[str, Any]:
    return {"valueCoding": {"system": "urn:s", "code": code}}


@BOTH
def test_an_answer_is_one_of_the_options(known: Definitions) -> None:
    name = "option" if known is STU3 else "answerOption"
    options = {
        name: [
            coding("a"),
            {**coding("b"), **extended(**{"questionnaire-optionExclusive": {"valueBoolean": True}})},
        ]
    }
    asked = [question("1", "choice", repeats=True, **options)]
    free = [question("1", "open-choice", **options)]

    assert told(asked, [item("1", coding("a"))], known) == []
    assert told(asked, [item("1", coding("b"))], known) == []
    assert told(asked, [item("1", coding("c"))], known) == ["item[0].answer[0]"]
    assert told(asked, [item("1", coding("a"), coding("b"))], known) == ["item[0].answer[1]"]
    assert told(free, [item("1", "something else")], known) == []
    assert told(free, [item("1", coding("c"))], known) == ["item[0].answer[0]"]


@BOTH
def test_an_answer_is_in_the_value_set_of_its_question(known: Definitions) -> None:
    url, system = "http://example.org/ValueSet/v", "http://example.org/CodeSystem/s"
    named: dict[str, Any] = {"options": {"reference": url}} if known is STU3 else {"answerValueSet": url}
    asked = [question("1", "choice", **named)]
    value_set = {"resourceType": "ValueSet", "compose": {"include": [{"system": system}]}}
    code_system = {
        "resourceType": "CodeSystem",
        "content": "complete",
        "concept": [{"code": "a", "concept": [{"code": "b"}]}],
    }

    def answer(code: str, more: dict[str, dict[str, Any]]) -> list[str]:
        given = item("1", {"valueCoding": {"system": system, "code": code}})
        return told(asked, [given], known, more=more)

    assert answer("b", {url: value_set, system: code_system}) == []
    assert answer("c", {url: value_set, system: code_system}) == ["item[0].answer[0]"]
    assert answer("c", {url: value_set}) == []
    assert answer("c", {}) == []
    expanded = {
        "resourceType": "ValueSet",
        "expansion": {
            "contains": [
                {
                    "system": system,
                    "code": "a",
                    "abstract": True,
                    "contains": [{"system": system, "code": "b"}],
                }
            ]
        },
    }
    assert answer("b", {url: expanded}) == []
    assert answer("a", {url: expanded}) == ["item[0].answer[0]"]


def test_an_answer_keeps_within_its_limits() -> None:
    def right(kind: str, answer: dict[str, Any], **members: Any) -> bool:
        return told([question("1", kind, **members)], [item("1", answer)]) == []

    least = extended(minValue={"valueInteger": 5}, maxValue={"valueInteger": 9})
    assert [right("integer", {"valueInteger": n}, **least) for n in (4, 5, 9, 10)] == [
        False,
        True,
        True,
        False,
    ]
    short = {"maxLength": 3, **extended(minLength={"valueInteger": 2})}
    assert [right("string", {"valueString": "abcd"[:n]}, **short) for n in (1, 2, 3, 4)] == [
        False,
        True,
        True,
        False,
    ]
    form = extended(regex={"valueString": "[0-9]{4}"})
    assert right("string", {"valueString": "1234"}, **form)
    assert not right("string", {"valueString": "12345"}, **form)
    sized = extended(maxSize={"valueDecimal": 2}, mimeType={"valueCode": "image/png"})
    picture = {"contentType": "image/png", "data": "YWI="}
    assert right("attachment", {"valueAttachment": picture}, **sized)
    assert not right("attachment", {"valueAttachment": {**picture, "data": "YWJj"}}, **sized)
    assert not right("attachment", {"valueAttachment": {**picture, "contentType": "image/gif"}}, **sized)


def quantity(value: int, code: str) -> dict[str, Any]:
    return {
        "valueQuantity": {"value": value, "unit": code, "system": "http://unitsofmeasure.org", "code": code}
    }


def test_quantities_are_compared_by_their_units() -> None:
    sdc = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-minQuantity"
    asked = [question("1", "quantity", extension=[{"url": sdc, **quantity(1, "kg")}])]

    assert told(asked, [item("1", quantity(1500, "g"))]) == []
    assert told(asked, [item("1", quantity(500, "g"))]) == ["item[0].answer[0].value"]
    assert told(asked, [item("1", quantity(500, "m"))]) == ["item[0].answer[0].value"]


@BOTH
def test_a_question_that_is_not_enabled_has_no_answer_and_need_not_have_one(known: Definitions) -> None:
    condition: dict[str, Any] = {"question": "1", "answerBoolean": True}
    if known is R4:
        condition["operator"] = "="
    asked = [question("1", "boolean"), question("2", "string", required=True, enableWhen=[condition])]
    yes, no = item("1", {"valueBoolean": True}), item("1", {"valueBoolean": False})

    assert told(asked, [yes, item("2", "a")], known) == []
    assert told(asked, [yes], known) == ["QuestionnaireResponse"]
    assert told(asked, [no], known) == []
    assert told(asked, [no, item("2", "a")], known) == ["item[1]"]


@pytest.mark.parametrize(
    ("operator", "expected", "enabled"),
    [
        ("exists", {"answerBoolean": True}, [False, True, True, True]),
        ("exists", {"answerBoolean": False}, [True, False, False, False]),
        ("=", {"answerInteger": 2}, [False, False, True, False]),
        ("!=", {"answerInteger": 2}, [False, True, False, True]),
        (">", {"answerInteger": 2}, [False, False, False, True]),
        ("<=", {"answerInteger": 2}, [False, True, True, False]),
    ],
)
def test_a_condition_compares_the_answer(
    operator: str, expected: dict[str, Any], enabled: list[bool]
) -> None:
    condition = {"question": "1", "operator": operator, **expected}
    asked = [question("1", "integer"), question("2", "string", enableWhen=[condition])]

    def accepted(given: list[dict[str, Any]]) -> bool:
        return told(asked, [item("1", *given), item("2", "a")]) == []

    assert [accepted([{"valueInteger": n}] if n else []) for n in range(4)] == enabled


def test_all_conditions_or_any_of_them() -> None:
    conditions = [{"question": str(n), "operator": "exists", "answerBoolean": True} for n in (1, 2)]

    def accepted(behaviour: str) -> bool:
        asked = [
            question("1", "string"),
            question("2", "string"),
            question("3", "string", enableWhen=conditions, enableBehavior=behaviour),
        ]
        return told(asked, [item("1", "a"), item("3", "b")]) == []

    assert (accepted("any"), accepted("all")) == (True, False)


def test_a_condition_may_be_an_expression() -> None:
    url = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression"
    expression = "%resource.item.where(linkId = '1').answer.value = 'yes'"
    extension = [{"url": url, "valueExpression": {"language": "text/fhirpath", "expression": expression}}]
    asked = [question("1", "string"), question("2", "string", extension=extension)]

    assert told(asked, [item("1", "yes"), item("2", "a")]) == []
    assert told(asked, [item("1", "no"), item("2", "a")]) == ["item[1]"]


def test_a_questionnaire_may_be_contained() -> None:
    held = {"resourceType": "Questionnaire", "id": "q", "status": "active", "item": [question("1", "string")]}
    response = {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "contained": [held],
        "questionnaire": "#q",
        "item": [item("2", "a")],
    }

    assert [i.expression for i in validate(response, R4) if i.severity == "error"] == [
        "QuestionnaireResponse.item[0]"
    ]
    other = {**response, "questionnaire": "#nobody", "contained": []}
    assert "QuestionnaireResponse.questionnaire" in [i.expression for i in validate(other, R4)]


_JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", [], {}, 7, "x", True, [None], [[]], [{}], {"a": 1}, "#", {"reference": 3}, [3]]
)


def _slots(value: Any) -> list[tuple[Any, Any]]:
    """Every place below `value`: the object or array, and the name or index in it."""
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    out = [(value, key) for key, _ in pairs]
    return out + [slot for _, held in pairs if isinstance(held, dict | list) for slot in _slots(held)]


@settings(max_examples=300, deadline=None)
@given(
    places=st.lists(st.tuples(st.integers(0, 10_000), _JUNK), min_size=1, max_size=3), broken=st.booleans()
)
def test_a_response_and_a_questionnaire_of_any_shape_give_issues(
    places: list[tuple[int, Any]], broken: bool
) -> None:
    when = [{"question": "1", "operator": "=", **coding("a")}]
    when[0]["answerCoding"] = when[0].pop("valueCoding")
    limits = extended(minValue={"valueInteger": 1}, maxSize={"valueDecimal": 2}, regex={"valueString": "a"})
    asked = [
        question("1", "choice", answerOption=[coding("a")]),
        question("2", "string", question("3", "integer"), enableWhen=when, **limits),
        question("4", "attachment", **limits),
    ]
    given_items = [
        item("1", coding("a")),
        item("2", {"valueString": "a", "item": [item("3", {"valueInteger": 1})]}),
        item("4", {"valueAttachment": {"data": "YQ==", "contentType": "text/plain"}}),
    ]
    for place, junk in places:
        slots = _slots(asked if broken else given_items)
        held, key = slots[place % len(slots)]
        held[key] = deepcopy(junk)

    assert isinstance(told(asked, given_items), list)


# --- what follows a definition -----------------------------------------------------------------------------


def test_a_derived_search_parameter_keeps_the_type_and_the_resources() -> None:
    def wrong(**members: Any) -> int:
        parameter = {
            "resourceType": "SearchParameter",
            "url": "http://example.org/SearchParameter/x",
            "name": "x",
            "status": "draft",
            "description": "x",
            "code": "name",
            "base": ["Patient"],
            "type": "string",
            "expression": "Patient.name",
            "derivedFrom": "http://hl7.org/fhir/SearchParameter/Patient-name",
            **members,
        }
        return len([issue for issue in validate(parameter, R4) if issue.severity == "error"])

    assert wrong() == 0
    assert wrong(type="token") == 1
    assert wrong(base=["Organization"], expression="Organization.name") == 1
    assert wrong(derivedFrom="http://example.org/SearchParameter/unknown", type="token") == 0


def test_a_report_has_the_groups_and_populations_of_its_measure() -> None:
    url = "http://example.org/Measure/m"
    population = {"code": {"coding": [{"system": "urn:p", "code": "all"}]}}
    measure = {
        "resourceType": "Measure",
        "scoring": {"coding": [{"system": "urn:s", "code": "cohort"}]},
        "group": [{"code": {"coding": [{"system": "urn:g", "code": "g"}]}, "population": [population]}],
    }

    def told_on(group: dict[str, Any]) -> list[str]:
        report = {
            "resourceType": "MeasureReport",
            "status": "complete",
            "type": "summary",
            "measure": url,
            "period": {"start": "2024"},
            "group": [group],
        }
        issues = validate(report, R4, find={url: measure}.get)
        return [i.expression.removeprefix("MeasureReport.") for i in issues if i.severity == "error"]

    right = {
        "code": {"coding": [{"system": "urn:g", "code": "g"}]},
        "population": [{**population, "count": 3}],
    }
    assert told_on(right) == []
    assert told_on({**right, "code": {"coding": [{"system": "urn:g", "code": "h"}]}}) == ["group[0]"]
    assert told_on({**right, "measureScore": {"value": 3}}) == ["group[0].measureScore"]
    other = {"code": {"coding": [{"system": "urn:p", "code": "none"}]}}
    assert told_on({**right, "population": [other]}) == ["group[0].population[0]"]
    listing = {**population, "subjectResults": {"reference": "List/1"}}
    assert told_on({**right, "population": [listing]}) == ["group[0].population[0]"]
