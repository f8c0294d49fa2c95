"""How far a command is, while it works."""

from __future__ import annotations

import sys
import time


class Progress:
    """One line on a terminal, at most ten times a second; nothing elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = 0.0

    def show(self, text: str) -> None:
        """Shows `text` in place of what was shown before."""
        if self._terminal and (now := time.monotonic()) >= self._next:
            self._next = now + 0.1
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Takes the line away."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
