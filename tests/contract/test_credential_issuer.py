"""The stand-in of an issuer: its credentials are taken by what takes those of others, until it withdraws them."""

from __future__ import annotations

import ipaddress
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.nodes import free_ports

from schakel.generic.identity.credentials import NotChecked, Refused, Resolver, StatusLists, Web, WebRules
from schakel.generic.identity.credentials.jwts import read
from schakel.generic.identity.credentials.model import Credential
from schakel.generic.identity.credentials.reading import credential
from schakel.generic.identity.credentials.signers import check_did_web
from schakel.kernel.clock import now
from schakel_national import credential_issuer, uzi_ca
from schakel_national.serving import Facility, serving

HOSTS = ("localhost", "127.0.0.1")
HOLDER = "did:web:node.example:kliniek-oost"
TOLD: dict[str, dict[str, str]] = {
    "HealthcareProviderRoleTypeCredential": {"roleCodeNL": "V4"},
    "PatientEnrollmentCredential": {
        "patientId": "http://fhir.nl/fhir/NamingSystem/bsn|999911120",
        "registeredBy": "http://fhir.nl/fhir/NamingSystem/uzi|900000009",
    },
    "HealthCareProfessionalDelegationCredential": {
        "registeredBy": "http://fhir.nl/fhir/NamingSystem/uzi|900000009",
        "roleCode": "01.015",
        "facilityType": "V4",
    },
    "ServiceProviderCredential": {"identifier": "00000001", "name": "Leverancier"},
    "ServiceProviderDelegationCredential": {"delegatedBy": "90000382"},
}


@dataclass
class Issuer:
    """The running stand-in, and what we read it with."""

    did: str
    folder: Path
    port: int
    client: httpx.AsyncClient
    resolver: Resolver
    status: StatusLists

    async def issue(
        self, kind: str = "HealthcareProviderRoleTypeCredential", **more: object
    ) -> dict[str, str]:
        asked = {"type": kind, "subject": HOLDER, **TOLD[kind], **more}
        answer = await self.client.post("/credentials", json=asked)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def taken(self, made: dict[str, str]) -> Credential:
        """The credential, when its signature is right and it was not withdrawn."""
        found = credential(made["credential"])
        assert found.jwt is not None
        await check_did_web(found.jwt, found.issuer, self.resolver)
        await self.status.check(found, now())
        return found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with TLS for the issuer, made once."""
    folder = tmp_path_factory.mktemp("ca")
    uzi_ca.server_tls(folder, "http://127.0.0.1:8412", credential_issuer.NAME, HOSTS)
    return folder


@pytest_asyncio.fixture(loop_scope="session")
async def issuer(tmp_path: Path, authority: Path) -> AsyncIterator[Issuer]:
    [port] = free_ports(1)
    shutil.copytree(authority, tmp_path, dirs_exist_ok=True)
    tls = uzi_ca.server_tls(tmp_path, "http://127.0.0.1:8412", credential_issuer.NAME, HOSTS)
    address = f"https://127.0.0.1:{port}"
    facility = Facility(credential_issuer.NAME, credential_issuer.application(tmp_path, address), port, tls)
    context = ssl.create_default_context(cafile=tmp_path / "uzi-ca" / "anchors.pem")
    rules = WebRules(private=(ipaddress.ip_network("127.0.0.0/8"),))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving("127.0.0.1", [facility]))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=address, verify=context))
        web = await stack.enter_async_context(Web.open(rules, context))
        resolver = Resolver(web)
        did = f"did:web:localhost%3A{port}"
        yield Issuer(did, tmp_path, port, client, resolver, StatusLists(web, resolver))


@pytest.mark.parametrize("kind", TOLD)
async def test_each_type_says_what_was_told_and_is_taken(issuer: Issuer, kind: str) -> None:
    found = await issuer.taken(await issuer.issue(kind))
    assert (found.type, found.issuer) == (kind, issuer.did)
    said = dict(found.subject)
    assert said.pop("id") == HOLDER
    if kind == "ServiceProviderDelegationCredential":
        assert said == {"hasDelegation": {"delegatedBy": {"identifier": "90000382"}}}
    else:
        assert said == TOLD[kind]


async def test_only_the_credential_that_is_withdrawn_is_refused(issuer: Issuer) -> None:
    first, second = await issuer.issue(), await issuer.issue()
    await issuer.taken(first)
    answer = await issuer.client.post("/revocations", json={"id": first["id"]})
    assert answer.status_code == 204
    with pytest.raises(Refused) as refused:
        await issuer.taken(first)
    assert refused.value.kind == "credential-revoked"
    await issuer.taken(second)


async def test_what_was_issued_and_withdrawn_survives_a_restart(issuer: Issuer) -> None:
    made = await issuer.issue()
    await issuer.client.post("/revocations", json={"id": made["id"]})
    [port] = free_ports(1)
    again = credential_issuer.application(issuer.folder, f"https://127.0.0.1:{issuer.port}")
    async with (
        serving("127.0.0.1", [Facility("again", again, port)]),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        document = (await client.get("/.well-known/did.json")).json()
        assert document == (await issuer.client.get("/.well-known/did.json")).json()
        asked = {"type": "ServiceProviderCredential", "subject": HOLDER, **TOLD["ServiceProviderCredential"]}
        later = (await client.post("/credentials", json=asked)).json()
        listed = [read((await one.get("/status/1")).text, "list").claims for one in (issuer.client, client)]
    assert listed[0]["vc"] == listed[1]["vc"]
    places = [read(one["credential"], "it").claims["vc"]["credentialStatus"] for one in (made, later)]
    assert [place["statusListIndex"] for place in places] == ["0", "1"]


async def test_what_is_no_status_list_says_nothing(issuer: Issuer) -> None:
    made = await issuer.issue()
    found = credential(made["credential"])
    entry: dict[str, Any] = {**found.document["credentialStatus"]}
    entry["statusListCredential"] = f"https://localhost:{issuer.port}/.well-known/did.json"
    strange = replace(found, document={**found.document, "credentialStatus": entry})
    with pytest.raises(NotChecked):
        await issuer.status.check(strange, now())


async def test_a_credential_carries_the_claims_of_a_jwt(issuer: Issuer) -> None:
    made = await issuer.issue(seconds=60)
    found = read(made["credential"], "the credential")
    assert found.claims["iss"] == issuer.did and found.claims["sub"] == HOLDER
    assert found.claims["jti"] == made["id"]
    assert found.claims["exp"] - found.claims["nbf"] == 60


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"type": "OtherCredential"}, "type must be one of"),
        ({"subject": "kliniek-oost"}, "subject must be a DID"),
        ({"seconds": 0}, "seconds must be"),
        ({"roleCodeNL": ""}, "needs roleCodeNL"),
        ({"roleCodeNL": 4}, "needs roleCodeNL"),
        ({"ura": "90000382"}, "has no ura"),
    ],
)
async def test_a_request_that_is_not_right_is_refused_by_name(
    issuer: Issuer, changes: dict[str, object], why: str
) -> None:
    asked = {"type": "HealthcareProviderRoleTypeCredential", "subject": HOLDER, "roleCodeNL": "V4", **changes}
    answer = await issuer.client.post("/credentials", json=asked)
    assert answer.status_code == 400 and why in answer.json()["error"]


async def test_what_was_not_issued_here_cannot_be_withdrawn(issuer: Issuer) -> None:
    for wrong in ({"id": "urn:x"}, {}):
        assert (await issuer.client.post("/revocations", json=wrong)).status_code == 404
    assert (await issuer.client.post("/revocations", json=[1])).status_code == 400
