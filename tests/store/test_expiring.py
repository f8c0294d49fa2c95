"""What says of a person who logged in goes when its time is over, and nothing else goes."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest

from schakel.generic.identity.page_logins import PageLoginGone, PageLogins
from schakel.kernel.values import Bsn
from schakel.store import expiring
from schakel.store.database import connect, disconnect

PATIENT = Bsn("999990019")


async def test_only_what_has_expired_of_these_tenants_is_removed(fresh_database: str) -> None:
    pool = await connect(fresh_database, connections=2)
    try:
        own, other = (PageLogins(pool, tenant, login_seconds=900, seconds=900, most=10) for tenant in (1, 2))
        over, stays = [await own.open(PATIENT, str(uuid.uuid4())) for _ in range(2)]
        elsewhere = await other.open(PATIENT, str(uuid.uuid4()))
        away, waits = await own.begin("nl"), await own.begin("nl")
        async with pool.acquire() as connection:
            await connection.executemany(
                "INSERT INTO token_patient (tenant, token, patient, expires) VALUES ($1, $2, $3, now() + $4)",
                [
                    (tenant, token, PATIENT, timedelta(minutes=minutes))
                    for tenant, token, minutes in ((1, "over", -1), (1, "lives", 9), (2, "elsewhere", -1))
                ],
            )
            for table, column, value in (
                ("page_session", "subject", PATIENT),
                ("page_login", "id", uuid.UUID(away.id)),
            ):
                await connection.execute(
                    f"UPDATE {table} SET expires = now() - interval '1 second' WHERE {column} = $1", value
                )
            await connection.execute(
                "UPDATE page_session SET expires = now() + $1 WHERE secret = sha256($2)",
                timedelta(minutes=1),
                stays.encode(),
            )
            async with expiring.expiring(pool, [1]):
                # The last of the tables.
                for _ in range(100):
                    if await connection.fetchval("SELECT count(*) FROM token_patient") == 2:
                        break
                    await asyncio.sleep(0.05)
            kept = await connection.fetch(
                "SELECT tenant, secret = sha256($1) AS stays FROM page_session", stays.encode()
            )
            logins = await connection.fetchval("SELECT count(*) FROM page_login")
            given = await connection.fetch("SELECT token FROM token_patient ORDER BY token")
        assert {(row["tenant"], row["stays"]) for row in kept} == {(1, True), (2, False)} and logins == 1
        assert [row["token"] for row in given] == ["elsewhere", "lives"]
        assert await own.find(over) is None and await other.find(elsewhere) is None
        found = await own.find(stays)
        assert found is not None and found.subject == PATIENT
        with pytest.raises(PageLoginGone):
            await own.returned(away.id, away.secret)
        assert (await own.returned(waits.id, waits.secret)).language == "nl"
    finally:
        await disconnect(pool)
