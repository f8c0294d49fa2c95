"""The outbox: what was written about whom, told after the commit to those who follow an organisation.

A message is a row in the transaction of the data: there with the data or not at all, one for each patient and
transaction. An organisation that nobody follows gets no rows. Messages are read in the order of commit, as feeds are
(see `history`): up to the oldest transaction that is still open, so that none turns up before one that was read.

Who follows has a cursor. A turn locks it, deals with the next messages and moves it on, all in one transaction: what
the receiver writes in it happens once, what it does elsewhere happens at least once and must bear repeating.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from schakel.store.connection import Connection, acquire

PATIENT = "patient"
OBJECTION = "objection"
MOST = 500
"""Messages in one turn."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something was written about `subject`: with the topic `PATIENT` the logical id of a Patient in version `fhir` (3
    or 4), of whom resources of `types` changed; with `OBJECTION` a BSN. `made` is the database's time of the write."""

    topic: str
    fhir: int
    subject: str
    types: tuple[str, ...]
    made: datetime


Receive = Callable[[Connection, int, Sequence[Message]], Awaitable[None]]
"""Deals with messages of a tenant, inside the transaction of the connection."""


async def put_patients(
    connection: Connection, tenant: int, fhir: int, changed: Mapping[str, Collection[str]]
) -> None:
    """Tells of changes to patients (logical ids, with the types of resource), in the transaction that makes them. The
    caller knows that the tenant is followed."""
    if not changed:
        return
    await connection.executemany(
        "INSERT INTO outbox (tenant, topic, fhir, subject, types) VALUES ($1, $2, $3, $4, $5)",
        [(tenant, PATIENT, fhir, patient, sorted(types)) for patient, types in sorted(changed.items())],
    )


async def enter(connection: Connection, tenant: int) -> None:
    """Passes the gate of writes, in a transaction that will `tell`; before it locks any row."""
    await connection.execute("SELECT write_gate($1, false)", tenant)


async def tell(
    connection: Connection, tenant: int, topic: str, subject: str, fhir: int = 0, types: Sequence[str] = ()
) -> None:
    """Tells of one change, when anybody follows, in the transaction that makes it and that came through `enter`."""
    await connection.execute(
        "INSERT INTO outbox (tenant, topic, fhir, subject, types) "
        "SELECT $1, $2, $3, $4, $5 WHERE outbox_followed($1)",
        tenant,
        topic,
        fhir,
        subject,
        list(types),
    )


async def follow(connection: Connection, tenant: int, name: str) -> bool:
    """From this transaction on, what is written is told to `name`; False when it already was.

    It waits for the writes that are under way: what they wrote is there for who reads the data after the commit.
    """
    await connection.execute("SELECT write_gate($1, true)", tenant)
    made = await connection.fetchval(
        "INSERT INTO outbox_consumer (tenant, name, xid, number) SELECT $1, $2, "
        "coalesce(max(xid), '0'), coalesce((array_agg(number ORDER BY xid DESC, number DESC))[1], 0) "
        "FROM outbox WHERE tenant = $1 ON CONFLICT (tenant, name) DO NOTHING RETURNING true",
        tenant,
        name,
    )
    return bool(made)


async def unfollow(connection: Connection, tenant: int, name: str) -> None:
    """`name` no longer follows; what nobody else waits for is removed."""
    await connection.execute("DELETE FROM outbox_consumer WHERE tenant = $1 AND name = $2", tenant, name)
    await connection.execute("DELETE FROM outbox WHERE tenant = $1 AND NOT outbox_followed($1)", tenant)
    await _clear(connection, tenant)


async def turn(
    pool: asyncpg.Pool, tenants: Collection[int], name: str, receive: Receive, most: int = MOST
) -> bool:
    """Hands the next messages of one tenant to `receive`; False when there are none for `name`."""
    async with acquire(pool) as connection, connection.transaction():
        cursor = await connection.fetchrow(
            "SELECT c.tenant, c.xid, c.number FROM outbox_consumer c WHERE c.tenant = ANY ($1) AND c.name = $2 "
            "AND EXISTS (SELECT FROM outbox o WHERE o.tenant = c.tenant AND (o.xid, o.number) > (c.xid, c.number) "
            "AND o.xid < pg_snapshot_xmin(pg_current_snapshot())) LIMIT 1 FOR UPDATE OF c SKIP LOCKED",
            list(tenants),
            name,
        )
        if cursor is None:
            return False
        tenant: int = cursor["tenant"]
        rows = await connection.fetch(
            "SELECT xid, number, topic, fhir, subject, types, made FROM outbox WHERE tenant = $1 "
            "AND (xid, number) > ($2, $3) AND xid < pg_snapshot_xmin(pg_current_snapshot()) "
            "ORDER BY xid, number LIMIT $4",
            tenant,
            cursor["xid"],
            cursor["number"],
            most,
        )
        if rows:
            await receive(connection, tenant, [_message(row) for row in rows])
            await connection.execute(
                "UPDATE outbox_consumer SET xid = $3, number = $4 WHERE tenant = $1 AND name = $2",
                tenant,
                name,
                rows[-1]["xid"],
                rows[-1]["number"],
            )
            await _clear(connection, tenant)
    return bool(rows)


async def _clear(connection: Connection, tenant: int) -> None:
    """Removes what all who follow have dealt with."""
    await connection.execute(
        "DELETE FROM outbox WHERE tenant = $1 AND (xid, number) <= "
        "(SELECT xid, number FROM outbox_consumer WHERE tenant = $1 ORDER BY xid, number LIMIT 1)",
        tenant,
    )


def _message(row: asyncpg.Record) -> Message:
    return Message(row["topic"], row["fhir"], row["subject"], tuple(row["types"]), row["made"])
