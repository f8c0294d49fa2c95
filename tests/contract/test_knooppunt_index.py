"""A Nuts knooppunt as the client of our stand-ins of PRS and NVI, each request spelled as it spells it: an assertion
signed with the key of its certificate (here one that makes it ES256, not RS256), standard base64 with padding, JSON
without blanks, the search in an address. What it registers our client finds, and the other way round.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.fault.processes import toml
from tests.nation import HOLDER, INDEX, OPERATOR, Nation, nation

from schakel.facilities import ClientCredentials, Facility, Organisation
from schakel.generic.localisation import NviClient, NviRules
from schakel.generic.pseudonyms import Pseudonyms, Recipient, oprf
from schakel.kernel.clock import new_id
from schakel.kernel.values import Bsn

VWS = "http://minvws.github.io/generiekefuncties-docs"
URA = "90000901"
"""The number of the index, by which the older PRS and a knooppunt know it."""

RECIPIENT = Recipient(f"ura:{URA}", "nationale-verwijsindex")
PATIENT, OTHER = Bsn("999911120"), Bsn("999990019")
THIRD, FOURTH = Bsn("999229588"), Bsn("999990032")
FIFTH, SIXTH = Bsn("999990044"), Bsn("999990056")
EPD = ["epd:read", "epd:write"]
SOURCE = "urn:uuid:5c0f1f6e-0000-4000-8000-000000000001"


@dataclass
class Peers:
    """A knooppunt at the stand-ins, and our own client beside it. `tokens` has its access tokens."""

    country: Nation
    client: httpx.AsyncClient
    ours: NviClient
    tokens: dict[str, str] = field(default_factory=dict)

    async def token_request(self, target: str, scope: str) -> httpx.Response:
        """Asks a token for a facility with a client assertion."""
        endpoint = f"{self.country.referral('minvws-oauth')}/oauth/token"
        files = self.country.operator
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
        thumbprint = urlsafe_b64encode(digest).rstrip(b"=").decode()
        audience, made = self.country.referral(target), int(time.time())
        claims = {
            "iss": HOLDER,
            "sub": HOLDER,
            "aud": [endpoint],
            "iat": made,
            "exp": made + 60,
            "jti": new_id(),
            "cnf": {"x5t#S256": thumbprint},
            "scope": scope,
            "target_audience": audience,
        }
        key = ECKey.import_key(files.key.read_bytes())
        form = {
            "client_assertion": jwt.encode(
                {"alg": "ES256", "kid": thumbprint, "typ": "JWT"}, claims, key, ["ES256"]
            ),
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "grant_type": "client_credentials",
            "scope": scope,
            "target_audience": audience,
        }
        return await self.client.post(endpoint, data=form)

    async def bearer(self, target: str, scope: str) -> dict[str, str]:
        answer = await self.token_request(target, scope)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def pseudonym(self, patient: str) -> str:
        """The identifier of a patient for the index."""
        scalar, point = oprf.blind(RECIPIENT.input_of(patient))
        asked = {
            "recipientOrganization": RECIPIENT.name,
            "recipientScope": RECIPIENT.scope,
            "encryptedPersonalId": b64encode(point).decode(),
        }
        answer = await self.client.post(
            f"{self.country.referral('prs')}/oprf/eval",
            content=json.dumps(asked, separators=(",", ":")),
            headers={**await self.bearer("prs", "prs:read"), "Content-Type": "application/json"},
        )
        assert answer.status_code == 200, answer.text
        told = {"evaluated_output": answer.json()["jwe"], "blind_factor": b64encode(scalar).decode()}
        return urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).rstrip(b"=").decode()

    async def register(self, patient: str, scope: str = "nvi:create") -> httpx.Response:
        custodian = {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": HOLDER}}
        withheld = {"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": "withheld"}
        subject = {"system": f"{VWS}/NamingSystem/nvi-identifier", "value": await self.pseudonym(patient)}
        body = {
            "resourceType": "List",
            "meta": {"profile": [f"{VWS}/StructureDefinition/nl-gf-localization-list"]},
            "extension": [
                {
                    "url": f"{VWS}/StructureDefinition/nl-gf-localization-custodian",
                    "valueReference": custodian,
                }
            ],
            "status": "current",
            "mode": "working",
            "code": {
                "coding": [{"system": f"{VWS}/CodeSystem/nl-gf-data-categories-cs", "code": "Condition"}]
            },
            "subject": {"identifier": subject},
            "source": {"identifier": {"system": "urn:ietf:rfc:3986", "value": SOURCE}, "type": "Device"},
            "emptyReason": {"coding": [withheld]},
        }
        return await self.client.post(
            f"{self.country.referral('nvi')}/fhir/List",
            content=json.dumps(body, separators=(",", ":")),
            headers={**await self.bearer("nvi", scope), "Content-Type": "application/fhir+json"},
        )

    async def holders(self, patient: str, scope: str = "nvi:localize") -> list[str]:
        """Who has data, as it reads the answer: with a link to a next page it would give up."""
        subject = f"{VWS}/NamingSystem/nvi-identifier|{await self.pseudonym(patient)}"
        answer = await self.client.get(
            f"{self.country.referral('nvi')}/fhir/List?{urlencode({'subject:identifier': subject})}",
            headers={**await self.bearer("nvi", scope), "Accept": "application/fhir+json"},
        )
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        assert all(link["relation"] != "next" for link in bundle.get("link", ()))
        extensions = [e for entry in bundle.get("entry", ()) for e in entry["resource"]["extension"]]
        return [one["valueReference"]["identifier"]["value"] for one in extensions]


INDEX_SCOPES = ["nvi:create", "nvi:read", "nvi:delete", "nvi:localize"]
MEANS = {"epd:read": ["nvi:read", "nvi:localize"], "epd:write": ["nvi:create", "nvi:delete"]}


def told(
    country: Nation, means: dict[str, list[str]] | None = None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Token server, PRS and NVI as they are where recipients are named by URA. The token server knows the scopes of a
    knooppunt as those that it `means`, or gives them as they are."""
    index = INDEX_SCOPES if means else [*INDEX_SCOPES, *EPD]
    organisation = {
        "ura": HOLDER,
        "oin": OPERATOR,
        "name": "Organisation a",
        "source_id": "node",
        "scopes": [*index, "prs:read"],
    }
    oauth = {
        "targets": [
            {"audience": country.referral("nvi"), "subject": "ura", "scopes": index, "means": means or {}},
            {"audience": country.referral("prs"), "subject": "oin", "scopes": ["prs:read"]},
        ],
        "clients": [{"oin": OPERATOR, "common_name": "127.0.0.1", "organisations": [organisation]}],
    }
    keys = [{"scopes": [RECIPIENT.scope], "key_id": "nvi-key-1", "of": "nvi"}]
    prs = {"form": "old", "organisations": [{"oin": INDEX, "ura": URA, "usage": "bsn", "keys": keys}]}
    return oauth, prs, {"recipient": RECIPIENT.name, "scope": RECIPIENT.scope}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def peers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peers]:
    """See the module; each test has patients of its own."""
    tmp_path = tmp_path_factory.mktemp("peers")
    async with nation(tmp_path) as country, AsyncExitStack() as stack:
        await country.refer()
        names = ("minvws-oauth", "prs", "nvi")
        for name, table in zip(names, told(country), strict=True):
            await country.stop(name)
            (tmp_path / f"{name}.toml").write_text(toml(table))
        for name in names:
            await country.start(name)
        tls = ssl.create_default_context(cafile=str(country.anchors))
        tls.load_cert_chain(*country.operator.pair)

        async def opened(name: str, base: str, who: str) -> tuple[Facility, ClientCredentials]:
            endpoint, audience = f"{country.referral('minvws-oauth')}/oauth/token", country.referral(name)
            form = Organisation(who, "node" if name == "nvi" else "")
            source = ClientCredentials.open("tokens", endpoint, form, audience, tls)
            facility = Facility.open(name, f"{audience}{base}", tls)
            return await stack.enter_async_context(facility), await stack.enter_async_context(source)

        pseudonyms = Pseudonyms(*await opened("prs", "", OPERATOR), RECIPIENT)
        ours = NviClient(*await opened("nvi", "/fhir", HOLDER), pseudonyms, HOLDER, NviRules(SOURCE))
        limits = httpx.Limits(max_keepalive_connections=0)
        client = await stack.enter_async_context(
            httpx.AsyncClient(verify=tls, trust_env=False, limits=limits)
        )
        yield Peers(country, client, ours)


