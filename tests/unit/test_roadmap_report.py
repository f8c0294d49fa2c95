"""A measured region written down: what each kind of report says, read back by a program that did not write it; and that
nothing that a check or a file says can become anything but text."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pypdf
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree, html
from tests.standings import (
    DAY,
    HOSPITAL,
    MOMENT,
    PRACTICE,
    SMALL,
    TERMS,
    declaration,
    evidence,
    finding,
    roadmap,
    run,
    step,
    text,
)
from tests.standings import item as an_item

from schakel.kernel.clock import AMSTERDAM
from schakel.roadmap import report, shown, wire
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Member, Verdict
from schakel.roadmap.model import Language
from schakel.roadmap.overview import overview_of
from schakel.roadmap.report import Source, make, of_board, of_run
from schakel.roadmap.report.texts import HEADINGS, TEXTS, VERDICTS, line
from schakel.roadmap.words import STATES

LANGUAGES: tuple[Language, ...] = ("nl", "en")
OPEN = replace(
    SMALL,
    items=(replace(SMALL.items[0], open=(text("an open end"),)), *SMALL.items[1:]),
    open=(text("a gap"),),
)
RUN = run(
    (HOSPITAL.ura, finding("tls")),
    (HOSPITAL.ura, finding("certificate", "fails", until=MOMENT + DAY, detail="https://noord.example")),
    (HOSPITAL.ura, finding("log-seals", "unknown")),
    (PRACTICE.ura, finding("tls", "not-applicable")),
)
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@pytest.fixture(scope="module")
def measured() -> Source:
    """Two organisations, of which one was measured by three checks and the other by one."""
    return of_run(RUN, OPEN)


def words(source: Source, language: Language = "nl") -> str:
    """The words of the page."""
    tree: Any = html.document_fromstring(make("html", source, language))
    return " ".join(tree.find("body").text_content().split())


# -- the page --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_what_was_measured_when_by_whom_and_by_which_roadmap(
    measured: Source, language: Language
) -> None:
    tree: Any = html.document_fromstring(make("html", measured, language))
    assert tree.get("lang") == language
    said = words(measured, language)
    month = "maart" if language == "nl" else "March"
    assert f"5 {month} 2026, 12:59" in said and f"5 {month} 2026, 13:00" in said  # As in Amsterdam.
    assert "Noord" in tree.findtext(".//title") and "tester" in said
    assert f"roadmap ({language})" in said
    assert TEXTS["claim"].of(language) in said
    assert {one.get("datetime") for one in tree.xpath("//section[@aria-labelledby='about']//time")} == {
        "2026-03-05T12:59:00+01:00",
        "2026-03-05T13:00:00+01:00",
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_organisation_has_what_holds_fails_and_could_not_be_checked_with_reasons_and_dates(
    measured: Source, language: Language
) -> None:
    tree: Any = html.document_fromstring(make("html", measured, language))
    [section] = tree.xpath(f"//section[@aria-labelledby='organisation-{HOSPITAL.ura}']")
    groups = {
        heading.xpath("./span/@class")[0].split()[1]: heading.getnext().text_content()
        for heading in section.xpath("./h4[span]")
    }
    assert list(groups) == ["fails", "unknown"]
    assert f"certificate fails ({language})" in groups["fails"]
    assert f"log-seals unknown ({language})" in groups["unknown"]
    found = [" ".join(one.text_content().split()) for one in section.xpath("./ul[@class='plain']/li")]
    assert [one.split()[0] for one in found] == ["✕", "?", "✓"]
    verdicts: tuple[Verdict, ...] = ("fails", "unknown", "holds")
    for verdict, one in zip(verdicts, found, strict=True):
        assert VERDICTS[verdict].word.of(language) in one
        assert ("5 maart 2026" if language == "nl" else "5 March 2026") in one
    [other] = tree.xpath(f"//section[@aria-labelledby='organisation-{PRACTICE.ura}']")
    assert f"practices ({language})" in other.text_content()


def test_what_was_never_checked_is_told_apart_from_what_could_not_be(measured: Source) -> None:
    nothing = of_run(run(members=(HOSPITAL,)), OPEN)
    said = words(nothing)
    assert TEXTS["nothing_found"].nl in said
    tree: Any = html.document_fromstring(make("html", nothing, "nl"))
    assert tree.xpath("//h4/span/@class") == ["mark not-checked badge", "mark not-declared badge"]
    assert TEXTS["nothing_found"].nl not in words(of_run(replace(RUN, members=(HOSPITAL,)), OPEN))


def test_the_board_at_a_glance_has_every_item_at_every_organisation_in_words(measured: Source) -> None:
    tree: Any = html.document_fromstring(make("html", measured, "nl"))
    [table] = tree.xpath("//table[@class='board']")
    columns = [one.xpath("string(./text())") for one in table.xpath("./thead//th")]
    assert columns == [HOSPITAL.name, PRACTICE.name]
    marks = {
        row.xpath("string(./th)"): [" ".join(one.text_content().split()) for one in row.xpath("./td")]
        for row in table.xpath("./tbody/tr[td/span]")
    }
    expected = {
        item.title.nl: [
            f"{STATES[cell.state].sign} {STATES[cell.state].word.nl}"
            for cell in measured.overview.of_item(item.id)
        ][::-1]
        for item in OPEN.items
    }
    assert marks == expected


def test_a_wide_region_is_told_in_blocks_that_fit_on_paper() -> None:
    members = tuple(Member(str(90000001 + one), f"Organisatie {one:02}", "HA") for one in range(19))
    tree: Any = html.document_fromstring(make("html", of_run(run(members=members), SMALL), "nl"))
    tables = tree.xpath("//table[@class='board']")
    columns = [[one.text for one in table.xpath("./thead//th")] for table in tables]
    assert [len(one) for one in columns] == [8, 8, 3]
    assert [name for one in columns for name in one] == [one.name for one in members]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_how_each_check_measures_and_what_the_sources_leave_open(
    measured: Source, language: Language
) -> None:
    said = words(measured, language)
    for name in ("tls", "certificate", "log-seals"):
        assert " ".join(CHECKS[name].how.of(language).split()) in said
    assert CHECKS["mitz-subscription"].how.of(language) not in said  # Nothing asks for it here.
    assert f"a gap ({language})" in said and f"an open end ({language})" in said
    assert f"a test ({language})" in said


def test_an_organisation_without_a_name_that_can_be_seen_is_called_by_its_number() -> None:
    source = of_run(run(members=(replace(HOSPITAL, name="\u200b\t "),)), SMALL)
    tree: Any = html.document_fromstring(make("html", source, "nl"))
    assert tree.xpath(f"string(//h3[@id='organisation-{HOSPITAL.ura}'])") == HOSPITAL.ura
    assert HOSPITAL.ura in pdf_words(make("pdf", source, "nl"))


@pytest.mark.parametrize(
    ("language", "told"),
    [("nl", "dagen tot het einde: 61; novel: 2"), ("en", "days until the end: 61; novel: 2")],
)
def test_figures_have_words_in_the_workbook_and_else_their_names(language: Language, told: str) -> None:
    source = of_run(run((HOSPITAL.ura, finding("certificate", facts={"days": 61, "novel": 2}))), SMALL)
    rows = sheets(make("xlsx", source, language))[HEADINGS["evidence"].of(language)]
    assert [told in row for row in rows[1:]] == [True]


def test_a_check_that_this_program_does_not_know_is_told_as_such() -> None:
    other = run((HOSPITAL.ura, finding("from-elsewhere", "fails")))
    assert f"from-elsewhere {TEXTS['no_check'].nl}" in words(of_run(other, SMALL))
    assert make("xlsx", of_run(other, SMALL), "nl")


def test_the_page_needs_nothing_else_and_runs_nothing(measured: Source) -> None:
    page = make("html", measured, "nl")
    tree: Any = html.document_fromstring(page)
    assert not tree.xpath("//script | //link | //img | //iframe | //object | //form | //base")
    assert not tree.xpath("//@*[starts-with(name(), 'on')] | //@src | //@style")
    assert all(one.startswith("#") for one in tree.xpath("//@href"))
    ids = tree.xpath("//@id")
    assert len(ids) == len(set(ids)) and {one[1:] for one in tree.xpath("//@href")} <= set(ids)
    assert "url(" not in page.decode() and "@import" not in page.decode()


# -- of a board ------------------------------------------------------------------------------------------------


def test_a_board_is_told_with_what_was_declared_and_without_a_run_says_so() -> None:
    overview = overview_of(
        SMALL,
        (HOSPITAL,),
        [evidence(), evidence("certificate", "fails")],
        [declaration()],
        TERMS,
        MOMENT,
        revision=7,
    )
    source = of_board("Regio", overview)
    assert {one.finding.check for one in source.evidence} == {"tls", "certificate"}
    said = words(source, "en")
    assert "Measured not yet" in said and "As it was on 5 March 2026, 13:00" in said
    board = json.loads(make("json", source, "nl"))
    assert board["region"] == "Regio" and board["revision"] == 7
    rows = sheets(make("xlsx", source, "en"))["Steps"]
    [declared] = [row for row in rows if row[3] == "GF-1.S2"]
    assert declared[5] == "declared" and declared[9] == "plan.pdf" and declared[10] == "2027-03-01"


def test_what_was_found_otherwise_is_told_to_all_and_what_was_seen_on_the_wire_to_some() -> None:
    kept = evidence("tls", "fails", at=MOMENT - DAY, detail="https://noord.example")
    own = evidence("tls", at=MOMENT - DAY / 2, detail="https://noord.example", own=True)
    other = evidence("tls", ura=PRACTICE.ura, detail="https://elders.example")
    overview = overview_of(SMALL, (HOSPITAL, PRACTICE), [kept, own, other], [], TERMS, MOMENT)
    open_to_all = of_board("Regio", overview)
    assert {(one.ura, one.finding.verdict) for one in open_to_all.evidence} == {
        (HOSPITAL.ura, "fails"),
        (HOSPITAL.ura, "holds"),
        (PRACTICE.ura, "holds"),
    }
    tree: Any = html.document_fromstring(make("html", open_to_all, "nl"))
    [section] = tree.xpath(f"//section[@aria-labelledby='organisation-{HOSPITAL.ura}']")
    found = [" ".join(one.text_content().split()) for one in section.xpath("./ul[@class='plain']/li")]
    assert [one.split()[0] for one in found] == ["✕", "✓"]
    assert "De organisatie zelf vond op 5 maart 2026 iets anders: tls holds (nl)" in words(open_to_all)
    for details in ((), (HOSPITAL.ura,), (HOSPITAL.ura, PRACTICE.ura)):
        rows = sheets(make("xlsx", of_board("Regio", overview, details=details), "nl"))["Bewijs"]
        told = {row[0] for row in rows[1:] if row[-1].startswith("https://")}
        assert told == set(details)
        assert [row[4] for row in rows[1:] if "tester, de organisatie zelf" in row] == ["het is zo"]


def test_a_region_without_organisations_can_be_written_down() -> None:
    for language in LANGUAGES:
        source = of_run(run(members=()), SMALL)
        assert TEXTS["none"].of(language) in words(source, language)
        for kind in report.MEDIA:
            assert make(kind, source, language)


# -- the PDF ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pdf_is_tagged_has_a_language_and_a_title_and_keeps_to_its_standards(
    measured: Source, language: Language
) -> None:
    body = make("pdf", measured, language)
    read = pypdf.PdfReader(io.BytesIO(body))
    root: Any = read.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"] and root["/Lang"] == language
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert root["/StructTreeRoot"]["/K"]
    assert read.metadata is not None and (read.metadata.title or "").startswith("Noord: ")
    described = root["/Metadata"].get_data().decode()
    assert "<pdfuaid:part>1</pdfuaid:part>" in described
    assert "<pdfaid:part>2</pdfaid:part>" in described
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in described
    said = pdf_words(body)
    assert " ".join(TEXTS["claim"].of(language).split()) in said
    assert f"certificate fails ({language})" in said
    assert [one.title for one in read.outline if not isinstance(one, list)] == [
        TEXTS[name].of(language) for name in ("about", "glance", "each", "how", "open", "sources")
    ]


def test_the_board_on_paper_has_its_columns_and_its_themes_as_heads_of_cells(measured: Source) -> None:
    root: Any = pypdf.PdfReader(io.BytesIO(make("pdf", measured, "nl"))).trailer["/Root"]
    tables = list(tagged(root["/StructTreeRoot"]["/K"], "/Table"))
    board = tables[-1]
    heads = {head["/ID"]: head for head in tagged(board, "/TH")}
    assert len(heads) == 1 + len(measured.overview.members) + len(OPEN.categories)
    themes = [name for name, head in heads.items() if any("/ColSpan" in one for one in head["/A"])]
    assert len(themes) == len(OPEN.categories)
    cells = list(tagged(board, "/TD"))
    assert len(cells) == len(OPEN.items) * (1 + len(measured.overview.members))
    for cell in cells:
        [named] = [one["/Headers"] for one in cell["/A"] if "/Headers" in one]
        assert set(named) <= set(themes) and named


def tagged(node: Any, kind: str) -> Iterator[Any]:
    """Every element of this kind in the structure of a PDF, at or below `node`."""
    node = node.get_object() if hasattr(node, "get_object") else node
    if isinstance(node, list):
        for one in node:
            yield from tagged(one, kind)
    elif isinstance(node, dict):
        if node.get("/S") == kind:
            yield node
        yield from tagged(node.get("/K"), kind)


def test_the_same_report_makes_the_same_pdf(measured: Source) -> None:
    assert make("pdf", measured, "nl") == make("pdf", measured, "nl")


def test_names_with_accents_stand_in_a_pdf_and_long_ones_are_broken_to_stay_on_the_page() -> None:
    names = ("Zorggroep Súdwest-Fryslân ’t Hôf", "W" * 300, "Ziekenhuisgroepsverband" * 9, "中心 🏥 \u202e")
    members = tuple(Member(str(90000001 + place), name, "HA") for place, name in enumerate(names))
    body = make("pdf", of_run(run(members=members), SMALL), "nl")
    assert names[0] in pdf_words(body)
    assert names[2] in pdf_words(body).replace(" ", "")
    lines = [
        line for page in pypdf.PdfReader(io.BytesIO(body)).pages for line in page.extract_text().split("\n")
    ]
    assert 20 < max(line.count("W") for line in lines) < 60


def pdf_words(body: bytes) -> str:
    """The words of a PDF."""
    read = pypdf.PdfReader(io.BytesIO(body))
    return " ".join("\n".join(page.extract_text() for page in read.pages).replace("\u200b", "").split())


# -- the workbook ----------------------------------------------------------------------------------------------


def sheets(body: bytes) -> dict[str, list[list[str]]]:
    """The cells of each sheet: texts as they are, dates as ISO, read without any program that knows workbooks."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        book = etree.fromstring(archive.read("xl/workbook.xml"))
        shared = [
            _unescaped("".join(str(part) for part in one.itertext(f"{SHEET}t")))
            for one in etree.fromstring(archive.read("xl/sharedStrings.xml")).iter(f"{SHEET}si")
        ]
        styles = etree.fromstring(archive.read("xl/styles.xml"))
        codes = {one.get("numFmtId"): one.get("formatCode") or "" for one in styles.iter(f"{SHEET}numFmt")}
        formats = [codes.get(one.get("numFmtId"), "") for one in styles.findall(f"{SHEET}cellXfs/{SHEET}xf")]
        found = {}
        for place, sheet in enumerate(book.iter(f"{SHEET}sheet"), 1):
            tree = etree.fromstring(archive.read(f"xl/worksheets/sheet{place}.xml"))
            assert not list(tree.iter(f"{SHEET}f", f"{SHEET}hyperlink", f"{SHEET}drawing"))
            found[str(sheet.get("name"))] = [_row(row, shared, formats) for row in tree.iter(f"{SHEET}row")]
    return found


