"""The command `schakel`: names, options and help. The work is in `schakel.commands`, imported when it runs.

Exit codes: 0 done; 1 the job failed; 2 wrong usage or configuration; 130 stopped with Ctrl-C. Bad input ends
in one sentence on stderr, never in a stack trace.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from schakel.cli import addressing, check, grounds, localisation, log, roadmap
from schakel.commands.ending import CommandGroup
from schakel.commands.options import (
    ConfigOption,
    DataOption,
    OrganisationOption,
    PatientOption,
    PurposeOption,
    ResponsibleOption,
    ResponsibleRoleOption,
    RoleOption,
    TreatmentRelationOption,
    UserIdOption,
    UserNameOption,
)
from schakel.kernel.outcomes import Invalid, NotSupported

app = typer.Typer(
    cls=CommandGroup,
    name="schakel",
    help="Makes a care provider, and a whole region, part of the Dutch health-data network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


app.add_typer(grounds.ground, name="ground")
app.add_typer(localisation.localisation, name="localisation")
app.add_typer(addressing.addressing, name="addressing")
app.add_typer(log.log, name="log")
app.add_typer(roadmap.roadmap, name="roadmap")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"schakel {version('schakel')}")
        raise typer.Exit


@app.callback()
def schakel(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Makes a care provider, and a whole region, part of the Dutch health-data network."""


@app.command()
def serve(
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="The node's configuration (TOML).")
    ],
    log_level: Annotated[
        str, typer.Option(metavar="LEVEL", help="Technical log: debug, info, warning or error.")
    ] = "info",
) -> int:
    """Run a node on a PostgreSQL named by URL, until Ctrl-C."""
    gc.disable()  # Of what is loaded nothing is garbage; the node enables it when it answers.
    from schakel.commands.serve import serve
    from schakel.technical_log import LEVELS

    if log_level not in LEVELS:
        raise Invalid(f"--log-level is one of {', '.join(LEVELS)}")
    return serve(config, log_level)


@app.command()
def demo(
    patients: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=20_000, help="Patients in the region (100).")
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="N", min=1, max=65_000, help="First port; all others follow it.")
    ] = 8400,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the data here; without it nothing is kept.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Another seed makes other patients (1).")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Do the main job once, show what each step proved, and stop.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="With --check: write the steps here.")
    ] = None,
) -> int:
    """Run a whole region on this machine, with synthetic patients.

    Eight care organisations on two nodes of different operators, with their own database. Nothing has to be
    installed, and nothing is left behind unless --data names a folder.
    """
    from schakel.commands.demo import DemoOptions, demo

    return demo(DemoOptions(patients, port, data, seed, not no_browser, check, json))


app.command()(check.check)


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="FHIR files, or folders with them.")],
    organisation: OrganisationOption,
    data: DataOption = None,
    config: ConfigOption = None,
    fhir: Annotated[str, typer.Option(metavar="VERSION", help="FHIR version: stu3 or r4.")] = "stu3",
) -> int:
    """Write FHIR files into an organisation; report what was refused.

    Resources in JSON, XML and NDJSON, packed with gzip or zstd or not, and the entries of Bundles (collection,
    searchset, document), go in transactions of 200; a resource that is refused does not take others with it. A
    transaction Bundle is posted as it is. Two different contents for one type and id are ambiguous: neither is
    written. The files are read twice and never held in memory. After an interruption, run it again: what has an
    id is updated.
    """
    from schakel.commands.doors import places
    from schakel.commands.import_files import import_files

    match fhir:
        case "stu3" | "r4":
            return import_files(places(data, config).find(organisation), paths, fhir)
        case _:
            raise Invalid("--fhir is stu3 or r4")


