"""Tenants: organisations, parts of one that are kept apart, and what a node keeps for itself."""

from __future__ import annotations

import asyncpg

from schakel.kernel.outcomes import Invalid
from schakel.store.connection import acquire

DIRECTORY = "/directory"
"""What names a tenant that holds a directory: behind an organisation's slug its own entries, alone the query directory
of the node."""

PORTAL = "/portal"
"""What names the tenant of the portal of a node."""

ROADMAP = "/roadmap"
"""What names the tenant of the board of the roadmap of a node."""


async def tenant_of(pool: asyncpg.Pool, slug: str, ura: str, name: str, part: str = "") -> int:
    """The number of a tenant; made at its first start. The URA is what stays, slug and name may change. A part is named
    behind both, as no organisation can be. Raises `Invalid` when the slug is another's."""
    async with acquire(pool) as connection:
        try:
            number: int = await connection.fetchval(
                "INSERT INTO tenant (slug, ura, name) VALUES ($1, $2, $3) "
                "ON CONFLICT (ura) DO UPDATE SET slug = excluded.slug, name = excluded.name RETURNING id",
                slug + part,
                ura + part,
                name,
            )
        except asyncpg.UniqueViolationError as error:
            raise Invalid(
                f"in this database the slug {slug!r} belongs to an organisation with another ura; choose another slug, "
                "or start the node of that organisation with another one first",
                code="slug-taken",
            ) from error
    return number
