"""The roadmap that comes with the program: whole, in both languages, and true to its source in ids and figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any

import pytest
from tests.shared import shared

from schakel.roadmap.checks import CHECKS
from schakel.roadmap.model import Text
from schakel.roadmap.reading import dump, shipped, shipped_body

PERIOD = re.compile(r"\d{4}(/\d{4})?|Q[1-4] \d{4}")
"""A moment that is written the same in both languages."""

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def texts(value: object, place: str = "$") -> Iterator[tuple[str, Text]]:
    """Every text in two languages at or below `value`, with its place."""
    if isinstance(value, Text):
        yield place, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner, f"{place}.{name}")
    elif isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from texts(inner, f"{place}[{number}]")
    elif is_dataclass(value):
        for field in fields(value):
            yield from texts(getattr(value, field.name), f"{place}.{field.name}")


ALL = dict(texts(shipped()))


def test_every_text_is_dutch_and_english_and_they_differ() -> None:
    assert len(ALL) > 400
    same = [place for place, text in ALL.items() if text.nl == text.en and not PERIOD.fullmatch(text.nl)]
    assert same == []


def test_no_sentence_is_used_in_the_place_of_the_other_language() -> None:
    dutch = re.compile(r"\b(het|een|zijn|wordt|voor|naar|welke|zij)\b", re.IGNORECASE)
    english = re.compile(r"\b(the|with|which|they|that|from)\b", re.IGNORECASE)
    assert [place for place, text in ALL.items() if len(dutch.findall(text.en)) > 1] == []
    assert [place for place, text in ALL.items() if english.search(text.nl)] == []


def test_the_dutch_speaks_of_organisations_and_never_to_the_reader() -> None:
    to_you = re.compile(r"\b(je|jij|jouw|u|uw)\b", re.IGNORECASE)
    assert [place for place, text in ALL.items() if to_you.search(text.nl)] == []


def test_an_explanation_is_two_to_four_short_sentences() -> None:
    for item in shipped().items:
        for text in (item.plain.nl, item.plain.en):
            sentences = re.split(r"(?<=[.?!]) ", text)
            assert 2 <= len(sentences) <= 4, item.id
            assert max(len(sentence.split()) for sentence in sentences) <= 32, item.id


def test_the_file_is_what_the_program_would_write() -> None:
    assert dump(shipped()) == shipped_body()


def test_every_item_has_steps_and_every_category_and_agreement_is_used() -> None:
    roadmap = shipped()
    assert all(item.steps for item in roadmap.items)
    assert {item.category for item in roadmap.items} == {category.id for category in roadmap.categories}
    named = {name for item in roadmap.items for name in item.agreements}
    assert named == {agreement.id for agreement in roadmap.agreements}


def test_a_step_names_only_checks_that_exist() -> None:
    named = {check for item in shipped().items for step in item.steps for check in step.checks}
    assert named - set(CHECKS) == set()


def test_what_a_machine_cannot_prove_has_no_check() -> None:
    """TLS that works is no proof of NIS2, and only one step of the self scans' items looks at an endpoint."""
    assert all(not step.checks for step in shipped().by_id["IBP-4"].steps)
    assert [bool(step.checks) for step in shipped().by_id["WEG-4"].steps] == [False, True]


def test_a_check_that_sees_a_part_of_a_step_says_what_it_does_not_see() -> None:
    """No check looks into a contract, a source register or an approval; one at such a step says so."""
    steps = {step.id: step for item in shipped().items for step in item.steps}
    assert not steps["GF-6.S2"].checks and not steps["IBP-2.S6"].checks
    in_part = {name for name, step in steps.items() if step.unseen is not None}
    assert {"GF-3.S2", "GF-6.S3", "PGO-1.S3", "WEG-1.S5"} <= in_part
    assert all(steps[name].checks for name in in_part)


def test_where_the_outcome_is_measured_instead_of_the_step_the_item_says_so() -> None:
    """These steps ask to follow, discuss, know or map; a check at them measures what should come of it."""
    for name in ("LDN-2", "GF-5", "ET-3", "ET-4", "WEG-1", "WEG-3"):
        said = [text for text in shipped().by_id[name].open if "measurement" in text.en]
        assert said and all("meting" in text.nl for text in said), name


def test_a_date_that_changed_later_stands_beside_the_old_one() -> None:
    by_id = shipped().by_id
    assert [(one.first, one.certainty) for one in by_id["IBP-4"].dates[:2]] == [
        (date(2025, 7, 1), "expected"),
        (date(2026, 4, 1), "expected"),
    ]
    bgz = {(one.first, one.last) for one in by_id["WEG-1"].dates if one.legal == "expected-law"}
    assert {(date(2027, 1, 1), date(2027, 1, 1)), (date(2026, 1, 1), date(2026, 12, 31))} <= bgz
    assert any("spreken elkaar tegen" in text.nl for text in by_id["WEG-1"].open)


@pytest.fixture(scope="module")
def source() -> Any:
    """The facts about the roadmap, of which the project holds no copy."""
    return json.loads(shared("facts", "routekaart.json").read_bytes())


@pytest.mark.shared
def test_items_and_steps_are_those_of_the_source(source: Any) -> None:
    ours = {item.id: [step.id for step in item.steps] for item in shipped().items}
    assert ours == {item["id"]: [step["id"] for step in item["steps"]] for item in source["items"]}
    assert (len(ours), sum(map(len, ours.values()))) == (33, 91)


