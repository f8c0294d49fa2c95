"""What differs between two versions of the roadmap is told, each difference once and in both languages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from tests.roadmaps import roadmaps, small

from schakel.roadmap.changes import Change, differences
from schakel.roadmap.model import Roadmap, Text
from schakel.roadmap.reading import read, shipped

Edit = Callable[[Any], object]

ANOTHER = {"nl": "Iets anders", "en": "Something else"}


def made(roadmap: Any) -> Roadmap:
    """The roadmap of a file."""
    return read(json.dumps(roadmap).encode())


def told(edit: Edit) -> tuple[Change, ...]:
    """The differences that an edit of the small roadmap makes."""
    edited = small()
    edit(edited)
    return differences(made(small()), made(edited))


def third(roadmap: Any) -> None:
    """A third item, like the second."""
    item = roadmap["items"][1]
    roadmap["items"].append({**item, "id": "LDN-3", "steps": [], "title": ANOTHER})


EDITS: dict[str, tuple[Edit, str, str, str]] = {
    "a new item": (third, "LDN-3", "punt LDN-3 nieuw: Iets anders", "item LDN-3 new: Something else"),
    "an item that is gone": (
        lambda d: (d["items"].pop(), d["kpis"][0].update(items=[])),
        "LDN-2", "punt LDN-2 vervallen: Twee", "item LDN-2 gone: Two"),
    "an item of which two things changed": (
        lambda d: d["items"][0].update(plain=ANOTHER, sectors=[]),
        "LDN-1", "punt LDN-1 gewijzigd: uitleg, sectoren", "item LDN-1 changed: explanation, sectors"),
    "a new step": (
        lambda d: d["items"][0]["steps"].append({"id": "LDN-1.S2", "text": ANOTHER}),
        "LDN-1", "LDN-1: stap LDN-1.S2 nieuw: Iets anders", "LDN-1: step LDN-1.S2 new: Something else"),
    "a step that is gone": (
        lambda d: d["items"][0]["steps"].clear(),
        "LDN-1", "LDN-1: stap LDN-1.S1 vervallen: Doe iets", "LDN-1: step LDN-1.S1 gone: Do it"),
    "a step that is measured otherwise": (
        lambda d: d["items"][0]["steps"][0].update(checks=[]),
        "LDN-1", "LDN-1: stap LDN-1.S1 gewijzigd: metingen", "LDN-1: step LDN-1.S1 changed: checks"),
    "a step of which the checks do not see a part": (
        lambda d: d["items"][0]["steps"][0].update(unseen=ANOTHER),
        "LDN-1", "LDN-1: stap LDN-1.S1 gewijzigd: wat de metingen niet zien",
        "LDN-1: step LDN-1.S1 changed: what the checks do not see"),
    "a date that slipped": (
        lambda d: d["items"][0]["dates"][0].update(
            when={"nl": "2026", "en": "2026"}, first="2026-01-01", last="2026-12-31", certainty="expected"),
        "LDN-1", "LDN-1: datum gewijzigd: Het begint (2025 → 2026; van kracht → verwacht)",
        "LDN-1: date changed: It begins (2025 → 2026; in force → expected)"),
    "a date of which only the day changed": (
        lambda d: d["items"][0]["dates"][0].update(last=None),
        "LDN-1", "LDN-1: datum gewijzigd: Het begint (2025-01-01 - 2025-12-31 → 2025-01-01 - ?)",
        "LDN-1: date changed: It begins (2025-01-01 - 2025-12-31 → 2025-01-01 - ?)"),
    "a date on another ground": (
        lambda d: d["items"][0]["dates"][0].update(legal="advice"),
        "LDN-1", "LDN-1: datum gewijzigd: Het begint (wet → advies, geen plicht)",
        "LDN-1: date changed: It begins (law → advice, no duty)"),
    "a date that is gone": (
        lambda d: d["items"][0]["dates"].clear(),
        "LDN-1", "LDN-1: datum vervallen: 2025: Het begint", "LDN-1: date gone: 2025: It begins"),
    "a new date": (
        lambda d: d["items"][1]["dates"].append(d["items"][0]["dates"][0]),
        "LDN-2", "LDN-2: datum nieuw: 2025: Het begint", "LDN-2: date new: 2025: It begins"),
    "a new open question of an item": (
        lambda d: d["items"][1]["open"].append(ANOTHER),
        "LDN-2", "LDN-2: open vraag nieuw: Iets anders", "LDN-2: open question new: Something else"),
    "an open question that was settled": (
        lambda d: d["open"].clear(), "", "open vraag vervallen: Een vraag", "open question gone: A question"),
    "a new title": (
        lambda d: d.update(title=ANOTHER), "", "titel gewijzigd: Iets anders", "title changed: Something else"),
    "a new source": (
        lambda d: d["sources"].append(ANOTHER), "", "bron nieuw: Iets anders", "source new: Something else"),
    "a new sector": (
        lambda d: d["sectors"].update(VVT=ANOTHER),
        "", "sector VVT nieuw: Iets anders", "sector VVT new: Something else"),
    "a sector with another name": (
        lambda d: d["sectors"].update(HA={"nl": "Huisartsen", "en": "Doctors"}),
        "", "sector HA gewijzigd: Engelse naam", "sector HA changed: English name"),
    "a category with another title": (
        lambda d: d["categories"][0].update(title=ANOTHER),
        "", "groep LDN gewijzigd: titel", "category LDN changed: title"),
    "an agreement with another deadline": (
        lambda d: d["agreements"][0].update(deadline=ANOTHER),
        "", "afspraak A01 gewijzigd: termijn", "agreement A01 changed: deadline"),
    "an ambition that moved to another objective": (
        lambda d: (
            d["objectives"].append({**d["objectives"][0], "id": "ZN-2"}), d["objectives"][0].update(ambitions=[])),
        "", "ambitie 1a gewijzigd: doel", "ambition 1a changed: objective"),
    "a number with another target": (
        lambda d: d["kpis"][0]["targets"][0].update(value=0.7),
        "", "cijfer KPI-1 gewijzigd: streefwaarden", "number KPI-1 changed: targets"),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "item", "nl", "en"), EDITS.values(), ids=EDITS)
def test_a_difference_is_told_in_both_languages(edit: Edit, item: str, nl: str, en: str) -> None:
    assert (item, Text(nl, en)) in [(change.item, change.words) for change in told(edit)]


def leaves(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in a file a text, a number or a yes or no is."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in parts:
            yield from leaves(inner, (*place, name))
    else:
        yield place


FREE = [
    place
    for place in leaves(small())
    if place[-1] in ("nl", "en", "inferred", "value", "at_most", "first", "last", "title", "url")
    or {"applications", "standards"} & {*place[-2:-1]}
]


@pytest.mark.parametrize("place", FREE, ids=str)
def test_whatever_else_is_written_is_a_difference(place: tuple[str | int, ...]) -> None:
    def edit(roadmap: Any) -> None:
        for name in place[:-1]:
            roadmap = roadmap[name]
        other = {"inferred": True, "value": 0.5, "at_most": True, "first": None, "last": None}
        roadmap[place[-1]] = other.get(str(place[-1]), "https://example.net/anders")

    assert told(edit)


@settings(max_examples=40, deadline=None)
@given(roadmaps())
def test_a_roadmap_does_not_differ_from_itself_or_its_next_version(roadmap: Roadmap) -> None:
    assert differences(roadmap, roadmap) == ()
    assert differences(roadmap, replace(roadmap, version="next")) == ()


@settings(max_examples=40, deadline=None)
@given(roadmaps(), roadmaps())
def test_what_is_new_one_way_is_gone_the_other_way(one: Roadmap, other: Roadmap) -> None:
    def count(changes: tuple[Change, ...], kind: str) -> int:
        return sum(change.kind == kind for change in changes)

    there, back = differences(one, other), differences(other, one)
    assert count(there, "added") == count(back, "gone")
    assert count(there, "changed") == count(back, "changed")


def test_the_order_of_items_is_no_difference() -> None:
    roadmap = shipped()
    assert differences(roadmap, replace(roadmap, items=roadmap.items[::-1])) == ()
