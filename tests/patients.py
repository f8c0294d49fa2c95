"""A person at the MedMij door: tokens as if the person had agreed, and requests with the headers of the network."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.nodes import RunningNode, RunningOrganisation

from schakel.patient_access import SERVICES

CLIENT = "pgo.example"


async def patient_token(
    node: RunningNode, slug: str, bsn: str, services: Collection[str] = frozenset(SERVICES), minutes: int = 15
) -> str:
    """An access token at the organisation `slug` for this patient and these data services."""
    token, consent = secrets.token_urlsafe(32), uuid.uuid4()
    async with node.node.pool.acquire() as connection:
        tenant = await connection.fetchval("SELECT id FROM tenant WHERE slug = $1", slug)
        await connection.execute(
            "INSERT INTO medmij_consent (tenant, id, patient, client, share, services) "
            "VALUES ($1, $2, $3, $4, '', $5)",
            tenant,
            consent,
            bsn,
            CLIENT,
            list(services),
        )
        await connection.execute(
            "INSERT INTO medmij_secret (tenant, digest, kind, id, consent, correlation_id, expires) "
            "VALUES ($1, $2, 'access', $3, $4, $5, now() + make_interval(mins => $6))",
            tenant,
            hashlib.sha256(token.encode()).digest(),
            uuid.uuid4(),
            consent,
            str(uuid.uuid4()),
            minutes,
        )
    return token


@dataclass
class Person:
    """One person with a token at one organisation."""

    organisation: RunningOrganisation
    token: str
    client: httpx.AsyncClient
    correlation_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def base(self, service: str) -> str:
        """The FHIR base of a data service."""
        return f"{self.organisation.front_root}/{self.organisation.slug}/medmij/{service}/fhir"

    def headers(self, **changed: str | None) -> dict[str, str]:
        """The headers of a request; names in `changed` have `_` for `-`, None leaves one out."""
        usual: dict[str, str | None] = {
            "Authorization": f"Bearer {self.token}",
            "MedMij-Request-ID": str(uuid.uuid4()),
            "X-Correlation-ID": self.correlation_id,
        }
        usual |= {name.replace("_", "-"): value for name, value in changed.items()}
        return {name: value for name, value in usual.items() if value is not None}

    async def get(self, service: str, path: str, **headers: str | None) -> httpx.Response:
        """GET below the base of a service; `path` may be a whole address."""
        address = path if path.startswith("http") else f"{self.base(service)}/{path}"
        return await self.client.get(address, headers=self.headers(**headers))

    async def found(self, service: str, path: str) -> dict[str, Any]:
        """The Bundle of a search that must succeed."""
        answer = await self.get(service, path)
        assert answer.status_code == 200, answer.text
        bundle: dict[str, Any] = answer.json()
        return bundle

    async def keys(self, service: str, path: str) -> list[str]:
        """`Type/id` of all that a search gives."""
        entries = (await self.found(service, path)).get("entry", [])
        return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in entries]

    async def send(
        self, service: str, resource: dict[str, Any], path: str = "", **headers: str | None
    ) -> httpx.Response:
        """POST to the base of a service, or PUT to a path below it."""
        method, address = ("PUT", f"{self.base(service)}/{path}") if path else ("POST", self.base(service))
        sent = self.headers(**headers) | {"Content-Type": "application/fhir+json"}
        return await self.client.request(method, address, json=resource, headers=sent)


@asynccontextmanager
async def person(
    node: RunningNode, slug: str, bsn: str, services: Collection[str] = frozenset(SERVICES)
) -> AsyncIterator[Person]:
    """A person with this BSN who agreed to these services at the organisation `slug`."""
    token = await patient_token(node, slug, bsn, services)
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        yield Person(node[slug], token, client)
