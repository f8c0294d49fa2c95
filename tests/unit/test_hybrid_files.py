"""Files of the inventory of hybrid care: what is taken, and how each fault is named by its row and column."""

from __future__ import annotations

from datetime import date

import orjson
import pytest

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel.roadmap.hybrid import blocks, reading
from schakel.roadmap.hybrid.model import Digitised, Pathway, Person
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms
from schakel.roadmap.hybrid.reading import kind_of
from schakel.roadmap.tables import rows_of

TODAY = date(2026, 11, 22)
URA = "90000001"
PSEUDONYMS = Pseudonyms(b"k" * 32)
PATHWAY = {
    "id": "hartfalen",
    "name": "Hartfalen: café en thuis",
    "sector": "MSZ",
    "suitability": "yes",
    "decided_by": "vakgroep",
    "decided_on": "2025-03-01",
    "reason": "past",
    "b1": "ja",
    "c5": "01-04-2025",
    "c5_source": "protocol 12",
    "layer_policy": "done",
    "intramural": "ja",
    "excludes": "frailty|language",
    "digizo_reference": "hf-1",
    "digizo_choice": "apply",
    "digizo_reason": "",
}
PERSON = {
    "pathway": "hartfalen",
    "pseudonym": "pseudonym-of-a-person",
    "bsn": "",
    "eligible_from": "2026-01-01",
    "eligible_until": "",
    "exclusion": "",
    "enrolled_from": "2026-02-01",
    "enrolled_until": "",
    "last_event": "2026-10-01",
    "ended_reason": "",
}


def csv_of(*rows: dict[str, str], separator: str = ";") -> str:
    return "\r\n".join(separator.join(line) for line in (rows[0], *(row.values() for row in rows))) + "\r\n"


def pathways(body: bytes) -> list[Pathway]:
    return reading.pathways(rows_of(body, "pathways"), URA, blocks.shipped(), TODAY)


def people(body: bytes) -> list[Person]:
    return reading.people(rows_of(body, "people"), URA, frozenset({"hartfalen"}), PSEUDONYMS, TODAY)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("separator", [";", ","])
def test_csv_and_json_of_the_same_rows_are_the_same_pathways(encoding: str, separator: str) -> None:
    [from_csv] = pathways(csv_of(PATHWAY, separator=separator).encode(encoding))
    assert [from_csv] == pathways(orjson.dumps([PATHWAY])) == pathways(orjson.dumps({"pathways": [PATHWAY]}))
    assert from_csv.name == "Hartfalen: café en thuis"
    assert from_csv.digitised == (Digitised("B1", None, ""), Digitised("C5", date(2025, 4, 1), "protocol 12"))
    assert from_csv.excludes == {"frailty", "language"}
    assert (from_csv.layers["policy"], from_csv.layers["law"]) == ("done", "not-told")


def test_json_may_say_true_and_null() -> None:
    [made] = pathways(
        orjson.dumps([PATHWAY | {"intramural": True, "b1": False, "reason": "x", "zmsc": None}])
    )
    assert made.intramural and [one.code for one in made.digitised] == ["C5"]


def test_what_a_file_is_about_is_seen_from_its_columns() -> None:
    assert kind_of(csv_of(PATHWAY).encode()) == kind_of(orjson.dumps([PATHWAY])) == "pathways"
    assert kind_of(csv_of(PERSON).encode()) == kind_of(orjson.dumps({"people": []})) == "people"
    with pytest.raises(Invalid):
        kind_of(b'{"other": []}')


WRONG_PATHWAYS = {
    "an unknown column": ({"colour": "red"}, "colour"),
    "a block that is not in the list": ({"b99": "ja"}, "b99"),
    "no id": ({"id": ""}, "id"),
    "an id with a space": ({"id": "hart falen"}, "id"),
    "no name": ({"name": ""}, "name"),
    "no sector": ({"sector": ""}, "sector"),
    "a suitability that is none": ({"suitability": "maybe"}, "suitability"),
    "nobody who decided": ({"decided_by": ""}, "decided_by"),
    "no day of the decision": ({"decided_on": ""}, "decided_on"),
    "a decision in the future": ({"decided_on": "2026-11-23"}, "decided_on"),
    "a day that does not exist": ({"decided_on": "2025-02-30"}, "decided_on"),
    "a yes without a reason": ({"reason": ""}, "reason"),
    "a block with another word": ({"b1": "perhaps"}, "b1"),
    "a block digitised in the future": ({"c5": "2026-11-23"}, "c5"),
    "a source of a block that is not digitised": ({"c5": ""}, "c5_source"),
    "a layer with another word": ({"layer_policy": "ready"}, "layer_policy"),
    "an exclusion that is unknown": ({"excludes": "frailty age"}, "excludes"),
    "walls that are neither yes nor no": ({"intramural": "both"}, "intramural"),
    "a choice that is unknown": ({"digizo_choice": "later"}, "digizo_choice"),
    "explain without a reason": ({"digizo_choice": "explain"}, "digizo_reason"),
    "a choice about nothing": ({"digizo_reference": ""}, "digizo_reference"),
    "a cell of two lines": ({"name": '"a\nb"'}, "name"),
}


