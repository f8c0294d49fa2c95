"""Reading a roadmap: what is right is read as it is, and each thing that is wrong is refused with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.roadmaps import roadmaps, small

from schakel.kernel.outcomes import Invalid
from schakel.roadmap.model import Roadmap
from schakel.roadmap.reading import RoadmapLimits, dump, read, shipped

Break = Callable[[Any], object]


def body(value: object) -> bytes:
    """The JSON of a value."""
    return json.dumps(value).encode()


def refused(written: bytes, limits: RoadmapLimits | None = None) -> Invalid:
    """The error with which a file is refused."""
    with pytest.raises(Invalid) as caught:
        read(written, limits) if limits else read(written)
    assert caught.value.kind == "roadmap-invalid"
    assert caught.value.expression in caught.value.message
    return caught.value


def test_the_small_roadmap_is_read() -> None:
    roadmap = read(body(small()))
    assert [item.id for item in roadmap.items] == ["LDN-1", "LDN-2"]
    assert roadmap.items[0].steps[0].checks == ("tls",)
    assert roadmap.items[1].steps[0].checks == ()


@settings(max_examples=60, deadline=None)
@given(roadmaps())
def test_what_is_written_is_read_back_the_same(roadmap: Roadmap) -> None:
    assert read(dump(roadmap)) == roadmap


def test_what_was_computed_of_a_roadmap_is_not_written() -> None:
    assert shipped().by_id and shipped().waiting
    assert set(json.loads(dump(shipped()))) == set(small())


WRONG: dict[str, tuple[Break, str, str]] = {
    "a member that is not known": (
        lambda d: d["items"][0]["title"].update(fr="Un"), "$.items[0].title.fr", "leave it out"),
    "a member that is not known at the top": (
        lambda d: d.update(themes=[]), "$.themes", "leave it out"),
    "a name that is no plain word": (
        lambda d: d["items"][0].update({"<b>": 1}), "$.items[0]['<b>']", "leave it out"),
    "a text without Dutch": (
        lambda d: d["items"][1]["plain"].pop("nl"), "$.items[1].plain.nl", "add it"),
    "a text without English": (
        lambda d: d["agreements"][0]["deadline"].pop("en"), "$.agreements[0].deadline.en", "add it"),
    "a text that is empty": (
        lambda d: d["items"][0]["steps"][0]["text"].update(en=" "), "$.items[0].steps[0].text.en", "is needed"),
    "a name of a sector that is empty": (
        lambda d: d["sectors"]["HA"].update(nl=""), "$.sectors.HA.nl", "each text is needed"),
    "a text of two lines": (
        lambda d: d["open"][0].update(nl="een\ntwee"), "$.open[0].nl", "leave it out"),
    "a text with a NUL": (
        lambda d: d["items"][0]["applications"].append("a\0"), "$.items[0].applications[1]", "leave it out"),
    "a text that is no text": (
        lambda d: d["title"].update(nl=3), "$.title.nl", "must be a valid string"),
    "a member that is missing": (
        lambda d: d["items"][0].pop("depends_on"), "$.items[0].depends_on", "add it"),
    "no items": (
        lambda d: d.update(items=[], objectives=[], kpis=[]), "$.items", "at least one item"),
    "a version that is no name": (
        lambda d: d.update(version="../1"), "$.version", "letters, digits"),
    "a sector whose code is no name": (
        lambda d: d["sectors"].update({"a b": {"nl": "a", "en": "b"}}), "$.sectors['a b']", "letters, digits"),
    "an item whose id is no name": (
        lambda d: d["items"][0].update(id="A/B"), "$.items[0].id", "letters, digits"),
    "an id that is too long": (
        lambda d: d["items"][0].update(id="A" * 41), "$.items[0].id", "at most 40"),
    "an id that ends with a dot": (
        lambda d: d["items"][0].update(id="A."), "$.items[0].id", "letters, digits"),
    "an item that is there twice": (
        lambda d: d["items"].append(d["items"][0]), "$.items[2].id", "is there already"),
    "a category that is there twice": (
        lambda d: d["categories"].append(d["categories"][0]), "$.categories[1].id", "is there already"),
    "an agreement that is there twice": (
        lambda d: d["agreements"].append(d["agreements"][0]), "$.agreements[1].id", "is there already"),
    "an objective that is there twice": (
        lambda d: d["objectives"].append({**d["objectives"][0], "ambitions": []}), "$.objectives[1].id",
        "is there already"),
    "an ambition that is in two objectives": (
        lambda d: d["objectives"].append({**d["objectives"][0], "id": "ZN-2"}),
        "$.objectives[1].ambitions[0].id", "is there already"),
    "a number that is there twice": (
        lambda d: d["kpis"].append(d["kpis"][0]), "$.kpis[1].id", "is there already"),
    "a step that is there twice": (
        lambda d: d["items"][0]["steps"].append(d["items"][0]["steps"][0]), "$.items[0].steps[1].id",
        "is there already"),
    "a step of another item": (
        lambda d: d["items"][0]["steps"][0].update(id="LDN-2.S1"), "$.items[0].steps[0].id", "LDN-1.S1"),
    "a step without a number": (
        lambda d: d["items"][0]["steps"][0].update(id="LDN-1.S0"), "$.items[0].steps[0].id", "LDN-1.S1"),
    "a check that is named twice": (
        lambda d: d["items"][0]["steps"][0].update(checks=["tls", "tls"]), "$.items[0].steps[0].checks[1]",
        "is there already"),
    "a check that is no name": (
        lambda d: d["items"][0]["steps"][0].update(checks=["t ls"]), "$.items[0].steps[0].checks[0]",
        "letters, digits"),
    "what checks do not see, without checks": (
        lambda d: d["items"][1]["steps"][0].update(unseen={"nl": "Iets", "en": "It"}),
        "$.items[1].steps[0].unseen", "the step has none"),
    "what checks do not see, in one language": (
        lambda d: d["items"][0]["steps"][0].update(unseen={"nl": "Iets"}),
        "$.items[0].steps[0].unseen.en", "is missing"),
    "a category that is not there": (
        lambda d: d["items"][0].update(category="X"), "$.items[0].category", "not in $.categories"),
    "a sector that is not there": (
        lambda d: d["items"][0].update(sectors=["HA", "X"]), "$.items[0].sectors[1]", "not in $.sectors"),
    "an agreement that is not there": (
        lambda d: d["items"][0].update(agreements=["A99"]), "$.items[0].agreements[0]", "not in $.agreements"),
    "a dependency that is not there": (
        lambda d: d["items"][1].update(depends_on=["X-1"]), "$.items[1].depends_on[0]", "not in $.items"),
    "a dependency that is named twice": (
        lambda d: d["items"][1].update(depends_on=["LDN-1", "LDN-1"]), "$.items[1].depends_on[1]",
        "is there already"),
    "an item that depends on itself": (
        lambda d: d["items"][1].update(depends_on=["LDN-2"]), "$.items[1].depends_on", "the item itself"),
    "an item of an ambition that is not there": (
        lambda d: d["objectives"][0]["ambitions"][0].update(items=["X-1"]),
        "$.objectives[0].ambitions[0].items[0]", "not in $.items"),
    "an item of a number that is not there": (
        lambda d: d["kpis"][0].update(items=["X-1"]), "$.kpis[0].items[0]", "not in $.items"),
    "a ground that is not known": (
        lambda d: d["items"][0]["dates"][0].update(legal="policy"), "$.items[0].dates[0].legal", "'insurer-policy'"),
    "a certainty that is not known": (
        lambda d: d["items"][0]["dates"][0].update(certainty="sure"), "$.items[0].dates[0].certainty", "'in-force'"),
    "a layer that is not known": (
        lambda d: d["items"][0].update(layer="local"), "$.items[0].layer", "'national' or 'regional'"),
    "a unit that is not known": (
        lambda d: d["kpis"][0].update(unit="%"), "$.kpis[0].unit", "'share'"),
    "a word where yes or no is asked": (
        lambda d: d["items"][0].update(inferred="no"), "$.items[0].inferred", "boolean"),
    "a day that does not exist": (
        lambda d: d["items"][0]["dates"][0].update(first="2025-02-30"), "$.items[0].dates[0].first", "YYYY-MM-DD"),
    "a day that is a number": (
        lambda d: d["items"][0]["dates"][0].update(first=20250101), "$.items[0].dates[0].first", "YYYY-MM-DD"),
    "a day that is a number of seconds": (
        lambda d: d["items"][0]["dates"][0].update(last="1767139200"), "$.items[0].dates[0].last", "YYYY-MM-DD"),
    "a day with a time": (
        lambda d: d["items"][0]["dates"][0].update(first="2025-01-01T00:00:00"), "$.items[0].dates[0].first",
        "YYYY-MM-DD"),
    "a day that is left out": (
        lambda d: d["items"][0]["dates"][0].pop("last"), "$.items[0].dates[0].last", "add it"),
    "days that are turned round": (
        lambda d: d["items"][0]["dates"][0].update(first="2026-01-01"), "$.items[0].dates[0].first", "turn them round"),
    "a share above one": (
        lambda d: d["kpis"][0]["targets"][0].update(value=40), "$.kpis[0].targets[0].value", "0.4"),
    "a target below zero": (
        lambda d: d["kpis"][0]["targets"][0].update(value=-0.1), "$.kpis[0].targets[0].value", "from 0 up"),
    "a target with a unit that is not known": (
        lambda d: d["kpis"][0]["targets"][0].update(unit="%"), "$.kpis[0].targets[0].unit", "'share'"),
    "a share above one beside a number in another unit": (
        lambda d: (d["kpis"][0].update(unit="count"), d["kpis"][0]["targets"][0].update(unit="share", value=25)),
        "$.kpis[0].targets[0].value", "0.4"),
    "a target for a sector that is not there": (
        lambda d: d["kpis"][0]["targets"][0].update(sectors=["X"]), "$.kpis[0].targets[0].sectors[0]",
        "not in $.sectors"),
    "a target that is a text": (
        lambda d: d["kpis"][0]["targets"][0].update(value="0.4"), "$.kpis[0].targets[0].value", "number"),
    "a link that is a script": (
        lambda d: d["items"][0]["links"][0].update(url="javascript:alert(1)"), "$.items[0].links[0].url", "https://"),
    "a link without a host": (
        lambda d: d["items"][0]["links"][0].update(url="https:///a"), "$.items[0].links[0].url", "https://"),
    "a link with a blank": (
        lambda d: d["items"][0]["links"][0].update(url="https://a.example/ b"), "$.items[0].links[0].url", "blanks"),
    "a link that is no address": (
        lambda d: d["items"][0]["links"][0].update(url="https://[a"), "$.items[0].links[0].url", "https://"),
}  # fmt: skip


def test_a_target_has_the_unit_of_its_number_is_for_everyone_and_not_sure_unless_it_says_otherwise() -> None:
    table = small()
    table["kpis"][0]["targets"].append(
        {
            **table["kpis"][0]["targets"][0],
            "value": 1500,
            "unit": "count",
            "sectors": ["HA"],
            "certainty": "planned",
        }
    )
    [kpi] = read(body(table)).kpis
    assert [(kpi.unit_of(one), one.sectors, one.certainty) for one in kpi.targets] == [
        ("share", (), "open"),
        ("count", ("HA",), "planned"),
    ]
    assert kpi.targets_of({"HA", "MSZ"}) == kpi.targets
    assert kpi.targets_of({"MSZ"}) == kpi.targets_of(None) == kpi.targets[:1]


@pytest.mark.parametrize(("break_it", "path", "why"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_with_its_place(break_it: Break, path: str, why: str) -> None:
    roadmap = small()
    break_it(roadmap)
    error = refused(body(roadmap))
    assert error.expression == path
    assert why in error.message


NO_JSON = {
    "nothing": (b"", "no JSON"),
    "half a file": (body(small())[:-1], "no JSON"),
    "another encoding": (json.dumps(small(), ensure_ascii=False).encode("utf-16"), "save it as UTF-8"),
    "a list": (b"[]", "must be an object"),
    "no number": (body(small()).replace(b"0.4", b"NaN"), "NaN is no number"),
    "a number without end": (body(small()).replace(b"0.4", b"1e999"), "from 0 up"),
    "half a character": (body(small()).replace(b"Netwerk", b"\\ud800"), "invalid JSON"),
    "a member twice": (body(small()).replace(b'"nl": "Netwerk"', b'"nl": "a", "nl": "b"'), "'nl' twice"),
    "lists in lists": (b"[" * 300 + b"]" * 300, "recursion limit"),
    "many lists in lists": (b"[" * 100_000, "nested far deeper"),
}


@pytest.mark.parametrize(("written", "why"), NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_roadmap_at_all_is_refused(written: bytes, why: str) -> None:
    assert why in refused(written).message


def test_a_file_over_a_limit_is_refused_and_one_at_the_limit_is_read() -> None:
    written = body(small())
    longest = max(len(text) for text in _texts(small()))
    assert read(written, RoadmapLimits(len(written), 2, longest)).version == "2026-01"
    assert "bytes" in refused(written, RoadmapLimits(len(written) - 1, 2, longest)).message
    assert "2 items" in refused(written, RoadmapLimits(len(written), 1, longest)).message
    assert (
        f"{longest - 1} characters" in refused(written, RoadmapLimits(len(written), 2, longest - 1)).message
    )


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_is_put_in_a_file_is_read_or_refused_by_name(data: st.DataObject) -> None:
    """Something else anywhere in the file never leads to another error than `Invalid`."""
    roadmap = small()
    place: Any = roadmap
    while True:
        names = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not names:
            break
        name = data.draw(st.sampled_from(names))
        if isinstance(place[name], dict | list) and data.draw(st.booleans()):
            place = place[name]
            continue
        place[name] = data.draw(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=5)
            | st.just([])
            | st.just({})
        )
        break
    with suppress(Invalid):
        assert dump(read(body(roadmap)))