async def test_what_either_registers_both_find(peers: Peers) -> None:
    assert (await peers.register(PATIENT)).status_code == 201
    found = await peers.ours.localise(PATIENT)
    assert [(one.ura, one.source) for one in found.records] == [(HOLDER, SOURCE)]
    assert await peers.ours.create(OTHER, "Condition") is not None
    assert await peers.holders(OTHER) == await peers.holders(PATIENT) == [HOLDER]


async def test_what_both_register_is_there_once_and_is_deleted_by_its_id(peers: Peers) -> None:
    assert (await peers.register(THIRD)).status_code == 201
    assert await peers.ours.create(THIRD, "Condition") is None
    assert (await peers.register(THIRD)).status_code == 409
    await peers.ours.create(FOURTH, "Condition")
    [own] = (await peers.ours.own(THIRD)).records
    assert await peers.ours.delete(own.id) and not await peers.ours.delete(own.id)
    assert (await peers.holders(THIRD), await peers.holders(FOURTH)) == ([], [HOLDER])


@pytest.mark.parametrize("scope", ["epd:read epd:write", "epd:write nvi:create"])
async def test_the_scopes_that_it_asks_for_by_itself_are_refused_by_the_index_as_by_the_real_one(
    peers: Peers, scope: str
) -> None:
    answer = await peers.register(PATIENT, scope)
    assert answer.status_code == 400
    assert "epd:" in answer.text and "not a valid AuthorizationScope" in answer.text


@pytest_asyncio.fixture(loop_scope="session")
async def translated(peers: Peers) -> AsyncIterator[Peers]:
    """The same with a token server that translates the scopes of a knooppunt."""

    async def again(means: dict[str, list[str]] | None) -> None:
        await peers.country.stop("minvws-oauth")
        (peers.country.folder / "minvws-oauth.toml").write_text(toml(told(peers.country, means)[0]))
        await peers.country.start("minvws-oauth")

    await again(MEANS)
    yield peers
    await again(None)


async def test_a_token_server_that_translates_its_scopes_lets_a_knooppunt_register_and_search(
    translated: Peers,
) -> None:
    both = "epd:read epd:write"
    answer = await translated.token_request("nvi", both)
    assert set(answer.json()["scope"].split()) == set(INDEX_SCOPES)
    assert (await translated.register(FIFTH, both)).status_code == 201
    assert await translated.holders(FIFTH, both) == [HOLDER]
    assert [one.ura for one in (await translated.ours.localise(FIFTH)).records] == [HOLDER]


async def test_a_translated_scope_opens_no_more_than_it_means(translated: Peers) -> None:
    answer = await translated.register(SIXTH, "epd:read")
    assert answer.status_code == 403 and "nvi:create" in answer.text
    assert await translated.holders(SIXTH) == []


async def test_a_scope_that_the_token_server_does_not_know_for_the_index_gives_no_token(peers: Peers) -> None:
    answer = await peers.token_request("nvi", "epd:read patient:write")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