def _row(row: Any, shared: list[str], formats: list[str]) -> list[str]:
    cells: dict[int, str] = {}
    for cell in row.iter(f"{SHEET}c"):
        letters = re.match("[A-Z]+", cell.get("r")).group()  # type: ignore[union-attr]
        column = sum((ord(one) - 64) * 26**power for power, one in enumerate(reversed(letters))) - 1
        value = cell.findtext(f"{SHEET}v")
        code = formats[int(cell.get("s", "0"))]
        if cell.get("t") == "s":
            cells[column] = shared[int(value)]
        elif "yyyy" in code:
            day = datetime(1899, 12, 30) + timedelta(seconds=round(float(value) * 86400))
            cells[column] = day.isoformat(" ") if "hh" in code else day.date().isoformat()
        else:
            cells[column] = value or ""
    return [cells.get(column, "") for column in range(max(cells, default=-1) + 1)]


def _unescaped(text: str) -> str:
    return re.sub("_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_workbook_has_its_sheets_with_everything_that_was_found(
    measured: Source, language: Language
) -> None:
    found = sheets(make("xlsx", measured, language))
    names = ("overview", "items", "steps", "evidence", "checks", "sources")
    assert list(found) == [HEADINGS[name].of(language) for name in names]
    overview, items, steps, evidences, checks, sources = found.values()
    assert overview[0][3:] == [f"{HOSPITAL.name} ({HOSPITAL.ura})", f"{PRACTICE.name} ({PRACTICE.ura})"]
    cells = measured.overview.cells
    word = {state: look.word.of(language) for state, look in STATES.items()}
    assert {(row[0], row[3], row[4]) for row in overview[1:]} == {
        (item.id, word[cells[HOSPITAL.ura, item.id].state], word[cells[PRACTICE.ura, item.id].state])
        for item in OPEN.items
    }
    assert len(items) == 1 + len(cells)
    assert len(steps) == 1 + sum(len(cell.steps) for cell in cells.values())
    assert len(evidences) == 1 + len(RUN.measured)
    [fails] = [row for row in evidences if row[2] == "certificate"]
    at = RUN.measured[1].at.astimezone(AMSTERDAM).replace(tzinfo=None).isoformat(" ")
    until = (MOMENT + DAY).astimezone(AMSTERDAM).replace(tzinfo=None).isoformat(" ")
    assert fails[6:9] == [at, "", until] and fails[-1] == "https://noord.example"
    assert [row[0] for row in checks[1:]] == ["tls", "certificate", "log-seals"]
    assert float(checks[1][3]) == CHECKS["tls"].fresh.days
    said = [row[1] for row in sources[1:]]
    assert TEXTS["claim"].of(language) in said and f"a gap ({language})" in said


