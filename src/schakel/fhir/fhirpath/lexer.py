"""Text to tokens (FHIRPath N1, section 11.1 "Lexical elements", and STU3's double-quoted identifiers)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schakel.kernel.outcomes import Invalid

MAX_LENGTH = 100_000
"""Longest expression taken, in characters."""

_TOKEN = re.compile(
    r"""
      (?P<space>(?:\s+|//[^\n\r]*|/\*.*?\*/)+)
    | (?P<date>@T\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?
        | @\d{4}(?:-\d{2}(?:-\d{2})?)?
          (?:T(?:\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?(?:Z|[+-]\d{2}:\d{2})?)?)?)
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<quoted>`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*")
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<symbol><=|>=|!=|!~|[-+*/&|<>=~()\[\]{}.,%$])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {
    "'": "'",
    '"': '"',
    "`": "`",
    "\\": "\\",
    "/": "/",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is date, number, string, quoted, name, symbol or end; `text` is without quotes and escapes."""

    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


def refuse(expression: str, at: int, problem: str) -> Invalid:
    """The error for a mistake at offset `at`: what is wrong and where, with the text around it."""
    start = max(at - 20, 0)
    near = expression[start : at + 20].replace("\n", " ")
    return Invalid(
        f"FHIRPath: {problem}, at character {at + 1} (near {near!r})",
        code="fhirpath-invalid",
        expression=expression[:200],
    )


def tokens(expression: str) -> list[Token]:
    """The tokens of `expression`, closed by one of kind `end`. Raises `Invalid` with the position."""
    if len(expression) > MAX_LENGTH:
        raise refuse(expression[:100], 0, f"the expression is longer than {MAX_LENGTH} characters")
    found: list[Token] = []
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None or (expression.startswith("/*", at) and match.lastgroup != "space"):
            raise refuse(expression, at, _unreadable(expression, at))
        kind, text = str(match.lastgroup), match.group()
        if kind in ("string", "quoted"):
            text = _unescape(expression, text[1:-1], at)
        if kind != "space":
            found.append(Token(kind, text, at))
        at = match.end()
    found.append(Token("end", "", at))
    return found


def _unreadable(expression: str, at: int) -> str:
    if expression[at] in "'`\"":
        return "the quote that opens here is not closed"
    if expression.startswith("/*", at):
        return "the comment that opens here is not closed"
    if expression[at] == "@":
        return "a date or time was expected after '@' (such as @2015-02-04 or @T14:30)"
    return f"{expression[at]!r} is not part of FHIRPath"


def _unescape(expression: str, text: str, at: int) -> str:
    if "\\" not in text:
        return text

    def plain(match: re.Match[str]) -> str:
        code = match.group(1)
        if code in _ESCAPED:
            return _ESCAPED[code]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        raise refuse(expression, at + 1 + match.start(), f"'\\{code}' is not an escape")

    return _ESCAPE.sub(plain, text)
