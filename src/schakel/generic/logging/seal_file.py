"""The seals of one organisation in a file, outside the database: a line each, in order, only ever added to.

A node that dies while it writes leaves a last line without an end. What comes back cuts that off before it adds: the
whole line stands in the database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 16


def path(folder: Path, organisation: str) -> Path:
    """The file of the organisation with this URA."""
    return folder / f"{organisation}.seals"


def last_line(file: Path) -> str:
    """The last whole line, after what follows it has been cut off; '' when there is none. Raises `OSError`."""
    try:
        stream = file.open("r+b")
    except FileNotFoundError:
        return ""
    with stream:
        size = stream.seek(0, os.SEEK_END)
        end = _line_end(stream, size)
        if end < size:
            stream.truncate(end)
            os.fsync(stream.fileno())
        if not end:
            return ""
        start = _line_end(stream, end - 1)
        stream.seek(start)
        return stream.read(end - 1 - start).decode("ascii", "replace")


def _line_end(stream: BinaryIO, before: int) -> int:
    """The place behind the last line end in the first `before` bytes; 0 when there is none."""
    while before:
        start = max(0, before - _BLOCK)
        stream.seek(start)
        found = stream.read(before - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        before = start
    return 0


def add(file: Path, lines: Sequence[str]) -> None:
    """Adds `lines`; returns when they are on disk. Raises `OSError`."""
    new = not file.exists()
    with file.open("ab") as stream:
        stream.write("".join(f"{line}\n" for line in lines).encode("ascii"))
        stream.flush()
        os.fsync(stream.fileno())
    if new and hasattr(os, "O_DIRECTORY"):
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def lines(file: Path, start: int = 0) -> Iterator[tuple[str, int]]:
    """Each whole line from byte `start` on, and the place behind it. A last line without an end is left out."""
    with file.open("rb") as stream:
        stream.seek(start)
        for raw in stream:
            if not raw.endswith(b"\n"):
                return
            start += len(raw)
            yield raw[:-1].decode("ascii", "replace"), start
