"""What the pages of the board show follows from the overview: filters show what matches and nothing else, what is next
stands in the order of its dates, and what waits is what the roadmap says."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.standings import (
    DAY,
    HOSPITAL,
    MOMENT,
    PRACTICE,
    SMALL,
    TERMS,
    declaration,
    evidence,
    item,
    roadmap,
    step,
    text,
)

from schakel.portal.cell import ages, cell_page
from schakel.portal.changes import changes
from schakel.portal.filters import NAMES, NO_YEAR, Choices, Filters, choices, labelled, read, years
from schakel.portal.item import item_page
from schakel.portal.organisation import duties, lies, organisation
from schakel.portal.pages.cells import board_cells
from schakel.portal.region import Region, region
from schakel.roadmap.board.turns import Turn
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Member
from schakel.roadmap.model import Category, Certainty, Dated, Item, Legal, Roadmap
from schakel.roadmap.overview import Overview, overview_of
from schakel.roadmap.standing import Cell, State
from schakel.roadmap.weighing import TERM
from schakel.roadmap.words import CERTAINTIES, LEGALS, STATES, settled

TODAY = date(2026, 3, 5)


_DAYS = st.sampled_from([None, *(date(year, 7, 1) for year in (2024, 2025, 2026, 2027))])
_TEXT = text("some")

SLOWLY_MADE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A region is large, and a busy machine slow."""


@st.composite
def _dates(draw: st.DrawFn) -> Dated:
    """Any date whose days are in order; one of the two may not be known."""
    first, last = draw(_DAYS), draw(_DAYS)
    if first and last and first > last:
        first, last = last, first
    return Dated(
        _TEXT,
        first,
        last,
        _TEXT,
        draw(st.sampled_from(get_args(Legal))),
        draw(st.sampled_from(get_args(Certainty))),
    )


@st.composite
def overviews(draw: st.DrawFn) -> Overview:
    """Any region on any roadmap, whose cells stand anyhow. A sector may be one that the roadmap does not have."""
    sectors = st.sampled_from(["MSZ", "HA", "other"])
    names = [f"I{number}" for number in range(draw(st.integers(0, 4)))]
    items = [
        replace(
            item(name, step(f"{name}.S1", "tls"), sectors=tuple(draw(st.sets(sectors, max_size=2)))),
            category=draw(st.sampled_from(["GF", "ET"])),
            dates=tuple(draw(st.lists(_dates(), max_size=3))),
            depends_on=tuple(draw(st.sets(st.sampled_from(names), max_size=2)) - {name}),
        )
        for name in names
    ]
    made = replace(roadmap(*items), categories=(Category("ET", _TEXT), Category("GF", _TEXT)))
    members = tuple(
        Member(f"9000000{number}", draw(st.sampled_from("abc")), draw(sectors))
        for number in range(draw(st.integers(0, 4)))
    )
    found = overview_of(made, members, [], [], {}, MOMENT)
    states = st.sampled_from(get_args(State))
    return replace(found, cells={at: replace(cell, state=draw(states)) for at, cell in found.cells.items()})


@st.composite
def narrowed(draw: st.DrawFn) -> tuple[Overview, Choices, Filters]:
    """Any region, and a choice of filters that it offers."""
    overview = draw(overviews())
    offered = choices(overview.roadmap, overview.members)
    chosen = {name: draw(st.sampled_from(["", *sorted(offered.known(name))])) for name in NAMES}
    return overview, offered, replace(Filters(), **chosen)  # type: ignore[arg-type]


def wanted(overview: Overview, filters: Filters) -> set[tuple[str, str]]:
    """The cells that match, told once more and plainly."""
    found = set()
    for (ura, name), cell in overview.cells.items():
        one = overview.roadmap.by_id[name]
        [member] = [each for each in overview.members if each.ura == ura]
        dates = [each for each in one.dates if filters.legal in ("", each.legal)]
        if filters.year == NO_YEAR:
            timely = not any(years(each) for each in one.dates) and (bool(dates) or not filters.legal)
        elif filters.year:
            timely = any(int(filters.year) in years(each) for each in dates)
        else:
            timely = bool(dates) or not filters.legal
        if (
            timely
            and filters.sector in ("", member.sector)
            and filters.theme in ("", one.category)
            and filters.state in ("", cell.state)
        ):
            found.add((ura, name))
    return found


