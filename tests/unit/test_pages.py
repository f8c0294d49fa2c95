"""Pages for people: every text is there in both languages, and the language is the one the browser prefers."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from scripts.build_texts import DUTCH, PAGES, texts, translated

from schakel.patient_access import SERVICES
from schakel.portal.pages import Pages, preferred_language
from schakel.portal.pages.services import ABOUT
from schakel_national.broker.texts import TEXTS, wanted

BASE = {
    "holder": "Huisarts",
    "client": "Dossier",
    "flow": "f",
    "csrf": "c",
    "action": "a",
    "other_language": "o",
}


def dutch() -> dict[str, str]:
    """The Dutch by its English, singular and plural apart."""
    found: dict[str, str] = {}
    for message in read_po(BytesIO(DUTCH.read_bytes())):
        if isinstance(message.id, str):
            found[message.id] = str(message.string)
        else:
            found |= zip(message.id, message.string or (), strict=True)
    return {name: text for name, text in found.items() if name}


def english() -> set[str]:
    """Every text of the pages, as they are written."""
    return {one for text in texts() for one in ([text] if isinstance(text, str) else text)}


def test_every_text_has_its_dutch_and_no_dutch_has_lost_its_text() -> None:
    assert english() == set(dutch())
    assert [name for name, text in dutch().items() if not text or text == name] == []


def test_what_is_filled_in_is_the_same_in_both_languages() -> None:
    for name, text in dutch().items():
        assert sorted(re.findall(r"%\(\w+\)s", name)) == sorted(re.findall(r"%\(\w+\)s", text)), name


def test_the_file_of_texts_is_what_the_script_makes() -> None:
    assert DUTCH.read_bytes() == translated(), "run: uv run python -m scripts.build_texts"


def test_the_script_adds_what_is_new_and_drops_what_no_page_has(tmp_path: Path) -> None:
    file = tmp_path / "nl.po"
    kept = "\n".join(DUTCH.read_text("utf-8").splitlines()[:9])
    file.write_text(
        f'{kept}\nmsgid "Language"\nmsgstr "Tongval"\n\nmsgid "No page says this"\nmsgstr "Weg"\n'
    )
    made = translated(file).decode()
    assert 'msgid "Language"\nmsgstr "Tongval"\n' in made and "No page says this" not in made
    assert 'msgid "Which data?"\nmsgstr ""\n' in made


def test_no_template_has_words_that_are_not_translated() -> None:
    for template in (PAGES / "templates").rglob("*.html"):
        text = template.read_text("utf-8")
        marked = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", text, flags=re.DOTALL)
        # A macro may give attributes alone, which stand in no tag.
        bare = re.sub(r"""<[^>]*>|[\w-]+="[^"]*\"""", " ", marked)
        assert set(re.findall(r"\w+", bare)) <= {"English", "Nederlands", "Schakel"}, template.name


def test_every_data_service_is_told_in_plain_words() -> None:
    assert set(ABOUT) == set(SERVICES)


@pytest.mark.parametrize(
    ("days", "language", "text"),
    [
        (183, "nl", "Een half jaar."),
        (30, "nl", "30 dagen."),
        (1, "nl", "1 dag."),
        (183, "en", "Half a year."),
        (30, "en", "30 days."),
        (1, "en", "1 day."),
    ],
)
def test_the_consent_page_says_how_long_it_lasts(days: int, language: str, text: str) -> None:
    values = {**BASE, "share": "", "services": [], "days": days}
    page = bytes(Pages("http://127.0.0.1").render("consent", language, values).body).decode()
    assert f"<dd>{text} " in page


def test_a_service_that_we_do_not_know_is_shown_by_its_name() -> None:
    values = {**BASE, "share": "", "services": [{"name": "Iets nieuws", "about": ""}], "days": 183}
    page = bytes(Pages("http://127.0.0.1").render("consent", "nl", values).body).decode()
    assert '<span class="name" lang="nl">Iets nieuws</span></li>' in page


def test_the_stylesheet_stands_below_the_public_address() -> None:
    values = {**BASE, "kind": "other", "code": "fault"}
    page = bytes(Pages("https://zorg.example/schakel/").render("error", "nl", values).body).decode()
    assert re.search(r'href="/schakel/pages/style-[0-9a-f]{16}\.css"', page)


def test_the_practice_login_says_the_same_in_both_languages() -> None:
    assert set(TEXTS["nl"]) == set(TEXTS["en"])
    assert not set(TEXTS["nl"].values()) & set(TEXTS["en"].values())
    assert [wanted(one) for one in ("en-GB nl", "fr nl", "fr", "")] == ["en", "nl", "nl", "nl"]


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "nl"),
        ("nl-NL,nl;q=0.9,en;q=0.8", "nl"),
        ("en-GB,en;q=0.9,nl;q=0.8", "en"),
        ("en,nl", "nl"),
        ("en;q=0.1", "en"),
        ("de,fr;q=0.5", "nl"),
        ("en;q=x", "nl"),
    ],
)
def test_a_page_is_in_dutch_unless_the_browser_wants_english_more(accept: str, language: str) -> None:
    assert preferred_language(accept) == language


def test_what_others_wrote_is_text_on_a_page() -> None:
    values = {"holder": "<b>&", "kind": "other", "code": "<script>", "other_language": ""}
    page = bytes(Pages("http://127.0.0.1").render("error", "nl", values).body).decode()
    assert "<b>" not in page and "<script" not in page and "&lt;b&gt;&amp;" in page
