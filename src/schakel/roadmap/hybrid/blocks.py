"""The list of building blocks: the one that comes with the program, and one that a region imports in its place."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from schakel.kernel.outcomes import Invalid
from schakel.roadmap.hybrid.model import Block, Blocks
from schakel.roadmap.model import Text

MOST = 100
"""Blocks in a list."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9.-]{0,19}")
_LONGEST = 600


@cache
def shipped() -> Blocks:
    """The list that comes with the program."""
    return read(shipped_body())


def shipped_body() -> bytes:
    """The file of that list."""
    return (files("schakel.roadmap") / "data" / "blocks.json").read_bytes()


def read(body: bytes) -> Blocks:
    """The list in a JSON file. Raises `Invalid` that names the place.

    `{"version", "title": {"nl", "en"}, "blocks": [{"code", "group": "basic"|"care", "title", "about", "monitoring"}],
    "open": [text]}`; `monitoring` and `open` may be left out. Both groups need a block.
    """
    try:
        table = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _wrong("", f"the list of blocks is not JSON ({error})") from None
    table = _object(table, "the list", {"version", "title", "blocks"}, {"open"})
    rows = table["blocks"]
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST:
        raise _wrong("blocks", f"a list of 1 to {MOST} blocks is needed")
    blocks = tuple(_block(row, f"blocks[{number}]") for number, row in enumerate(rows))
    seen: set[str] = set()
    for number, block in enumerate(blocks):
        if block.code in seen:
            raise _wrong(f"blocks[{number}].code", f"{block.code} is there twice")
        seen.add(block.code)
    for group in ("basic", "care"):
        if all(block.group != group for block in blocks):
            raise _wrong("blocks", f"no block has the group {group}: the definition needs one of each group")
    notes = table.get("open", [])
    if not isinstance(notes, list):
        raise _wrong("open", "a list of texts is needed")
    return Blocks(
        version=_line(table["version"], "version", 40),
        title=_text(table["title"], "title"),
        blocks=blocks,
        open=tuple(_text(one, f"open[{number}]") for number, one in enumerate(notes)),
    )


def _block(row: object, at: str) -> Block:
    table = _object(row, at, {"code", "group", "title", "about"}, {"monitoring"})
    code = _line(table["code"], f"{at}.code", 20)
    if not _CODE.fullmatch(code):
        raise _wrong(f"{at}.code", "a code has letters, digits, '.' and '-', and begins with a letter")
    if (group := table["group"]) not in ("basic", "care"):
        raise _wrong(f"{at}.group", "it is basic or care")
    if not isinstance(monitoring := table.get("monitoring", False), bool):
        raise _wrong(f"{at}.monitoring", "it is true or false")
    return Block(
        code, group, _text(table["title"], f"{at}.title"), _text(table["about"], f"{at}.about"), monitoring
    )


def _object(value: object, at: str, needed: set[str], free: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(at, "a JSON object is needed")
    if missing := sorted(needed - set(value)):
        raise _wrong(at, f"{missing[0]} is missing")
    if unknown := sorted(set(value) - needed - free):
        raise _wrong(at, f"{unknown[0][:40]!r} is not known; known are {', '.join(sorted(needed | free))}")
    return value


def _text(value: object, at: str) -> Text:
    table = _object(value, at, {"nl", "en"}, set())
    return Text(_line(table["nl"], f"{at}.nl", _LONGEST), _line(table["en"], f"{at}.en", _LONGEST))


def _line(value: object, at: str, most: int) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > most or not value.isprintable():
        raise _wrong(at, f"a text of 1 to {most} printable characters is needed")
    return value.strip()


def _wrong(at: str, why: str) -> Invalid:
    return Invalid(f"{at}: {why}" if at else why, code="blocks-invalid", expression=at)