def shown(found: Region) -> set[tuple[str, str]]:
    return {
        (member.ura, row.item.id)
        for theme in found.themes
        for row in theme.rows
        for member, look in row.cells
        if look is not None
    }


@SLOWLY_MADE
@given(narrowed())
def test_filters_show_what_matches_and_nothing_else(given: tuple[Overview, Choices, Filters]) -> None:
    overview, offered, filters = given
    found = region(overview, filters, offered)
    assert shown(found) == wanted(overview, filters)
    assert found.shown == len(shown(found)) and found.total == len(overview.cells)
    for theme in found.themes:
        for row in theme.rows:
            assert any(look for _, look in row.cells)  # No row in which nothing is left.
            for member, look in row.cells:
                if look is not None:
                    assert look.state == overview.cells[member.ura, row.item.id].state


@SLOWLY_MADE
@given(narrowed())
def test_every_row_has_the_organisations_of_the_columns_in_their_order(
    given: tuple[Overview, Choices, Filters],
) -> None:
    overview, offered, filters = given
    found = region(overview, filters, offered)
    columns = [member for sector in found.sectors for member in sector.members]
    for theme in found.themes:
        for row in theme.rows:
            assert [member for member, _ in row.cells] == columns
            assert row.item.category == theme.category.id
    for column in range(len(columns)):  # No column in which nothing is left.
        assert any(row.cells[column][1] for theme in found.themes for row in theme.rows)
    for sector in found.sectors:
        assert {member.sector for member in sector.members} == {sector.code}


@SLOWLY_MADE
@given(narrowed())
def test_counts_say_what_another_choice_of_state_would_show(given: tuple[Overview, Choices, Filters]) -> None:
    overview, offered, filters = given
    found = region(overview, filters, offered)
    for look, number in found.tally:
        assert number == len(wanted(overview, replace(filters, state=look.state))) > 0
    assert sum(number for _, number in found.tally) == len(wanted(overview, replace(filters, state="")))
    for one in found.by_sector:
        assert one.total == sum(one.numbers)
    assert [sum(one.numbers[place] for one in found.by_sector) for place in range(len(found.tally))] == [
        number for _, number in found.tally
    ]


@SLOWLY_MADE
@given(narrowed(), st.sampled_from(NAMES), st.text(max_size=100))
def test_what_is_no_choice_is_told_and_changes_nothing(
    given: tuple[Overview, Choices, Filters], name: str, value: str
) -> None:
    _, offered, filters = given
    asked = [(each, getattr(filters, each)) for each in NAMES] + [("lang", "nl"), ("page", "3")]
    assert read(asked, offered) == filters
    found = read([*asked, (name, value)], offered)
    if not value or value in offered.known(name):
        assert found.ignored == ()
    else:
        assert found == replace(filters, ignored=((name, value[:60]),))


def test_the_last_of_two_choices_counts_and_an_address_keeps_the_others() -> None:
    offered = choices(SMALL, [HOSPITAL, PRACTICE])
    found = read([("sector", "HA"), ("state", "fails"), ("sector", "MSZ")], offered)
    assert (found.sector, found.state) == ("MSZ", "fails")
    assert found.but(state="proved") == "?sector=MSZ&state=proved"
    assert found.but(state="", sector="") == "" and found.narrow and not Filters().narrow


def test_every_choice_has_a_name_in_both_languages() -> None:
    offered = choices(SMALL, [HOSPITAL, Member("90000003", "Elders", "XX")])
    dutch, english = labelled(offered, "nl"), labelled(offered, "en")
    assert set(dutch) == set(NAMES)
    for name in NAMES:
        values = {value for value, _ in dutch[name]}
        assert values == offered.known(name) - {NO_YEAR} == {value for value, _ in english[name]}
    assert dutch["sector"] == [("MSZ", "hospitals (nl)"), ("XX", "XX")]


