"""`schakel reindex`: builds search parameters of an organisation's own again, and waits until that is done."""

from __future__ import annotations

import asyncio
from typing import Any

from schakel.commands.doors import Client, Door
from schakel.commands.progress import Progress
from schakel.commands.tables import count

_SECONDS = 0.5
"""Between two looks at the jobs."""


def reindex(door: Door, parameter: str) -> int:
    """Starts the jobs, shows how far they are and prints what became of each; 0 when all were done."""
    return asyncio.run(_reindex(door, parameter))


async def _reindex(door: Door, parameter: str) -> int:
    progress = Progress()
    async with Client(door) as client:
        asked = {"parameter": parameter} if parameter else {}
        jobs: list[dict[str, Any]] = (await client.good("POST", "jobs", json=asked)).table()["jobs"]
        try:
            while waiting := [n for n, job in enumerate(jobs) if job["state"] in ("waiting", "running")]:
                done, total = (sum(job[name] or 0 for job in jobs) for name in ("done", "total"))
                progress.show(f"{done:,} of {total:,} resources, {count(len(waiting), 'parameter')} to go")
                await asyncio.sleep(_SECONDS)
                for number in waiting:
                    jobs[number] = (await client.good("GET", f"jobs/{jobs[number]['id']}")).table()
        finally:
            progress.clear()
    if not jobs:
        print("this organisation has no search parameters of its own")
    for job in jobs:
        print(_line(job))
    return 0 if all(job["state"] == "done" for job in jobs) else 1


def _line(job: dict[str, Any]) -> str:
    parameter = job["parameter"]
    text = f"{parameter['code']} ({parameter['fhir'].upper()}, {parameter['url']}): "
    if job["state"] == "failed":
        return f"{text}failed after {count(job['done'], 'resource')}: {job['error']}"
    failing = parameter["failing"]
    return f"{text}{count(job['done'], 'resource')} read" + (f", it fails on {failing:,}" if failing else "")
