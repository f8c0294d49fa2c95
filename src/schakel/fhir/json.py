"""FHIR JSON in and out without losing a digit: `parse` and `dump`.

A FHIR decimal keeps its precision (R4 datatypes, "decimal": 0.010 is not 0.01), so numbers that Python would
round or rewrite are read as `FhirDecimal`, which remembers the text it came from. Everything that JSON
parsers disagree about is refused here once, so that nothing behind this door sees it: duplicate members, NaN
and Infinity, lone surrogates, bytes that are not UTF-8, endless depth. A byte order mark is skipped, as
RFC 8259 section 8.1 allows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from schakel.kernel.outcomes import Invalid

Resource = dict[str, Any]
"""A FHIR resource, or a part of one, as JSON members; numbers are `int` or `FhirDecimal`."""

MAX_DEPTH = 64
STORED_DEPTH = 256
"""Levels of a stored resource or an answer: more than the highest setting lets in."""
_MAX_NUMBER = 128
_MAX_EXPONENT = 1000
_MAX_EXACT_INT = 15

_is_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch
_surrogate = re.compile("[\ud800-\udfff]").search
_new_decimal = Decimal.__new__


class FhirDecimal(Decimal):
    """A number with the literal text it was written in; compares and counts as a `Decimal`.

    Raises `ValueError` when the text is not a JSON number, is longer than 128 characters or has an exponent
    beyond ±1000.
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> FhirDecimal:
        if _is_number(text) is None:
            raise ValueError("not a number")
        return _scanned(text)

    def __reduce__(self) -> tuple[type[FhirDecimal], tuple[str]]:
        return FhirDecimal, (self.text,)


def _scanned(text: str) -> FhirDecimal:
    """`FhirDecimal` of a text that is known to be a JSON number."""
    if len(text) > _MAX_NUMBER:
        raise ValueError(f"a number of more than {_MAX_NUMBER} characters")
    if "e" in text or "E" in text:
        exponent = int(text.lower().partition("e")[2])
        if not -_MAX_EXPONENT <= exponent <= _MAX_EXPONENT:
            raise ValueError(f"a number with an exponent beyond ±{_MAX_EXPONENT}")
    self = _new_decimal(FhirDecimal, text)
    self.text = text
    return self


class _DuplicateError(Exception):
    """A member name that stands twice in one object."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateError
    return members


def _integer(text: str) -> int | FhirDecimal:
    """The whole number in `text`: an `int` when that keeps the text, else (-0, 16 digits) a `FhirDecimal`."""
    if len(text) > _MAX_EXACT_INT or text == "-0":
        return _scanned(text)
    return int(text)


def number(text: str) -> int | FhirDecimal:
    """The JSON value of a number written as `text`, as `parse` would give it. Raises `ValueError`."""
    if _is_number(text) is None:
        raise ValueError("not a number")
    return _scanned(text) if "." in text or "e" in text or "E" in text else _integer(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


_decode = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_scanned, parse_int=_integer, parse_constant=_refuse_constant
).decode

_BRACKETS = bytes.maketrans(b"{[}]", b"(())")
_NO_BRACKETS = bytes(c for c in range(256) if c not in b"{[}]")


def parse(data: bytes, *, max_depth: int = MAX_DEPTH) -> Resource:
    """The JSON object in `data`.

    Raises `Invalid`, naming what and where, for anything that is not one UTF-8 JSON object, and for duplicate
    member names, NaN and Infinity, lone surrogates and nesting beyond `max_depth` levels.
    """
    value = _value(data, max_depth)
    if type(value) is not dict:
        raise _invalid("the body is not a JSON object: a resource starts with '{'")
    return value


def parse_array(data: bytes, *, max_depth: int = MAX_DEPTH) -> list[Any]:
    """The JSON array in `data`, such as a JSON Patch. Raises `Invalid` as `parse` does."""
    value = _value(data, max_depth)
    if type(value) is not list:
        raise _invalid("the body is not a JSON array: it starts with '['")
    return value


def _value(data: bytes, max_depth: int) -> Any:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"the body is not UTF-8: byte {error.start + 1} cannot be read") from None
    if text.startswith("\ufeff"):
        text = text[1:]
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise _invalid("the body is empty: JSON is needed") from None
        where = f"line {error.lineno}, column {error.colno}"
        raise _invalid(f"the body is not JSON: {error.msg} at {where}") from None
    except _DuplicateError:
        name, where = _find_duplicate(text)
        raise _invalid(f"the member {name!r} stands twice in one object, at {where}") from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ValueError as error:
        raise _invalid(f"the body is not JSON: {error}") from None
    if not _within(data, max_depth):
        raise _too_deep(max_depth)
    if b"\\ud" in data or b"\\uD" in data:
        for path, string in _strings(value, ""):
            if _surrogate(string):
                raise _invalid(f"half a character (a lone surrogate) in {path or 'the body'}", path)
    return value


def dump(value: Any, *, indented: bool = False) -> bytes:
    """`value` as UTF-8 JSON, decimals as they were written; compact, or for people. Raises `TypeError` for other
    things."""
    return orjson.dumps(value, _written, orjson.OPT_INDENT_2 if indented else None)


def _written(value: object) -> orjson.Fragment:
    if isinstance(value, FhirDecimal):
        return orjson.Fragment(value.text)
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is not JSON")


def _invalid(message: str, path: str = "") -> Invalid:
    return Invalid(message, code="json-invalid", issue="structure", expression=path)


def _too_deep(max_depth: int) -> Invalid:
    return Invalid(
        f"the body is nested too deep: at most {max_depth} levels are read", code="too-deep", issue="too-long"
    )


def _within(data: bytes, max_depth: int) -> bool:
    """Whether well-formed JSON is nested at most `max_depth` levels.

    Strings are cut out, brackets kept; each pass then removes the innermost level. All of it runs in C.
    """
    if data.count(b"{") + data.count(b"[") <= max_depth:
        return True
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(data.split(b'"')[::2]).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(max_depth):
        brackets = brackets.replace(b"()", b"")
        if not brackets:
            return True
    return False


_tokens = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|[{}]').finditer


def _find_duplicate(text: str) -> tuple[str, str]:
    """The first member name that repeats in its object, and the place of the repetition."""
    objects: list[set[str]] = []
    for token in _tokens(text):
        if token[0] == "{":
            objects.append(set())
        elif token[0] == "}":
            objects.pop()
        elif token[2] is not None:
            name: str = json.loads(token[1])
            if name in objects[-1]:
                line = text.count("\n", 0, token.start()) + 1
                return name, f"line {line}, column {token.start() - text.rfind(chr(10), 0, token.start())}"
            objects[-1].add(name)
    raise AssertionError("called for a text without a repeated name")


def _strings(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every string and member name below `value` with the path to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield path, name
            yield from _strings(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, f"{path}[{index}]")
