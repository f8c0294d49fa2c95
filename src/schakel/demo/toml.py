"""Writes TOML (version 1.0), as much of it as a configuration needs.

Source: toml.io/en/v1.0.0: basic strings, bare and quoted keys, inline tables, arrays of tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypeGuard

Value: TypeAlias = "str | int | float | bool | Path | Sequence[Value] | Mapping[str, Value]"

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def document(table: Mapping[str, Value]) -> str:
    """`table` as a TOML document; a list of tables becomes one `[[name]]` section for each."""
    sections = {name: value for name, value in table.items() if _is_tables(value)}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in table.items() if name not in sections]
    for name, tables in sections.items():
        for one in tables:
            lines += ["", f"[[{_key(name)}]]"]
            lines += [f"{_key(k)} = {_value(v)}" for k, v in one.items()]
    return "\n".join(lines) + "\n"


def _is_tables(value: Value) -> TypeGuard[Sequence[Mapping[str, Value]]]:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and all(isinstance(one, Mapping) for one in value)
    )


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, which also wants DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _string(value)
        case Path():
            return _string(str(value))
        case Mapping():
            return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
        case _:
            return "[" + ", ".join(_value(one) for one in value) + "]"
