"""`schakel check`: does an endpoint conform?"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from schakel.conformance import CheckOptions, LoadResult, ScriptResult, check, exit_code, html_report, report
from schakel.kernel.outcomes import Invalid


def run_check(
    options: CheckOptions, *, junit: Path | None = None, json: Path | None = None, html: Path | None = None
) -> int:
    """Runs the suite; the report goes to stdout, to the files that are asked for, and progress to a terminal.

    Raises `Invalid` before anything is sent when a file is in a folder that is not there.
    """
    for path in (junit, json, html):
        if path and not path.parent.is_dir():
            raise Invalid(f"the report {path} cannot be written: there is no folder {path.parent}")
    progress = _Progress(sys.stderr.isatty())
    result = asyncio.run(check(options, progress.script, progress.load))
    progress.clear()
    print(report.text(result), end="")
    for path, made in ((junit, report.junit), (json, report.as_json), (html, html_report.html)):
        if path:
            _write(path, made(result))
    return exit_code(result)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Invalid(f"the report {path} cannot be written: {error.strerror}") from error


class _Progress:
    """One line on a terminal that says what was done last."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._done = 0

    def load(self, load: LoadResult) -> None:
        self._show(f"loaded {load.path}: {load.done} requests")

    def script(self, script: ScriptResult) -> None:
        self._done += 1
        self._show(f"{self._done} scripts; {script.words}: {script.path}")

    def clear(self) -> None:
        self._show("")

    def _show(self, text: str) -> None:
        if self._terminal:
            print(f"\r\x1b[K{text[:99]}", end="", file=sys.stderr, flush=True)
