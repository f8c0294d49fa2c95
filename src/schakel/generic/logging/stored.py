"""An event as it is kept: its fields as JSON, the columns it is searched by, and the hash that a seal has of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import zstandard

from schakel.fhir.json import Resource
from schakel.generic.logging.audit_event import audit_event
from schakel.generic.logging.events import Audience, Event, LoggedPerson, seen
from schakel.kernel.outcomes import Fault
from schakel.store.database import unpack

COLUMNS = "id, recorded, kind, outcome, requester, person, patient, decision, correlation, body"
"""The columns of `audit_event` that make an event, but for whose it is."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = tuple(one.name for one in fields(Event) if one.name not in ("user", "checks", "resources"))


@dataclass(frozen=True, slots=True)
class Logged:
    """An event as it stands in the log."""

    id: str
    recorded: datetime
    event: Event

    def resource(self, audience: Audience = "officer") -> Resource:
        """The AuditEvent, with what this audience may see."""
        event = self.event if audience == "officer" else seen(self.event, audience)
        return audit_event(event, self.recorded, self.id)


def to_json(event: Event) -> bytes:
    """The fields of `event` that say anything. What a caller sent that is no text (half of a surrogate pair) is
    escaped. Raises `TypeError` for a field that is of another type than declared."""
    table: dict[str, Any] = {name: value for name in _NAMES if (value := getattr(event, name))}
    if (user := event.user) is not None:
        table["user"] = {"id": user.id, "name": user.name, "role": user.role, "responsible": user.responsible}
    if event.checks:
        table["checks"] = list(event.checks)
    if event.resources:
        table["resources"] = list(event.resources)
    try:
        return orjson.dumps(table)
    except TypeError:
        return orjson.dumps({name: _escaped(value) for name, value in table.items()})


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    if isinstance(value, dict):
        return {name: _escaped(one) for name, one in value.items()}
    return value


def from_json(body: bytes) -> Event:
    """The inverse of `to_json`."""
    table = orjson.loads(body)
    for name in ("checks", "resources"):
        if name in table:
            table[name] = tuple(table[name])
    if "user" in table:
        table["user"] = LoggedPerson(**table["user"])
    return Event(**{"requester": "", "holder": "", **table})


def logged(row: asyncpg.Record) -> Logged:
    """The event in a row with `id`, `recorded` and `body`. Raises `Fault` for one that was damaged in the database."""
    try:
        return Logged(str(row["id"]), row["recorded"], from_json(unpack(row["body"])))
    except (zstandard.ZstdError, ValueError, TypeError) as error:
        raise Fault(
            f"event {row['id']} of the log is damaged; `schakel log verify` tells more", code="event-damaged"
        ) from error


def leaf(row: asyncpg.Record) -> bytes:
    """The SHA-256 of an event with its decision: of a row with `COLUMNS` and `decided`, the decision object or None.

    What is hashed are the fields one after the other, each behind its length (8 bytes, the highest first): id (16
    bytes), recorded (microseconds since 1970, in decimals), the text of kind, outcome, requester, person, patient and
    correlation, the id of the decision (16 bytes), the JSON of the event and the decision object, both unpacked. No
    two events have the same bytes, and who knows the hash alone cannot guess the event: the id of the decision is
    random.
    """
    decided = row["decided"]
    microseconds = (row["recorded"] - EPOCH) // timedelta(microseconds=1)
    parts = (
        row["id"].bytes,
        str(microseconds).encode(),
        row["kind"].encode(),
        str(row["outcome"]).encode(),
        row["requester"].encode(),
        row["person"].encode(),
        row["patient"].encode(),
        row["correlation"].encode(),
        row["decision"].bytes,
        _unpacked(row["body"]),
        b"" if decided is None else _unpacked(decided),
    )
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def _unpacked(body: bytes) -> bytes:
    """The inverse of `pack`; what someone damaged in the database stands for itself."""
    try:
        return unpack(body)
    except zstandard.ZstdError:
        return body
