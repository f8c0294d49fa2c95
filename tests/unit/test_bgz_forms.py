"""The forms of the BgZ: every row is accepted in each of its forms, and every single change is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.exchanges.bgz import requests_for
from schakel.fhir import definitions
from schakel.fhir.search import Pairs, QueryParser, encode, pairs_of
from schakel.generic.authorisation import ROWS, Judgement, PatientNamed, Row, fits, judge, listed_form
from schakel.kernel.outcomes import Forbidden, Invalid, Outcome
from schakel.kernel.values import BSN_SYSTEM
from schakel.server import Request
from schakel.server.interaction import parse

BSN = "999911120"
NAMED = f"{BSN_SYSTEM}|{BSN}"
PARSER = QueryParser(definitions("stu3"))
PROVENANCE = ("_revinclude", "Provenance:target")


def judged(kind: str, pairs: Sequence[tuple[str, str]], *, last: bool = False) -> Judgement:
    return judge("stu3", PARSER.parse(kind, tuple(pairs), last=last), ROWS)


def refused(kind: str, pairs: Sequence[tuple[str, str]], *, last: bool = False) -> bool:
    """Whether the search is refused, by the grammar or by the judge."""
    try:
        judged(kind, pairs, last=last)
    except Outcome:
        return True
    return False


def naming(row: Row) -> list[tuple[tuple[str, str], PatientNamed]]:
    """The ways in which a search of this row may name the patient."""
    by_bsn, by_id = PatientNamed(bsn=BSN), PatientNamed(id="p1")
    if row.type == "Patient":
        return [(("identifier", NAMED), by_bsn), (("_id", "p1"), by_id)]
    return [
        ((f"{row.patient}.identifier", NAMED), by_bsn),
        ((f"{row.patient}:Patient.identifier", NAMED), by_bsn),
        ((row.patient, "Patient/p1"), by_id),
        ((row.patient, "p1"), by_id),
    ]


def content(row: Row) -> list[tuple[str, str]]:
    """The parameters of a row beside the patient, with its includes."""
    pairs = [(name, ",".join(sorted(values))) for name, values in row.parameters.items()]
    return pairs + [("_include", include) for include in sorted(row.includes)]


def plain(row: Row) -> list[tuple[str, str]]:
    return [naming(row)[0][0], *content(row)]


def forms(row: Row) -> list[tuple[list[tuple[str, str]], bool]]:
    """Each form of a row as its pairs and whether it is `$lastn`."""
    made = [(plain(row), False), ([*plain(row), PROVENANCE], False)]
    if "latest" in row.forms:
        latest = [*plain(row), ("_sort", "-date"), ("_count", "1")]
        made += [(latest, False), ([*latest, PROVENANCE], False)]
    if "lastn" in row.forms:
        made.append((plain(row), True))
    return made


def name_of(row: Row) -> str:
    return f"{row.id}-{'-'.join(sorted(row.includes)) or 'no-include'}-{row.source}"


every_row = pytest.mark.parametrize("row", ROWS, ids=name_of)


@every_row
def test_a_row_is_accepted_in_each_of_its_forms_however_the_patient_is_named(row: Row) -> None:
    for pairs, last in forms(row):
        for named, patient in naming(row):
            for more in ((), (("_format", "json"),), (("_format", "application/fhir+xml"),)):
                judgement = judged(row.type, [named, *pairs[1:], *more], last=last)
                assert (judgement.row.id, judgement.patient) == (row.id, patient)


@every_row
def test_a_plain_search_may_ask_for_pages(row: Row) -> None:
    assert judged(row.type, [*plain(row), ("_count", "25")]).row.id == row.id


@given(st.data())
def test_the_order_of_parameters_and_of_values_is_free(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(ROWS))
    pairs, last = data.draw(st.sampled_from(forms(row)))
    mixed = []
    for name, value in data.draw(st.permutations([*pairs, ("_format", "json")])):
        values = value.split(",") if name in row.parameters else [value]
        mixed.append((name, ",".join(data.draw(st.permutations(values)))))
    assert judged(row.type, mixed, last=last).row.id == row.id


def one_change(row: Row, pairs: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Every way in which one thing in a search differs from the form of its row."""
    named, rest = pairs[0], pairs[1:]
    own = row.type == "Patient"
    changed = {
        "no patient": rest,
        "the patient twice": [named, *pairs],
        "two patients in one value": [(named[0], f"{NAMED},{BSN_SYSTEM}|999990019"), *rest],
        "the patient named in two ways": [*pairs, ("_id", "p1") if own else (row.patient, "Patient/p1")],
        "the patient by BSN without system": [(named[0], BSN), *rest],
        "the patient by any number": [(named[0], f"{BSN_SYSTEM}|"), *rest],
        "the patient by number of another system": [(named[0], f"http://example.org|{BSN}"), *rest],
        "a BSN that is none": [(named[0], f"{BSN_SYSTEM}|999911121"), *rest],
        "the patient by name": [("name" if own else f"{row.patient}.name", "Jansen"), *rest],
        "any patient but this one": [(f"{named[0]}:not", named[1]), *rest],
        "a reference to no patient": [("_id" if own else row.patient, "Group/p1"), *rest],
        "a patient elsewhere": [("_id" if own else row.patient, "http://example.org/Patient/p1"), *rest],
        "the patient by identifier of a reference": [
            ("identifier:identifier" if own else f"{row.patient}:identifier", NAMED),
            *rest,
        ],
        "a group by BSN": [(f"{'_id' if own else row.patient}:Group.identifier", NAMED), *rest],
        "the patient by another reference": [
            (f"{row.patient}.general-practitioner", "Practitioner/1"),
            *rest,
        ],
        "another parameter": [*pairs, ("_lastUpdated", "ge2020")],
        "an id": [*pairs, ("_id", "x1")],
        "a profile": [*pairs, ("_profile", "http://example.org")],
        "a total": [*pairs, ("_total", "accurate")],
        "no total": [*pairs, ("_total", "none")],
        "an order": [*pairs, ("_sort", "_lastUpdated")],
        "an order of two keys": [*pairs, ("_sort", "-date,_id"), ("_count", "1")],
        "an include more": [*pairs, ("_include", f"{row.type}:{_reference(row)}")],
        "an include that repeats": [*pairs, ("_include:recurse", f"{row.type}:{_reference(row)}")],
        "a reverse include that repeats": [*pairs, ("_revinclude:iterate", "Provenance:target")],
        "every include": [*pairs, ("_include", "*")],
        "every include of the type": [*pairs, ("_include", f"{row.type}:*")],
        "every reverse include": [*pairs, ("_revinclude", "*")],
        "every reverse include of a type": [*pairs, ("_revinclude", "Provenance:*")],
        "a reverse chain": [*pairs, ("_has:Provenance:target:_id", "x1")],
        "a reverse chain to the patient alone": [("_has:Patient:link:identifier", NAMED), *rest],
        "a list": [*pairs, ("_list", "x1")],
        "a tag": [*pairs, ("_tag", "x")],
        "what is not missing": [*pairs, ("_tag:missing", "true")],
        "a summary": [*pairs, ("_summary", "true")],
        "no summary": [*pairs, ("_summary", "false")],
        "a number of matches": [*pairs, ("_summary", "count")],
        "some elements": [*pairs, ("_elements", "id")],
        "no contained resources": [*pairs, ("_contained", "false")],
        "another reverse include": [*pairs, ("_revinclude", "Provenance:agent")],
        "a reverse include more": [*pairs, PROVENANCE, ("_revinclude", "Observation:subject")],
        "a reverse include of one type": [*pairs, ("_revinclude", f"Provenance:target:{row.type}")],
    }
    for place, (name, value) in enumerate(pairs[1:], 1):
        if name in ("_sort", "_count", "_revinclude"):
            continue  # Free to leave out; other values are refused in the tests of the forms.
        where = f"{name} {place}"
        changed[f"{where} left out"] = pairs[:place] + pairs[place + 1 :]
        if name == "_include":
            changed[f"{where} that repeats"] = [
                *pairs[:place],
                ("_include:iterate", value),
                *pairs[place + 1 :],
            ]
            source, parameter, *target = value.split(":")
            typed = f"{source}:{parameter}" + ("" if target else f":{_target(row, parameter)}")
            changed[f"{where} typed in another way"] = [*pairs[:place], (name, typed), *pairs[place + 1 :]]
            continue
        others = {
            "with another value": (name, "other"),
            "with a value more": (name, f"{value},other"),
            "negated": (f"{name}:not", value),
            "without its system": (name, value.rpartition("|")[2]),
            "there or not": (f"{name}:missing", "false"),
            "in words": (f"{name}:text", "word"),
            "of a value set": (f"{name}:in", "http://hl7.org/fhir/ValueSet/administrative-gender"),
            "with any code of its system": (name, value.rpartition("|")[0] + "|"),
            "chained": (f"{name}.identifier", value),
        }
        if "," in value:
            others["with a value less"] = (name, value.partition(",")[0])
        if "|" not in value:
            del others["without its system"]
        for what, pair in others.items():
            changed[f"{where} {what}"] = [*pairs[:place], pair, *pairs[place + 1 :]]
        changed[f"{where} twice"] = [*pairs, (name, value)]
    return changed


