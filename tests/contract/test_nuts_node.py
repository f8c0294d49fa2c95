"""A Nuts node asks a token of us, and takes what our wallet presents: as its source does it (`tests/nuts_node`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc.jwk import ECKey
from tests.nodes import MakeDatabase, RunningNode, running_node
from tests.nuts_node import Held, Made, NodeStopsError, NutsNode, completed, matched, received, taken
from tests.presenting import AUDIENCE, FACILITY, HOLDER, ISSUER, URA, Draft, Scene

from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.generic.identity.credentials import Definitions, Wallet, dezi_credential
from schakel.generic.identity.tokens.telling import metadata

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
METADATA = metadata(
    AUDIENCE, grants=[], scopes=frozenset(), presentations=True, dpop=True, certificates=False
)


# -- definitions and credentials, without the wire -------------------------------------------------------------


def _of_a_professional(scene: Scene) -> list[Held]:
    """What the wallet of a node holds for `bgz`; the statement of Dezi comes from the EHR."""
    return [scene.x509().sign(), scene.facility().sign()]


def _of_medication(scene: Scene) -> list[Held]:
    uzi = "http://fhir.nl/fhir/NamingSystem/uzi|900000009"
    patient = {"patientId": "http://fhir.nl/fhir/NamingSystem/bsn|999900006", "registeredBy": uzi}
    mandate = {"registeredBy": uzi, "roleCode": "01.015", "facilityType": "Z3"}
    return [
        scene.x509().sign(),
        scene.card("PatientEnrollmentCredential", {"id": HOLDER, **patient}).sign(),
        scene.card("HealthCareProfessionalDelegationCredential", {"id": HOLDER, **mandate}).sign(),
    ]


@pytest.mark.parametrize("scope", sorted(Definitions.load().by_scope))
async def test_a_node_can_present_what_each_scope_asks_and_it_is_taken(scope: str) -> None:
    scene = Scene.new()
    wallet = _of_medication(scene) if scope.startswith("medicatie") else _of_a_professional(scene)
    definition = Definitions.load().of([scope])
    node = NutsNode(HOLDER, scene.holder_key)
    made = node.presents(METADATA, definition.json(), wallet, [scene.dezi()])
    asked = {field.id for descriptor in definition.descriptors for field in descriptor.fields}
    for options in ({"submission": made.submission}, {}):
        presented = await scene.verify(made.vp, definition, **options)
        assert (presented.holder, presented.ura) == (HOLDER, URA)
        assert (presented.user is not None) == bool(asked & {"user_role", "delegation_role_code"})


def test_a_node_presents_nothing_to_a_server_that_does_not_name_the_methods_of_its_identities() -> None:
    scene = Scene.new()
    node, definition = NutsNode(HOLDER, scene.holder_key), Definitions.load().of(["bgz-sender"]).json()
    wallet = [scene.x509().sign()]
    assert node.presents(METADATA, definition, wallet).vp
    silent = {name: value for name, value in METADATA.items() if name != "did_methods_supported"}
    with pytest.raises(NodeStopsError, match=r"did method mismatch, requested: \[\]"):
        node.presents(silent, definition, wallet)
    # The credential of a certificate is issued by a did:x509, which is judged too.
    with pytest.raises(NodeStopsError, match="id_uzicert_uracredential"):
        node.presents({**METADATA, "did_methods_supported": ["web"]}, definition, wallet)
    assert taken(wallet, METADATA["did_methods_supported"]) == wallet


def test_a_professional_fits_only_when_the_whole_definition_names_the_format_of_dezi() -> None:
    scene = Scene.new()
    held = [*_of_a_professional(scene), completed(scene.dezi(), HOLDER)]
    definition: dict[str, Any] = deepcopy(dict(Definitions.load().of(["bgz"]).json()))
    assert len(matched(definition, held)) == 3
    del definition["format"]["ldp_vc"]
    with pytest.raises(NodeStopsError, match=r"\(id_dezi_user\)"):
        matched(definition, held)


@pytest.mark.parametrize(("scope", "count"), [("bgz", 3), ("eOverdracht-sender", 1)])
def test_a_node_takes_what_our_wallet_presents(scope: str, count: int) -> None:
    scene = Scene.new()
    wallet = Wallet(HOLDER, scene.holder_key, [scene.x509().sign(), scene.facility().sign()])
    professional = dezi_credential(scene.statement().sign(), HOLDER)
    definition = Definitions.load().of([scope])
    made = wallet.present(definition, audience=AUDIENCE, beside=[professional])
    found = received(made.assertion, made.submission, AUDIENCE)
    assert found == matched(definition.json(), list(found.values()))
    assert len(found) == count


def test_a_node_takes_no_credential_without_a_subject_or_of_another() -> None:
    scene = Scene.new()
    for subject, reason in ((None, "have no ID"), (ISSUER, "is not credential subject")):
        dezi = scene.dezi()
        if subject:
            dezi["credentialSubject"]["id"] = subject
        with pytest.raises(NodeStopsError, match=reason):
            received(scene.presentation(dezi).sign(), {"descriptor_map": []}, AUDIENCE)


def test_a_node_follows_paths_into_the_presentation_alone() -> None:
    scene = Scene.new()
    wallet = Wallet(HOLDER, scene.holder_key, [scene.x509().sign()])
    made = wallet.present(Definitions.load().of(["bgz-sender"]), audience=AUDIENCE)
    [entry] = made.submission["descriptor_map"]
    nested = {**entry, "path": f"$.vp{entry['path'][1:]}"}
    for wrong in (nested, {"id": entry["id"], "format": "jwt_vp", "path": "$", "path_nested": nested}):
        with pytest.raises(NodeStopsError, match="can't be decoded"):
            received(made.assertion, {"descriptor_map": [wrong]}, AUDIENCE)


# -- over the wire ---------------------------------------------------------------------------------------------


@dataclass
class Asking:
    """A holder of ours, and a node with a care organisation and a service provider, whose DID documents are on the
    web of this machine."""

    holder: RunningNode
    scene: Scene
    organisation: NutsNode
    provider: NutsNode
    issuer: str

    @property
    def client(self) -> httpx.AsyncClient:
        return self.holder["a"].front

    @property
    def address(self) -> str:
        return f"{self.holder['a'].front_root}/a"

    async def metadata(self) -> dict[str, Any]:
        root = self.holder["a"].front_root
        told = await self.client.get(f"{root}/.well-known/oauth-authorization-server/a")
        members: dict[str, Any] = told.json()
        return members

    async def token(self, **form: str) -> httpx.Response:
        return await self.client.post((await self.metadata())["token_endpoint"], data=form)

    def own(self) -> str:
        """The organisation's X509Credential."""
        return self._of(self.scene.x509(), self.organisation.did)

    def issued(self, kind: str, to: str, by: str, key: ECKey, **subject: Any) -> str:
        """A credential with a did:web for its issuer, as a node makes them."""
        draft = self.scene.issued(kind, subject)
        draft.claims |= {"iss": by, "jti": f"{by}#1"}
        draft.header["kid"], draft.key = f"{by}#{key.kid}", key
        return self._of(draft, to)

    def _of(self, draft: Draft, did: str) -> str:
        draft.subject["id"] = draft.claims["sub"] = did
        return draft.sign()


