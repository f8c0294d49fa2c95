"""A query string becomes exactly the search it says, or is refused by name."""

from __future__ import annotations

import re
from decimal import Decimal
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.fhir import definitions
from schakel.fhir.definitions import SearchParameter
from schakel.fhir.search import (
    Condition,
    Query,
    QueryParser,
    SearchLimits,
    encode,
    fold,
    number,
    pairs_of,
    split_or,
    split_prefix,
    token_parts,
)
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
        ("Patient", "_text=x", "_text"),
        ("Patient", "_content=x", "_content"),
        ("Patient", "_query=x", "_query"),
        ("Patient", "_filter=x", "_filter"),
        ("Patient", "_contained=true", "_contained"),
        ("Patient", "_containedType=container", "_containedType"),
        ("Patient", "_score=1", "_score"),
        ("Patient", "_type=Patient", "_type"),
        ("Patient", "_has:Observation:patient=1", "_has"),
        ("Patient", "_has:Observation:code:status=1", "code"),
        ("Patient", "_has:Nobody:patient:code=1", "Nobody"),
        ("Patient", "_has:Observation:patient:nome=1", "nome"),
        ("Patient", "_has:Observation:performer.x:code=1", "performer.x"),
        ("Location", "_has:Coverage:payor:status=x", "payor"),
        ("Patient", "_list=$current-problems", "$current-problems"),
        ("Patient", "_id:missing:x=true", "missing:x"),
        ("Patient", "_id:text=x", "text"),
        ("Patient", "identifier:of-type=a|b|c", "of-type"),
        ("Patient", "identifier:above=a|b", "above"),
        ("Patient", "general-practitioner:below=Practitioner/1", "below"),
        ("Patient", "gender:in=http://example.org/fhir/ValueSet/unknown", "unknown"),
        ("Patient", "gender:not-in=http://example.org/fhir/ValueSet/unknown", "unknown"),
        ("Patient", "_sort=_score", "_score"),
        ("Patient", "_elements=name,nome", "nome"),
        ("Patient", "_elements=name.family", "name.family"),
        ("Patient", "_include:each=Patient:organization", "each"),
        ("Location", "near=1", "near"),
        ("Location", "near-distance=1", "near-distance"),
        ("Observation", "_sort=code-value-quantity", "code-value-quantity"),
        ("Patient", "_pretty=true", "_pretty"),
        ("Patient", "name:text=x", "text"),
        ("Patient", "identifier:exact=x", "exact"),
        ("Patient", "name.x=y", "name"),
        ("Observation", "code:in=http://x", "in"),
        ("Observation", "code:below=x", "below"),
        ("Observation", "subject:Nobody=x", "Nobody"),
        ("Observation", "subject:Nobody.name=x", "Nobody"),
        ("Observation", "subject:Patient=Group/1", "subject:Patient"),
        ("Observation", "subject:Medication=1", "Medication"),
        ("Observation", "subject.nome=x", "nome"),
        ("Observation", "patient.identifier:in=x", "in"),
        ("Observation", "_sort=nome", "nome"),
        ("Observation", "_sort=", "''"),
        ("Observation", "_include=Patient:organization", "Patient:organization"),
        ("Observation", "_include=Observation:code", "code"),
        ("Observation", "_include=Observation:subject:Medication", "Medication"),
        ("Observation", "_include=Nobody:subject", "Nobody"),
        ("Observation", "_include:recurse=Observation:related", "_include:recurse"),
        ("Observation", "_revinclude=Provenance:nome", "nome"),
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
        ("Patient", "_summary=some"),
        ("Patient", "_list=a/b"),
        ("Patient", "name:missing=yes"),
        ("Observation", "value-quantity=heavy"),
        ("Observation", "value-quantity=5|kg"),
        ("Observation", "value-quantity=|http://unitsofmeasure.org|mg"),
        ("Observation", "value-quantity=NaN"),
        ("Observation", "code-value-quantity=1"),
        ("Observation", "code-value-quantity=1$heavy"),
        ("Observation", "code-value-quantity=1$2$3"),
        ("Observation", "code-value-quantity=$2"),
        ("Observation", "code:text=%20%CC%81"),
        ("Encounter", "length=1,,2"),
        ("ValueSet", "url:below=urn:oid:1.2.3"),
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
        "patient.general-practitioner.partof.partof.name=x",
        "_has:Provenance:target:agent.organization.partof.partof.name=x",
    ],
)
def test_more_than_a_search_may_have_is_too_costly(text: str) -> None:
    with pytest.raises(TooCostly):
        parse("Observation", text)


def inner(condition: Condition) -> Condition:
    assert condition.inner is not None
    return condition.inner


def test_a_chain_goes_through_as_many_references_as_the_setting_says() -> None:
    text = "patient.organization.partof.name=x"
    [condition] = parse("Observation", text).conditions
    assert condition.name == "patient:Patient.organization:Organization.partof:Organization.name"
    short = QueryParser(definitions("stu3"), SearchLimits(chain_depth=2))
    with pytest.raises(TooCostly, match=r"limits\.chain_depth"):
        short.parse("Observation", pairs_of(text))


def test_a_chain_goes_on_at_the_targets_that_have_such_a_reference() -> None:
    [condition] = parse("Observation", "subject.general-practitioner.name=x").conditions
    assert condition.targets == ("Patient",)
    assert set(inner(condition).targets) == {"Organization", "Practitioner"}


def test_a_typed_chain_through_an_encounter_is_understood() -> None:
    [condition] = parse("Observation", "context:Encounter.episodeofcare=EpisodeOfCare/e").conditions
    assert condition.targets == ("Encounter",)
    assert inner(condition).values == ("EpisodeOfCare/e",)


