"""Health and metrics."""

from __future__ import annotations

import asyncio

import structlog
from prometheus_client import generate_latest
from starlette.requests import Request
from starlette.responses import Response

from schakel.http.node import Node
from schakel.http.reading import as_json
from schakel.store.connection import acquire

_log = structlog.get_logger("schakel.http")

_PATIENCE = 2.0
"""Seconds in which the database must answer, all in all."""


class Health:
    """Handlers that say how the node is doing."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def live(self, _request: Request) -> Response:
        """The process answers."""
        return as_json({"status": "up"})

    async def ready(self, _request: Request) -> Response:
        """The database answers."""
        try:
            async with asyncio.timeout(_PATIENCE), acquire(self._node.pool) as connection:
                await connection.fetchval("SELECT 1")
        except Exception as error:  # Whatever is wrong with the database, the answer is the same.
            _log.warning("not-ready", cause=getattr(error, "cause", "") or type(error).__name__)
            return as_json({"status": "down", "database": "unreachable"}, 503)
        return as_json({"status": "up", "database": "up"})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(), media_type="text/plain; version=0.0.4; charset=utf-8")