def test_a_year_matches_the_whole_of_a_period_and_one_date_must_have_year_and_ground() -> None:
    period = dated(date(2025, 6, 1), date(2027, 2, 1), legal="law")
    later = dated(date(2029, 1, 1), legal="advice")
    one = replace(item("GF-1"), dates=(period, later))
    assert [year for year in range(2024, 2031) if Filters(year=str(year)).shows_item(one)] == [
        2025,
        2026,
        2027,
        2029,
    ]
    assert Filters(year="2026", legal="law").shows_item(one)
    assert not Filters(year="2029", legal="law").shows_item(one)
    assert not Filters(year=NO_YEAR).shows_item(one)
    assert Filters(year=NO_YEAR).shows_item(replace(one, dates=(dated(None),)))


# -- an organisation ---------------------------------------------------------------------------------------------------


def dated(
    first: date | None, last: date | None = None, *, legal: Legal = "law", certainty: Certainty = "planned"
) -> Dated:
    return Dated(text("when"), first, last or first, text("what"), legal, certainty)


def of(one: Item, state: State = "fails") -> Cell:
    return Cell(one, HOSPITAL.ura, state, text("why"), None, ())


def test_a_date_lies_ahead_until_its_last_day_is_over() -> None:
    period = dated(TODAY - DAY, TODAY)
    assert lies(period, TODAY) == "ahead" and lies(period, TODAY + DAY) == "behind"
    assert lies(dated(None), TODAY) == "unknown"
    assert lies(dated(TODAY + DAY, certainty="in-force"), TODAY) == "behind"
    assert lies(dated(None, certainty="in-force"), TODAY) == "behind"


@SLOWLY_MADE
@given(overviews(), st.dates(date(2000, 1, 1), date(2050, 1, 1)))
def test_every_date_of_every_unsettled_item_is_told_once_and_in_order(
    overview: Overview, today: date
) -> None:
    for member in overview.members:
        own = overview.of_member(member.ura)
        found = dict(duties(own, today))
        told = [(one.cell.item.id, one.dated) for several in found.values() for one in several]
        expected: list[tuple[str, Dated | None]] = []
        for cell in own:
            if not settled(cell):
                dates = [one for one in cell.item.dates if one.certainty != "done"]
                expected += [(cell.item.id, one) for one in dates] or [(cell.item.id, None)]
        assert sorted(told, key=repr) == sorted(expected, key=repr)
        for when, several in found.items():
            assert several
            assert all(one.dated is None or lies(one.dated, today) == when for one in several)
        for when in ("behind", "ahead"):
            days = [one.dated.last or one.dated.first for one in found.get(when, ()) if one.dated]
            known = [day for day in days if day]
            assert known == sorted(known)


def test_what_is_proved_declared_or_not_for_them_asks_nothing_more() -> None:
    one = replace(item("GF-1"), dates=(dated(TODAY),))
    asking = {state for state in get_args(State) if duties([of(one, state)], TODAY)}
    assert asking == set(get_args(State)) - {"proved", "declared", "not-named", "not-applicable"}


def test_what_is_good_in_part_where_it_is_not_named_asks_nothing_more() -> None:
    made = roadmap(
        replace(item("A", step("A.S1", "tls"), step("A.S2"), sectors=("HA",)), dates=(dated(TODAY),))
    )
    good, bad = (
        overview_of(made, [HOSPITAL], [evidence(verdict=verdict)], [], {"tls": DAY}, MOMENT).of_member(
            HOSPITAL.ura
        )
        for verdict in ("holds", "unknown")
    )
    assert [cell.state for cell in (*good, *bad)] == ["partly", "unknown"]
    assert not duties(good, TODAY) and duties(bad, TODAY)


