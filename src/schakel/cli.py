"""The command `schakel`: names, options and help. The work is in `schakel.commands`, imported when it runs.

Exit codes: 0 done; 1 the job failed; 2 wrong usage or configuration; 130 stopped with Ctrl-C. Bad input ends
in one sentence on stderr, never in a stack trace.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from schakel.kernel.outcomes import Invalid, NotSupported, Outcome


class _Group(TyperGroup):
    """Commands return their exit code; an outcome becomes a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BaseExceptionGroup as group:
            raise _exit_of(_first(group)) from group
        except BrokenPipeError:
            # Whoever read our output has left, such as `head`; nothing is wrong and nothing is left to say.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (Outcome, OSError) as error:
            raise _exit_of(error) from error
        if code:
            raise typer.Exit(code)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _exit_of(error: BaseException) -> BaseException:
    """Says what is wrong; the exit that goes with it. A fault of our own comes back as it is."""
    if isinstance(error, Outcome):
        print(f"schakel: {error.message}", file=sys.stderr)
        return typer.Exit(2 if isinstance(error, Invalid | NotSupported) else 1)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        print(f"schakel: {where}{error.strerror or error}", file=sys.stderr)
        return typer.Exit(1)
    return error


app = typer.Typer(
    cls=_Group,
    name="schakel",
    help="Makes a care provider, and a whole region, part of the Dutch health-data network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


OrganisationOption = Annotated[
    str, typer.Option("--organisation", metavar="SLUG|URA", help="Which organisation we act for.")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The folder of a running demo; or give --config.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The configuration of a running node.")
]
PatientOption = Annotated[str, typer.Option("--patient", metavar="BSN", help="Whose data.")]
UserIdOption = Annotated[
    str | None,
    typer.Option("--user-id", metavar="NUMBER", help="Who asks: Dezi or UZI number, or local account."),
]
UserNameOption = Annotated[str | None, typer.Option("--user-name", metavar="NAME", help="The name.")]
RoleOption = Annotated[
    str | None, typer.Option("--role", metavar="CODE", help="The role code, such as 01.015.")
]
ResponsibleOption = Annotated[
    str | None, typer.Option("--responsible", metavar="NUMBER", help="Who gave the mandate.")
]
PurposeOption = Annotated[str, typer.Option("--purpose", metavar="CODE", help="Purpose of use.")]
TreatmentRelationOption = Annotated[
    str, typer.Option("--treatment-relation", metavar="WORD", help="The relation with the patient.")
]


def _pairs(values: Iterable[str], option: str) -> tuple[tuple[str, str], ...]:
    """`NAME=VALUE` texts as pairs."""
    pairs = []
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise Invalid(f"{option} takes NAME=VALUE")
        pairs.append((name.strip(), value))
    return tuple(pairs)


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
    """Run a whole region on this machine: eight organisations with synthetic patients."""
    from schakel.commands.demo import DemoOptions, demo

    return demo(DemoOptions(patients, port, data, seed, not no_browser, check, json))


@app.command()
def check(
    url: Annotated[str, typer.Argument(metavar="URL", help="FHIR base of the endpoint under test.")],
    suite: Annotated[Path, typer.Option(metavar="DIR", help="Folder (or file) of FHIR TestScripts.")],
    load: Annotated[
        str | None, typer.Option(metavar="URL", help="Load the suite's data through this FHIR base first.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Header on every tested request.")
    ] = None,
    load_header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Header on every loading request.")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Access tokens per patient (JSON array).")
    ] = None,
    var: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Value of a variable of the scripts.")
    ] = None,
    cacert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificates to trust (PEM).")] = None,
    cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Our client certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).")] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the result here as JUnit XML.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the whole result here as JSON.")
    ] = None,
) -> int:
    """Run a published test suite (FHIR TestScript) against any FHIR server."""
    from schakel.commands.check import run_check
    from schakel.conformance import CheckOptions

    options = CheckOptions(
        url=url,
        suite=suite,
        load=load,
        headers=_pairs(header or (), "--header"),
        load_headers=_pairs(load_header or (), "--load-header"),
        tokens=tokens,
        variables=dict(_pairs(var or (), "--var")),
        cacert=cacert,
        cert=cert,
        key=key,
    )
    return run_check(options, junit, json)


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="FHIR JSON and XML, or folders.")],
    organisation: OrganisationOption,
    data: DataOption = None,
    config: ConfigOption = None,
    fhir: Annotated[str, typer.Option(metavar="VERSION", help="FHIR version: stu3 or r4.")] = "stu3",
) -> int:
    """Write FHIR files and Bundles into an organisation, and report what was refused and why."""
    from schakel.commands.doors import places
    from schakel.commands.import_files import import_files

    match fhir:
        case "stu3" | "r4":
            return import_files(places(data, config).find(organisation), paths, fhir)
        case _:
            raise Invalid("--fhir is stu3 or r4")


