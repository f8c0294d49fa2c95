"""`schakel addressing`: the directories that a node follows, and what it publishes."""

from __future__ import annotations

from typing import Annotated

import typer

from schakel.commands.options import ConfigOption, DataOption

addressing = typer.Typer(
    help="The query directory: what it is kept in step with, and what is not right.", no_args_is_help=True
)


@addressing.command("status")
def addressing_status(data: DataOption = None, config: ConfigOption = None) -> int:
    """Show the directories that are followed, and what the last run of each did.

    Exit code 1 when one is not in step or something was found. The node may run or not.
    """
    from schakel.commands.addressing import status

    return status(data, config)


@addressing.command("sync")
def addressing_sync(
    source: Annotated[
        str, typer.Option(metavar="NAME", help="Only this directory; without it all of them.")
    ] = "",
    whole: Annotated[
        bool, typer.Option("--whole", help="Read all of it again, and end what is no longer there.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Bring the query directory in step now.

    Where a node does so already, it is asked to do it at once, and waited for. Exit code 1 when a directory could not
    be read; the next run goes on where this one was.
    """
    from schakel.commands.addressing import sync

    return sync(data, config, source, whole=whole)


@addressing.command("findings")
def addressing_findings(
    source: Annotated[
        str, typer.Option(metavar="NAME", help="Only of this directory; without it of all.")
    ] = "",
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Show those that no longer hold as well.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """List what is not right with the directories: broken resources, conflicts, what they may not say.

    Exit code 1 when there is something. The node may run or not.
    """
    from schakel.commands.addressing import findings

    return findings(data, config, source, resolved=resolved)


@addressing.command("published")
def addressing_published(
    again: Annotated[str, typer.Option(metavar="TYPE/ID", help="Try this stopped entry again first.")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --again: put ours in place of what others wrote there.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Show what became of the own entries in the central directory, and what is not right with each.

    An entry that others changed there, or that was refused, is stopped until somebody looked. Exit code 1 when an entry
    is not there as it should be. The node may run or not; it is the node that publishes.
    """
    from schakel.commands.published import published

    return published(data, config, again, overwrite=overwrite)
