"""The chain log of MedMij: what passed between the parties, for following one session through all of them.

It holds ids, hosts and statuses, and nothing of a person; who saw what of whom is in the NEN 7513 log.

Source: MedMij framework 2.2.x, "Logging interface": event{type, location, datetime, session_id, trace_id},
request{id, method, client_id, server_id, uri, grant_type, provider_id, service_id}, response{id, status},
error{code, description}. The names of the authorisation events are the framework's; those of the token and resource
events follow them from the answering side.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import asyncpg
import orjson

from schakel.kernel.clock import instant, now
from schakel.store.connection import acquire

ChainType: TypeAlias = Literal[
    "receive_authorization_request",
    "show_landing_page",
    "authorization_request_error",
    "show_authorization_request_error_page",
    "send_authorization_request_error",
    "receive_authorization_cancellation",
    "send_authorization_cancellation",
    "send_authentication_request",
    "receive_authentication_response",
    "receive_authentication_error",
    "show_authorization_page",
    "send_authorization_response",
    "receive_token_request",
    "send_token_response",
    "send_token_request_error",
    "receive_revocation_request",
    "receive_resource_request",
    "send_resource_response",
    "send_resource_request_error",
]

_CLEANING_SECONDS = 3600.0
_NEXT = timedelta(microseconds=1)
"""Between two events that are written together, which keeps their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainEvent:
    """One event. `session` is the correlation id, `uri` a path without query, `service` a data service id."""

    type: ChainType
    session: str
    request_id: str = ""
    method: str = ""
    client: str = ""
    uri: str = ""
    grant_type: str = ""
    service: str = ""
    status: int = 0
    error: str = ""
    description: str = ""


class ChainLog:
    """The chain log of organisation `tenant`: `host` is the name of our server, `provider` the MedMij name. Events
    are removed after `months`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int, host: str, provider: str, months: int) -> None:
        self._pool = pool
        self._tenant = tenant
        self._host = host
        self._provider = provider
        self._months = months
        self._clean_after = 0.0

    async def write(self, *events: ChainEvent) -> None:
        """Writes `events` down, together and in this order. Raises `Busy`."""
        started = now()
        moments = [started + place * _NEXT for place in range(len(events))]
        rows = [
            (self._tenant, moment, uuid.uuid4(), one.type, one.session, self._body(one, moment))
            for one, moment in zip(events, moments, strict=True)
        ]
        async with acquire(self._pool) as connection:
            await connection.executemany(
                "INSERT INTO chain_event (tenant, recorded, id, type, session, body) "
                "VALUES ($1, $2, $3, $4, $5, $6::jsonb)",
                rows,
            )
            if time.monotonic() > self._clean_after:
                self._clean_after = time.monotonic() + _CLEANING_SECONDS
                await connection.execute(
                    "DELETE FROM chain_event WHERE tenant = $1 AND recorded < now() - make_interval(months => $2)",
                    self._tenant,
                    self._months,
                )

    def _body(self, event: ChainEvent, moment: datetime) -> str:
        """The event in the shape of the framework, as JSON."""
        body = {
            "event": {
                "type": event.type,
                "location": self._host,
                "datetime": instant(moment),
                "session_id": event.session,
                "trace_id": event.session,
            },
            "request": _present(
                id=event.request_id,
                method=event.method,
                client_id=event.client,
                server_id=self._host,
                uri=event.uri,
                grant_type=event.grant_type,
                provider_id=self._provider,
                service_id=event.service,
            ),
            "response": _present(id=event.request_id, status=event.status) if event.status else None,
            "error": _present(code=event.error, description=event.description, request_id=event.request_id)
            if event.error
            else None,
        }
        return orjson.dumps({name: value for name, value in body.items() if value}).decode()


def _present(**members: str | int) -> dict[str, str | int]:
    return {name: value for name, value in members.items() if value}
