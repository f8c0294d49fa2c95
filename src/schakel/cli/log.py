"""`schakel log`: the log of a node."""

from __future__ import annotations

from typing import Annotated

import typer

from schakel.commands.options import ConfigOption, DataOption

log = typer.Typer(help="The log of a node: check it against its seals, end its term.", no_args_is_help=True)


@log.command("verify")
def log_verify(
    organisation: Annotated[
        str | None, typer.Option(metavar="SLUG|URA", help="Whose log; without it those of all.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Check the log in the database against the exported seals.

    Names every event that was changed, removed, inserted or put elsewhere, every seal that is missing at either side,
    does not continue the one before it or is signed by another, and shows what is not sealed yet. Exit code 1 when
    something is wrong. The node may run or not.
    """
    from schakel.commands.log import verify_log

    return verify_log(data, config, organisation)


@log.command("retain")
def log_retain(
    organisation: Annotated[
        str | None, typer.Option(metavar="SLUG|URA", help="Whose log; without it those of all.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Remove the events that are past their term (setting log.retention_years); their hashes stay in the seals."""
    from schakel.commands.log import retain

    return retain(data, config, organisation)
