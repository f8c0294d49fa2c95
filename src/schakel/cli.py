"""The command `schakel`: names, options and help. The work is in `schakel.commands`, imported when it runs.

Exit codes: 0 done; 1 the job failed; 2 wrong usage or configuration; 130 stopped with Ctrl-C. Bad input ends
in one sentence on stderr, never in a stack trace.
"""

from __future__ import annotations

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
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BaseExceptionGroup as group:
            raise _exit_of(_first(group)) from group
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
        int, typer.Option(metavar="N", min=0, max=20_000, help="Patients in the region.")
    ] = 100,
    port: Annotated[
        int, typer.Option(metavar="N", min=1, max=65_000, help="First port; all others follow it.")
    ] = 8400,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the data here; without it nothing is kept.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed makes other patients.")] = 1,
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

    if json and not check:
        raise Invalid("--json goes with --check")
    return demo(
        DemoOptions(
            patients=patients, port=port, data=data, seed=seed, browser=not no_browser, check=check, json=json
        )
    )


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


def main() -> NoReturn:
    """Entry point of the program."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
