"""Texts that others give in a header: one line, without what cannot be shown."""

from __future__ import annotations

from urllib.parse import unquote


def one_line(given: str, longest: int) -> str:
    """`given` without white space around it; '' when it says nothing, is longer than that, or has what is no printable
    character."""
    text = given.strip()
    return text if len(text) <= longest and text.isprintable() else ""


def percent_decoded(given: str) -> str:
    """Plain text, or percent-encoded UTF-8, as text; '' when it is neither."""
    try:
        return unquote(given, errors="strict")
    except UnicodeDecodeError:
        return ""
