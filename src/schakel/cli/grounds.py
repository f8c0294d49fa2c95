"""`schakel ground`: grounds for disclosure."""

from __future__ import annotations

from typing import Annotated

import typer

from schakel.commands.options import ConfigOption, DataOption, OrganisationOption, PatientOption

ground = typer.Typer(help="Grounds for disclosure: write, list and end them.", no_args_is_help=True)


@ground.command("add")
def ground_add(
    organisation: OrganisationOption,
    requester: Annotated[str, typer.Option(metavar="URA|SLUG", help="Who may get the data.")],
    patient: PatientOption,
    until: Annotated[str, typer.Option(metavar="DATE", help="Last day, or a moment with its zone.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, in one line.")],
    exchange: Annotated[
        str | None, typer.Option(metavar="NAME", help="For a whole exchange, such as bgz; or give --query.")
    ] = None,
    query: Annotated[
        list[str] | None, typer.Option(metavar="QUERY", help="For this search; may be given more than once.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND", help="recorded, referral, handover or patient (the patient's own request)."
        ),
    ] = "recorded",
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Write a ground: this requester may get this of this patient until then."""
    from schakel.commands import ground
    from schakel.commands.doors import places

    known = places(data, config)
    return ground.add(
        known,
        known.find(organisation),
        requester=requester,
        patient=patient,
        exchange=exchange,
        queries=query or (),
        until=until,
        reason=reason,
        kind=kind,
    )


@ground.command("list")
def ground_list(
    organisation: OrganisationOption,
    patient: Annotated[str | None, typer.Option(metavar="BSN", help="Only of this patient.")] = None,
    requester: Annotated[str | None, typer.Option(metavar="URA|SLUG", help="Only of this requester.")] = None,
    active: Annotated[bool, typer.Option("--active", help="Only those that hold now.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """List the grounds of an organisation, the newest first."""
    from schakel.commands import ground
    from schakel.commands.doors import places

    known = places(data, config)
    return ground.show(known, known.find(organisation), patient=patient, requester=requester, active=active)


@ground.command("end")
def ground_end(
    id: Annotated[str, typer.Argument(metavar="ID", help="The ground's id, as `add` and `list` show it.")],
    organisation: OrganisationOption,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """End a ground from this moment."""
    from schakel.commands import ground
    from schakel.commands.doors import places

    known = places(data, config)
    return ground.end(known, known.find(organisation), id)