def test_each_sheet_has_a_head_that_stays_filters_and_columns_wide_enough(measured: Source) -> None:
    with zipfile.ZipFile(io.BytesIO(make("xlsx", measured, "nl"))) as archive:
        for place in range(1, 7):
            tree = etree.fromstring(archive.read(f"xl/worksheets/sheet{place}.xml"))
            pane = tree.find(f".//{SHEET}pane")
            assert pane is not None and pane.get("state") == "frozen" and pane.get("ySplit") == "1"
            assert tree.find(f"{SHEET}autoFilter") is not None
            widths = [float(one.get("width") or 0) for one in tree.iter(f"{SHEET}col")]
            assert widths and all(10 <= one <= 64 for one in widths)


# -- CSV and JSON ----------------------------------------------------------------------------------------------


def test_the_table_opens_in_a_dutch_spreadsheet_and_has_every_cell(measured: Source) -> None:
    body = make("csv", measured, "nl")
    assert body.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert tuple(rows[0]) == shown.COLUMNS
    assert len(rows) == 1 + len(measured.overview.cells)
    assert make("csv", measured, "en") == body


def test_the_json_of_a_run_is_the_run_that_a_board_takes(measured: Source) -> None:
    assert wire.read(make("json", measured, "nl")) == RUN


# -- nothing that is said breaks out ---------------------------------------------------------------------------

