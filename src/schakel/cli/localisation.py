"""`schakel localisation`: what the national index knows of us."""

from __future__ import annotations

from typing import Annotated

import typer

from schakel.commands.options import ConfigOption, DataOption

localisation = typer.Typer(
    help="What the national index (NVI) was told of patients: show it, compare it.", no_args_is_help=True
)


@localisation.command("status")
def localisation_status(
    organisation: Annotated[
        str | None, typer.Option(metavar="SLUG|URA", help="Whose registrations; without it those of all.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Show rules, registrations by state, what waits or failed, and how soon data were registered.

    The node may run or not.
    """
    from schakel.commands.localisation import show

    return show(data, config, organisation)


@localisation.command("reconcile")
def localisation_reconcile(
    organisation: Annotated[
        str | None, typer.Option(metavar="SLUG|URA", help="Whose registrations; without it those of all.")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Compare our registrations with the records that the national index has of us.

    Shows what is only here, only there, there twice, or registered under another recipient, scope or source. Only
    records with our number and our source are ever deleted. Exit code 1 when something differs in the end. The node
    may run or not.
    """
    from schakel.commands.localisation import reconcile

    return reconcile(data, config, organisation, mend=repair)