def _reference(row: Row) -> str:
    """A reference parameter of the type that the row does not include."""
    known = definitions("stu3").search_parameters(row.type)
    taken = {include.split(":")[1] for other in ROWS for include in other.includes if other.type == row.type}
    return next(c for c in sorted(known) if known[c].type == "reference" and c not in taken)


def _target(row: Row, parameter: str) -> str:
    targets = definitions("stu3").search_parameters(row.type)[parameter].targets
    return targets[0] if targets else "Observation"


@every_row
def test_every_single_change_is_refused(row: Row) -> None:
    for pairs, last in forms(row):
        for what, changed in one_change(row, pairs).items():
            allowed = _is_another_form(row, changed, last)
            assert refused(row.type, changed, last=last) is not allowed, f"{what}: {encode(changed)}"


def _is_another_form(row: Row, pairs: list[tuple[str, str]], last: bool) -> bool:
    """Whether the changed search is exactly a form of another row (Encounter without class, say)."""
    return any(
        sorted(pairs) == sorted(other)
        for neighbour in ROWS
        if neighbour.type == row.type
        for other, other_last in forms(neighbour)
        if other_last == last
    )


@every_row
def test_lastn_is_for_its_own_rows_alone_and_takes_one_without_provenance(row: Row) -> None:
    if "lastn" in row.forms:
        assert not refused(row.type, [*plain(row), ("max", "1")], last=True)
        for more in (PROVENANCE, ("max", "2"), ("_sort", "-date"), ("_total", "none")):
            assert refused(row.type, [*plain(row), more], last=True), more
    else:
        assert refused(row.type, plain(row), last=True)


