"""The stand-in of the LRZa in one process with its test, clients of it by certificate, and what they send.

with directory(tmp_path, told='page_size = 2', seed=[...]) as lrza:
    async with lrza.client(HOSPITAL) as hospital:
        made = await hospital.post("/fhir/Organization", json=organisation("11111111"))
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.certificates import Authority, Issued

from schakel.kernel.clock import new_id
from schakel_national.lrza import application

ADDRESS = "https://lrza.example"
BASE = f"{ADDRESS}/fhir"
HOSPITAL, PRACTICE, VENDOR = "11111111", "22222222", "90001234"
"""Two care providers by URA, and a supplier by its number at the Chamber of Commerce."""

URA = "http://fhir.nl/fhir/NamingSystem/ura"
KVK = "http://fhir.nl/fhir/NamingSystem/kvk"
VWS = "http://minvws.github.io/generiekefuncties-docs"
VENDOR_OIN = "00000099900012340000"
DIRECTORY = "http://nuts-foundation.github.io/nl-generic-functions-ig/CapabilityStatement/nl-gf-admin-directory-update-client"
PARTIES = f'[[parties]]\ncertificate = "{VENDOR_OIN}"\nkvk = "{VENDOR}"\n'
ROOT = Authority.new("Root")


@cache
def certificate(ura: str) -> Issued:
    """The certificate of a care provider; of the supplier for its number."""
    if ura == VENDOR:
        return ROOT.issue("supplier.example", serial_number=VENDOR_OIN)
    return ROOT.issue("care.example", uzi=f"2.16.528.1.1007.99.2110-1-990000001-S-{ura}-00.000-00000000")


@dataclass
class Directory:
    """The stand-in."""

    app: ASGIApp

    def client(self, ura: str = "", **headers: str) -> httpx.AsyncClient:
        """Who shows the certificate of `ura`, or none."""
        chain = [certificate(ura).pem] if ura else []

        async def shown(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "extensions": {"tls": {"client_cert_chain": chain}}}, receive, send)

        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=shown), base_url=ADDRESS, headers=headers, trust_env=False
        )


@contextmanager
def directory(folder: Path, told: str = "", seed: Sequence[dict[str, Any]] = ()) -> Iterator[Directory]:
    """A directory with its data in `folder`, told what `told` says and that suppliers are known."""
    place = folder / "uzi-ca"
    place.mkdir(exist_ok=True)
    (place / "anchors.pem").write_text(ROOT.pem)
    if seed:
        (folder / "seed.ndjson").write_text("\n".join(json.dumps(one) for one in seed))
        told = f'seed = "seed.ndjson"\n{told}'
    (folder / "lrza.toml").write_text(f"{told}\n{PARTIES}")
    yield Directory(application(folder, ADDRESS))


def assigned(value: str = "", assigner: tuple[str, str] = (KVK, "50000535")) -> dict[str, Any]:
    """A custodian-assigned identifier."""
    custodian = {
        "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
        "code": "custodian",
    }
    return {
        "use": "official",
        "system": "urn:ietf:rfc:3986",
        "value": value or f"urn:uuid:{new_id()}",
        "assigner": {
            "identifier": {"system": assigner[0], "value": assigner[1], "type": {"coding": [custodian]}}
        },
    }


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def organisation(ura: str = "", **members: Any) -> dict[str, Any]:
    """An Organization that keeps the profile; with a URA when given."""
    own = [{"system": URA, "value": ura}] if ura else []
    return {
        "resourceType": "Organization",
        "identifier": [assigned(), *own],
        "active": True,
        "type": [coded("https://www.cbs.nl/standaard-bedrijfsindeling", "8610")],
        "name": f"Zorgaanbieder {ura}",
        **members,
    }


def endpoint(managing: dict[str, Any], payload: str = "AdvanceDirective", **members: Any) -> dict[str, Any]:
    """An Endpoint that keeps the profile."""
    return {
        "resourceType": "Endpoint",
        "identifier": [assigned()],
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "hl7-fhir-rest",
        },
        "managingOrganization": managing,
        "payloadType": [coded(f"{VWS}/CodeSystem/nl-gf-data-categories-cs", payload)],
        "address": "https://care.example/fhir",
        **members,
    }


def location(managing: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A Location that keeps the profile."""
    return {
        "resourceType": "Location",
        "identifier": [assigned()],
        "name": "Hoofdgebouw",
        "status": "active",
        "type": [coded("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "HOSP")],
        "managingOrganization": managing,
        **members,
    }


def service(provider: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A HealthcareService that keeps the profile."""
    return {
        "resourceType": "HealthcareService",
        "identifier": [assigned()],
        "active": True,
        "providedBy": provider,
        "type": [coded("http://snomed.info/sct", "394579002")],
        "name": "Cardiologie",
        **members,
    }


def mandate(
    giver: dict[str, Any], code: str = "lrza-careprovider-admin", kvk: str = VENDOR, **members: Any
) -> dict[str, Any]:
    """An OrganizationAffiliation by which a care provider lets a supplier write."""
    return {
        "resourceType": "OrganizationAffiliation",
        "identifier": [assigned()],
        "active": True,
        "organization": giver,
        "participatingOrganization": {"identifier": {"system": KVK, "value": kvk}},
        "code": [coded(f"{VWS}/CodeSystem/nl-gf-authorization-type-cs", code)],
        **members,
    }


def to(resource: dict[str, Any]) -> dict[str, Any]:
    """A reference to a resource."""
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


async def created(client: httpx.AsyncClient, resource: dict[str, Any]) -> dict[str, Any]:
    """The resource as the directory made it."""
    answer = await client.post(f"/fhir/{resource['resourceType']}", json=resource)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def updated(client: httpx.AsyncClient, resource: dict[str, Any]) -> dict[str, Any]:
    """The next version of a resource, as the directory made it."""
    answer = await put(client, resource)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def put(client: httpx.AsyncClient, resource: dict[str, Any]) -> httpx.Response:
    """The answer to an update of the version that `resource` is."""
    return await client.put(
        f"/fhir/{resource['resourceType']}/{resource['id']}",
        json=resource,
        headers={"If-Match": f'W/"{resource["meta"]["versionId"]}"'},
    )


def said(answer: httpx.Response, status: int) -> str:
    """What an OperationOutcome with this status says."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome", answer.text
    return " ".join(issue["diagnostics"] for issue in body["issue"])


async def pages(client: httpx.AsyncClient, url: str) -> list[dict[str, Any]]:
    """All pages from `url` on."""
    found = []
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        url = next((one["url"] for one in found[-1]["link"] if one["relation"] == "next"), "")
    return found


def ids(bundle: dict[str, Any], mode: str = "match") -> list[str]:
    """Ids in a searchset."""
    return [one["resource"]["id"] for one in bundle.get("entry", []) if one["search"]["mode"] == mode]
