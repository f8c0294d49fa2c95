"""The profiles, tags and security labels in use, from the search index."""

from __future__ import annotations

from typing import Any

import asyncpg

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.store.connection import acquire
from schakel.store.sql import Statement

_ELEMENTS = {"_profile": "profile", "_security": "security", "_tag": "tag"}


async def labels(pool: asyncpg.Pool, tenant: int, version: Version, kind: str) -> Resource:
    """A Meta with what the current resources of a type, or of all types, carry."""
    statement = Statement(tenant, version)
    text = (
        f"SELECT DISTINCT t.param, t.system, t.code FROM {Statement.rows('index_token', 't')} "
        f"AND t.param = ANY({statement.argument(list(_ELEMENTS))})"
    )
    if kind:
        text += f" AND t.type = {statement.argument(kind)}"
    async with acquire(pool) as connection:
        rows = await connection.fetch(f"{text} ORDER BY param, system, code", *statement.arguments)
    meta: dict[str, list[Any]] = {}
    for row in rows:
        coding = {name: row[name] for name in ("system", "code") if row[name]}
        value = row["code"] if row["param"] == "_profile" else coding
        meta.setdefault(_ELEMENTS[row["param"]], []).append(value)
    return meta
