"""The board of the demo's region, filled through the door of the organisation that keeps it: with the months before,
and with what is measured."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from schakel.demo import cast
from schakel.demo.doors import Client
from schakel.kernel.outcomes import Fault
from schakel.roadmap import wire
from schakel.roadmap.evidence import Run
from schakel.roadmap.reading import shipped
from schakel.roadmap.region import read
from schakel.roadmap.run import measure

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


async def measured(client: Client, address: str, key: str, file: Path) -> Run:
    """Measures the region of `file` and brings that to the board. Raises `Fault` when the board refuses it."""
    run = await measure(read(file, os.environ), shipped())
    await send(client, address, key, [run])
    return run
