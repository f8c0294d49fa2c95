"""`schakel find`: where another organisation is reached, as a node has it, over the internal door."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from schakel.commands.doors import Client, Door, Places


def find(places: Places, door: Door, who: str, exchange: str) -> int:
    """Prints the address of an organisation (URA, or a slug of those known here), or of an `Organization/id` or
    `HealthcareService/id` of the query directory."""
    params = [("reference", who)] if "/" in who else [("ura", places.ura(who))]
    if exchange:
        params.append(("exchange", exchange))
    found = asyncio.run(_asked(door, params))
    print(f"{found['name']} ({found['ura']})" + (f", type {found['type']}" if found["type"] else ""))
    for what, address in (
        *_addresses(found, exchange),
        ("authorisation server", found["issuer"] or "none known"),
    ):
        print(f"  {what}: {address}")
    if found["missing"]:
        print(f"  {exchange}, no endpoint for: {', '.join(found['missing'])}")
    age = f"in step at {found['as_of']}" if found["as_of"] else "of unknown age"
    entered = found["source"] == "configuration"
    print(f"from {found['source']}" + ("" if entered else f", {age}{' (stale)' if found['stale'] else ''}"))
    return 0


def _addresses(found: dict[str, Any], exchange: str) -> Iterator[tuple[str, str]]:
    """What each address is for, and the address: for the exchange or its parts, without one for each FHIR version."""
    if not exchange:
        yield from sorted(found["fhir"].items())
    elif found["endpoint"]:
        yield exchange, found["endpoint"]
    for part in found["parts"]:
        yield f"{exchange}, {', '.join(part['categories'])}", part["endpoint"]


async def _asked(door: Door, params: list[tuple[str, str]]) -> dict[str, Any]:
    async with Client(door) as client:
        return (await client.good("GET", "directory/address", params=params)).table()