fetch = typer.Typer(
    help="Ask other organisations for a patient's data, as the EHR would.", no_args_is_help=True
)
app.add_typer(fetch, name="fetch")


@fetch.command("bgz")
def fetch_bgz(
    organisation: OrganisationOption,
    patient: PatientOption,
    holder: Annotated[
        list[str], typer.Option(metavar="URA|SLUG", help="Who holds the data; may be given more than once.")
    ],
    data: DataOption = None,
    config: ConfigOption = None,
    user_id: UserIdOption = None,
    user_name: UserNameOption = None,
    role: RoleOption = None,
    responsible: ResponsibleOption = None,
    purpose: PurposeOption = "TREAT",
    treatment_relation: TreatmentRelationOption = "current",
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the whole answer here.")
    ] = None,
) -> int:
    """Fetch the BgZ of a patient; prints what each holder gave per request. Exit code 0 when complete."""
    from schakel.commands.doors import places
    from schakel.commands.fetch import BgzAsk, fetch_bgz
    from schakel.commands.who import user

    known = places(data, config)
    door = known.find(organisation)
    who = user(known, door, id=user_id, name=user_name, role=role, responsible=responsible)
    return fetch_bgz(known, door, BgzAsk(patient, holder, who, purpose, treatment_relation), json)


ground = typer.Typer(help="Grounds for disclosure: write, list and end them.", no_args_is_help=True)
app.add_typer(ground, name="ground")


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


@app.command()
def explain(
    id: Annotated[str, typer.Argument(metavar="ID", help="The decision's id, as the answer gave it.")],
    organisation: Annotated[
        str | None, typer.Option(metavar="SLUG|URA", help="In whose log to look; without it in all of them.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Say what the log holds of a decision: who, for which patient, what, permitted or refused, and why."""
    from schakel.commands.doors import places
    from schakel.commands.explain import explain

    known = places(data, config)
    return explain(known, [known.find(organisation)] if organisation else known.organisations, id)


@app.command()
def token(
    data: Annotated[Path, typer.Option(metavar="DIR", help="The folder of a running demo.")],
    organisation: Annotated[str, typer.Option(metavar="HOLDER", help="Whose server gives it (slug or URA).")],
    requester: Annotated[
        str | None, typer.Option("--for", metavar="REQUESTER", help="Who asks for it (slug or URA).")
    ] = None,
    scope: Annotated[str | None, typer.Option(metavar="SCOPE", help="What it is for, such as bgz.")] = None,
    patient: Annotated[
        str | None, typer.Option(metavar="BSN", help="A patient's own token (MedMij); not in this version.")
    ] = None,
    dpop: Annotated[
        Path | None, typer.Option(metavar="KEYFILE", help="Bind it to this key; not in this version.")
    ] = None,
    user_id: UserIdOption = None,
    user_name: UserNameOption = None,
    role: RoleOption = None,
    responsible: ResponsibleOption = None,
    purpose: PurposeOption = "TREAT",
    treatment_relation: TreatmentRelationOption = "current",
) -> int:
    """Get an access token in a demo, signed with its test keys; it is the last line."""
    from schakel.commands.doors import places
    from schakel.commands.token import token
    from schakel.commands.who import user

    if patient:
        raise NotSupported(
            "--patient gives a patient's token for MedMij, which this version does not have yet"
        )
    if dpop:
        raise NotSupported("--dpop binds a token to a key (RFC 9449), which this version does not do yet")
    if not (requester and scope):
        raise Invalid("give --for REQUESTER and --scope SCOPE")
    known = places(data, None)
    asking = known.find(requester)
    who = user(known, asking, id=user_id, name=user_name, role=role, responsible=responsible)
    return token(
        known,
        known.find(organisation),
        asking,
        scope=scope,
        user=who,
        purpose=purpose,
        treatment_relation=treatment_relation,
    )


def main() -> NoReturn:
    """Entry point of the program."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
