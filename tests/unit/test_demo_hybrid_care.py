"""Hybrid care of the demo's region: everything it makes is taken in, and every page has something to say."""

from __future__ import annotations

from datetime import date

import orjson
import pytest

from schakel.demo.roadmap.hybrid import demo_inventory
from schakel.roadmap.hybrid import blocks, reading
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.model import EXCLUSIONS, LAYER_STATES, SUITABILITIES, BlockList
from schakel.roadmap.hybrid.overview import Organisation, Overview, overview
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms
from schakel.roadmap.tables import rows_of

TODAY = date(2026, 12, 1)


def made(seed: int = 1, today: date = TODAY) -> Overview:
    organisations, pathways, people = [], [], []
    for sent in demo_inventory(today, seed):
        ura = sent.organisation.ura
        organisations.append(Organisation(ura, sent.organisation.name, sent.population))
        own = reading.pathways(rows_of(orjson.dumps(sent.pathways), "pathways"), ura, blocks.shipped(), today)
        known = frozenset(one.id for one in own)
        rows = rows_of(orjson.dumps(sent.people), "people")
        people += reading.people(rows, ura, known, Pseudonyms(None), today)
        pathways += own
    judged_by = BlockList(0, blocks.shipped(), None, None, "")
    return overview(1, Period.year_to(today), judged_by, organisations, pathways, people)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_it_makes_is_taken_in_and_says_something_everywhere(seed: int) -> None:
    found = made(seed)
    assert len(found.organisations) == 8 and all(part.pathways for part in found.parts.values())
    decided = {one.pathway.decision.suitability for one in found.region.pathways}
    assert decided == set(SUITABILITIES)
    assert {state for one in found.region.pathways for state in one.pathway.layers.values()} >= set(
        LAYER_STATES
    ) - {"not-started"}
    assert {one.verdict.hybrid for one in found.region.pathways} == {True, False}
    assert set(found.region.everybody.reasons) == set(EXCLUSIONS)
    first = {one.kpi: one.share for one in reversed(found.region.figures)}
    assert 0.4 <= (first["KPI-1"] or 0) < 0.7 and 0.25 <= (first["KPI-2"] or 0) < 0.5


def test_some_people_are_in_several_pathways_and_count_once() -> None:
    found = made()
    assert found.region.everybody.eligible < sum(one.tally.eligible for one in found.region.pathways)


def test_it_follows_from_the_day_and_the_seed_alone() -> None:
    assert list(demo_inventory(TODAY, 1)) == list(demo_inventory(TODAY, 1))
    assert list(demo_inventory(TODAY, 1)) != list(demo_inventory(TODAY, 2))