def chained(**states: State) -> tuple[Overview, Any]:
    """The hospital on three items: B needs A, and C needs B."""
    made = roadmap(item("A"), replace(item("B"), depends_on=("A",)), replace(item("C"), depends_on=("B",)))
    overview = overview_of(made, [HOSPITAL], [], [], {}, MOMENT)
    stand = {(HOSPITAL.ura, name): of(made.by_id[name], state) for name, state in states.items()}
    found = organisation(replace(overview, cells=stand), HOSPITAL, TODAY)
    told = {
        one.cell.item.id: ([on.item.id for on in one.on], [by.item.id for by in one.by])
        for one in found.waiting
    }
    return overview, told


def test_an_item_waits_for_what_it_needs_as_long_as_both_are_open() -> None:
    _, told = chained(A="fails", B="not-declared", C="stale")
    assert told == {"A": ([], ["B"]), "B": (["A"], ["C"]), "C": (["B"], [])}
    _, told = chained(A="proved", B="not-declared", C="stale")
    assert told == {"B": ([], ["C"]), "C": (["B"], [])}
    _, told = chained(A="fails", B="declared", C="stale")
    assert told == {}


def test_items_stand_apart_by_whom_the_sources_name_them_for() -> None:
    made = roadmap(item("A"), item("B", sectors=("MSZ", "HA")), item("C", sectors=("HA",)))
    found = organisation(overview_of(made, [HOSPITAL], [], [], {}, MOMENT), HOSPITAL, TODAY)
    assert [[one.id for one in several] for several in (found.named, found.unnamed, found.others)] == [
        ["B"],
        ["A"],
        ["C"],
    ]
    assert found.sector == text("hospitals") and [look.state for look, _ in found.tally] == [
        "not-named",
        "not-applicable",
    ]


# -- an item, a cell, a run --------------------------------------------------------------------------------------------


@SLOWLY_MADE
@given(overviews())
def test_an_item_says_who_is_where_and_what_needs_it(overview: Overview) -> None:
    for one in overview.roadmap.items:
        found = item_page(overview, one, CHECKS)
        cells = [cell for standing in found.standings for _, cell in standing.cells]
        assert sorted(cell.ura for cell in cells) == sorted(member.ura for member in overview.members)
        assert all(cell.item == one for cell in cells)
        assert sum(number for _, number in found.tally) == len(overview.members)
        assert {other.id for other in found.depends_on} == set(one.depends_on)
        assert all(one.id in other.depends_on for other in found.needed_by)
        assert [each.step for each in found.steps] == list(one.steps)


def test_a_check_that_is_not_known_is_shown_by_its_id() -> None:
    made = roadmap(item("GF-1", step("GF-1.S1", "tls", "of-tomorrow"), step("GF-1.S2")))
    found = item_page(overview_of(made, [], [], [], {}, MOMENT), made.items[0], CHECKS)
    known, unknown = found.steps[0].measures
    assert known.check is CHECKS["tls"] and (unknown.id, unknown.check) == ("of-tomorrow", None)
    assert found.steps[1].measures == ()


def small(*found: Any, said: Any = ()) -> Overview:
    return overview_of(SMALL, [HOSPITAL, PRACTICE], found, said, TERMS, MOMENT)


def test_a_cell_has_each_check_with_its_past_and_each_declaration_with_those_before_it() -> None:
    now, before = evidence("tls", "fails"), evidence("tls", at=MOMENT - 9 * DAY)
    said, old = (
        declaration(),
        declaration(id="d0", declared_at=MOMENT - 90 * DAY, withdrawn_at=MOMENT - 4 * DAY),
    )
    elsewhere = declaration("GF-2.S1", id="d9")
    overview = small(now, said=[said])
    found = cell_page(
        HOSPITAL,
        overview.cells[HOSPITAL.ura, "GF-1"],
        {"tls": (before, now)},
        [old, elsewhere, said],
        CHECKS,
    )
    first, second = found.steps
    assert [probe.measure.id for probe in first.probes] == ["tls", "certificate"]
    assert first.probes[0].evidence == now and first.probes[0].history == (now, before)
    assert first.probes[0].ages == now.at + CHECKS["tls"].fresh
    assert first.probes[1].evidence is None and first.probes[1].ages is None
    assert [one.id for one in second.declarations] == ["d1", "d0"] and first.declarations == ()


