"""What a person sees: lines, and on a terminal one line that changes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import TextIO


class Screen:
    """Writes to `out`. `progress` rewrites one line on a terminal, and adds one now and then elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._begun = time.monotonic()
        self._shown = False
        self._next = 0.0

    def line(self, text: str = "") -> None:
        """One line, or several."""
        self._clear()
        self._write(text + "\n")

    def progress(self, text: str, *, last: bool = False) -> None:
        """How far the work is; `last` is the end of it and always stays."""
        text = f"{text} ({self.seconds:.1f} s)"
        if last or not self._terminal:
            if last or time.monotonic() >= self._next:
                self._next = time.monotonic() + 2
                self.line(f"  {text}")
            return
        width = shutil.get_terminal_size().columns - 1
        self._clear()
        self._write(f"  {text}"[:width])
        self._shown = True

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows in columns as wide as their widest cell."""
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.line("  " + "  ".join(cells).rstrip())

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def _clear(self) -> None:
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = False

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            self._terminal = False
        except UnicodeEncodeError:
            self._out.write(text.encode("ascii", "replace").decode())
            self._out.flush()
