"""A query string becomes exactly the search it says, or is refused by name."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.fhir import definitions
from schakel.fhir.search import Query, QueryParser, encode, fold, pairs_of, split_or, split_prefix
from schakel.kernel.outcomes import Invalid, NotSupported, TooCostly

PARSER = QueryParser(definitions("stu3"))


def parse(kind: str, text: str, *, last: bool = False) -> Query:
    return PARSER.parse(kind, pairs_of(text), last=last)


def values(kind: str, text: str) -> tuple[str, ...]:
    [condition] = parse(kind, text).conditions
    return condition.values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        (" a , b ", ("a", "b")),
        (r"a\,b,c", ("a,b", "c")),
        (r"a\\,b", ("a\\", "b")),
        (r"a\\\,b", ("a\\,b",)),
        (r"\$1\|2", ("$1|2",)),
        ("a\\", ("a\\",)),
        (",", ("", "")),
    ],
)
def test_an_or_list_is_split_at_commas_that_are_not_escaped(text: str, expected: tuple[str, ...]) -> None:
    assert split_or(text) == expected


@given(st.lists(st.text(min_size=1).map(str.strip).filter(bool), min_size=1))
def test_escaped_values_come_out_of_an_or_list_as_they_went_in(expected: list[str]) -> None:
    text = ",".join(re.sub(r"([\\,$|])", r"\\\1", value) for value in expected)
    assert split_or(text) == tuple(expected)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20))
def test_pairs_come_out_of_a_query_as_they_went_in(pairs: list[tuple[str, str]]) -> None:
    assert pairs_of(encode(pairs)) == tuple(pairs)


@pytest.mark.parametrize("text", ["name=%", "name=%4", "name=%zz", "%=1", "name=%ff", "name=%ed%a0%80"])
def test_broken_percent_encoding_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"percent|UTF-8"):
        pairs_of(text)


def test_more_than_200_parameters_are_too_many() -> None:
    assert len(pairs_of("&".join(["a=1"] * 200))) == 200
    with pytest.raises(TooCostly, match="200"):
        pairs_of("&".join(["a=1"] * 201))


@pytest.mark.parametrize(
    ("text", "prefix", "rest"),
    [("2024", "eq", "2024"), ("eq2024", "eq", "2024"), ("sa2024-01", "sa", "2024-01"), ("", "eq", "")],
)
def test_a_date_has_a_prefix(text: str, prefix: str, rest: str) -> None:
    assert split_prefix(text) == (prefix, rest)


@pytest.mark.parametrize(
    ("text", "folded"),
    [("Ève", "eve"), ("  van   der BERG ", "van der berg"), ("Straße", "strasse"), ("ﬁets", "fiets")],
)
def test_text_is_compared_without_case_and_accents(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_folded_text_stays_as_it_is_when_it_is_folded_again(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_conditions_keep_their_order_modifier_and_values() -> None:
    query = parse("Observation", "code=http://loinc.org|1-8,2-9&status:not=final&_count=5&code=x")
    assert [(c.name, c.values) for c in query.conditions] == [
        ("code", ("http://loinc.org|1-8", "2-9")),
        ("status:not", ("final",)),
        ("code", ("x",)),
    ]
    assert query.count == 5


def test_a_typed_reference_names_the_type() -> None:
    assert values("Observation", "subject:Patient=p1,p2") == ("Patient/p1", "Patient/p2")


def test_a_chain_leads_to_the_types_that_have_the_parameter() -> None:
    [condition] = parse("Observation", "performer.name=Jansen").conditions
    assert condition.inner is not None
    assert condition.inner.parameter.code == "name"
    assert set(condition.targets) <= {"Practitioner", "Organization", "Patient", "RelatedPerson"}


def test_a_typed_chain_leads_to_that_type_alone() -> None:
    [condition] = parse("Observation", "subject:Patient.identifier=x|1").conditions
    assert condition.targets == ("Patient",)
    assert condition.name == "subject:Patient.identifier"


def test_the_patient_of_a_chain_is_a_patient_though_the_definition_lists_groups() -> None:
    [condition] = parse("Observation", "patient.identifier=x|1").conditions
    assert condition.targets == ("Patient",)


def test_includes_are_written_back_as_they_were_asked() -> None:
    query = parse("Coverage", "_include=Coverage:payor:Organization&_revinclude=Provenance:target")
    assert [str(i) for i in query.includes] == ["Coverage:payor:Organization"]
    assert [str(i) for i in query.revincludes] == ["Provenance:target"]


def test_sort_keys_keep_their_order_and_direction() -> None:
    query = parse("Observation", "_sort=-date,code,_id")
    assert [(s.parameter.code, s.descending) for s in query.sort] == [
        ("date", True),
        ("code", False),
        ("_id", False),
    ]


def test_a_count_is_cut_to_the_most_that_a_page_holds() -> None:
    assert parse("Patient", "_count=999999999").count == 1000
    assert parse("Patient", "_count=0").count == 0


def test_max_belongs_to_lastn_and_is_one_by_default() -> None:
    assert parse("Observation", "code=x", last=True).last == 1
    assert parse("Observation", "max=3", last=True).last == 3
    with pytest.raises(NotSupported, match="'max'"):
        parse("Observation", "max=3")


def test_the_self_link_is_the_query_as_it_was_written() -> None:
    text = "code=http://snomed.info/sct|1,2&date=ge2024-01-01&_sort=-date&_count=3"
    assert parse("Observation", text).self_link() == text


@pytest.mark.parametrize(
    ("kind", "text", "named"),
    [
        ("Patient", "nome=x", "nome"),
        ("Patient", "_has:Observation:patient:code=1", "_has"),
        ("Patient", "_text=x", "_text"),
        ("Patient", "_content=x", "_content"),
        ("Patient", "_query=x", "_query"),
        ("Patient", "_list=x", "_list"),
        ("Patient", "_filter=x", "_filter"),
        ("Patient", "_summary=true", "_summary"),
        ("Patient", "_elements=name", "_elements"),
        ("Patient", "_contained=true", "_contained"),
        ("Patient", "_pretty=true", "_pretty"),
        ("Patient", "name:missing=true", "missing"),
        ("Patient", "name:text=x", "text"),
        ("Patient", "identifier:text=x", "text"),
        ("Patient", "identifier:exact=x", "exact"),
        ("Patient", "birthdate:missing=true", "missing"),
        ("Patient", "birthdate=ap2024", "ap"),
        ("Patient", "name.x=y", "name"),
        ("Observation", "code:in=http://x", "in"),
        ("Observation", "code:below=x", "below"),
        ("Observation", "value-quantity=5", "value-quantity"),
        ("Observation", "code-value-quantity=5$6", "code-value-quantity"),
        ("Observation", "subject:Nobody=x", "Nobody"),
        ("Observation", "subject:Nobody.name=x", "Nobody"),
        ("Observation", "subject:Patient=Group/1", "subject:Patient"),
        ("Observation", "subject:Medication=1", "Medication"),
        ("Observation", "subject.nome=x", "nome"),
        ("Observation", "patient.identifier:in=x", "in"),
        ("Observation", "code=a\\|b", "code"),
        ("Observation", "_sort=nome", "nome"),
        ("Observation", "_sort=", "''"),
        ("Observation", "_include=Patient:organization", "Patient:organization"),
        ("Observation", "_include=Observation:code", "code"),
        ("Observation", "_include=Observation:*", "Observation:"),
        ("Observation", "_include=*", "_include"),
        ("Observation", "_include=Observation:subject:Medication", "Medication"),
        ("Observation", "_include=Nobody:subject", "Nobody"),
        ("Observation", "_include:recurse=Observation:related", "_include:recurse"),
        ("Observation", "_include:iterate=Observation:related", "_include:iterate"),
        ("Observation", "_revinclude=Provenance:nome", "nome"),
        ("Observation", "_revinclude:iterate=Provenance:target", "_revinclude:iterate"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(kind: str, text: str, named: str) -> None:
    with pytest.raises((NotSupported, Invalid)) as refused:
        parse(kind, text)
    assert named in refused.value.message


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("Patient", "name="),
        ("Patient", "name=a,,b"),
        ("Patient", "name=%00"),
        ("Patient", "name=%CC%81"),
        ("Patient", "birthdate=2024-13"),
        ("Patient", "birthdate=ge"),
        ("Patient", "birthdate=xx2024"),
        ("Patient", "identifier=|"),
        ("Patient", "_id=a/b"),
        ("Patient", "_count=-1"),
        ("Patient", "_count=x"),
        ("Patient", "_count=99999999999"),
        ("Patient", "_count=1&_count=2"),
        ("Patient", "_total=yes"),
        ("Patient", "_lastUpdated=yesterday"),
        ("Patient", "_page=x"),
        ("Patient", f"_page={'0' * 8}-{'0' * 4}-{'0' * 4}-{'0' * 4}-{'0' * 12}.0&name=x"),
        ("Observation", "patient:identifier=|"),
        ("Observation", "_include=Observation"),
    ],
)
def test_a_value_that_means_nothing_is_refused(kind: str, text: str) -> None:
    with pytest.raises(Invalid):
        parse(kind, text)


@pytest.mark.parametrize(
    "text",
    [
        "code=" + ",".join("x" * 201),
        "_sort=date,code,_id,status,subject,category",
        "patient.general-practitioner.name=x",
    ],
)
def test_more_than_a_search_may_have_is_too_costly(text: str) -> None:
    with pytest.raises(TooCostly):
        parse("Observation", text)


@given(
    st.sampled_from(sorted(definitions("stu3").resource_types)), st.text(max_size=20), st.text(max_size=20)
)
def test_any_parameter_is_understood_or_refused(kind: str, name: str, value: str) -> None:
    try:
        query = parse(kind, f"{quote(name)}={quote(value)}")
    except (Invalid, NotSupported, TooCostly):
        return
    assert query.raw == ((name, value),)