HOSTILE = st.lists(
    st.sampled_from(
        [
            *(
                "<script>alert(1)</script>",
                "</style>",
                "</title>",
                '" onload="x',
                "&lt;",
                "<!--",
                "]]>",
                "{{ 1 }}",
            ),
            *(
                "=1+1",
                "+1",
                "-1",
                "@SUM(A1)",
                "\t=1",
                "\r=1",
                "\n=1",
                "＝1",
                ";",
                '";=1',
                "_x0041_",
                "http://x.example",
            ),
            *(
                '#panic("x")',
                '#read("/etc/passwd")',
                "$x$",
                "*b*",
                "\\",
                "\\u{41}",
                "]",
                "//",
                "@ref",
                "<a>",
                "`",
            ),
            *(
                "\x00",
                "\x07",
                "\u202e",
                "\u200b",
                "\ufeff",
                "🏥",
                "中",
                "e\u0301\u0323\u0300",
                "\ue000",
                "x" * 400,
            ),
        ]
    )
    | st.text(min_size=1, max_size=8),
    min_size=1,
    max_size=4,
).map("".join)


def said_by_all(hostile: str) -> Source:
    """A region in which everyone who can say anything says this."""
    both = replace(text(""), nl=hostile, en=hostile)
    member = replace(HOSPITAL, name=hostile, kind=hostile)
    found = replace(finding("certificate", "fails"), reason=both, detail=hostile, facts={hostile: hostile})
    unknown = replace(finding(hostile, "unknown"), reason=both)
    asked = replace(
        an_item("GF-1", step("GF-1.S1", "certificate"), step("GF-1.S2")), title=both, open=(both,)
    )
    base = replace(roadmap(asked), title=both, sources=(both,), sectors={"MSZ": both}, open=(both,))
    return of_run(
        run((member.ura, found), (member.ura, unknown), members=(member,), region=hostile, by=hostile), base
    )


