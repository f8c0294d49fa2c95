"""Charts: every number has its place in the picture and in the table beside it, in words that can be read aloud."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree, html

from schakel.portal.charts import Period, Point, Series, Target, against, over_time, stacked
from schakel.portal.pages import environment

SERIES = (Series("aangetoond", "state-proved", "✓"), Series("niet in orde", "state-fails", "✕"))
NUMBERS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), max_size=40)


@given(NUMBERS)
def test_the_parts_of_a_bar_are_as_high_as_their_numbers_and_stand_on_each_other(
    numbers: list[tuple[int, int]],
) -> None:
    chart = stacked(SERIES, [Period(str(place), pair) for place, pair in enumerate(numbers)])
    [zero, first, *_] = chart.ticks
    unit = (zero[1] - first[1]) / first[0]
    assert zero == (0, chart.ground) and len(chart.ticks) <= 7
    for bar in chart.bars:
        below = chart.ground
        for part in bar.parts:
            assert part.y + part.height == pytest.approx(below, abs=0.1)
            assert part.height == pytest.approx(part.number * unit, rel=0.02, abs=0.1)
            below = part.y
        assert below >= chart.ticks[-1][1] - 0.1
        assert sum(part.number for part in bar.parts) == sum(bar.period.numbers)
        assert chart.left <= bar.x and bar.x + chart.bar <= chart.width


@given(NUMBERS.filter(bool))
def test_names_of_periods_do_not_touch_and_the_newest_has_its_name(numbers: list[tuple[int, int]]) -> None:
    chart = stacked(SERIES, [Period(str(place), pair) for place, pair in enumerate(numbers)])
    named = [bar.middle for bar in chart.bars if bar.named]
    assert chart.bars[-1].named
    assert all(right - left >= 72 for left, right in pairwise(named))


def test_a_period_has_a_number_for_each_series() -> None:
    with pytest.raises(ValueError, match="shorter"):
        stacked(SERIES, [Period("1 dec", (3,))])


@given(st.floats(0, 1), st.lists(st.floats(0, 1), max_size=5))
def test_targets_stand_where_they_belong_and_their_names_apart(share: float, targets: list[float]) -> None:
    chart = against(share, [Target(str(one), one) for one in targets])
    assert chart.length == pytest.approx(share * 284, abs=0.01)
    for mark in chart.marks:
        assert mark.x == pytest.approx(2 + mark.target.value * 284, abs=0.01)
    for one in chart.marks:
        for other in chart.marks:
            assert one is other or one.row != other.row or abs(one.x - other.x) >= 120


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_a_share_is_a_part_of_one(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        against(wrong, [])
    with pytest.raises(ValueError, match="between 0 and 1"):
        against(0.5, [Target("2026", wrong)])


VALUES = st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=12)


@given(VALUES, st.lists(st.floats(0, 1), max_size=4))
def test_values_over_time_stand_at_their_height_and_lines_join_those_that_are_known(
    values: list[float | None], targets: list[float]
) -> None:
    points = [Point(str(place), value) for place, value in enumerate(values)]
    chart = over_time(points, [Target(str(one), one) for one in targets], share=True)
    assert [tick for tick, _ in chart.ticks] == [0, 0.2, 0.4, 0.6, 0.8, 1]
    full = chart.ground - chart.ticks[-1][1]
    for dot, value in zip(chart.dots, values, strict=True):
        assert (dot.y is None) == (value is None)
        if dot.y is not None and value is not None:
            assert chart.ground - dot.y == pytest.approx(value * full, abs=0.01)
    assert sum(len(line.split()) for line in chart.lines) <= len([one for one in values if one is not None])
    joined = sum(len(line.split()) - 1 for line in chart.lines)
    assert joined == sum(one is not None and other is not None for one, other in pairwise(values))
    for level in chart.levels:
        assert chart.ground - level.y == pytest.approx(level.target.value * full, abs=0.01)
    assert all(upper.word <= lower.word - 16 for lower, upper in pairwise(chart.levels))
    named = [dot.x for dot in chart.dots if dot.named]
    assert chart.dots[-1].named and all(right - left >= 72 for left, right in pairwise(named))


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=8), st.integers(0, 2000))
def test_an_axis_of_numbers_has_room_for_each_of_them_and_for_the_target(
    numbers: list[int], target: int
) -> None:
    chart = over_time([Point(str(n), n) for n in numbers], [Target("", target)], share=False)
    assert chart.ticks[0] == (0, chart.ground) and len(chart.ticks) <= 7
    assert chart.ticks[-1][0] >= max(*numbers, target)
    assert all(dot.y is not None and chart.ticks[-1][1] <= dot.y <= chart.ground for dot in chart.dots)


@pytest.mark.parametrize(("value", "target", "share"), [(1.1, 0.4, True), (-1, 3, False), (1, 1.2, True)])
def test_what_does_not_fit_on_the_axis_is_not_drawn(value: float, target: float, share: bool) -> None:
    with pytest.raises(ValueError, match="from 0 up"):
        over_time([Point("x", value)], [Target("2026", target)], share=share)


def drawn(template: str, language: str = "nl", **values: object) -> html.HtmlElement:
    source = (
        '{% from "portal/charts.html" import against, over_time, share, stacked with context %}' + template
    )
    return html.fromstring(f"<main>{environment(language).from_string(source).render(**values)}</main>")


def test_the_table_beside_the_bars_has_every_number() -> None:
    chart = stacked(SERIES, [Period("1 nov", (12, 1)), Period("1 dec", (1400, 0))])
    shown = drawn('{{ stacked(chart, "t", "Verloop", "Het wordt meer.", "Meting") }}', chart=chart)
    cells = [[cell.text_content() for cell in row.iter("th", "td")] for row in shown.iter("tr")]
    assert cells == [["Meting", "aangetoond", "niet in orde"], ["1 nov", "12", "1"], ["1 dec", "1.400", "0"]]
    assert [one.text_content().split() for one in shown.find_class("key")[0]] == [
        ["✓", "aangetoond"],
        ["✕", "niet", "in", "orde"],
    ]


@pytest.mark.parametrize(
    "chart", [stacked(SERIES, [Period("x", (1, 2))]), against(0.38, [Target("2026", 0.4)])]
)
def test_a_picture_has_a_name_and_a_description_and_no_id_twice(chart: object) -> None:
    macro = "stacked(chart, 't', 'Naam <1>', 'Wat te zien is.', 'Meting')"
    if not hasattr(chart, "bars"):
        macro = "against(chart, 't', 'Naam <1>', 'Wat te zien is.')"
    shown = drawn("{{ " + macro + " }}", chart=chart)
    [picture] = shown.iter("svg")
    named = [shown.get_element_by_id(one).text_content() for one in picture.get("aria-labelledby").split()]
    assert picture.get("role") == "img" and named == ["Naam <1>", "Wat te zien is."]
    ids = [one.get("id") for one in shown.iter() if one.get("id")]
    assert len(ids) == len(set(ids))
    text = etree.tostring(shown, encoding="unicode")
    assert "<script" not in text and "style=" not in text


def test_a_course_names_its_targets_and_marks_what_is_not_known() -> None:
    points = [Point("Q1", 0.2), Point("Q2", None), Point("Q3", 0.5)]
    chart = over_time(points, [Target("2026", 0.4)], share=True)
    macro = "{% call(v) over_time(chart, 't', 'Naam', 'Wat te zien is.') %}{{ v|percentage }}{% endcall %}"
    shown = drawn(macro, chart=chart)
    [picture] = shown.iter("svg")
    named = [shown.get_element_by_id(one).text_content() for one in picture.get("aria-labelledby").split()]
    assert picture.get("role") == "img" and named == ["Naam", "Wat te zien is."]
    words = [one.text_content() for one in picture.iter("text")]
    assert "2026: 40%" in words and "?" in words and "Q3" in words and "50%" in words
    assert len(list(picture.iter("circle"))) == 2 and not list(picture.iter("polyline"))


def test_what_is_not_known_has_no_bar() -> None:
    known, unknown = (
        drawn(
            '{{ against(chart, "k", "Hybride", "Nu en straks.") }}',
            chart=against(share, [Target("2026", 0.4)]),
        )
        for share in (0.385, None)
    )
    assert len(known.find_class("value")) == 1 and not unknown.find_class("value")
    assert [td.text_content() for td in known.iter("td")] == ["38%", "40%"]
    assert [td.text_content() for td in unknown.iter("td")] == ["niet bekend", "40%"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0%"), (0.001, "1%"), (0.5, "50%"), (0.999, "99%"), (1, "100%"), (None, "not known")],
)
def test_a_small_bar_says_its_share_and_never_rounds_to_nothing_or_all(
    share: float | None, text: str
) -> None:
    assert drawn("{{ share(value) }}", "en", value=share).text_content().strip() == text


@pytest.mark.parametrize(
    ("language", "value", "text"),
    [("nl", 1234.5, "1.234,5"), ("en", 1234.5, "1,234.5"), ("nl", 3, "3"), ("en", 0.04, "0")],
)
def test_numbers_are_written_as_the_language_does(language: str, value: float, text: str) -> None:
    assert environment(language).from_string("{{ value|number }}").render(value=value) == text
