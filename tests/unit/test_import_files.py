"""What `schakel import` reads from files, and how it divides it into transactions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.commands.fhir_files import Item, Refused, Transaction, files, read
from schakel.commands.loading import LARGEST, Report, batches, unambiguous
from schakel.fhir import json
from schakel.kernel.outcomes import Invalid


def one(path: Path, content: str | dict[str, Any]) -> Item | Transaction | Refused:
    [found] = every(path, content)
    return found


def every(path: Path, content: str | dict[str, Any]) -> list[Item | Transaction | Refused]:
    path.write_bytes(content.encode() if isinstance(content, str) else orjson.dumps(content))
    return list(read(path, "stu3"))


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def item(logical_id: str, body: bytes = b"{}", file: str = "a.json", together: str = "") -> Item:
    return Item(file, "Patient", logical_id, body, together=together)


def test_folders_are_walked_in_the_order_of_names_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    for name in ("b/2.json", "b/1.XML", "a.json", ".git/x.json", ".x.json", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    named = [str(path.relative_to(tmp_path)) for path in files([tmp_path])]
    assert named == ["a.json", "b/1.XML", "b/2.json"]


def test_a_file_that_is_named_itself_is_read_whatever_its_name_and_once(tmp_path: Path) -> None:
    (tmp_path / "patient").touch()
    assert files([tmp_path / "patient", tmp_path / "patient"]) == [tmp_path / "patient"]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="absent"):
        files([tmp_path / "absent"])


def test_decimals_and_unknown_extensions_are_read_to_the_last_digit(tmp_path: Path) -> None:
    text = '{"resourceType":"Observation","id":"o","extension":[{"url":"x:y","valueDecimal":1.2300}]}'
    found = one(tmp_path / "o.json", text)
    assert isinstance(found, Item) and found.body.decode() == text


def test_xml_is_recognised_by_its_content(tmp_path: Path) -> None:
    found = one(tmp_path / "o.json", '\ufeff <Patient xmlns="http://hl7.org/fhir"><id value="p"/></Patient>')
    assert isinstance(found, Item) and (found.type, found.id) == ("Patient", "p")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"resourceType":', "not JSON"),
        ('{"name": "package"}', "resourceType is missing"),
        ('{"resourceType": "Patient", "id": "a b"}', "no FHIR id"),
        ('{"resourceType": "Patient", "id": 1}', "no FHIR id"),
        ('{"resourceType": "Pat?x"}', "resourceType is missing"),
        ("<Patient", "XML"),
        ('{"resourceType": "Bundle", "type": "batch"}', "'batch'"),
        ('{"resourceType": "Bundle", "type": "collection", "entry": {}}', "list of entries"),
        ('{"resourceType": "Bundle", "type": "collection", "entry": [{}]}', "no resource"),
    ],
)
def test_what_is_no_resource_is_refused_by_file_and_reason(tmp_path: Path, content: str, said: str) -> None:
    refused = one(tmp_path / "x.json", content)
    assert isinstance(refused, Refused)
    assert refused.file == str(tmp_path / "x.json") and said in refused.message


@pytest.mark.parametrize("kind", ["collection", "searchset", "document"])
def test_a_bundle_gives_its_entries(tmp_path: Path, kind: str) -> None:
    content = bundle(kind, *({"resource": {"resourceType": "Patient", "id": i}} for i in ("a", "b")))
    found = [f for f in every(tmp_path / "b.json", content) if isinstance(f, Item)]
    assert [(f.id, f.place, f.together) for f in found] == [("a", "entry[0]", ""), ("b", "entry[1]", "")]


def test_the_outcome_of_a_search_is_not_data(tmp_path: Path) -> None:
    outcome = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
    assert every(tmp_path / "b.json", bundle("searchset", outcome)) == []


def test_a_transaction_stays_whole(tmp_path: Path) -> None:
    content = bundle("transaction", {"request": {"method": "DELETE", "url": "Patient/a"}}, {})
    found = one(tmp_path / "b.json", content)
    assert found == Transaction(str(tmp_path / "b.json"), orjson.dumps(content), ("DELETE", ""))


def test_references_to_a_full_url_become_references_to_the_resource(tmp_path: Path) -> None:
    content = bundle(
        "document",
        {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "p"}},
        {"resource": {"resourceType": "Flag", "id": "f", "subject": {"reference": "urn:uuid:1"}}},
    )
    _, flag = every(tmp_path / "b.json", content)
    assert isinstance(flag, Item)
    assert json.parse(flag.body)["subject"] == {"reference": "Patient/p"}


def test_a_bundle_with_a_resource_that_waits_for_its_id_stays_together(tmp_path: Path) -> None:
    content = bundle(
        "collection",
        {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient"}},
        {"resource": {"resourceType": "Flag", "id": "f", "subject": {"reference": "urn:uuid:1"}}},
    )
    patient, flag = every(tmp_path / "b.json", content)
    assert isinstance(patient, Item) and isinstance(flag, Item)
    assert patient.full_url == "urn:uuid:1"
    assert patient.together == flag.together != ""


def test_the_same_id_with_another_content_is_ambiguous_and_neither_is_written() -> None:
    report = Report()
    two = [item("p", b'{"active":true}'), item("p", b'{"active":false}', "b.json")]
    assert unambiguous([*two, item("q")], report) == [item("q")]
    assert [(r.file, "ambiguous" in r.message) for r in report.refused] == [
        ("a.json", True),
        ("b.json", True),
    ]
    assert "b.json" in report.refused[0].message and "a.json" in report.refused[1].message


def test_the_same_content_twice_is_written_once_whatever_the_order_of_its_members() -> None:
    report = Report()
    first, second = item("p", b'{"a":1.0,"b":[{"c":1,"d":2}]}'), item("p", b'{"b":[{"d":2,"c":1}],"a":1.0}')
    assert unambiguous([first, second], report) == [first]
    assert (report.same, report.refused) == (1, [])


def test_a_decimal_with_another_precision_is_another_content() -> None:
    report = Report()
    assert unambiguous([item("p", b'{"a":1.0}'), item("p", b'{"a":1.00}')], report) == []
    assert report.refused_resources == 2


def test_resources_without_an_id_are_never_the_same() -> None:
    assert len(unambiguous([item(""), item("")], Report())) == 2


@given(st.lists(st.tuples(st.sampled_from(["", "", "", "x", "y"]), st.integers(0, 3_000_000)), max_size=60))
def test_dividing_loses_nothing_keeps_limits_and_keeps_together(sizes: list[tuple[str, int]]) -> None:
    body = bytes(3_000_000)
    items = [item(str(n), body[:size], together=t) for n, (t, size) in enumerate(sizes)]
    divided = list(batches(items))
    assert sorted(i.id for batch in divided for i in batch) == sorted(i.id for i in items)
    for batch in divided:
        assert len({i.together for i in batch}) == 1
        free = not batch[0].together
        assert not free or len(batch) == 1 or sum(len(i.body) for i in batch) <= 4_000_000
    assert len([b for b in divided if b[0].together == "x"]) <= 1


def test_a_transaction_has_at_most_two_hundred_resources() -> None:
    assert [len(batch) for batch in batches([item(str(n)) for n in range(401)])] == [LARGEST, LARGEST, 1]
