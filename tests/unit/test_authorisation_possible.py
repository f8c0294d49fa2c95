"""What a guarded door says that it may let through is what the matrix may let through, and no more."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from schakel.fhir import definitions, structure
from schakel.fhir.definitions import VERSIONS, Version
from schakel.generic.authorisation import ANY, Matrix, Permit, Row, bundled, possible
from schakel.server import Possible, capabilities

MATRIX = bundled()
ROWS = {row.id: row for row in MATRIX.rows}


def of(kind: str, matrix: Matrix = MATRIX, version: Version = "stu3") -> Possible:
    [found] = [one for one in possible(matrix, version) if one.type == kind]
    return found


def only(*rows: Row, permits: tuple[Permit, ...] = MATRIX.permits) -> Matrix:
    return replace(MATRIX, rows=rows, permits=permits)


def search() -> Row:
    """A search with all that can be said of one."""
    known = next(row for row in MATRIX.rows if row.type == "Observation" and "lastn" in row.forms)
    return replace(
        known,
        parameters={"code": frozenset({"http://loinc.org|1"})},
        optional={"date": "period"},
        patients=("patient",),
        includes=frozenset({"Observation:specimen"}),
        may_include=frozenset({"Observation:performer"}),
        may_iterate=frozenset({"Specimen:subject"}),
        provenance=True,
    )


def test_each_part_of_a_row_is_told_and_goes_when_it_goes() -> None:
    whole = of("Observation", only(search()))
    assert whole.searches.parameters == {"code", "date", "patient"}
    assert whole.searches.includes == {"Observation:specimen", "Observation:performer"}
    assert whole.searches.revincludes == {"Provenance:target"}
    assert whole.interactions == {"search-type"} and whole.operations == {"lastn"}
    without = [
        replace(search(), parameters={}),
        replace(search(), optional={}),
        replace(search(), patients=()),
        replace(search(), includes=frozenset()),
        replace(search(), may_include=frozenset()),
        replace(search(), provenance=False),
        replace(search(), forms=frozenset({"plain"})),
    ]
    told = [of("Observation", only(row)) for row in without]
    assert whole not in told and len(set(told)) == len(without)


def test_what_no_permit_gives_is_not_told() -> None:
    row = search()
    mine = [permit for permit in MATRIX.permits if permit.exchange == row.exchange]
    [first] = mine[:1]
    given = replace(first, categories=(row.category,))
    assert possible(only(row, permits=(given,)), "stu3")
    assert possible(only(row, permits=(replace(given, categories=(ANY,)),)), "stu3")
    assert not possible(only(row, permits=(replace(given, categories=("something else",)),)), "stu3")
    assert not possible(only(row, permits=(replace(given, exchange="another"),)), "stu3")


def test_a_parameter_that_the_standard_lacks_is_not_told_and_a_chain_by_its_first() -> None:
    row = replace(search(), optional={"no-such": "one", "specimen.type": "one"})
    assert of("Observation", only(row)).searches.parameters == {"code", "patient", "specimen"}


def test_a_resource_that_a_search_releases_can_be_read_where_the_exchange_says_so() -> None:
    row = search()
    released = next(
        one
        for one in MATRIX.rows
        if one.tie == "released" and one.exchange == row.exchange and one.type == ANY
    )
    assert of("Observation", only(row, released)).interactions == {"read", "search-type"}
    elsewhere = replace(released, exchange="another")
    assert of("Observation", only(row, elsewhere)).interactions == {"search-type"}


def test_another_version_has_rows_of_its_own() -> None:
    assert not possible(only(search()), "r4")
    assert {one.type for one in possible(MATRIX, "r4")} <= MATRIX.types("r4")


def test_a_task_can_be_written_and_not_searched() -> None:
    task = of("Task")
    assert task.interactions == {"create", "read", "update"}
    assert task.searches.parameters == frozenset()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_statement_says_it_and_is_a_sound_resource(version: Version) -> None:
    told = possible(MATRIX, version)
    body = orjson.loads(capabilities.statement(version, "https://here", told))
    assert structure.check(body, definitions(version)) == []
    resources = body["rest"][0]["resource"]
    assert [one["type"] for one in resources] == [one.type for one in told]
    for said, one in zip(resources, told, strict=True):
        assert {each["code"] for each in said.get("interaction", ())} == one.interactions
        assert {each["name"] for each in said.get("searchParam", ())} == one.searches.parameters
        assert set(said.get("searchInclude", ())) == one.searches.includes
        assert set(said.get("searchRevInclude", ())) == one.searches.revincludes
    rest = body["rest"][0]
    brings = any(one.brought for one in told)
    assert [one["code"] for one in rest["interaction"]] == ["batch", *(["transaction"] if brings else [])]
    assert brings is (version == "r4")
    named = (
        rest.get("operation", ())
        if version == "stu3"
        else [o for r in resources for o in r.get("operation", ())]
    )
    assert {one["name"] for one in named} == {name for one in told for name in one.operations}