@pytest.mark.parametrize("case", WRONG_PATHWAYS)
def test_a_pathway_with_one_thing_wrong_is_refused_by_its_row_and_column(case: str) -> None:
    changes, column = WRONG_PATHWAYS[case]
    bad = PATHWAY | changes
    first = {name: PATHWAY.get(name, "") for name in bad} | {"id": "copd"}
    with pytest.raises(Invalid) as refused:
        pathways(csv_of(first, bad).encode())
    row = "row 3" if column in PATHWAY else "row 2"
    assert refused.value.message.startswith(f"{row}, column {column}: "), refused.value.message


WRONG_PEOPLE = {
    "an unknown column": ({"name": "Jansen"}, "name"),
    "a pathway that is not there": ({"pathway": "copd"}, "pathway"),
    "neither pseudonym nor bsn": ({"pseudonym": ""}, "pseudonym"),
    "both of them": ({"bsn": "999911120"}, "pseudonym"),
    "a bsn for a pseudonym": ({"pseudonym": "999911120"}, "pseudonym"),
    "a bsn that is none": ({"pseudonym": "", "bsn": "999911121"}, "bsn"),
    "no beginning": ({"eligible_from": ""}, "eligible_from"),
    "an end before the beginning": ({"eligible_until": "2025-12-31"}, "eligible_until"),
    "enrolled before it": ({"enrolled_from": "2025-12-31"}, "enrolled_from"),
    "enrolled in the future": ({"enrolled_from": "2026-11-23"}, "enrolled_from"),
    "an end before enrolment": ({"enrolled_until": "2026-01-31"}, "enrolled_until"),
    "an event before enrolment": ({"last_event": "2026-01-31"}, "last_event"),
    "an event in the future": ({"last_event": "2026-11-23"}, "last_event"),
    "an event without enrolment": ({"enrolled_from": ""}, "last_event"),
    "a reason of an end that is not": ({"ended_reason": "other"}, "ended_reason"),
    "an unknown reason of the end": (
        {"enrolled_until": "2026-11-01", "ended_reason": "moved to Utrecht"},
        "ended_reason",
    ),
    "an unknown exclusion": ({"exclusion": "deaf"}, "exclusion"),
    "excluded and taking part": ({"exclusion": "frailty"}, "exclusion"),
}


@pytest.mark.parametrize("case", WRONG_PEOPLE)
def test_a_person_with_one_thing_wrong_is_refused_by_row_and_column_and_without_who_it_is(case: str) -> None:
    changes, column = WRONG_PEOPLE[case]
    with pytest.raises(Invalid) as refused:
        people(csv_of(PERSON | changes).encode())
    assert refused.value.message.startswith(f"row 2, column {column}: "), refused.value.message
    for cell in ("999911120", "999911121", "Jansen", "Utrecht", PERSON["pseudonym"]):
        assert cell not in refused.value.message


def test_a_bsn_becomes_a_pseudonym_and_is_in_nothing_that_is_made() -> None:
    [made] = people(csv_of(PERSON | {"pseudonym": "", "bsn": "999911120"}).encode())
    assert made.pseudonym == PSEUDONYMS.of(Bsn("999911120"))
    assert "999911120" not in repr(made)


def test_someone_who_stopped_may_be_excluded_afterwards() -> None:
    [made] = people(csv_of(PERSON | {"enrolled_until": "2026-11-01", "exclusion": "frailty"}).encode())
    assert (made.exclusion, made.enrolled_until) == ("frailty", date(2026, 11, 1))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "no rows"),
        (csv_of(PATHWAY).split("\r\n")[0].encode(), "no rows"),
        (b"id;name\r\na\r\n", "row 2 has 1 columns"),
        (b"id;id\r\na;b\r\n", "'id' is there twice"),
        (b"id;;name\r\na;b;c\r\n", "column 2 has no name"),
        (b'id;name\r\na;"b\r\n', "not CSV"),
        (b"id;name\r\na;b\0\r\n", "no text"),
        (b"{", "not JSON"),
        (b'{"people": []}', "member pathways"),
        (b'{"pathways": 1}', "not a list"),
        (b"[1]", "pathways[0]"),
        (b'[{"id": 1}]', "pathways[0], column id"),
        (b'[{"id": "a", "ID": "b"}]', "pathways[0]"),
        (b"[]", "no rows"),
        (csv_of(PATHWAY, PATHWAY).encode(), "row 3, column id: the pathway hartfalen is also in row 2"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_what_is_wrong(body: bytes, named: str) -> None:
    with pytest.raises(Invalid) as refused:
        pathways(body)
    assert named in refused.value.message, refused.value.message


def test_a_row_twice_about_a_person_is_refused_with_the_row_that_it_repeats() -> None:
    with pytest.raises(Invalid, match=r"row 3, column eligible_from: row 2 has the same"):
        people(csv_of(PERSON, PERSON).encode())
