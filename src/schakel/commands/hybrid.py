"""`schakel roadmap hybrid`: the inventory of hybrid care, over the internal door of an organisation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schakel.commands.doors import Client, Door, refusal
from schakel.commands.tables import columns, count, shortened
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.hybrid.reading import kind_of

DOOR = "roadmap/hybrid"
"""Where the inventory is, at the internal door of an organisation."""


def import_file(file: Path, door: Door, about: str | None, population: int | None) -> int:
    """Hands a file of pathways or people over. Raises `Invalid` with the node's own words, which name the row."""
    body = _read(file)
    kind = kind_of(body)
    if population is not None and kind != "pathways":
        raise Invalid("--population goes with a file of pathways, and this file is about people")
    params = [("ura", about)] if about else []
    if population is not None:
        params.append(("population", str(population)))
    taken = asyncio.run(_asked(door, "POST", f"/{kind}", body, tuple(params)))
    if kind == "people":
        print(f"{count(taken['people'], 'row')} about people taken in")
    else:
        new = count(taken["decisions"], "new decision")
        print(f"{count(taken['pathways'], 'pathway')} taken in, with {new} on whether they suit hybrid care")
    return 0


def import_blocks(file: Path, door: Door) -> int:
    """Hands a list of building blocks over."""
    taken = asyncio.run(_asked(door, "POST", "/blocks", _read(file)))
    print(
        f"version {taken['version']} of the building blocks is in force: {count(len(taken['blocks']), 'block')}"
    )
    return 0


def show_blocks(door: Door) -> int:
    """Prints which lists of building blocks were in force, the present one first."""
    told = asyncio.run(_asked(door, "GET", "/blocks/versions"))
    rows = [
        (
            one["list"]["version"],
            count(len(one["list"]["blocks"]), "block"),
            f"from {one['since'][:10]}" if one["since"] else "from the start",
            f"until {one['until'][:10]}" if one["until"] else "in force",
            one["by"] or "came with the program",
        )
        for one in told["lists"]
    ]
    for line in columns(rows):
        print(line)
    return 0


def show(door: Door) -> int:
    """Prints the inventory that the organisation may see."""
    for line in _told(asyncio.run(_asked(door, "GET", ""))):
        print(line)
    return 0


def _told(shown: Mapping[str, Any]) -> Iterator[str]:
    if not shown["organisations"]:
        yield "no pathways were sent yet"
    for one in shown["organisations"]:
        yield f"{one['name']} ({one['ura']})"
        rows = [
            (
                pathway["id"],
                pathway["suitability"],
                f"{pathway['people']['active']:,} of {pathway['people']['eligible']:,} active",
                shortened(pathway["hybrid_reason"]["en"], 70),
            )
            for pathway in one["pathways"]
        ]
        yield from (f"  {line}" for line in columns(rows, frozenset({2})))
        for pathway in one["pathways"]:
            for made in pathway["counts"]:
                if made["rules_changed_since"]:
                    yield f"  {pathway['id']}: counted for {made['year']} by rules that were changed since: count anew"
        yield from _figures(one["figures"])
    if "region" in shown:
        yield "Region"
        yield from _figures(shown["region"]["figures"])


def _figures(figures: list[Mapping[str, Any]]) -> Iterator[str]:
    rows = []
    for one in figures:
        made = f"{one['numerator']:,} {one['numerator_is']['en']}"
        if one["denominator"] is not None:
            made += f" / {one['denominator']:,} {one['denominator_is']['en']}"
            share = "none" if one["share"] is None else f"{one['share']:.0%}"
        else:
            share = ""
        rows.append((one["kpi"], share, one["name"]["en"], made))
    yield from (f"  {line}" for line in columns(rows, frozenset({1})))


async def _asked(
    door: Door, method: str, path: str, body: bytes | None = None, params: tuple[tuple[str, str], ...] = ()
) -> Mapping[str, Any]:
    async with Client(door) as client:
        answer = await client.send(
            method, f"{DOOR}{path}", params=params, body=body, media="application/octet-stream"
        )
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    return answer.table()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}") from error
