"""Erasing a patient: current versions, history, index and remembered pages; a ledger keeps the proof."""

from __future__ import annotations

import uuid

import asyncpg

from schakel.fhir.definitions import Version
from schakel.store.connection import acquire
from schakel.store.indexing import FHIR_NUMBER
from schakel.store.outbox import PATIENT, enter, tell
from schakel.store.sql import INDEX_TABLES


async def purge(
    pool: asyncpg.Pool, tenant: int, version: Version, patient: str, requester: str, reason: str
) -> int:
    """Removes current versions, history, index and remembered pages; leaves a row in the erasure ledger.

    What names this patient and others as well stays; of what is another's by now, the versions that named
    this patient go. Source: $purge (R5), and the right to erasure.
    """
    fhir = FHIR_NUMBER[version]
    async with acquire(pool) as connection, connection.transaction():
        await enter(connection, tenant)
        rows = await connection.fetch(
            "SELECT rid, type, id FROM resource r WHERE tenant = $1 AND fhir = $2 AND (patient = $3 "
            "OR type = 'Patient' AND id = $3 OR deleted AND (type, id) IN (SELECT type, id FROM history "
            "WHERE tenant = $1 AND fhir = $2 AND patient = $3)) FOR UPDATE",
            tenant,
            fhir,
            patient,
        )
        # A Provenance names what it is about, so it goes when all its targets go.
        about = await connection.fetch(
            "SELECT r.rid, r.type, r.id FROM resource r WHERE r.tenant = $1 AND r.fhir = $2 "
            "AND r.type = 'Provenance' AND r.rid IN (SELECT f.rid FROM index_reference f "
            "JOIN unnest($3::text[], $4::text[]) AS gone (type, id) "
            "ON f.target_type = gone.type AND f.target_id = gone.id "
            "WHERE f.tenant = $1 AND f.fhir = $2 AND f.type = 'Provenance' AND f.param = 'target') "
            "AND NOT EXISTS (SELECT FROM index_reference f WHERE f.tenant = $1 AND f.rid = r.rid "
            "AND f.param = 'target' AND (f.target_type, f.target_id) NOT IN "
            "(SELECT * FROM unnest($3::text[], $4::text[]))) FOR UPDATE OF r",
            tenant,
            fhir,
            [r["type"] for r in rows],
            [r["id"] for r in rows],
        )
        doomed = {(r["type"], r["id"]): r["rid"] for r in [*rows, *about]}
        rids = list(doomed.values())
        for table in INDEX_TABLES:
            await connection.execute(f"DELETE FROM {table} WHERE tenant = $1 AND rid = ANY($2)", tenant, rids)
        await connection.execute("DELETE FROM resource WHERE tenant = $1 AND rid = ANY($2)", tenant, rids)
        await connection.execute(
            "DELETE FROM history WHERE tenant = $1 AND fhir = $2 AND (patient = $5 "
            "OR (type, id) IN (SELECT * FROM unnest($3::text[], $4::text[])))",
            tenant,
            fhir,
            [k for k, _ in doomed],
            [i for _, i in doomed],
            patient,
        )
        await connection.execute(
            "DELETE FROM search_page WHERE tenant = $1 AND fhir = $2 AND ids && $3",
            tenant,
            fhir,
            [i for _, i in doomed],
        )
        await connection.execute(
            "INSERT INTO erasure (tenant, id, requester, reason, fhir, removed) VALUES ($1,$2,$3,$4,$5,$6)",
            tenant,
            uuid.uuid4(),
            requester,
            reason,
            fhir,
            len(doomed),
        )
        await tell(connection, tenant, PATIENT, patient, fhir, sorted({kind for kind, _ in doomed}))
    return len(doomed)
