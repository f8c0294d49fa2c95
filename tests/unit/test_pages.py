"""Pages for people: every text is there in both languages, and the language is the one the browser prefers."""

from __future__ import annotations

from importlib.resources import files
from io import BytesIO

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from schakel.http.pages import Pages, preferred_language

HERE = files("schakel.http.pages")


def texts() -> set[str]:
    """Every text of the templates that is to be translated."""
    found: set[str] = set()
    for template in (HERE / "templates").iterdir():
        if template.name.endswith(".html"):
            for _, text, _, _ in extract("jinja2.ext.babel_extract", BytesIO(template.read_bytes())):
                found |= {text} if isinstance(text, str) else set(text)
    return found


def test_every_text_has_its_dutch_and_no_dutch_has_lost_its_text() -> None:
    catalogue = read_po(BytesIO((HERE / "locale" / "nl.po").read_bytes()))
    dutch = {str(one.id): str(one.string) for one in catalogue if one.id}
    assert texts() == set(dutch)
    assert all(text and text != name for name, text in dutch.items())
    for name, text in dutch.items():
        assert {w for w in ("%(client)s", "%(holder)s", "%(share)s", "%(code)s") if w in name} == {
            w for w in ("%(client)s", "%(holder)s", "%(share)s", "%(code)s") if w in text
        }


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
    page = bytes(Pages().render("error", "nl", values).body).decode()
    assert "<b>" not in page and "<script" not in page and "&lt;b&gt;&amp;" in page
