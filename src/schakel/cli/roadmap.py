"""`schakel roadmap`: how far a region is with the roadmap."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from schakel.cli.hybrid import hybrid
from schakel.commands.options import ConfigOption, DataOption
from schakel.kernel.outcomes import Invalid
from schakel.kernel.texts import Language

roadmap = typer.Typer(
    help="The roadmap: measure where a region stands, and what is asked of it.", no_args_is_help=True
)
roadmap.add_typer(hybrid, name="hybrid")


@roadmap.command("run")
def roadmap_run(
    file: Annotated[
        Path, typer.Argument(metavar="REGION.toml", help="The organisations, and what is known of each.")
    ],
    only: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Only this check; may be given more than once.")
    ] = None,
    organisation: Annotated[str | None, typer.Option(metavar="URA", help="Only this organisation.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report here as one web page.")
    ] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", metavar="FILE", help="Write it here as a PDF.")] = None,
    xlsx: Annotated[
        Path | None, typer.Option("--xlsx", metavar="FILE", help="Write it here as a workbook.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write it here as a table (UTF-8, split at ;)."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the run here as JSON.")
    ] = None,
    language: Annotated[
        Language, typer.Option(help="The language of the page, the PDF and the workbook.")
    ] = "nl",
    board: Annotated[
        bool, typer.Option("--board", help="Hand the run to the board of a node (--data or --config).")
    ] = False,
    keeper: Annotated[
        str | None,
        typer.Option(
            metavar="SLUG|URA", help="Who keeps that board; without it the one that the settings name."
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Measure a region from a file, without running a node.

    Every check looks at what the file says of an organisation; without that it says nothing. What could not be checked
    is counted apart, never as wrong. Exit code 0 when anything was measured, whatever was found; 1 when nothing could
    be measured.
    """
    from schakel import technical_log
    from schakel.commands.roadmap import Wanted, keeper_of, run
    from schakel.roadmap.report import Kind

    if not board and (data or config or keeper):
        raise Invalid("--data, --config and --keeper say which board gets the run: give --board too")
    door = keeper_of(data, config, keeper or "") if board else None
    asked: dict[Kind, Path | None] = {"html": html, "pdf": pdf, "xlsx": xlsx, "csv": csv, "json": json}
    reports = {kind: path for kind, path in asked.items() if path is not None}
    technical_log.configure("warning")
    return run(file, Wanted(tuple(only or ()), organisation or "", reports, language, door))


@roadmap.command("import")
def roadmap_import(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A roadmap (JSON).")],
    keeper: Annotated[
        str | None,
        typer.Option(
            "--organisation",
            metavar="SLUG|URA",
            help="Who keeps it; without it the one that the settings name.",
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Give a board another version of the roadmap. The versions before it stay."""
    from schakel.commands.roadmap import import_roadmap, keeper_of

    return import_roadmap(file, keeper_of(data, config, keeper or ""))


@roadmap.command("show")
def roadmap_show(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A roadmap (JSON); without it the one of this program."),
    ] = None,
    item: Annotated[
        str | None, typer.Option(metavar="ID", help="The steps of this item, and how each is measured.")
    ] = None,
) -> int:
    """Show what a roadmap asks."""
    from schakel.commands.roadmap import show

    return show(file, item or "")