@pytest.mark.shared
def test_layers_categories_links_and_dependencies_are_those_of_the_source(source: Any) -> None:
    for told in source["items"]:
        item = shipped().by_id[told["id"]]
        assert told["layer"].startswith(item.layer)
        assert item.category == told["category"]["id"]
        assert [link.url for link in item.links] == [link["url"] for link in told["links"]]
        assert list(item.depends_on) == told["depends_on"]


@pytest.mark.shared
def test_agreements_are_those_of_the_source_and_what_is_inferred_says_so(source: Any) -> None:
    printed = {one["id"]: set(one["printed_with"]) for one in source["iza_agreements"]}
    assert {one.id for one in shipped().agreements} == set(printed)
    for told in source["items"]:
        item = shipped().by_id[told["id"]]
        assert list(item.agreements) == told["iza_agreement"]["ids"]
        on_the_page = all(item.id in printed[name] for name in item.agreements)
        assert item.inferred == (not on_the_page)


@pytest.mark.shared
def test_no_sector_that_the_source_names_is_left_out_and_none_of_its_four_is_added(source: Any) -> None:
    four = set(source["meta"]["sector_codes"])
    assert four <= set(shipped().sectors)
    for told in source["items"]:
        item = shipped().by_id[told["id"]]
        named = {code for code, said in told["sectors"].items() if said != "not stated in the text"}
        assert all(item.is_for(code) for code in named)
        assert set(item.sectors) & four in (named, set())


@pytest.mark.shared
def test_every_date_of_the_source_is_there_with_the_right_year_and_ground(source: Any) -> None:
    for told in source["items"]:
        item = shipped().by_id[told["id"]]
        for dated in told["dates"]:
            first, last = printed(dated["when"])
            ours = [one for one in item.dates if lies(one.first, one.last, first, last)]
            assert ours, (item.id, dated["when"])
            is_law = re.match(r"law|EU law", dated["status"]) is not None
            assert any((one.legal == "law") == is_law for one in ours), (item.id, dated)


def printed(when: str) -> tuple[date | None, date | None]:
    """The first and the last day on which what the source says can lie; None for what it does not say."""
    years = [int(year) for year in re.findall(r"\b20\d\d\b", when)]
    if not years:
        return None, None
    if match := re.search(r"(\d{1,2} )?\b(" + "|".join(MONTHS) + r")[a-z]* 20", when):
        month = MONTHS.index(match[2]) + 1
        if match[1]:
            return (day := date(years[0], month, int(match[1]))), day
        return date(years[0], month, 1), date(years[0], month, 31 if month in (1, 3, 7) else 28)
    if match := re.search(r"Q([1-4])", when):
        return date(years[0], 3 * int(match[1]) - 2, 1), date(years[0], 3 * int(match[1]), 30)
    return date(years[0], 1, 1), date(years[-1], 12, 31)


def lies(first: date | None, last: date | None, earliest: date | None, latest: date | None) -> bool:
    """Whether a date of ours says the same as what is printed, or a part of it, such as the end of a year."""
    if earliest is None or latest is None:
        return first is None and last is None
    ours = [day for day in (first, last) if day]
    return bool(ours) and all(earliest.replace(day=1) <= day <= date(latest.year, 12, 31) for day in ours)


@pytest.mark.shared
def test_objectives_ambitions_and_numbers_are_those_of_the_source(source: Any) -> None:
    ours = {goal.id: [one.id for one in goal.ambitions] for goal in shipped().objectives}
    assert ours == {
        goal["id"]: [one["id"] for one in goal["ambitions"]] for goal in source["zn"]["objectives"]
    }
    assert (len(ours), sum(map(len, ours.values()))) == (4, 13)
    assert [kpi.id for kpi in shipped().kpis] == [kpi["id"] for kpi in source["kpis"]]


@pytest.mark.shared
def test_the_figures_of_every_target_are_in_the_source(source: Any) -> None:
    for kpi, told in zip(shipped().kpis, source["kpis"], strict=True):
        said = told["target"].replace(",", "").replace("all", "100%")
        for target in kpi.targets:
            figure = f"{target.value * 100:.0f}%" if kpi.unit_of(target) == "share" else f"{target.value:.0f}"
            assert figure in re.sub(r"(\d+)-(\d+)%", r"\1% \2%", said), (kpi.id, figure)


@pytest.mark.shared
def test_what_is_asked_of_a_sector_by_itself_is_what_the_source_says_of_it(source: Any) -> None:
    [told] = [one["sectors"] for one in source["items"] if one["id"] == "ZK-3"]
    [kpi] = [one for one in shipped().kpis if one.id == "KPI-4"]
    asked = {code: [t for t in kpi.targets if code in t.sectors] for code in told}
    for code, words in told.items():
        figures = [
            f"{t.value * 100:.0f}%" if kpi.unit_of(t) == "share" else f"{t.value:,.0f}" for t in asked[code]
        ]
        assert bool(figures) == (words != "not stated in the text"), code
        assert all(one in words for one in figures), code
    assert {one.certainty for one in kpi.targets} == {"open"}


@pytest.mark.shared
def test_no_sentence_was_copied_from_the_facts(source: Any) -> None:
    """Eight words in a row that are the same are a copy."""
    facts = [json.dumps(source)] + [
        shared("facts", name).read_text("utf-8")
        for name in ("routekaart.md", "assurance.md", "hybrid-network-care.md")
    ]
    known = {run for text in facts for run in runs(text)}
    copied = {run for text in ALL.values() for run in (*runs(text.nl), *runs(text.en)) if run in known}
    assert copied == set()


def runs(text: str) -> Iterator[tuple[str, ...]]:
    """Each run of eight words."""
    words = re.findall(r"[a-z]+", text.lower())
    return (tuple(words[start : start + 8]) for start in range(len(words) - 7))
