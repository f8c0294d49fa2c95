"""`schakel check`: does an endpoint conform?"""

from __future__ import annotations

import asyncio
import re
import sys
import uuid
from dataclasses import replace
from pathlib import Path

from schakel.commands.doors import Door, Places, places
from schakel.commands.patient_token import granted_to
from schakel.commands.telling_board import Board, tell
from schakel.conformance import (
    CheckOptions,
    Giver,
    Granted,
    LoadResult,
    ScriptResult,
    check,
    exit_code,
    html_report,
    report,
    suite_version,
)
from schakel.kernel.outcomes import Invalid
from schakel.patient_access import SERVICES
from schakel.roadmap.checks import suites


def run_check(
    options: CheckOptions,
    *,
    junit: Path | None = None,
    json: Path | None = None,
    html: Path | None = None,
    board: Board | None = None,
) -> int:
    """Runs the suite; the report goes to stdout, to the files and the board that are asked for, and progress to a
    terminal.

    Raises `Invalid` before anything is sent when a file is in a folder that is not there.
    """
    in_folder(junit, json, html)
    progress = Progress(sys.stderr.isatty())
    result = asyncio.run(check(options, progress.script, progress.load))
    progress.clear()
    print(report.text(result), end="")
    for path, made in ((junit, report.junit), (json, report.as_json), (html, html_report.html)):
        if path:
            write(path, made(result))
    if board:
        told = f"{options.suite.name} at {options.url}"
        tell(board, suites.judged(board.check, [result], told))
    return exit_code(result)


def at_demo(options: CheckOptions, data: Path, organisation: str, *, loading: bool) -> CheckOptions:
    """The options for an endpoint of an organisation of a demo, whose folder is `data`.

    With `loading` the suite's data go through the internal door, unless the tester named another; at a data service
    of MedMij tokens are got from the organisation itself.
    """
    known = places(data, None)
    door = known.find(organisation)
    key = (("X-API-Key", door.key),)
    if options.url.startswith(f"{door.internal}/"):
        options = replace(options, headers=(*options.headers, *key))
    elif not options.url.startswith(f"{door.front}/"):
        raise Invalid(f"{options.url} is no address of {door.slug}: those begin with {door.front}/")
    if loading and options.load is None:
        internal = f"{door.internal}/fhir/{suite_version(options.suite)}"
        options = replace(options, load=internal, load_headers=(*options.load_headers, *key))
    service = re.match(re.escape(door.front) + r"/medmij/([0-9]+)/", options.url)
    return replace(options, giver=_giver(known, door, service[1])) if service else options


def _giver(known: Places, holder: Door, service: str) -> Giver:
    """Gets tokens of persons at `holder`: for all that is collected, or for one service to share."""
    share = service if service in SERVICES and SERVICES[service].kind == "share" else ""

    async def give(bsn: str) -> Granted:
        granted = await granted_to(known, holder, bsn, share, str(uuid.uuid4()))
        return Granted(str(granted["access_token"]), float(granted.get("expires_in", 0)))

    return give


def in_folder(*paths: Path | None) -> None:
    """Raises `Invalid` for a report in a folder that is not there."""
    for path in paths:
        if path and not path.parent.is_dir():
            raise Invalid(f"the report {path} cannot be written: there is no folder {path.parent}")


def write(path: Path, content: bytes) -> None:
    """Writes a report. Raises `Invalid` when that cannot be done."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Invalid(f"the report {path} cannot be written: {error.strerror}") from error


class Progress:
    """One line on a terminal that says what was done last."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._done = 0

    def load(self, load: LoadResult) -> None:
        """A load script is done."""
        self.show(f"loaded {load.path}: {load.done} requests")

    def script(self, script: ScriptResult) -> None:
        """A script is done."""
        self._done += 1
        self.show(f"{self._done} scripts; {script.words}: {script.path}")

    def clear(self) -> None:
        """Nothing more is shown."""
        self.show("")

    def show(self, text: str) -> None:
        """What is done now."""
        if self._terminal:
            print(f"\r\x1b[K{text[:99]}", end="", file=sys.stderr, flush=True)