@app.command()
def reindex(
    organisation: OrganisationOption,
    parameter: Annotated[
        str | None, typer.Option(metavar="URL", help="Only this search parameter; without it all of them.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Build an organisation's own search parameters again, and wait until that is done.

    What can be searched with stays so. One that is being built already is waited for. Stopping this command does not
    stop the work.
    """
    from schakel.commands.doors import places
    from schakel.commands.reindex import reindex

    return reindex(places(data, config).find(organisation), parameter or "")


fetch = typer.Typer(
    help="Ask other organisations for a patient's data, as the EHR would.", no_args_is_help=True
)
app.add_typer(fetch, name="fetch")


@fetch.command("bgz")
def fetch_bgz(
    organisation: OrganisationOption,
    patient: PatientOption,
    holder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URA|SLUG",
            help="Who holds the data; may be given more than once. Without it the national facilities are asked.",
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    user_id: UserIdOption = None,
    user_name: UserNameOption = None,
    role: RoleOption = None,
    responsible: ResponsibleOption = None,
    responsible_role: ResponsibleRoleOption = None,
    purpose: PurposeOption = "TREAT",
    treatment_relation: TreatmentRelationOption = "current",
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the whole answer here.")
    ] = None,
) -> int:
    """Fetch the BgZ of a patient from other organisations.

    Prints what each holder gave per request, what was dropped and why; exit code 0 when all is complete. With
    --data, who asks is taken from the people of the demo unless it is given.
    """
    from schakel.commands.doors import places
    from schakel.commands.fetch import BgzAsk, fetch_bgz
    from schakel.commands.who import user

    known = places(data, config)
    door = known.find(organisation)
    who = user(
        known,
        door,
        id=user_id,
        name=user_name,
        role=role,
        responsible=responsible,
        responsible_role=responsible_role,
    )
    return fetch_bgz(known, door, BgzAsk(patient, holder or (), who, purpose, treatment_relation), json)


@app.command()
def find(
    who: Annotated[
        str,
        typer.Argument(
            metavar="WHO", help="A URA, or Organization/ID or HealthcareService/ID of the query directory."
        ),
    ],
    organisation: OrganisationOption,
    exchange: Annotated[str, typer.Option(metavar="NAME", help="For what, such as bgz.")] = "",
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Show where another organisation is reached, which directory says so and how old that is."""
    from schakel.commands.doors import places
    from schakel.commands.finding import find

    known = places(data, config)
    return find(known, known.find(organisation), who, exchange)


@app.command()
def explain(
    id: Annotated[str, typer.Argument(metavar="ID", help="The decision's id, as the answer gave it.")],
    organisation: Annotated[
        str | None, typer.Option(metavar="SLUG|URA", help="In whose log to look; without it in all of them.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--replay", help="Decide again from what is stored; exit 1 when that differs.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Say what the log holds of a decision, and why it was taken so.

    Who asked, for which patient, what, whether it was permitted or refused and by which rule and ground, and what
    was disclosed. The output names the patient; the reading itself is logged.
    """
    from schakel.commands.doors import places
    from schakel.commands.explain import explain

    known = places(data, config)
    doors = [known.find(organisation)] if organisation else known.organisations
    return explain(known, doors, id, again=again)


@app.command()
def token(
    data: Annotated[Path, typer.Option(metavar="DIR", help="The folder of a running demo.")],
    organisation: Annotated[str, typer.Option(metavar="HOLDER", help="Whose server gives it (slug or URA).")],
    requester: Annotated[
        str | None, typer.Option("--for", metavar="REQUESTER", help="Who asks for it (slug or URA).")
    ] = None,
    scope: Annotated[str | None, typer.Option(metavar="SCOPE", help="What it is for, such as bgz.")] = None,
    patient: Annotated[
        str | None, typer.Option(metavar="BSN", help="A patient's own token (MedMij); --scope ID to share.")
    ] = None,
    dpop: Annotated[
        Path | None,
        typer.Option(metavar="KEYFILE", help="Bind it to the key in this JWK file; made if absent."),
    ] = None,
    user_id: UserIdOption = None,
    user_name: UserNameOption = None,
    role: RoleOption = None,
    responsible: ResponsibleOption = None,
    responsible_role: ResponsibleRoleOption = None,
    purpose: PurposeOption = "TREAT",
    treatment_relation: TreatmentRelationOption = "current",
) -> int:
    """Get an access token in a demo, signed with its test keys.

    The token is the last line. A real grant: the holder's authorisation server judges the request as any other.
    """
    from schakel.commands.doors import places
    from schakel.commands.token import token
    from schakel.commands.who import user

    if patient:
        from schakel.commands.patient_token import patient_token

        if requester:
            raise Invalid("give --patient BSN or --for REQUESTER, one of the two")
        if dpop:
            raise NotSupported(
                "--dpop is for --for REQUESTER: tokens of patients are not bound to a key (MedMij)"
            )
        known = places(data, None)
        return patient_token(known, known.find(organisation), patient, share=scope or "")
    if not (requester and scope):
        raise Invalid("give --patient BSN, or --for REQUESTER and --scope SCOPE")
    known = places(data, None)
    asking = known.find(requester)
    who = user(
        known,
        asking,
        id=user_id,
        name=user_name,
        role=role,
        responsible=responsible,
        responsible_role=responsible_role,
    )
    return token(
        known,
        known.find(organisation),
        asking,
        scope=scope,
        user=who,
        purpose=purpose,
        treatment_relation=treatment_relation,
        dpop=dpop,
    )


def main() -> NoReturn:
    """Entry point of the program."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
