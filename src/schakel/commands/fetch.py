"""`schakel fetch bgz`: ask for the BgZ of a patient as the organisation's EHR would."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from schakel.commands.doors import Answer, Client, Door, Places
from schakel.commands.tables import columns, count, shortened
from schakel.generic.identity import User
from schakel.kernel.values import BSN_SYSTEM

_system = re.compile(r"(?:https?://|urn:)[^|,\s]*\|").sub


@dataclass(frozen=True, slots=True)
class BgzAsk:
    """What to ask; holders by slug or URA, none to have them looked for."""

    patient: str
    holders: Sequence[str]
    user: User
    purpose: str
    treatment_relation: str


def fetch_bgz(places: Places, door: Door, ask: BgzAsk, json: Path | None) -> int:
    """Fetches, prints what each holder gave per request; 0 when all is complete, 1 otherwise."""
    body: dict[str, Any] = {
        "patient": str(door.bsn(ask.patient)),
        "user": ask.user.json(),
        "purpose": ask.purpose,
        "treatment_relation": ask.treatment_relation,
    }
    if ask.holders:
        body["holders"] = [places.ura(name) for name in ask.holders]
    answer = asyncio.run(_asked(door, body))
    table = answer.table()
    if json is not None:
        json.write_bytes(answer.body)
    for asked in table["localised"]:
        print(f"{asked['by']} {asked['status']}{_why(asked['reason'])}")
    for holder in table["holders"]:
        for line in _holder(holder, places.named(holder["ura"])):
            print(line)
    print(_totals(table))
    return 0 if table["status"] == "complete" else 1


async def _asked(door: Door, body: dict[str, Any]) -> Answer:
    async with Client(door) as client:
        return await client.good("POST", "exchanges/bgz", json=body)


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""


def _holder(holder: dict[str, Any], name: str) -> Iterator[str]:
    """A line for the holder and a table of its requests, with below each what was dropped and why not more.

    A reason that holds for the holder as a whole is said once.
    """
    requests = holder["requests"]
    whole = holder.get("reason") or ""
    finders = [reason["by"] for reason in holder["found"] if reason["by"] != "ehr"]
    found = f", named by {' and '.join(finders)}" if finders else ""
    yield f"{name}: {holder['status']}{f' ({whole})' if whole else ''}{found}"
    if holder["directory"] and holder["directory"]["stale"]:
        yield f"  its address is from a directory that was last in step at {holder['directory']['as_of']}"
    head = ("nr", "status", "entries", "dropped", "request")
    rows = [head] + [
        (str(r["number"]), r["status"], str(r["entries"]), str(r["dropped"]), _request(r["query"]))
        for r in requests
    ]
    lines = columns(rows, right=frozenset({0, 2, 3}))
    yield f"  {next(lines)}"
    for request, line in zip(requests, lines, strict=True):
        yield f"  {line}"
        if request["reason"] and request["reason"] != whole:
            decision = request["decision"]
            known = not decision or decision in request["reason"]
            yield f"        {request['reason']}{'' if known else f'; decision {decision}'}"
        for dropped in request["held_back"]:
            yield f"        dropped {dropped['resource']}: {dropped['reason']}"
    yield ""


def _request(query: str) -> str:
    """The search without what all searches share (the patient, the wish for Provenance) and code systems."""
    kind, _, text = query.partition("?")
    own = [part for part in unquote(text).split("&") if BSN_SYSTEM not in part and "Provenance" not in part]
    return shortened(_system("", f"{kind} {' '.join(own)}"), 64)


def _totals(table: dict[str, Any]) -> str:
    requests = [r for holder in table["holders"] for r in holder["requests"]]
    entries = sum(r["entries"] for r in requests)
    dropped = sum(r["dropped"] for r in requests)
    return (
        f"{table['status']}: {count(len(table['holders']), 'holder')}, {count(len(requests), 'request')}, "
        f"{count(entries, 'entry', 'entries')}, {dropped} dropped; exchange {table['id']}"
    )
