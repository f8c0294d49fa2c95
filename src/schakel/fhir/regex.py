"""Regular expressions that may come from outside: they run in linear time (RE2).

Used by FHIRPath and by validation. What linear time does not allow (look-around, back references) is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2

from schakel.kernel.outcomes import Invalid

MAX_PATTERN = 2_000
"""Longest regular expression, in characters."""

_OPTIONS = re2.Options()
_OPTIONS.dot_nl = True  # "single line mode" of FHIRPath
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 22

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SPELLED_OTHERWISE = {"_": "_", "Z": r"\z"}
"""Escapes of other engines that RE2 refuses, and what they mean there."""


def _translated(escape: re.Match[str]) -> str:
    return _SPELLED_OTHERWISE.get(escape.group(1), escape.group())


@lru_cache(maxsize=1024)
def _compiled(regex: str) -> Any:
    return re2.compile(_ESCAPE.sub(_translated, regex), _OPTIONS)


def compiled(regex: str) -> Any:
    """A compiled regular expression, with the methods of one of `re`.

    Raises `Invalid` for what RE2 does not take, such as look-ahead, and for one that is too long.
    """
    if len(regex) > MAX_PATTERN:
        raise Invalid(f"a regular expression is at most {MAX_PATTERN} characters", code="invalid-regex")
    try:
        return _compiled(regex)
    except re2.error as error:
        raise Invalid(
            f"the regular expression {regex[:80]!r} is not taken; look-around and back references "
            "do not run in linear time",
            code="invalid-regex",
            cause=str(error),
        ) from error
