"""Jobs of an organisation: work that goes on after the answer, looked up by its own EHR and started again."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.node import Node
from schakel.http.reading import as_json, json_object, read_limited
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Invalid
from schakel.sources.jobs import JobStatus


class JobRoutes:
    """Handlers of jobs."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def jobs(self, request: Request) -> Response:
        """Jobs: the newest (GET), or build search parameters of the organisation's own again (POST)."""
        organisation = self._node.own(request)
        if request.method == "POST":
            table = json_object(await read_limited(request, 10_000))
            if unknown := sorted(set(table) - {"parameter"}):
                raise Invalid(f"unknown member {unknown[0][:40]!r}", expression=unknown[0][:40])
            url = table.get("parameter", "")
            if not isinstance(url, str):
                raise Invalid("parameter is the url of a SearchParameter", expression="parameter")
            started = await organisation.jobs.restart(url)
            return as_json({"jobs": [_shown(one) for one in started]}, 202)
        return as_json({"jobs": [_shown(one) for one in await organisation.jobs.newest()]})

    async def job(self, request: Request) -> Response:
        """One job: how far it is."""
        organisation = self._node.own(request)
        return as_json(_shown(await organisation.jobs.get(request.path_params["id"])))


def _shown(job: JobStatus) -> dict[str, Any]:
    parameter = job.parameter
    return {
        "id": job.id,
        "kind": job.kind,
        "parameter": {
            "url": parameter.url,
            "code": parameter.code,
            "fhir": parameter.version,
            "state": parameter.state,
            "failing": parameter.failing,
        },
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "attempts": job.attempts,
        "error": job.error or None,
        "made": instant(job.made),
        "started": instant(job.started) if job.started else None,
        "ended": instant(job.ended) if job.ended else None,
    }
