"""`schakel ground`: write, list and end grounds for disclosure, over the internal door."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from schakel.commands.doors import Client, Door, Places
from schakel.commands.tables import columns, count, shortened
from schakel.kernel.clock import AMSTERDAM


def add(
    places: Places,
    door: Door,
    *,
    requester: str,
    patient: str,
    exchange: str | None,
    queries: Sequence[str],
    until: str,
    reason: str,
    kind: str,
) -> int:
    """Writes a ground and prints it; its id comes first."""
    scope: dict[str, object] = {}
    if exchange:
        scope["exchange"] = exchange
    if queries:
        scope["queries"] = list(queries)
    ground = asyncio.run(
        _ask(
            door,
            "POST",
            "grounds",
            json={
                "requester": places.ura(requester),
                "patient": str(door.bsn(patient)),
                "until": until,
                "reason": reason,
                "kind": kind,
                **scope,
            },
        )
    )
    print(f"{ground['id']}  {_sentence(places, ground)}")
    return 0


def show(places: Places, door: Door, *, patient: str | None, requester: str | None, active: bool) -> int:
    """Prints the grounds of an organisation, the newest first."""
    params = [("active", "true")] if active else []
    if patient:
        params.append(("patient", str(door.bsn(patient))))
    if requester:
        params.append(("requester", places.ura(requester)))
    grounds = asyncio.run(_ask(door, "GET", "grounds", params=params))["grounds"]
    head = ("id", "requester", "patient", "for", "until", "ended")
    rows = [head] + [
        (
            ground["id"],
            ground["requester"],
            ground["patient"],
            ground.get("exchange") or count(len(ground["queries"]), "query", "queries"),
            _minute(ground["until"]),
            _minute(ground["ended"]),
        )
        for ground in grounds
    ]
    for number, line in enumerate(columns(rows) if grounds else ()):
        print(line)
        if number:
            print(f"  {shortened(grounds[number - 1]['reason'], 98)}")
    print(f"{count(len(grounds), 'ground')} at {door.name}")
    return 0


def end(places: Places, door: Door, ground_id: str) -> int:
    """Ends a ground from this moment."""
    ground = asyncio.run(_ask(door, "DELETE", f"grounds/{ground_id}"))
    print(f"ended {ground['ended']}: {_sentence(places, ground)}")
    return 0


def _minute(moment: str | None) -> str:
    """The minute of an instant, as read in the Netherlands."""
    if moment is None:
        return "-"
    return datetime.fromisoformat(moment).astimezone(AMSTERDAM).strftime("%Y-%m-%d %H:%M")


async def _ask(
    door: Door, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), json: object = None
) -> dict[str, Any]:
    async with Client(door) as client:
        return (await client.good(method, path, params=params, json=json)).table()


def _sentence(places: Places, ground: dict[str, Any]) -> str:
    what = ground.get("exchange") or "; ".join(ground["queries"])
    return (
        f"{places.named(ground['requester'])} may have {what} of {ground['patient']} "
        f"until {ground['until']}: {ground['reason']}"
    )
