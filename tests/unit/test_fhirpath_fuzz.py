"""Whatever the expression and the data: a result or an error of ours, in bounded time."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.expressions import OBSERVATION, PATIENT, compiled
from tests.generated import resources

from schakel.fhir.definitions import Version, definitions
from schakel.fhir.fhirpath import compile_expression
from schakel.fhir.fhirpath.registry import FUNCTIONS
from schakel.fhir.fhirpath.special import SPECIAL
from schakel.kernel.outcomes import Invalid, NotSupported, Outcome, TooCostly

_STEPS = 20_000

_LITERALS = st.sampled_from(
    [
        *(
            "1",
            "0",
            "-1",
            "2147483647",
            "0.000000000001",
            "99999999999999999999.5",
            "1.50",
            "{}",
            "true",
            "false",
        ),
        *("'a'", "''", "'1'", "'(a+)+$'", "'[a-z]{1,9}'", "'2020-02-30'", "'4 days'", r"'\u0000é'", "'a|b'"),
        *("@2020", "@2020-02-29", "@0001-01-01", "@9999-12-31T23:59:59.999+14:00", "@T23:59", "@2020-01-01T"),
        *("1 'mg'", "0 'g'", "1 'Cel'", "3 'B'", "2 years", "1 'kg.m-2'", "1 '10*3/uL'", "5 '%'", "1 'a'"),
        *("$this", "$index", "$total", "%resource", "%context", "%rootResource", "%ucum", "%`vs-x`", "%none"),
        *("Patient", "Resource", "name", "value", "code", "id", "extension", "status", "`div`", "contained"),
    ]
)
_OPERATORS = st.sampled_from(
    [*"+-*/&|=~<>", "!=", "!~", "<=", ">=", "div", "mod", "and", "or", "xor", "implies", "in", "contains"]
)
_TYPES = st.sampled_from(["string", "Quantity", "Patient", "System.String", "FHIR.code", "Any", "Nothing"])
_CALLS = st.sampled_from(sorted({*FUNCTIONS, *SPECIAL, "resolve", "nosuch", "slice"}))


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, _OPERATORS, inner).map(" ".join),
        st.tuples(inner, _CALLS, st.lists(inner, max_size=3)).map(
            lambda t: f"{t[0]}.{t[1]}({', '.join(t[2])})"
        ),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        st.tuples(inner, st.sampled_from(["is", "as"]), _TYPES).map(" ".join),
        st.tuples(inner, _TYPES).map(lambda t: f"({t[0]}).ofType({t[1]})"),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
        st.tuples(inner, st.sampled_from(["name", "value", "code", "extension"])).map(".".join),
    )


_expressions = st.recursive(_LITERALS, _deeper, max_leaves=12)


def _ends(text: str, version: Version, subject: dict[str, Any], lenient: bool = False) -> None:
    """Runs `text`; any error but one of ours fails the test."""
    with suppress(Invalid, NotSupported, TooCostly):
        for context in (None, subject["resourceType"]):
            compiled(text, context, lenient=lenient, version=version).evaluate(subject, steps=_STEPS)


@settings(max_examples=400, deadline=2000)
@given(text=_expressions, lenient=st.booleans(), resource=resources(definitions("r4")))
def test_any_expression_on_any_r4_resource_ends_with_a_result_or_an_error(
    text: str, lenient: bool, resource: dict[str, Any]
) -> None:
    _ends(text, "r4", resource, lenient)


@settings(max_examples=200, deadline=2000)
@given(text=_expressions, resource=resources(definitions("stu3")))
def test_any_expression_on_any_stu3_resource_ends_with_a_result_or_an_error(
    text: str, resource: dict[str, Any]
) -> None:
    _ends(text, "stu3", resource)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.just("2020-01-01"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "code", "system", "reference", "extension", "id"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=2000)
@given(text=_expressions, data=st.data(), subject=st.sampled_from([PATIENT, OBSERVATION]))
def test_values_of_another_kind_than_their_type_has_are_no_way_out(
    text: str, data: st.DataObject, subject: dict[str, Any]
) -> None:
    members = sorted(subject.keys() - {"resourceType"})
    changed = {**subject, **{name: data.draw(_json) for name in data.draw(st.sets(st.sampled_from(members)))}}

    _ends(text, "r4", changed)


@settings(max_examples=300, deadline=2000)
@given(text=st.text(max_size=80))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    _ends(text, "r4", PATIENT)


@settings(max_examples=200, deadline=2000)
@given(text=_expressions, resource=resources(definitions("r4")))
def test_counted_and_uncounted_code_give_the_same(text: str, resource: dict[str, Any]) -> None:
    """For what ends within the steps; the time of day moves on between the two."""
    if any(word in text for word in ("now", "timeOfDay")):
        return
    try:
        expression = compile_expression(text, definitions("r4"), context=resource["resourceType"])
        counted = expression.evaluate(resource, steps=_STEPS)
    except TooCostly:
        return
    except Outcome:
        counted = None
    try:
        plain = compile_expression(text, definitions("r4"), context=resource["resourceType"]).evaluate(
            resource
        )
    except Outcome:
        assert counted is None
    else:
        assert counted is not None
        assert [(n.value, n.type) for n in plain] == [(n.value, n.type) for n in counted]