def outline(page: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """The elements of a page with the names of their attributes."""
    tree: Any = html.document_fromstring(page)
    return [(str(one.tag), tuple(sorted(one.attrib))) for one in tree.iter()]


PLAIN = outline(make("html", said_by_all("plain"), "nl"))


@given(HOSTILE)
@settings(deadline=None, max_examples=60)
def test_nothing_that_is_said_becomes_a_part_of_the_page(hostile: str) -> None:
    page = make("html", said_by_all(hostile), "nl")
    assert outline(page) == PLAIN
    tree: Any = html.document_fromstring(page)
    assert tree.xpath("//section[@aria-labelledby='how']//dt")[-1].text_content() == line(hostile)


@given(HOSTILE)
@settings(deadline=None, max_examples=60)
def test_nothing_that_is_said_becomes_a_formula_in_a_table(hostile: str) -> None:
    body = make("csv", said_by_all(hostile), "nl").decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(body, newline=""), delimiter=";"))
    assert [len(row) for row in rows] == [len(shown.COLUMNS)] * 2
    for cell in rows[1]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert rows[1][1].removeprefix("'") == hostile.removeprefix("'")


@given(HOSTILE)
@settings(deadline=None, max_examples=40)
def test_nothing_that_is_said_becomes_more_than_text_in_a_workbook(hostile: str) -> None:
    found = sheets(make("xlsx", said_by_all(hostile), "nl"))
    assert [row[1] for row in found["Items"][1:]] == [line(hostile)]
    _, fails, unknown = found["Bewijs"]
    assert fails[-1] == unknown[2] == line(hostile)


@given(HOSTILE)
@example('#panic("x") #read("/etc/passwd") $x$ *b* \\u{41} ]')
@settings(deadline=None, max_examples=25)
def test_nothing_that_is_said_is_read_as_typst(hostile: str) -> None:
    read = pypdf.PdfReader(io.BytesIO(make("pdf", said_by_all(hostile), "nl")))
    assert read.metadata is not None
    title = read.metadata.title or ""
    assert title.endswith("waar de regio staat met de routekaart")
    if hostile.isascii() and hostile.isprintable():
        assert title.startswith(f"{hostile}: ")


def test_every_sign_has_a_shape_in_the_pdf_or_is_shown_as_having_none() -> None:
    signs = " ".join(chr(code) for code in range(0x20, 0x3100))
    both = replace(text(""), nl=signs, en=signs)
    said = pdf_words(make("pdf", of_run(run((HOSPITAL.ura, replace(finding(), reason=both))), SMALL), "nl"))
    assert all(sign in said for sign in "éÅşŁșΩЖẞ€→∑✓◐") and "\ufffd" in said and "\u3042" not in said
