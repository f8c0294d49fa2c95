"""The KPIs of hybrid care: what each is made of, what is held against which target, and what numbers give away."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hybrid_care import TODAY, URA, YEAR, pathway, person, taking_part

from schakel.portal.hybrid_course import Trend, course
from schakel.portal.hybrid_figures import Counts, Reached, Wanted, first_of, kpi_views, row_of
from schakel.roadmap.hybrid import blocks, figures
from schakel.roadmap.hybrid.counting import Period, Tally
from schakel.roadmap.hybrid.definition import verdict
from schakel.roadmap.hybrid.figures import Figure
from schakel.roadmap.hybrid.model import (
    BlockList,
    Pathway,
)
from schakel.roadmap.hybrid.overview import Organisation, Overview, Part, overview
from schakel.roadmap.hybrid.shown import as_json
from schakel.roadmap.model import Target, Text, Unit
from schakel.roadmap.reading import shipped

# -- numbers of people for everybody ----------------------------------------------------------------------------


@given(st.integers(0, 400), st.integers(0, 400), st.sampled_from((0, 2, 5, 10)))
def test_a_share_gives_no_number_away_that_is_not_shown(active: int, others: int, small: int) -> None:
    tally = Tally(eligible=active + others, enrolled=active, active=active)
    part = Part((), tally, tally, figures.inclusion(tally))
    row = first_of(part, figures.INCLUSION, Counts(small))
    exact = None if not active + others else active / (active + others)
    if small < 2:
        assert row.share == exact and not row.hidden
    elif any(0 < number < small for number in (active, others, active + others)):
        assert row.hidden and row.share is None
    elif exact is not None:
        assert row.share is not None and abs(row.share - exact) <= 0.025 + 1e-9
        assert round(row.share * 20) / 20 == row.share or active + others >= 100 * small


@pytest.mark.parametrize("target", [0.25, 0.4, 1500.0])
def test_whether_a_target_is_reached_follows_from_what_is_shown_and_is_never_said_wrongly(
    target: float,
) -> None:
    """Of numbers that look the same, the same is said: so it gives nothing away."""
    counts = Counts(5)
    unit: Unit = "count" if target > 1 else "share"
    wanted = (Wanted(Target(target, False, Text("2025", "2025"), "insurer-policy", Text("x", "x")), unit),)
    said: dict[object, set[Reached]] = {}
    pairs = [(n, None) for n in range(1400, 1600)] if target > 1 else list(product(range(45), range(1, 60)))
    for top, rest in pairs:
        under = None if rest is None else top + rest
        figure = Figure(figures.INCLUSION, Text("", ""), top, Text("", ""), under, Text("", ""), people=True)
        row = row_of(figure, wanted, counts)
        [reached] = row.reached
        said.setdefault((row.top, row.under, row.share, row.hidden), set()).add(reached)
        if reached in ("yes", "no"):
            assert figure.value is not None and (figure.value >= target) == (reached == "yes")
        [exact] = row_of(figure, wanted, Counts(0)).reached
        assert exact == ("yes" if figure.value is not None and figure.value >= target else "no")
    assert all(len(one) == 1 for one in said.values())
    assert {"yes", "no", "near"} <= set().union(*said.values())


# -- the KPIs ----------------------------------------------------------------------------------------------------


def share(*pathways: Pathway) -> list[tuple[int, int | None]]:
    judged = [(one, verdict(one, blocks.shipped(), TODAY)) for one in pathways]
    return [(one.top, one.under) for one in figures.hybrid_share(judged)]


def test_the_share_is_shown_with_and_without_what_is_undecided() -> None:
    found = share(
        pathway("B1", "C5"),
        pathway("B1"),
        pathway("B1", "C5", suitability="undecided"),
        pathway("B1", "C5", suitability="no"),
        pathway("B1", "C5", intramural=False),
    )
    assert found == [(2, 3), (3, 4), (1, 2)]


def test_nothing_to_count_over_is_no_figure_rather_than_zero() -> None:
    shares = [*figures.hybrid_share([]), *figures.inclusion(Tally())]
    assert [one.share for one in shares] == [None] * 7
    assert [one.value for one in shares] == [None] * 7


def test_a_target_is_met_at_its_value() -> None:
    target = Target(0.4, False, Text("2025", "2025"), "insurer-policy", Text("x", "x"))
    assert [figures.meets(value, target) for value in (0.39, 0.4, 0.41)] == [False, True, True]
    at_most = replace(target, at_most=True)
    assert [figures.meets(value, at_most) for value in (0.39, 0.4, 0.41)] == [True, True, False]


def test_only_people_of_hybrid_and_suitable_pathways_count_for_inclusion() -> None:
    made = overview(
        1,
        YEAR,
        BlockList(0, blocks.shipped(), None, None, ""),
        [Organisation(URA, "Hospital", 400)],
        [
            pathway("B1", "C6"),
            pathway("B1", name="copd"),
            pathway("B1", "C5", name="asthma", suitability="undecided"),
        ],
        [
            taking_part("p1"),
            person("p2"),
            taking_part("p3", pathway="copd"),
            taking_part("p4", pathway="asthma"),
        ],
    )
    active = next(one for one in made.region.figures if one.kpi == figures.INCLUSION)
    assert (active.top, active.under) == (1, 2)
    assert made.region.everybody.eligible == 4
    scale = [(one.top, one.under) for one in made.part(URA).figures if one.kpi == figures.SCALE]
    assert scale == [(1, None), (1, 400)]
    assert [one.pathway.id for one in made.region.undecided] == ["asthma"]


def region_of(*organisations: tuple[str, str, int | None, int]) -> Overview:
    """Organisations by URA with their sector, how many patients they told, and how many are monitored at home."""
    return overview(
        1,
        YEAR,
        BlockList(0, blocks.shipped(), None, None, ""),
        [Organisation(ura, f"Organisation {ura}", population) for ura, _, population, _ in organisations],
        [pathway("B1", "C6", ura=ura, sector=sector) for ura, sector, _, _ in organisations],
        [
            taking_part(f"{ura}-{number}", ura=ura)
            for ura, _, _, monitored in organisations
            for number in range(monitored)
        ],
    )


def test_the_scale_is_held_against_a_number_at_a_hospital_and_a_share_at_gp_and_home_care() -> None:
    made = region_of(
        ("1", "MSZ", 9000, 1500),
        ("2", "HA", 100, 25),
        ("3", "VVT", 100, 24),
        ("4", "VVT", None, 90),
        ("5", "GGZ", 100, 90),
    )
    [region] = [one for one in kpi_views(made, "", shipped().kpis, Counts(0)) if one.id == figures.SCALE]
    assert region.wanted == () and region.untold == () and len(region.rows) == 1
    assert [(one.organisation.ura, one.wanted.target.value, one.reached) for one in region.held] == [
        ("1", 1500, "yes"),
        ("2", 0.25, "yes"),
        ("3", 0.25, "no"),
        ("4", 0.25, "none"),
    ]

    def own(ura: str) -> tuple[list[tuple[Reached, ...]], int, bool]:
        [view] = [one for one in kpi_views(made, ura, shipped().kpis, Counts(0)) if one.id == figures.SCALE]
        return [row.reached for row in view.rows], len(view.untold), view.chart is not None

    assert own("1") == ([("yes",), ("other",)], 0, False)
    assert own("2") == ([("other",), ("yes",)], 0, True)
    assert own("4") == ([("other",)], 1, False)
    assert own("5") == ([(), ()], 0, False)


def test_the_json_has_the_targets_that_are_for_an_organisation_in_the_unit_of_the_figure() -> None:
    made = region_of(("1", "MSZ", 9000, 1500), ("2", "HA", 100, 25))
    shown = as_json(made, shipped().kpis, None)
    parts = (*shown["organisations"], shown["region"])
    found = [
        [
            [target["value"] for target in one["targets"]]
            for one in part["figures"]
            if one["kpi"] == figures.SCALE
        ]
        for part in parts
    ]
    assert found == [[[1500], []], [[], [0.25]], [[]]]


def test_a_course_has_each_kpi_by_quarter_in_the_unit_of_its_target() -> None:
    quarters = [
        replace(region_of(("1", "MSZ", None, number), ("2", "HA", 100, 2 * number)), period=period)
        for number, period in ((4, Period.of("2026-Q2")), (12, Period.of("2026-Q3")))
    ]

    def scale(ura: str, small: int) -> Trend:
        went = course(quarters, ura, shipped().kpis, "en", Counts(small))
        return next(one for one in went.trends if one.id == figures.SCALE)

    own = scale("2", 0)
    assert own.unit == "share" and [one.target.value for one in own.wanted] == [0.25]
    assert [row.share for _, row in own.rows if row] == [0.08, 0.24]
    assert [dot.point.value for dot in own.chart.dots] == [0.08, 0.24]
    everybody = scale("2", 5)
    assert [dot.point.value for dot in everybody.chart.dots] == [0.1, 0.25]
    assert [row.reached for _, row in everybody.rows if row] == [("no",), ("near",)]
    hospital = scale("1", 5)
    assert hospital.unit == "count" and [dot.point.value for dot in hospital.chart.dots] == [None, 10]
    region = scale("", 0)
    assert (region.unit, region.wanted) == ("count", ())
    assert [dot.point.value for dot in region.chart.dots] == [12, 36]