def test_a_reverse_chain_names_the_type_that_refers() -> None:
    [condition] = parse("Patient", "_has:Observation:patient:_has:Provenance:target:_id=p").conditions
    assert condition.reverse and inner(condition).reverse
    assert (condition.targets, inner(condition).targets) == (("Observation",), ("Provenance",))
    assert condition.name == "_has:Observation:patient:_has:Provenance:target:_id"


def test_a_list_is_asked_by_its_items() -> None:
    [condition] = parse("Patient", "_list=a,b").conditions
    assert condition.name == "_has:List:item:_id"
    assert inner(condition).values == ("a", "b")


def test_parts_of_a_value_keep_their_escapes() -> None:
    assert values("Patient", r"identifier=a\|b|c\,d,e") == (r"a\|b|c\,d", "e")
    assert token_parts(r"a\|b|c\,d") == ("a|b", "|", "c,d")
    assert values("Patient", r"name=a\,b") == ("a,b",)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("-5.4", "-5.45", "-5.35"),
        ("0", "-0.5", "0.5"),
        ("1e2", "95", "105"),
        ("5.40e-3", "0.005395", "0.005405"),
    ],
)
def test_a_number_means_what_its_digits_say(text: str, low: str, high: str) -> None:
    assert number(text, "x").around == (Decimal(low), Decimal(high))


def test_includes_that_repeat_may_come_from_any_type() -> None:
    text = "_include:iterate=Organization:partof&_include:recurse=Patient:*&_revinclude=*"
    query = parse("Observation", text)
    assert [(str(i), i.iterate) for i in query.includes] == [
        ("Organization:partof", True),
        ("Patient:*", True),
    ]
    assert [(str(i), i.iterate) for i in query.revincludes] == [("*", False)]


def test_how_much_is_shown_is_part_of_the_query() -> None:
    assert parse("Patient", "_summary=text").summary == "text"
    assert parse("Patient", "_summary=false").summary == ""
    assert parse("Patient", "_elements=name,birthDate,Patient.active").elements == (
        "name",
        "birthDate",
        "Patient.active",
    )
    assert parse("Patient", "_contained=false").conditions == ()


@pytest.mark.parametrize("name", ["nome", "nome:exact", "nome.name", "_filter", "_text", "_score", "near"])
def test_an_unknown_parameter_is_left_out_and_named_when_that_is_asked(name: str) -> None:
    query = PARSER.parse("Location", ((name, "x"), ("status", "active")), handling="lenient")
    assert query.ignored == (name,)
    assert query.raw == (("status", "active"),)
    assert [c.name for c in query.conditions] == ["status"]


@pytest.mark.parametrize(
    "text",
    [
        "status:exact=x",
        "status=",
        "organization.nome=x",
        "organization:Patient=x",
        "_has:Patient:nome:_id=x",
        "_list=$x",
        "_sort=nome",
        "_include=Location:nome",
        "_count=x",
    ],
)
def test_a_known_parameter_that_means_nothing_is_refused_though_others_may_be_left_out(text: str) -> None:
    with pytest.raises((Invalid, NotSupported)):
        PARSER.parse("Location", pairs_of(text), handling="lenient")


def test_a_search_over_types_takes_what_all_of_them_have() -> None:
    query = parse("", "_type=Observation,Condition&patient=p&_tag=t")
    assert (query.type, query.types) == ("", ("Observation", "Condition"))
    assert [c.name for c in query.conditions] == ["patient", "_tag"]
    assert set(parse("", "_id=x").types) == definitions("stu3").resource_types
    for text in ("_type=Observation,Nobody", "_type=", "_type=Flag&_type=Flag"):
        with pytest.raises(Invalid, match="_type"):
            parse("", text)
    for text in ("_type=Observation,Patient&patient=p", "code=x"):
        with pytest.raises(NotSupported, match="not known for"):
            parse("", text)


def test_a_compartment_has_the_types_that_its_definition_names() -> None:
    query = PARSER.parse_compartment("Patient", "p", "Observation", pairs_of("status=final"))
    assert (query.type, query.compartment) == ("Observation", ("Patient", "p"))
    whole = PARSER.parse_compartment("Patient", "p", "*", ())
    assert {"Patient", "Observation"} <= set(whole.types) and "Medication" not in whole.types
    some = PARSER.parse_compartment("Patient", "p", "*", pairs_of("_type=Flag"))
    assert some.types == ("Flag",)
    for owner, kind in (("Medication", "Flag"), ("Patient", "Medication"), ("Patient", "Nobody")):
        with pytest.raises(NotSupported, match=r"compartment"):
            PARSER.parse_compartment(owner, "p", kind, ())
    with pytest.raises(Invalid, match="_type"):
        PARSER.parse_compartment("Patient", "p", "*", pairs_of("_type=Medication"))
    with pytest.raises(Invalid, match="id"):
        PARSER.parse_compartment("Patient", "p_1", "Flag", ())


def test_definitions_may_know_a_parameter_more() -> None:
    own = SearchParameter("shoe", ("Patient",), "token", "Patient.extension('urn:shoe').value", "urn:own")
    table = definitions("stu3").extended([own])
    [condition] = QueryParser(table).parse("Patient", pairs_of("shoe=42")).conditions
    assert condition.parameter is own
    with pytest.raises(NotSupported, match="shoe"):
        parse("Patient", "shoe=42")


@given(
    st.sampled_from(sorted(definitions("stu3").resource_types)), st.text(max_size=20), st.text(max_size=20)
)
def test_any_parameter_is_understood_or_refused(kind: str, name: str, value: str) -> None:
    try:
        query = parse(kind, f"{quote(name)}={quote(value)}")
    except (Invalid, NotSupported, TooCostly):
        return
    assert query.raw == ((name, value),)
