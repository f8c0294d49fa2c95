"""`schakel check`: names, options and help."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from schakel.kernel.outcomes import Invalid


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
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --board: the configuration of the node.")
    ] = None,
    organisation: Annotated[
        str | None, typer.Option(metavar="SLUG|URA", help="With --data or --config: whose endpoint it is.")
    ] = None,
    board: Annotated[
        bool, typer.Option("--board", help="Tell the board of the region, for the organisation.")
    ] = False,
    counts_as: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="CHECK", help="With --board: the check of the roadmap that the suite is for."
        ),
    ] = None,
    no_load: Annotated[bool, typer.Option("--no-load", help="With --data: load nothing.")] = False,
    var: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Value of a variable of the scripts; may be given more than once."
        ),
    ] = None,
    cacert: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Certificates to trust (PEM); may be given more than once."),
    ] = None,
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

    With --board the result stands on the board of the region as evidence about that organisation.
    """
    from schakel.commands.check import at_demo, run_check
    from schakel.conformance import CheckOptions

    told = None
    if board:
        from schakel.commands.doors import places
        from schakel.commands.telling_board import Board, suite_check

        if organisation is None or (data is None) == (config is None):
            raise Invalid("--board needs --organisation, and --data or --config to find its door")
        name = "api-requirements" if api_requirements else suite_check(counts_as)
        told = Board(places(data, config).find(organisation), name)
    elif config is not None or counts_as is not None:
        raise Invalid("--config and --as go with --board")
    only_requirements = (level, docs, openapi, oauth, answers, declaration, allow_writes)
    if api_requirements:
        from schakel.commands.api_requirements import run_api_requirements, standard
        from schakel.conformance.api_requirements import ApiOptions, read_answers

        if counts_as is not None:
            raise Invalid("--as is for a suite: the API requirements count for themselves")
        if not board and any((data, organisation)):
            raise Invalid("--data and --organisation go with --suite, or with --board")
        if any((suite, load, load_header, tokens, bsn, no_load, var)):
            raise Invalid(
                "--api-requirements runs no suite: leave out --suite and what belongs to it (--load, --load-header, "
                "--tokens, --bsn, --no-load, --var)"
            )
        asked = ApiOptions(
            url=url,
            standard=standard(level or "open"),
            docs=docs or "",
            openapi=openapi or "",
            oauth=oauth or "",
            answers=read_answers(answers) if answers else {},
            headers=_pairs(header or (), "--header"),
            cacerts=tuple(cacert or ()),
            cert=cert,
            key=key,
            writes=allow_writes,
        )
        return run_api_requirements(
            asked, declaration=declaration, junit=junit, json=json, html=html, board=told
        )
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
        cacerts=tuple(cacert or ()),
        cert=cert,
        key=key,
    )
    alone = (data is None) != (organisation is None) and not (board and data is None)
    if alone or (no_load and data is None):
        raise Invalid("--data and --organisation go together, and --no-load goes with them")
    if data is not None and organisation is not None:
        options = at_demo(options, data, organisation, loading=not no_load)
    return run_check(options, junit=junit, json=json, html=html, board=told)


def _pairs(values: Iterable[str], option: str) -> tuple[tuple[str, str], ...]:
    """`NAME=VALUE` texts as pairs."""
    pairs = []
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise Invalid(f"{option} takes NAME=VALUE")
        pairs.append((name.strip(), value))
    return tuple(pairs)
