"""`schakel roadmap hybrid`: the inventory of hybrid care."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from schakel.commands.options import ConfigOption, DataOption, OrganisationOption

hybrid = typer.Typer(help="Hybrid care: pathways, and the people who take part.", no_args_is_help=True)


@hybrid.command("import")
def hybrid_import(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Pathways or people (CSV or JSON).")],
    organisation: OrganisationOption,
    about: Annotated[
        str | None,
        typer.Option(metavar="URA", help="Another organisation of the region (for who keeps the board)."),
    ] = None,
    population: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With pathways: patients of the organisation.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Hand a file of pathways or of people to the inventory, all of it or nothing.

    What the file is about is seen from its columns. Pathways are added, or changed by their id; people replace those of
    each pathway that the file names. Sent twice, it counts once. An error names the row and the column.
    """
    from schakel.commands.doors import places
    from schakel.commands.hybrid import import_file

    return import_file(file, places(data, config).find(organisation), about, population)


@hybrid.command("count")
def hybrid_count(
    organisation: OrganisationOption,
    pathway: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this pathway; without it all of the organisation.")
    ] = None,
    period: Annotated[
        str | None, typer.Option(metavar="YYYY", help="The year; without it the one that is now.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Count the people of pathways from the organisation's own record, by the rules that stand with each pathway.

    Eligible is who has a Condition of the rule `indication` in the year, enrolled who then has a CarePlan of the rule
    `plan`, active who had a digital event in it. A later count replaces an earlier one of the same pathway and year;
    what somebody sent by file stays, exclusions among it. Exit code 1 when a pathway has no rules.
    """
    from schakel.commands.doors import places
    from schakel.commands.hybrid_count import count_record

    return count_record(places(data, config).find(organisation), pathway or "", period or "")


@hybrid.command("blocks")
def hybrid_blocks(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A list of building blocks (JSON).")
    ] = None,
    *,
    organisation: OrganisationOption,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Put a list of building blocks in the place of the one there is (for who keeps the board); the one there was stays
    to be read. Without a file: show which lists were in force, who brought them, and until when.
    """
    from schakel.commands.doors import places
    from schakel.commands.hybrid import import_blocks, show_blocks

    door = places(data, config).find(organisation)
    return show_blocks(door) if file is None else import_blocks(file, door)


@hybrid.command("show")
def hybrid_show(
    organisation: OrganisationOption,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Show pathways, whether each is hybrid and why, and the figures with what they are made of."""
    from schakel.commands.doors import places
    from schakel.commands.hybrid import show

    return show(places(data, config).find(organisation))
