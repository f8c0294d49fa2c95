"""What `schakel import` reads from files, and how it divides it into transactions."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from schakel.commands.fhir_files import Item, Refused, Transaction, files, read
from schakel.commands.import_files import Sources
from schakel.commands.loading import LARGEST, Index, Report, batches
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


def unambiguous(items: list[Item], report: Report) -> list[Item]:
    """What is left to write after both readings."""
    index = Index()
    for one in items:
        index.add(one)
    return list(index.unambiguous(items, report))


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


GROUPS = st.tuples(st.sampled_from([True, False]), st.lists(st.integers(0, 3_000_000), max_size=12))


@given(st.lists(GROUPS, max_size=6))
def test_dividing_loses_nothing_keeps_limits_and_keeps_together(groups: list[tuple[bool, list[int]]]) -> None:
    body = bytes(3_000_000)
    items = [
        item(f"{group}-{n}", body[:size], together=f"x{group}" if bound else "")
        for group, (bound, sizes) in enumerate(groups)
        for n, size in enumerate(sizes)
    ]
    divided = list(batches(iter(items)))
    assert sorted(i.id for batch in divided for i in batch) == sorted(i.id for i in items)
    for batch in divided:
        assert len({i.together for i in batch}) == 1
        free = not batch[0].together
        assert not free or len(batch) == 1 or sum(len(i.body) for i in batch) <= 4_000_000
    bound = [b[0].together for b in divided if b[0].together]
    assert len(set(bound)) == len(bound)


def test_a_transaction_has_at_most_two_hundred_resources() -> None:
    assert [len(batch) for batch in batches([item(str(n)) for n in range(401)])] == [LARGEST, LARGEST, 1]


# -- NDJSON and packed files -------------------------------------------------------------------------------


def lines(*resources: dict[str, Any] | bytes) -> bytes:
    return b"".join((r if isinstance(r, bytes) else orjson.dumps(r)) + b"\n" for r in resources)


def named(number: int, **members: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", **members}


def found_in(path: Path, content: bytes) -> list[Item | Transaction | Refused]:
    path.write_bytes(content)
    return list(read(path, "r4"))


PACKINGS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.parametrize("name", ["p.ndjson", "p.jsonl", "P.NDJSON"])
def test_ndjson_gives_a_resource_for_each_line(tmp_path: Path, name: str, suffix: str) -> None:
    content = PACKINGS[suffix](lines(named(1), b"", named(2, multipleBirthInteger=1)))
    found = found_in(tmp_path / f"{name}{suffix}", content)
    assert [(f.id, f.place) for f in found if isinstance(f, Item)] == [("p1", "line 1"), ("p2", "line 3")]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("kind", ["json", "xml"])
def test_a_packed_resource_is_read(tmp_path: Path, kind: str, suffix: str) -> None:
    texts = {
        "json": orjson.dumps(named(1)),
        "xml": b'<Patient xmlns="http://hl7.org/fhir"><id value="p1"/></Patient>',
    }
    [found] = found_in(tmp_path / f"one.{kind}{suffix}", PACKINGS[suffix](texts[kind]))
    assert isinstance(found, Item) and found.id == "p1"


def test_packed_files_in_a_folder_are_found(tmp_path: Path) -> None:
    for name in ("a.ndjson", "b.ndjson.gz", "c.json.zst", "d.xml.gz", "e.tar.gz", "f.gz", "g.jsonl"):
        (tmp_path / name).touch()
    assert [path.name[0] for path in files([tmp_path])] == ["a", "b", "c", "d", "g"]


def test_a_bad_line_is_named_and_takes_no_other_with_it(tmp_path: Path) -> None:
    found = found_in(tmp_path / "x.ndjson", lines(named(1), b"{", b"[]", b'{"id": "x"}', b"\xff", named(2)))
    refused = {f.resource: f.message for f in found if isinstance(f, Refused)}
    assert list(refused) == ["line 2", "line 3", "line 4", "line 5"]
    assert "not JSON" in refused["line 2"] and "resourceType" in refused["line 4"]
    assert [f.id for f in found if isinstance(f, Item)] == ["p1", "p2"]


def test_a_last_line_without_end_is_a_line_too(tmp_path: Path) -> None:
    found = found_in(tmp_path / "x.ndjson", lines(named(1))[:-1])
    assert [f.place for f in found if isinstance(f, Item)] == ["line 1"]


def test_a_bundle_on_a_line_gives_its_entries_with_their_line(tmp_path: Path) -> None:
    content = lines(
        bundle("collection", {"resource": named(1)}, {"resource": named(2)}),
        bundle("transaction", {"request": {"method": "PUT", "url": "Patient/p3"}}),
        bundle("history"),
    )
    first, second, whole, other = found_in(tmp_path / "x.ndjson", content)
    assert isinstance(first, Item) and first.place == "line 1, entry[0]"
    assert isinstance(second, Item) and second.place == "line 1, entry[1]"
    assert isinstance(whole, Transaction) and "line 2" in whole.name
    assert isinstance(other, Refused) and other.resource == "Bundle at line 3"


def test_bundles_on_two_lines_are_not_kept_together(tmp_path: Path) -> None:
    one_of = bundle("collection", {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient"}})
    found = found_in(tmp_path / "x.ndjson", lines(one_of, one_of))
    bound = [f.together for f in found if isinstance(f, Item)]
    assert len(set(bound)) == 2 and all(bound)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_was_cut_off_gives_what_was_whole_and_says_where_it_ends(
    tmp_path: Path, suffix: str
) -> None:
    body = lines(*(named(n, name=[{"text": f"{n * 7919 % 10007}"}]) for n in range(4000)))
    content = PACKINGS[suffix](body)
    *items, refused = found_in(tmp_path / f"x.ndjson{suffix}", content[: len(content) * 2 // 3])
    assert isinstance(refused, Refused) and "cut off" in refused.message
    assert refused.resource == f"after line {len(items)}"
    assert all(isinstance(f, Item) and f.id == f"p{n}" for n, f in enumerate(items))
    [refused] = found_in(tmp_path / f"y.json{suffix}", PACKINGS[suffix](orjson.dumps(named(1)))[:-3])
    assert isinstance(refused, Refused) and "cut off" in refused.message


def test_the_same_id_on_two_lines_is_ambiguous_and_the_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_bytes(lines(named(1), named(2, active=True), named(3), named(2, active=False), named(3)))
    sources, report = Sources([path], "r4"), Report()
    sources.survey()
    assert [i.id for i in sources.items(report)] == ["p1", "p3"]
    first, second = report.refused
    assert "line 2" in first.resource and "line 4" in first.message
    assert "line 4" in second.resource and "line 2" in second.message
    assert report.same == 1 and sources.expected == 4


def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.ndjson.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for number in range(6000):
            file.write(lines(named(number, name=[{"text": "x" * 10_000}])))
    sources, report = Sources([path], "r4"), Report()
    tracemalloc.start()
    try:
        sources.survey()
        number = sum(1 for batch in batches(sources.items(report)) for _ in batch)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number == sources.expected == 6000
    assert peak < 20_000_000  # Of 60 MB.


def test_transactions_are_read_again_in_their_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        content = bundle("transaction", {"request": {"method": "DELETE", "url": f"Patient/{name}"}})
        (tmp_path / f"{name}.json").write_bytes(orjson.dumps(content))
    (tmp_path / "c.json").write_bytes(orjson.dumps(named(1)))
    sources, report = Sources(files([tmp_path]), "r4"), Report()
    sources.survey()
    assert [Path(t.file).name for t in sources.transactions()] == ["a.json", "b.json"]
    assert [i.id for i in sources.items(report)] == ["p1"] and sources.expected == 3
