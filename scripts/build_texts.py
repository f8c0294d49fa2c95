"""Keeps the Dutch texts of the pages in step with the templates.

    uv run python -m scripts.build_texts

Texts that are new come into `locale/nl.po` with an empty `msgstr` to fill in; those that no page has any more go. The
tests fail on a text without Dutch, and when the file is not what this makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

PAGES = Path(__file__).parent.parent / "src/schakel/portal/pages"
DUTCH = PAGES / "locale/nl.po"

_WHERE = [("**.py", "python"), ("templates/**.html", "jinja2.ext.babel_extract")]
_OPTIONS = {"templates/**.html": {"silent": "false", "trimmed": "true"}}
_HEAD = "# Dutch texts of the pages for people, at language level B1."


def texts() -> Iterator[str | tuple[str, ...]]:
    """Every text of the pages that is to be translated, singular and plural together, in the order of the files."""
    for found in extract_from_dir(PAGES, _WHERE, _OPTIONS):
        yield found[2]


def translated(path: Path = DUTCH) -> bytes:
    """The file with the texts of now and the translations that it has."""
    known = read_po(BytesIO(path.read_bytes()), locale="nl")
    made = Catalog(locale="nl", header_comment=_HEAD, fuzzy=False)
    for text in texts():
        had = known.get(text if isinstance(text, str) else text[0])
        made.add(text, had.string if had is not None else "")
    out = BytesIO()
    write_po(out, made, width=10_000, omit_header=True)
    head = (
        'msgid ""\nmsgstr ""\n"Language: nl\\n"\n"MIME-Version: 1.0\\n"\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n'
        '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
    )
    return f"{_HEAD}\n{head}".encode() + out.getvalue()


def main() -> None:
    DUTCH.write_bytes(translated())


if __name__ == "__main__":
    main()
