"""The board of the demo's region, filled through the door of the organisation that keeps it."""

from __future__ import annotations

from collections.abc import Iterable

from schakel.demo import cast
from schakel.demo.doors import Client
from schakel.kernel.outcomes import Fault
from schakel.roadmap import wire
from schakel.roadmap.evidence import Run

KEEPER = cast.HOSPITAL_NORTH
"""Who keeps the board of the region, on its operator's node."""


async def send(client: Client, address: str, key: str, runs: Iterable[Run]) -> None:
    """Brings runs to the board at the keeper's internal `address`. Raises `Fault` when one is refused."""
    for run in runs:
        reply = await client.send(
            "POST",
            f"{address}/roadmap/runs",
            headers={"X-API-Key": key, "Content-Type": "application/json"},
            data=wire.dump(run),
        )
        if reply.status not in (200, 201):
            raise Fault(f"the board refused a run of the region: {reply.said()}")