def test_what_was_found_ages_by_the_term_of_its_check_or_by_its_own_end() -> None:
    check = CHECKS["tls"]
    found = evidence("tls")
    assert ages(found, check) == found.at + check.fresh
    assert ages(found, None) == found.at + TERM
    soon, late = found.at + timedelta(hours=1), found.at + 1000 * DAY
    assert ages(evidence("tls", until=soon), check) == soon
    assert ages(evidence("tls", until=late), check) == found.at + check.fresh


def test_changes_tell_what_fails_first_and_name_the_items_that_rest_on_the_check() -> None:
    gone = evidence("tls", "fails", ura="90000009")
    turns = [
        Turn(evidence("log-seals", "holds"), "fails", MOMENT - 9 * DAY),
        Turn(evidence("log-seals", "unknown", ura=PRACTICE.ura), "holds", MOMENT - 9 * DAY),
        Turn(evidence("certificate", "fails"), "holds", MOMENT - 9 * DAY),
        Turn(gone, "holds", MOMENT - 9 * DAY),
    ]
    found = changes(small(), turns, CHECKS)
    told = [(one.ura, one.measure.id, [each.id for each in one.items]) for one in found]
    assert told == [
        ("90000009", "tls", []),
        (HOSPITAL.ura, "certificate", ["GF-1"]),
        (PRACTICE.ura, "log-seals", ["GF-2"]),  # Named for hospitals alone; what was found counts there too.
        (HOSPITAL.ura, "log-seals", ["GF-2"]),
    ]
    assert found[0].member is None and found[1].member == HOSPITAL and found[1].before == "holds"


# -- words and signs ---------------------------------------------------------------------------------------------------


def test_each_state_differs_from_every_other_by_word_and_by_sign() -> None:
    assert tuple(STATES) == get_args(State)
    for told in (
        [look.sign for look in STATES.values()],
        [look.word.nl for look in STATES.values()],
        [look.word.en for look in STATES.values()],
        [look.meaning.nl for look in STATES.values()],
        [look.meaning.en for look in STATES.values()],
    ):
        assert len(set(told)) == len(STATES)
    assert all(len(look.sign) == 1 for look in STATES.values())


def test_the_page_of_the_docs_has_every_state_with_its_sign() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/read-the-board.md").read_text("utf-8")
    found = [row.split(" | ")[:2] for row in page.splitlines() if row.startswith("| ")][1:]
    assert [[sign.removeprefix("| "), word] for sign, word in found] == [
        [look.sign, look.word.en] for look in STATES.values()
    ]


def test_each_ground_and_each_certainty_has_a_word() -> None:
    assert tuple(LEGALS) == get_args(Legal) and tuple(CERTAINTIES) == get_args(Certainty)


def test_a_name_can_be_no_markup() -> None:
    evil = Member('9"><script>', "<b>Zorg & Co</b>", "MSZ")
    made = board_cells([(evil, STATES["fails"]), (evil, None)], '/portal/items/"x', "en")
    assert "<script>" not in made and "<b>" not in made and "&lt;b&gt;Zorg &amp; Co&lt;/b&gt;: fails" in made
    assert made.count("<td") == 2 and 'href="/portal/items/&#34;x/9&#34;' in made


def test_a_roadmap_without_items_is_a_region_without_rows() -> None:
    empty: Roadmap = roadmap()
    overview = overview_of(empty, [HOSPITAL], [], [], {}, MOMENT)
    offered = choices(empty, overview.members)
    found = region(overview, Filters(), offered)
    assert (found.themes, found.sectors, found.shown, found.total) == ((), (), 0, 0)
