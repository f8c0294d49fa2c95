"""A query directory for tests: fictional providers as its resources, and who wrote them.

directory = await Directory.new(pool)
await directory.put(organisation("hospital", URA), endpoint("bgz", BGZ), source="central")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from schakel.fhir.json import Resource
from schakel.generic.addressing import DirectoryRules, QueryDirectory
from schakel.generic.addressing.exchanges import (
    AUTHORISATION_SERVER,
    CAPABILITIES,
    CATEGORIES,
    FHIR_REST,
    Code,
)
from schakel.kernel.values import URA_SYSTEM
from schakel.sources import Write
from schakel.store.resources import Store
from schakel.store.tenants import tenant_of
from schakel.store.writing import RidBlocks

URA, OTHER_URA, THIRD_URA = "90000101", "90000102", "90000103"
NICTIZ = "http://nictiz.nl/fhir/CapabilityStatement"
BGZ: Code = (CAPABILITIES, f"{NICTIZ}/bgz2017-servercapabilities")
MEDICATION: Code = (CAPABILITIES, f"{NICTIZ}/mp-MedicationData.RetrieveServe")
CONDITION: Code = (CATEGORIES, "Condition")
NUTS_OAUTH: Code = (CAPABILITIES, "Nuts-OAuth")
OAUTH_NUTS: Code = (AUTHORISATION_SERVER, "oauth-nuts")
OAUTH2: Code = (AUTHORISATION_SERVER, "oauth2")
TYPE_SYSTEM = "http://nictiz.nl/fhir/NamingSystem/organization-type"


def organisation(
    logical_id: str, ura: str = "", endpoints: Iterable[str] = (), part_of: str = "", /, **members: Any
) -> Resource:
    """An active organisation with these ids of endpoints, in this order, part of another."""
    found: Resource = {
        "resourceType": "Organization",
        "id": logical_id,
        "active": True,
        "name": f"The {logical_id}",
        "type": [{"coding": [{"system": TYPE_SYSTEM, "code": "V6"}]}],
        "endpoint": [{"reference": f"Endpoint/{one}"} for one in endpoints],
    }
    if ura:
        found["identifier"] = [{"system": URA_SYSTEM, "value": ura}]
    if part_of:
        found["partOf"] = {"reference": f"Organization/{part_of}"}
    return {key: value for key, value in {**found, **members}.items() if value not in (None, [])}


def service(logical_id: str, of: str, endpoints: Iterable[str] = (), /, **members: Any) -> Resource:
    """A service that an organisation provides."""
    found: Resource = {
        "resourceType": "HealthcareService",
        "id": logical_id,
        "active": True,
        "name": f"The {logical_id}",
        "providedBy": {"reference": f"Organization/{of}"},
        "endpoint": [{"reference": f"Endpoint/{one}"} for one in endpoints],
    }
    return {key: value for key, value in {**found, **members}.items() if value not in (None, [])}


def endpoint(
    name: str,
    payload: Code | Iterable[Code] = BGZ,
    version: str = "3.0",
    connection: Code = FHIR_REST,
    **members: Any,
) -> Resource:
    """An active endpoint at https://name.example/fhir; `version` '' for one that says none."""
    payloads = [payload] if isinstance(payload, tuple) and isinstance(payload[0], str) else list(payload)
    media = f"application/fhir+json; fhirVersion={version}" if version else "application/fhir+json"
    found: Resource = {
        "resourceType": "Endpoint",
        "id": name,
        "status": "active",
        "connectionType": {"system": connection[0], "code": connection[1]},
        "managingOrganization": {"reference": "Organization/vendor"},
        "payloadType": [{"coding": [{"system": one[0], "code": one[1]}]} for one in payloads],
        "payloadMimeType": [media],
        "address": f"https://{name}.example/fhir",
    }
    return {key: value for key, value in {**found, **members}.items() if value is not None}


def server(name: str, connection: Code = OAUTH_NUTS, payload: Code = NUTS_OAUTH) -> Resource:
    """An authorisation server whose issuer is https://name.example/issuer."""
    return endpoint(name, payload, "", connection, address=f"https://{name}.example/issuer")


@dataclass(frozen=True)
class Directory:
    """The query directory of a database, and its store."""

    pool: asyncpg.Pool
    query: QueryDirectory
    store: Store

    @classmethod
    async def new(cls, pool: asyncpg.Pool, part: str = "") -> Directory:
        """That of the node; with `part` another one, for tests that share a database."""
        tenant = await tenant_of(pool, part, part, "Query directory", "/directory")
        return cls(pool, QueryDirectory(pool, tenant), Store(pool, tenant, RidBlocks()))

    def ruled(self, rules: DirectoryRules) -> QueryDirectory:
        """The same directory under other rules."""
        return QueryDirectory(self.pool, self.query.tenant, rules)

    async def put(self, *resources: Resource, source: str = "") -> None:
        """Writes resources, as from a source when one is named."""
        writes = [Write("PUT", str(one["resourceType"]), str(one["id"]), one) for one in resources]
        await self.store.write("r4", writes)
        if source:
            await self.pool.executemany(
                "INSERT INTO directory_resource (tenant, source, type, remote, id) VALUES ($1, $2, $3, $4, $4) "
                "ON CONFLICT DO NOTHING",
                [(self.query.tenant, source, one["resourceType"], one["id"]) for one in resources],
            )

    async def in_step(self, moments: Mapping[str, datetime | None]) -> None:
        """Says when sources were last in step."""
        await self.pool.executemany(
            "INSERT INTO directory_source (tenant, name, in_step) VALUES ($1, $2, $3) "
            "ON CONFLICT (tenant, name) DO UPDATE SET in_step = excluded.in_step",
            [(self.query.tenant, name, moment) for name, moment in moments.items()],
        )
