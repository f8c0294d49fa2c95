"""The agenda, the plan of a year, the trends and the objectives follow from the board: nothing that is due is left out,
what is late is late by its dates alone, and filters show what matches and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from tests.standings import DAY, HOSPITAL, MOMENT, PRACTICE, SMALL, item, roadmap, step, text

from schakel.portal.agenda import NAMES, NOBODY, PROGRESS, REGION, agenda, choices, read, row, typed
from schakel.portal.agenda import action as entered
from schakel.portal.filters import Filters
from schakel.portal.objectives import objectives
from schakel.portal.plan import plan
from schakel.portal.trends import trends
from schakel.roadmap.board import Action, Progress, Snapshot
from schakel.roadmap.model import Ambition, Certainty, Dated, Kpi, Legal, Objective
from schakel.roadmap.overview import Overview, overview_of
from schakel.roadmap.standing import State

TODAY = MOMENT.date()
MEMBERS = [HOSPITAL, PRACTICE]

_DAYS = st.none() | st.dates(date(2025, 1, 1), date(2027, 12, 31))
_ACTIONS = st.builds(
    Action,
    item=st.sampled_from(["GF-1", "GF-2", "GONE-1"]),
    title=st.just("Doen"),
    owner=st.sampled_from(["", "Anna", "Bert"]),
    step=st.sampled_from(["", "GF-1.S1"]),
    ura=st.sampled_from(["", HOSPITAL.ura, "90000009"]),
    starts=_DAYS,
    due=_DAYS,
    progress=st.sampled_from(get_args(Progress)),
)


def small(**changes: Any) -> Overview:
    return overview_of(replace(SMALL, **changes), MEMBERS, [], [], {}, MOMENT)


# -- what is late ------------------------------------------------------------------------------------------------------


@given(_ACTIONS)
def test_an_action_is_late_by_its_dates_and_progress_alone(action: Action) -> None:
    found = row(small(), action, TODAY)
    still = action.progress in ("planned", "running")
    over = action.due is not None and action.due < TODAY
    waiting = action.progress == "planned" and action.starts is not None and action.starts < TODAY
    assert found.late == ("due" if still and over else "start" if waiting else "")
    assert (found.days > 0) == bool(found.late)


def test_on_its_last_day_an_action_is_not_late() -> None:
    for days, late in ((0, ""), (1, "due")):
        action = Action("GF-1", "Doen", "Anna", due=TODAY - days * DAY, progress="running")
        assert row(small(), action, TODAY).late == late
        begin = Action("GF-1", "Doen", "Anna", starts=TODAY - days * DAY)
        assert row(small(), begin, TODAY).late == ("start" if days else "")


def test_what_the_region_no_longer_has_is_shown_by_its_name() -> None:
    found = row(small(), Action("GONE-1", "Doen", "", step="GONE-1.S1", ura="90000009"), TODAY)
    assert (found.item, found.step, found.member) == (None, None, None)


# -- filters -----------------------------------------------------------------------------------------------------------


@given(st.lists(_ACTIONS, max_size=8), st.data())
def test_filters_show_what_matches_and_nothing_else(actions: list[Action], data: st.DataObject) -> None:
    overview = small()
    offered = choices(overview, actions)
    chosen = {name: data.draw(st.sampled_from(["", *offered[name]])) for name in NAMES}
    found = agenda(overview, actions, chosen.items(), TODAY)
    wanted = [
        one
        for one in actions
        if chosen["organisation"] in ("", one.ura or REGION)
        and chosen["item"] in ("", one.item)
        and chosen["progress"] in ("", one.progress)
        and chosen["owner"] in ("", one.owner or NOBODY)
    ]
    assert sorted(map(repr, wanted)) == sorted(repr(one.action) for one in found.rows)
    assert found.total == len(actions) and found.filters.ignored == ()
    late = [one.late == "due" for one in found.rows]
    assert late == sorted(late, reverse=True)  # The late ones first.
    assert found.late == sum(bool(one.late) for one in found.rows)


def test_what_is_no_choice_is_told_and_not_used() -> None:
    overview = small()
    offered = choices(overview, [Action("GF-1", "Doen", "Anna")])
    asked = [("owner", "Bert"), ("progress", "done"), ("progress", "stuck"), ("other", "x"), ("item", "")]
    found = read(asked, offered)
    assert (found.owner, found.progress, found.item) == ("", "done", "")
    assert found.ignored == (("owner", "Bert"), ("progress", "stuck"))
    assert found.narrow and not read([], offered).narrow


# -- the form ----------------------------------------------------------------------------------------------------------


@given(
    _ACTIONS.filter(
        lambda one: one.item != "GONE-1" and not (one.due and one.starts and one.due < one.starts)
    )
)
def test_an_action_that_is_shown_in_its_form_comes_back_the_same(action: Action) -> None:
    before = replace(
        action, step="GF-1.S1" if action.step and action.item == "GF-1" else "", id="x", change=3
    )
    made, wrong = entered(typed(before), SMALL, MEMBERS, before)
    assert wrong == () and made == before


# -- the plan of a year ------------------------------------------------------------------------------------------------


@st.composite
def dated(draw: st.DrawFn) -> Dated:
    first, last = draw(_DAYS), draw(_DAYS)
    if first and last and last < first:
        first, last = last, first
    legal, certainty = draw(st.sampled_from(get_args(Legal))), draw(st.sampled_from(get_args(Certainty)))
    return Dated(text("when"), first, last, text("what"), legal, certainty)


@given(
    st.lists(dated(), max_size=5),
    st.lists(_ACTIONS, max_size=5),
    st.sampled_from([2025, 2026, 2027]),
    st.sampled_from(get_args(State)),
)
def test_the_plan_has_each_date_in_its_quarter_and_each_action_where_it_starts_and_ends(
    dates: list[Dated], actions: list[Action], year: int, state: State
) -> None:
    overview = small(items=(replace(item("GF-1", step("GF-1.S1", "tls")), dates=tuple(dates)),))
    cells = {at: replace(cell, state=state) for at, cell in overview.cells.items()}
    found = plan(replace(overview, cells=cells), actions, year, TODAY)
    due = [one for one in dates if one.legal != "advice" and one.certainty != "done"]
    for quarter in found.quarters:
        months = range(3 * quarter.number - 2, 3 * quarter.number + 1)

        def within(day: date | None, months: range = months) -> bool:
            return day is not None and day.year == year and day.month in months

        assert sorted(map(repr, (one.dated for one in quarter.due))) == sorted(
            repr(one) for one in due if within(one.last or one.first)
        )
        live = [one for one in actions if one.progress != "dropped"]
        assert [one.action for one in quarter.starts] == [one for one in live if within(one.starts)]
        assert [one.action for one in quarter.ends] == [one for one in live if within(one.due)]
    settled = state in ("proved", "declared", "not-named", "not-applicable")
    assert not (settled and (found.before or found.unplanned))
    about = any(one.item == "GF-1" and one.progress != "dropped" for one in actions)
    told = [*found.before, *(one for quarter in found.quarters for one in quarter.due)]
    assert list(found.unplanned) == ([] if settled or about else told)
    assert all((one.dated.last or one.dated.first or date.min).year < year for one in found.before)
    assert TODAY.year in found.years


def test_a_date_says_how_many_of_those_it_is_for_are_there() -> None:
    due = Dated(text("2026"), None, date(2026, 6, 30), text("what"), "law", "expected")
    made = roadmap(replace(item("GF-1", step("GF-1.S1", "tls"), sectors=("MSZ",)), dates=(due,)))
    found = plan(overview_of(made, MEMBERS, [], [], {}, MOMENT), [], 2026, TODAY)
    [one] = found.quarters[1].due
    assert (one.settled, one.asked, one.unplanned) == (0, 1, True)


# -- trends ------------------------------------------------------------------------------------------------------------


def snapshot(run: str, at: datetime, number: int, **changes: Any) -> Snapshot:
    return Snapshot(
        **{
            "run": run,
            "at": at,
            "item": "GF-1",
            "sector": "MSZ",
            "state": "fails",
            "number": number,
            **changes,
        }
    )


def test_a_month_counts_its_last_measurement_as_the_month_is_in_the_netherlands() -> None:
    evening = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)  # February has begun in Amsterdam.
    found = trends(
        small(),
        [
            snapshot("a", evening - timedelta(days=20), 1),
            snapshot("b", evening - timedelta(days=10), 2),
            snapshot("b", evening - timedelta(days=10), 3, state="proved"),
            snapshot("c", evening, 4),
        ],
        Filters(),
        "en",
    )
    assert found.chart is not None and found.last == evening
    assert [one.name for one in found.chart.series] == ["proved", "fails"]
    bars = [(bar.period.name, bar.period.numbers) for bar in found.chart.bars]
    assert bars == [("Jan 2026", (3, 2)), ("Feb 2026", (0, 4))]


def test_trends_count_the_sector_and_the_theme_that_are_asked() -> None:
    snapshots = [
        snapshot("a", MOMENT, 1),
        snapshot("a", MOMENT, 2, sector="HA"),
        snapshot("a", MOMENT, 4, item="GONE-1"),
    ]

    def counted(**chosen: str) -> int:
        chart = trends(small(), snapshots, replace(Filters(), **chosen), "nl").chart  # type: ignore[arg-type]
        return sum(chart.bars[0].period.numbers) if chart else 0

    assert (counted(), counted(sector="HA"), counted(theme="GF"), counted(theme="ET")) == (7, 2, 3, 0)
    assert trends(small(), [], Filters(), "nl").last is None


# -- objectives --------------------------------------------------------------------------------------------------------


def test_an_objective_counts_each_of_its_items_once() -> None:
    both = Objective(
        "O-1", text("o"), (Ambition("1a", text("a"), ("GF-1", "GF-2")), Ambition("1b", text("b"), ("GF-1",)))
    )
    kpi = Kpi("KPI-1", text("k"), text("f"), "share", (), ("GF-2",))
    found = objectives(small(objectives=(both,), kpis=(kpi, replace(kpi, id="KPI-9", items=()))), {"KPI-1"})
    [objective] = found.objectives
    assert sum(number for _, number in objective.tally) == 4
    assert [[one.id for one, _ in view.items] for view in objective.ambitions] == [["GF-1", "GF-2"], ["GF-1"]]
    assert [(one.kpi.id, one.hybrid, one.measured) for one in found.kpis] == [
        ("KPI-1", True, True),
        ("KPI-9", False, False),
    ]


def test_each_progress_differs_from_every_other_by_word_and_sign() -> None:
    assert tuple(PROGRESS) == get_args(Progress)
    for told in ([one.word.nl for one in PROGRESS.values()], [one.sign for one in PROGRESS.values()]):
        assert len(set(told)) == len(PROGRESS)
