"""A node that tells others of an organisation: its entries, and the doors where they are read and written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from tests.nodes import MakeDatabase, RunningNode, running_node

VENDOR = {"kvk": "90001234", "name": "Example Vendor"}
SERVICE_TYPE = {"system": "http://snomed.info/sct", "code": "394579002", "display": "Cardiology"}
PLACE_TYPE = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "HOSP"}
ENTRIES: dict[str, Any] = {
    "agb": "06010713",
    "vendor": VENDOR,
    "departments": [
        {"key": "heart", "name": "Heart Centre"},
        {"key": "clinic", "name": "Heart Clinic", "part_of": "heart"},
    ],
    "locations": [
        {
            "key": "main",
            "name": "Main Building",
            "type": [PLACE_TYPE],
            "address": ["Dorpsstraat 1"],
            "postal_code": "1234 AB",
            "city": "Zaltbommel",
        }
    ],
    "services": [
        {
            "key": "cardiology",
            "name": "Cardiology",
            "type": [SERVICE_TYPE],
            "department": "clinic",
            "locations": ["main"],
            "endpoints": ["images"],
        }
    ],
    "endpoints": [
        {
            "key": "images",
            "name": "Images",
            "address": "https://images.example.org/wado",
            "connection_type": {
                "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                "code": "dicom-wado-rs",
            },
            "payload_type": [
                {"system": "http://terminology.hl7.org/CodeSystem/endpoint-payload-type", "code": "any"}
            ],
            "department": "heart",
        }
    ],
    "mandates": [
        {
            "key": "vendor",
            "name": "Example Vendor",
            "kvk": "90001234",
            "codes": ["lrza-endpoint-admin"],
        }
    ],
}
"""Every kind of entry."""

OPEN = {"access": "open", "writes": True}
"""The update client may do all it does, without a token."""


@asynccontextmanager
async def telling_node(
    make_database: MakeDatabase,
    entries: Mapping[str, Any] | None = None,
    client: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> AsyncIterator[RunningNode]:
    """A node whose organisation `a` has `entries` (all of `ENTRIES` when None), with the doors that `client` says."""
    told = {"type_code": "V6", "entries": ENTRIES if entries is None else entries}
    addressing = {
        "update_client": dict(OPEN if client is None else client),
        **overrides.pop("addressing", {}),
    }
    async with running_node(
        make_database,
        overrides.pop("organisations", ("a",)),
        by_slug={"a": told},
        addressing=addressing,
        **overrides,
    ) as node:
        yield node


def own_base(node: RunningNode, slug: str = "a") -> str:
    """The FHIR base where the update client reads the entries of an organisation."""
    return f"{node[slug].front_root}/{slug}/administration/update-client/fhir/r4"


def query_base(node: RunningNode) -> str:
    """The FHIR base where the update client writes."""
    return f"{node['a'].front_root}/directory/update-client/fhir/r4"


def root_base(node: RunningNode) -> str:
    """The FHIR base where the update client finds directories."""
    return f"{node['a'].front_root}/directory/root/fhir/r4"


@asynccontextmanager
async def update_client(base: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends what the ministry's update client sends with every request."""
    common = {
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/json",
        "Authorization": "",
        **headers,
    }
    async with httpx.AsyncClient(base_url=base, headers=common, timeout=60, trust_env=False) as client:
        yield client