@every_row
def test_latest_is_one_by_descending_date(row: Row) -> None:
    if "latest" not in row.forms:
        assert refused(row.type, [*plain(row), ("_sort", "-date"), ("_count", "1")])
        return
    for sort, count in (("-date", "2"), ("date", "1"), ("-_lastUpdated", "1"), ("-date", "")):
        pairs = [*plain(row), ("_sort", sort), *([("_count", count)] if count else [])]
        assert refused(row.type, pairs), (sort, count)


def test_a_type_without_a_row_is_refused() -> None:
    with pytest.raises(Forbidden) as raised:
        judged("DocumentReference", [("patient.identifier", NAMED), ("status", "current")])
    assert raised.value.kind == "form-not-allowed"


def test_what_is_no_bsn_is_named_to_the_caller() -> None:
    with pytest.raises(Invalid):
        judged("Condition", [("patient.identifier", f"{BSN_SYSTEM}|123456789")])
    with pytest.raises(Invalid):
        judged("Condition", [("patient.identifier", BSN)])


def test_the_27_requests_of_the_asking_side_are_all_accepted_in_their_order() -> None:
    numbers = []
    for request in requests_for(BSN):
        path, _, text = request.partition("?")
        kind, _, operation = path.partition("/")
        judgement = judged(kind, pairs_of(text), last=operation == "$lastn")
        assert judgement.patient == PatientNamed(bsn=BSN)
        numbers.append(judgement.row.number)
    assert numbers == list(range(1, 28))


