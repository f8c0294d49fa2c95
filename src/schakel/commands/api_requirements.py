"""`schakel check URL --api-requirements`: the Dutch API requirements at an endpoint, each by id."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from schakel.commands.check import Progress, in_folder, write
from schakel.commands.telling_board import Board, tell
from schakel.conformance.api_requirements import ApiOptions, Standard, check_api, exit_code, report
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.checks import api


def standard(name: str) -> Standard:
    """The level of standardisation with that name. Raises `Invalid` for another word."""
    try:
        return Standard(name)
    except ValueError:
        raise Invalid(f"--level is one of {', '.join(Standard)}") from None


def run_api_requirements(
    options: ApiOptions,
    *,
    declaration: Path | None = None,
    junit: Path | None = None,
    json: Path | None = None,
    html: Path | None = None,
    board: Board | None = None,
) -> int:
    """Runs the checks; the report goes to stdout, to the files and the board that are asked for, and progress to a
    terminal.

    Raises `Invalid` before anything is sent when a file is in a folder that is not there.
    """
    in_folder(declaration, junit, json, html)
    progress = Progress(sys.stderr.isatty())
    result = asyncio.run(check_api(options, progress.show))
    progress.clear()
    print(report.text(result), end="")
    for path, made in ((junit, report.junit), (json, report.as_json), (html, report.html)):
        if path:
            write(path, made(result))
    if declaration:
        write(declaration, report.declaration(result))
        if missing := report.undeclared(result):
            named = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
            print(f"{declaration} lacks {len(missing)} codes that nothing is known of: {named}")
    if board:
        tell(board, api.judged(result))
    return exit_code(result)
