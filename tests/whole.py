"""All generic functions at once: a hospital that runs with the national facilities, and who asks at its back door.

    async with nation(folder) as country, hospital(cluster, "name", country) as node:
        asker = await Asker.presenting(country, node)
        answer = await asker.ask(f"Condition?{named(ALLOWS)}")

The token is bound to a key (DPoP) and to the client certificate. Who asks is the GP of `tests.nation`, or a service
provider in its name.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import orjson
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.certificates import Authority, Files, new_key
from tests.guarded import condition, patient
from tests.middleman import Passing
from tests.nation import ALLOWS, ALSO_ALLOWS, REFUSES, REQUESTER, TYPE, Nation, Requester, logged_in
from tests.nodes import DOCTOR, RunningNode, databases, running_node
from tests.proofs import proof

from schakel.commands.doors import Door, Places
from schakel.commands.explain import explain
from schakel.config import Peer
from schakel.fhir.definitions import Version
from schakel.generic.identity import AssertionSigner, User
from schakel.generic.identity import new_key as new_signing_key
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.generic.identity.credentials import Presentation, Wallet, make_x509_credential
from schakel.generic.identity.credentials.definitions import Definitions
from schakel.generic.identity.credentials.wallet import dezi_credential
from schakel.generic.identity.keys import read_key
from schakel.generic.identity.tokens.grants import CLIENT_CREDENTIALS, JWT_BEARER, VP_BEARER
from schakel.kernel.clock import new_id, now
from schakel.kernel.values import BSN_SYSTEM, UZI_SYSTEM
from schakel.store.embedded import EmbeddedServer

SILENT = "999995005"
"""A patient who never chose anything in Mitz."""

PATIENTS = {"allows": ALLOWS, "refuses": REFUSES, "also": ALSO_ALLOWS, "silent": SILENT}


ENROLMENT, DELEGATION = "PatientEnrollmentCredential", "HealthCareProfessionalDelegationCredential"
ROLES = "http://fhir.nl/fhir/NamingSystem/uzi-rolcode"
HIGH, SUBSTANTIAL = (f"http://eidas.europa.eu/LoA/{level}" for level in ("high", "substantial"))


def named(bsn: str) -> str:
    """How a search of the BgZ names the patient."""
    return f"patient.identifier={BSN_SYSTEM}|{bsn}"


@asynccontextmanager
async def hospital(
    cluster: EmbeddedServer,
    name: str,
    country: Nation,
    own: Mapping[str, Any] | None = None,
    *,
    mitz: bool = True,
    **changed: Any,
) -> AsyncIterator[RunningNode]:
    """A node of one hospital with a Condition of each patient. `own` are settings of the hospital, `changed` of the
    node; its questions to Mitz are signed, and without `mitz` it asks none."""
    settings = country.settings(**changed)
    if mitz:
        signs = Authority.new("Signing CA").issue("gateway", key=new_key(2048)).write(country.folder, "signs")
        settings["mitz"] |= {
            "seconds": 5,
            "sign": True,
            "signing_certificate": signs.certificate,
            "signing_key": signs.key,
        }
    else:
        del settings["mitz"]
    async with (
        databases(cluster, name) as make,
        running_node(
            make,
            ("a",),
            by_slug={"a": {"type_code": "V6", **(own or {})}},
            write_check="lenient",
            **settings,
        ) as node,
    ):
        for logical_id, bsn in PATIENTS.items():
            for resource in (
                patient(logical_id, bsn),
                condition(logical_id, {"reference": f"Patient/{logical_id}"}),
            ):
                answer = await node["a"].internal.put(
                    f"{resource['resourceType']}/{resource['id']}", json=resource
                )
                assert answer.status_code == 201, answer.text
        yield node


async def signed_only(country: Nation) -> None:
    """From now on Mitz takes signed questions only."""
    file = country.folder / "mitz.toml"
    if not (text := file.read_text()).startswith("signed"):
        await country.stop("mitz")
        file.write_text(f"signed = true\n{text}")
        await country.start("mitz")


def presented(requester: Requester, audience: str, scope: str = "bgz") -> Presentation:
    """What the requester presents for a scope, to the authorisation server with issuer `audience`."""
    beside = [dezi_credential(requester.statement, requester.wallet.did)]
    return requester.wallet.present(Definitions.load().of([scope]), audience=audience, beside=beside)


@dataclass(frozen=True)
class Asker:
    """Who asks at the back door of a: `certificate` is what it shows there (None: nothing), `key` that of its
    proofs (None: it proves none). With `front` the guarded door on front is asked."""

    country: Nation
    node: RunningNode
    certificate: Files | None
    key: ECKey | None
    token: str = ""
    front: bool = False

    @classmethod
    async def presenting(
        cls, country: Nation, node: RunningNode, requester: Requester | None = None, scope: str = "bgz"
    ) -> Asker:
        """The GP, or another `requester`, with a token by vp_token-bearer."""
        requester = requester or country.requester
        asker = cls(country, node, requester.certificate, ECKey.generate_key("P-256"))
        return await asker.granted(scope, VP_BEARER, presented(requester, asker.issuer, scope))

    @property
    def issuer(self) -> str:
        return f"{self.node['a'].front_root}/a"

    @property
    def door(self) -> str:
        return self.issuer if self.front else f"{self.node['a'].back_root}/a"

    def client(self) -> httpx.AsyncClient:
        """A client that shows the certificate. Close it."""
        context = ssl.create_default_context(cafile=str(self.country.anchors))
        if self.certificate is not None:
            context.load_cert_chain(*self.certificate.pair)
        return httpx.AsyncClient(verify=context, trust_env=False, timeout=30)

    async def granted(self, scope: str, grant: str, made: Presentation | None = None, **form: str) -> Asker:
        """The same with a token."""
        answer = await self.asks_token(scope, grant, made, **form)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["token_type"] == ("DPoP" if self.key else "Bearer")
        return replace(self, token=told["access_token"])

    async def asks_token(
        self, scope: str, grant: str, made: Presentation | None, **form: str
    ) -> httpx.Response:
        """What the token endpoint on back says."""
        url = f"{self.door}/oauth2/token"
        fields = {"grant_type": grant, "scope": scope, **form}
        if made is not None:
            fields["assertion"] = made.assertion
        if made is not None and grant == VP_BEARER:
            fields["presentation_submission"] = orjson.dumps(made.submission).decode()
            fields["client_id"] = "https://gp.example"
        headers = {"DPoP": proof("POST", url, key=self.key)} if self.key else {}
        async with self.client() as client:
            return await client.post(url, data=fields, headers=headers)

    async def ask(self, path: str, version: Version = "stu3", **headers: str) -> httpx.Response:
        """A GET at the guarded door on back."""
        url = f"{self.door}/fhir/{version}/{path.partition('?')[0]}"
        if self.key is None:
            shown = {"Authorization": f"Bearer {self.token}"}
        else:
            shown = {
                "Authorization": f"DPoP {self.token}",
                "DPoP": proof("GET", url, self.token, key=self.key),
            }
        async with self.client() as client:
            return await client.get(f"{self.door}/fhir/{version}/{path}", headers={**shown, **headers})

    async def search(self, bsn: str, **headers: str) -> httpx.Response:
        """The problems of a patient."""
        return await self.ask(f"Condition?{named(bsn)}", "stu3", **headers)


# -- what the holder keeps -----------------------------------------------------------------------------------


async def stored(node: RunningNode, answer: httpx.Response) -> dict[str, Any]:
    """The decision object behind an answer."""
    a, decision = node["a"], answer.headers["X-Decision-ID"]
    found = await a.internal.get(f"{a.internal_root}/a/log/decisions/{decision}")
    assert found.status_code == 200, found.text
    told: dict[str, Any] = found.json()
    return told


async def reason(node: RunningNode, answer: httpx.Response) -> str:
    """Why an answer is a refusal that does not say so itself."""
    assert answer.status_code == 403, (answer.status_code, answer.text)
    [issue] = answer.json()["issue"]
    assert issue["details"]["coding"][0]["code"] == "refused", answer.text
    return str((await stored(node, answer))["reason"])


async def events(node: RunningNode, **wanted: str) -> list[dict[str, Any]]:
    """The events in the log of the hospital, the newest first; `wanted` are search parameters."""
    a = node["a"]
    params = {"_count": "100", **{name.replace("__", ":"): value for name, value in wanted.items()}}
    answer = await a.internal.get(f"{a.internal_root}/a/log/fhir/r4/AuditEvent", params=params)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    """The kind of each event, by its most specific code."""
    return [event["subtype"][-1]["code"] for event in found]


async def explained(node: RunningNode, answer: httpx.Response) -> int:
    """`schakel explain ID --replay` of the decision behind an answer; it prints what it has to say."""
    a = node["a"]
    door = Door(a.slug, a.ura, "Organisation a", f"{a.internal_root}/a", f"{a.front_root}/a", a.key)
    places = Places("the test", (door,))
    return await asyncio.to_thread(explain, places, [door], answer.headers["X-Decision-ID"], again=True)


async def until(node: RunningNode, path: str) -> list[dict[str, Any]]:
    """What a list of the consent door has, once there is something in it."""
    a = node["a"]
    async with asyncio.timeout(20):
        while True:
            answer = await a.internal.get(f"{a.internal_root}/a/consent/{path}")
            assert answer.status_code == 200, answer.text
            [found] = answer.json().values()
            if found:
                assert isinstance(found, list)
                return found
            await asyncio.sleep(0.05)


# -- others who present --------------------------------------------------------------------------------------


async def known_as(
    country: Nation, *, type_code: str = "Z3", role: str = "01.015", loa: str = HIGH
) -> Requester:
    """The GP as an organisation of another type, or for a professional with another role, or another level at Dezi."""
    gp = country.requester
    asked = {"type": TYPE, "subject": gp.wallet.did, "roleCodeNL": type_code}
    given = await country.told("credential-issuer", "credentials", asked)
    wallet = holding(country, given["credential"])
    file = country.folder / "dezi.toml"
    before = file.read_text()
    try:
        await country.stop("dezi")
        file.write_text(f'loa = "{loa}"\n' + before.replace('"01.015"', f'"{role}"'))
        await country.start("dezi")
        statement = await logged_in(country)
    finally:
        file.write_text(before)
    return replace(gp, wallet=wallet, statement=statement)


@dataclass(frozen=True)
class Provider:
    """A service provider: its certificate, and the wallet with what lets it ask for the GP."""

    certificate: Files
    wallet: Wallet


def holding(country: Nation, *credentials: str) -> Wallet:
    """The wallet of the GP with its own credential and these."""
    gp = country.requester
    chain = x509.load_pem_x509_certificates(gp.certificate.certificate.read_bytes())
    private = serialization.load_pem_private_key(gp.certificate.key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    own = make_x509_credential(private, chain, gp.wallet.did)
    return Wallet(gp.wallet.did, read_key(country.folder / "gp.jwk"), [own, *credentials])


async def enrolled(country: Nation, bsn: str, role: str = "01.015", facility: str = "Z3") -> Requester:
    """The GP with the credentials that medicatieoverdracht-gf asks: this patient is enrolled there, and a doctor lets
    it ask, as an organisation of the type `facility`."""
    did = country.requester.wallet.did
    doctor = f"{UZI_SYSTEM}|{DOCTOR.id}"
    asked: list[dict[str, str]] = [
        {"type": ENROLMENT, "patientId": f"{BSN_SYSTEM}|{bsn}", "registeredBy": doctor},
        {"type": DELEGATION, "registeredBy": doctor, "roleCode": f"{ROLES}|{role}", "facilityType": facility},
    ]
    given = [
        (await country.told("credential-issuer", "credentials", {**one, "subject": did}))["credential"]
        for one in asked
    ]
    return replace(country.requester, wallet=holding(country, *given))


async def provider(country: Nation, delegated_by: str) -> Provider:
    """A service provider with a credential of the issuer, and the word of the GP in one that the GP signed, which names
    the URA `delegated_by`. From now on the host of the GP publishes the document of both."""
    gp = country.requester
    did = gp.wallet.did.removesuffix(":gp") + ":provider"
    files, _ = await country.certificate(
        "provider", kind="server", organisation="Leverancier", number="00000099000020000"
    )
    (country.folder / "provider.jwk").write_bytes(orjson.dumps(new_signing_key()))
    known = await country.told(
        "credential-issuer",
        "credentials",
        {
            "type": "ServiceProviderCredential",
            "subject": did,
            "identifier": "00000001",
            "name": "Leverancier",
        },
    )
    subject = {"id": did, "hasDelegation": {"delegatedBy": {"identifier": delegated_by}}}
    word = by_gp(country, "ServiceProviderDelegationCredential", subject)
    wallet = Wallet(did, read_key(country.folder / "provider.jwk"), [known["credential"], word])
    documents = {"/gp/did.json": gp.wallet.document(), "/provider/did.json": wallet.document()}

    async def publishes(passing: Passing) -> web.StreamResponse:
        return web.json_response(documents[passing.request.path])

    country.home.behave = publishes
    return Provider(files, wallet)


def by_gp(country: Nation, kind: str, subject: Mapping[str, Any]) -> str:
    """A credential that the GP signs with the key of its DID."""
    did, moment = country.requester.wallet.did, int(now().timestamp())
    key = read_key(country.folder / "gp.jwk")
    claims = {
        "iss": did,
        "sub": subject["id"],
        "jti": f"{did}#{new_id()}",
        "nbf": moment - 5,
        "exp": moment + 3600,
        "vc": {
            "@context": ["https://www.w3.org/2018/credentials/v1"],
            "type": ["VerifiableCredential", kind],
            "credentialSubject": [dict(subject)],
        },
    }
    return jwt.encode({"alg": "ES256", "typ": "JWT", "kid": f"{did}#{key.kid}"}, claims, key, ["ES256"])


async def by_provider(country: Nation, node: RunningNode, vendor: Provider) -> httpx.Response | Asker:
    """The service provider asks a token for the BgZ with two presentations (jwt-bearer), the GP's and its own."""
    asker = Asker(country, node, vendor.certificate, ECKey.generate_key("P-256"))
    made = vendor.wallet.present(Definitions.load().client, audience=asker.issuer)
    gp = presented(country.requester, asker.issuer)
    form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": made.assertion}
    answer = await asker.asks_token("bgz", JWT_BEARER, gp, **form)
    return replace(asker, token=answer.json()["access_token"]) if answer.status_code == 200 else answer


def directory(country: Nation, types: Mapping[str, str]) -> tuple[Peer, ...]:
    """What the hospital itself knows of organisations: the type of each by URA. All sign with the key of the GP."""
    public = {
        name: value
        for name, value in orjson.loads((country.folder / "gp.jwk").read_bytes()).items()
        if name != "d"
    }
    return tuple(
        Peer(
            ura=ura,
            name=f"Organisation {ura}",
            issuer=f"https://{ura}.example",
            token_endpoint=f"https://{ura}.example/token",
            fhir={},
            jwks={"keys": [public]},
            type_code=type_code,
        )
        for ura, type_code in types.items()
    )


async def by_assertion(
    country: Nation, node: RunningNode, ura: str = REQUESTER, *, user: User = DOCTOR, purpose: str = "TREAT"
) -> Asker:
    """An organisation of the directory with a token for the BgZ that it got with an assertion."""
    asker = Asker(country, node, country.requester.certificate, ECKey.generate_key("P-256"))
    signer = AssertionSigner(ura, country.folder / "gp.jwk")
    form = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signer.assertion(asker.issuer, user, purpose, "current"),
    }
    return await asker.granted("bgz", CLIENT_CREDENTIALS, None, **form)
