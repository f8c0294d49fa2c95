"""The command `schakel`: names, options and help. The work is in `schakel.commands`, imported when it runs.

Exit codes: 0 done; 1 the job failed; 2 wrong usage or configuration; 130 stopped with Ctrl-C. Bad input ends
in one sentence on stderr, never in a stack trace.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from schakel.cli import addressing, grounds, localisation, log, roadmap
from schakel.commands.ending import CommandGroup
from schakel.commands.options import (
    ConfigOption,
    DataOption,
    OrganisationOption,
    PatientOption,
    PurposeOption,
    ResponsibleOption,
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
    """Run a whole region on this machine, with synthetic patients.

    Eight care organisations on two nodes of different operators, with their own database. Nothing has to be
    installed, and nothing is left behind unless --data names a folder.
    """
    from schakel.commands.demo import DemoOptions, demo

    return demo(DemoOptions(patients, port, data, seed, not no_browser, check, json))


@app.command()
def check(
    url: Annotated[str, typer.Argument(metavar="URL", help="FHIR base of the endpoint under test.")],
    suite: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder (or file) of FHIR TestScripts.")
    ] = None,
    api_requirements: Annotated[
        bool,
        typer.Option("--api-requirements", help="Check the Dutch API requirements instead of a suite."),
    ] = False,
    level: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Level of those requirements: open (default), technical or full."),
    ] = None,
    docs: Annotated[
        str | None, typer.Option(metavar="URL", help="The API's documentation, in English.")
    ] = None,
    openapi: Annotated[
        str | None, typer.Option(metavar="URL", help="The API's OpenAPI document (JSON).")
    ] = None,
    oauth: Annotated[
        str | None, typer.Option(metavar="URL", help="The issuer of the API's access tokens.")
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What people declare of each requirement (TOML or JSON)."),
    ] = None,
    declaration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the declaration of conformity here (JSON).")
    ] = None,
    allow_writes: Annotated[
        bool, typer.Option("--allow-writes", help="The API requirements may write at the endpoint.")
    ] = False,
    load: Annotated[
        str | None, typer.Option(metavar="URL", help="Load the suite's data through this FHIR base first.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Header on every tested request; may be given more than once."
        ),
    ] = None,
    load_header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Header on every loading request; may be given more than once."
        ),
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Access tokens per patient (JSON array).")
    ] = None,
    bsn: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=BSN", help="BSN of a Patient whose own is masked; may be given more than once."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of a running demo: load there, and get tokens there."),
    ] = None,
    organisation: Annotated[
        str | None, typer.Option(metavar="SLUG|URA", help="With --data: whose endpoint it is.")
    ] = None,
    no_load: Annotated[bool, typer.Option("--no-load", help="With --data: load nothing.")] = False,
    var: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Value of a variable of the scripts; may be given more than once."
        ),
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
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the whole result here as a web page.")
    ] = None,
) -> int:
    """Run a published test suite against any FHIR server, or check the Dutch API requirements there.

    The suite is a folder of FHIR TestScripts. What could not be checked is counted apart, never as passed.

    With --api-requirements each requirement (Nictiz API-eisen 1.2.0) gets a verdict by its id: pass, fail, not
    applicable, or could not check. Nothing is written at the endpoint unless --allow-writes.

    With --data and --organisation, for an endpoint of a demo, the suite's data are loaded through the organisation's
    internal door, and each patient gets a token by logging in and giving consent.
    """
    from schakel.commands.check import at_demo, run_check
    from schakel.conformance import CheckOptions

    only_requirements = (level, docs, openapi, oauth, answers, declaration, allow_writes)
    if api_requirements:
        from schakel.commands.api_requirements import run_api_requirements, standard
        from schakel.conformance.api_requirements import ApiOptions, read_answers

        if any((suite, load, load_header, tokens, bsn, data, organisation, no_load, var)):
            raise Invalid(
                "--api-requirements runs no suite: leave out --suite and what belongs to it (--load, --load-header, "
                "--tokens, --bsn, --data, --organisation, --no-load, --var)"
            )
        asked = ApiOptions(
            url=url,
            standard=standard(level or "open"),
            docs=docs or "",
            openapi=openapi or "",
            oauth=oauth or "",
            answers=read_answers(answers) if answers else {},
            headers=_pairs(header or (), "--header"),
            cacert=cacert,
            cert=cert,
            key=key,
            writes=allow_writes,
        )
        return run_api_requirements(asked, declaration=declaration, junit=junit, json=json, html=html)
    if any(only_requirements):
        raise Invalid(
            "--level, --docs, --openapi, --oauth, --answers, --declaration and --allow-writes need --api-requirements"
        )
    if suite is None:
        raise Invalid("--suite names the suite to run, or --api-requirements checks the API requirements")
    options = CheckOptions(
        url=url,
        suite=suite,
        load=load,
        headers=_pairs(header or (), "--header"),
        load_headers=_pairs(load_header or (), "--load-header"),
        tokens=tokens,
        bsns=dict(_pairs(bsn or (), "--bsn")),
        variables=dict(_pairs(var or (), "--var")),
        cacert=cacert,
        cert=cert,
        key=key,
    )
    if (data is None) != (organisation is None) or (no_load and data is None):
        raise Invalid("--data and --organisation go together, and --no-load goes with them")
    if data is not None and organisation is not None:
        options = at_demo(options, data, organisation, loading=not no_load)
    return run_check(options, junit=junit, json=json, html=html)


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
    who = user(known, door, id=user_id, name=user_name, role=role, responsible=responsible)
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
    who = user(known, asking, id=user_id, name=user_name, role=role, responsible=responsible)
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