def request(method: str, path: str, query: str = "", body: bytes = b"") -> Request:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return Request("stu3", method, path, query, headers, body)


ALLOWED: Pairs = (("patient.identifier", NAMED),)
FORBIDDEN: Pairs = (("code", "1"),)


def test_a_get_is_judged_by_its_query_and_never_by_a_form_in_its_body() -> None:
    asked = request("GET", "Condition", encode(FORBIDDEN), encode(ALLOWED).encode())
    query = parse(asked, PARSER).query
    assert query is not None and query.raw == FORBIDDEN
    with pytest.raises(Forbidden):
        judge("stu3", query, ROWS)


def test_a_search_by_post_is_judged_by_its_form() -> None:
    query = parse(request("POST", "Condition/_search", "", encode(ALLOWED).encode()), PARSER).query
    assert query is not None and judge("stu3", query, ROWS).row.number == 7
    refused_form = parse(request("POST", "Condition/_search", "", encode(FORBIDDEN).encode()), PARSER).query
    assert refused_form is not None
    with pytest.raises(Forbidden):
        judge("stu3", refused_form, ROWS)


def test_a_search_by_post_with_a_query_as_well_is_refused() -> None:
    with pytest.raises(Invalid):
        parse(request("POST", "Condition/_search", encode(FORBIDDEN), encode(ALLOWED).encode()), PARSER)


def test_a_row_less_is_a_form_less() -> None:
    for row in ROWS:
        others = [r for r in ROWS if r is not row]
        query = PARSER.parse(row.type, tuple(plain(row)))
        with pytest.raises(Forbidden):
            judge("stu3", query, others)


def test_a_resource_fits_a_row_when_each_parameter_finds_it() -> None:
    row = next(r for r in ROWS if r.number == 20)
    tokens = [("code", "85354-9", "http://loinc.org"), ("status", "final", "")]
    assert fits(row, "Observation", tokens)
    assert not fits(row, "Condition", tokens)
    assert not fits(row, "Observation", [("code", "85354-9", "http://example.org")])
    assert not fits(row, "Observation", [("category", "85354-9", "http://loinc.org")])
    both = replace(row, parameters={**row.parameters, "status": frozenset({"amended"})})
    assert not fits(both, "Observation", tokens)


def test_a_listed_search_loses_the_patient_and_nothing_that_makes_it_narrower() -> None:
    """A ground for one prescription is none for all of them."""
    assert listed_form("Patient?identifier=a|b&_include=Patient:general-practitioner") == listed_form(
        "Patient?_include=Patient:general-practitioner&_id=p1"
    )
    assert listed_form(f"Condition?patient.identifier={NAMED}&_count=5") == "Condition"
    assert listed_form(f"MedicationRequest?subject.identifier={NAMED}") == "MedicationRequest"
    for narrower in ("identifier=a|b", "_id=x", "identifier:not=a|b"):
        assert listed_form(f"MedicationRequest?patient=p1&{narrower}") != "MedicationRequest"
