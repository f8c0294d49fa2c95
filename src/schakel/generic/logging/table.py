"""Events as rows for a spreadsheet (CSV, RFC 4180) or for a program (NDJSON), with what an audience may see."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Literal, TypeAlias

import orjson

from schakel.generic.logging.events import FIELDS, Audience, seen
from schakel.generic.logging.stored import Logged, to_json
from schakel.kernel.clock import instant

Form: TypeAlias = Literal["csv", "ndjson"]

_PERSON = ("id", "name", "role", "responsible")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet may take for the beginning of a formula; the last four are the signs of full width."""


def columns(audience: Audience) -> list[str]:
    """The names of the columns; a professional takes four."""
    names = ["id", "recorded"]
    for name, field in FIELDS.items():
        if audience in field.by:
            names += [f"user_{part}" for part in _PERSON] if name == "user" else [name]
    return names


def rows(events: Iterable[Logged], audience: Audience, form: Form, *, head: bool = False) -> bytes:
    """`events` as lines; `head` puts the names of the columns before them (CSV). In a CSV, text that a spreadsheet
    would take for a formula has an apostrophe before it; NDJSON gives everything as it was."""
    if form == "ndjson":
        return b"".join(_json(event, audience) + b"\n" for event in events)
    names = columns(audience)
    out = StringIO()
    writer = csv.DictWriter(out, names, restval="", extrasaction="raise")
    if head:
        writer.writeheader()
    for event in events:
        writer.writerow({name: _cell(value) for name, value in _flat(event, audience).items()})
    return out.getvalue().encode()


def _json(event: Logged, audience: Audience) -> bytes:
    fields = orjson.loads(to_json(seen(event.event, audience)))
    return orjson.dumps({"id": event.id, "recorded": instant(event.recorded), **fields})


def _flat(event: Logged, audience: Audience) -> dict[str, str]:
    table = orjson.loads(_json(event, audience))
    person = table.pop("user", {})
    table |= {f"user_{part}": person[part] for part in _PERSON if person.get(part)}
    return {name: " ".join(value) if isinstance(value, list) else value for name, value in table.items()}


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
