"""Which resources the record of a patient leads to, by the reference index."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from schakel.fhir.definitions import Version, definitions
from schakel.store.connection import Connection
from schakel.store.indexing import FHIR_NUMBER, patient_codes

_REFERS = """
WITH RECURSIVE reached (type, id, depth) AS (
    SELECT DISTINCT target_type, target_id, 1 FROM index_reference
    WHERE tenant = $1 AND fhir = $2 AND type = ANY($3) AND patient = ANY($4) AND target_type <> ''
    AND NOT starts_with(param, '+')
    UNION
    SELECT i.target_type, i.target_id, f.depth + 1
    FROM reached f
    JOIN resource r ON r.tenant = $1 AND r.fhir = $2 AND r.type = f.type AND r.id = f.id
    JOIN index_reference i ON i.tenant = $1 AND i.rid = r.rid
    WHERE f.depth < $7 AND r.type = ANY($8) AND NOT r.deleted AND i.target_type <> ''
    AND NOT starts_with(i.param, '+')
)
SELECT EXISTS (SELECT FROM reached WHERE type = $5 AND id = $6)
"""
"""References as the standard's parameters find them: an organisation's own parameters lead nowhere."""

MAX_DEPTH = 3


async def refers(
    connection: Connection,
    tenant: int,
    version: Version,
    patients: Collection[str],
    types: Collection[str],
    target: tuple[str, str],
) -> bool:
    """Whether a resource of one of `types` that belongs to one of `patients` leads to `target` (type, id): itself,
    or by way of at most two resources that belong to no patient (a PractitionerRole to its Organization)."""
    found: bool = await connection.fetchval(
        _REFERS,
        tenant,
        FHIR_NUMBER[version],
        sorted(types),
        sorted(patients),
        *target,
        MAX_DEPTH,
        _of_nobody(version),
    )
    return found


@cache
def _of_nobody(version: Version) -> list[str]:
    """The types whose resources belong to no patient, by their nature."""
    types = definitions(version).resource_types - {"Patient"}
    return sorted(kind for kind in types if not patient_codes(version, kind))