@asynccontextmanager
async def asking(make_database: MakeDatabase, folder: Path) -> AsyncIterator[Asking]:
    scene = Scene.new()
    pages: dict[str, bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=pages[request.path], content_type="application/did+json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    try:
        names: list[str] = []
        keys = (scene.holder_key, ECKey.generate_key("P-256", {"kid": "p1"}, private=True), scene.issuer_key)
        for name, key in zip(("organisation", "provider", "issuer"), keys, strict=True):
            did = f"did:web:127.0.0.1%3A{server.port}:iam:{name}"
            method = {
                "id": f"{did}#{key.kid}",
                "type": "JsonWebKey2020",
                "controller": did,
                "publicKeyJwk": key.as_dict(private=False),
            }
            document = {"id": did, "verificationMethod": [method], "assertionMethod": [method["id"]]}
            pages[f"/iam/{name}/did.json"] = orjson.dumps(document)
            names.append(did)
        (folder / "root.pem").write_text(scene.root.pem)
        trust = {
            "uzi": (folder / "root.pem",),
            "http_on_loopback": True,
            "issuers": {"ServiceProviderCredential": (names[2],), FACILITY: (names[2],)},
        }
        certificates = {"uzi": "test", "revocation": "off"}
        async with running_node(make_database, trust=trust, certificates=certificates) as holder:
            organisation, provider = (NutsNode(d, k) for d, k in zip(names[:2], keys[:2], strict=True))
            yield Asking(holder, scene, organisation, provider, names[2])
    finally:
        await server.close()


async def test_a_node_gets_a_token_with_one_presentation(make_database: MakeDatabase, tmp_path: Path) -> None:
    async with asking(make_database, tmp_path) as scene:
        told = await scene.metadata()
        at = told["presentation_definition_endpoint"]
        definition = (await scene.client.get(at, params={"scope": "eOverdracht-sender"})).json()
        made: Made = scene.organisation.presents(told, definition, [scene.own()])
        answer = await scene.token(
            grant_type="vp_token-bearer",
            client_id="https://node.example.org/oauth2/kliniek-oost",
            assertion=made.vp,
            presentation_submission=orjson.dumps(made.submission).decode(),
            scope="eOverdracht-sender",
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == "Bearer" and isinstance(answer.json()["expires_in"], int)


async def test_a_node_gets_a_token_with_a_presentation_of_its_service_provider_beside_it(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with asking(make_database, tmp_path) as scene:
        told = await scene.metadata()
        assert JWT_BEARER in told["grant_types_supported"]
        definitions = Definitions.load()
        by, to = scene.organisation, scene.provider
        identifier = {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": URA}
        delegated = {"delegatedBy": {"type": "HealthcareProvider", "identifier": [identifier]}}
        wallet = [
            scene.issued(
                "ServiceProviderCredential", to.did, scene.issuer, scene.scene.issuer_key, name="Vendor"
            ),
            scene.issued(
                "ServiceProviderDelegationCredential", to.did, by.did, by.key, hasDelegation=delegated
            ),
        ]
        made = by.presents(told, definitions.of(["eOverdracht-sender"]).json(), [scene.own()])
        beside = to.presents(told, definitions.client.json(), wallet)
        form = {"assertion": made.vp, "client_assertion": beside.vp, "client_assertion_type": ASSERTION_TYPE}
        answer = await scene.token(grant_type=JWT_BEARER, scope="eOverdracht-sender", **form)
        assert answer.status_code == 200, answer.text
        internal = scene.holder["a"]
        asked = {"token": answer.json()["access_token"]}
        told = (
            await internal.internal.post(f"{internal.internal_root}/a/oauth2/introspect", data=asked)
        ).json()
        assert (told["sub"], told["client_id"]) == (URA, to.did)
