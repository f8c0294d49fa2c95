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
    suite: Annotated[Path, typer.Option(metavar="DIR", help="Folder (or file) of FHIR TestScripts.")],
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
    """Run a published test suite against any FHIR server.

    The suite is a folder of FHIR TestScripts. What could not be checked is counted apart, never as passed.

    With --data and --organisation, for an endpoint of a demo, the suite's data are loaded through the organisation's
    internal door, and each patient gets a token by logging in and giving consent.
    """
    from schakel.commands.check import at_demo, run_check
    from schakel.conformance import CheckOptions

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


localisation = typer.Typer(
    help="What the national index (NVI) was told of patients: show it, compare it.", no_args_is_help=True
)
app.add_typer(localisation, name="localisation")


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


addressing = typer.Typer(
    help="The query directory: what it is kept in step with, and what is not right.", no_args_is_help=True
)
app.add_typer(addressing, name="addressing")


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


log = typer.Typer(help="The log of a node: check it against its seals, end its term.", no_args_is_help=True)
app.add_typer(log, name="log")


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
