"""The resources that published test scripts refer to, with their macros filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.shared import shared

_dates = re.compile(rb"\$\{\s*(?:DATE|CURRENTDATE)[^}]*\}").sub
_others = re.compile(rb"\$\{[^}]*\}").sub


def filled(document: bytes) -> bytes:
    """`document` with a plain date for every date macro and a word for every other macro."""
    return _others(b"x", _dates(b"2024-02-28", document))


def resources_in(version: str) -> Iterator[tuple[Path, bytes]]:
    """Path and XML of every fixture of the test scripts for a FHIR version; skips the test without them."""
    for path in sorted(shared("testscripts", version.upper()).rglob("*.xml")):
        if any(part.startswith("_reference") for part in path.parts):
            yield path, filled(path.read_bytes())
