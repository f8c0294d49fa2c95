"""Two presentations: the service provider of a node shows itself beside the organisation that lets it ask, and every
condition of that is the holder's to check."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from tests.certificates import Authority, uzi_name
from tests.nodes import DOCTOR, MakeDatabase, RunningNode, running_node

from schakel.config import Organisation, Settings
from schakel.generic.identity import new_key
from schakel.generic.identity.credentials import Wallet, definitions
from schakel.generic.identity.keys import read_key
from schakel.generic.identity.tokens.grants import CLIENT_CREDENTIALS, JWT_BEARER, VP_BEARER
from schakel.kernel.clock import new_id, now

ONLY_THE_ORGANISATION = Path(definitions.__file__).parent / "definitions" / "care-organisation.json"
BSN = "999229588"


@dataclass
class Publisher:
    """Publishes DID documents at 127.0.0.1: each name has a key and a wallet."""

    folder: Path
    root: str
    documents: dict[str, dict[str, Any]]

    def did(self, name: str) -> str:
        return f"did:web:127.0.0.1%3A{self.root.rpartition(':')[2]}:{name}"

    def wallet(self, name: str) -> Wallet:
        path = self.folder / f"{name}.jwk"
        path.write_bytes(orjson.dumps(new_key()))
        wallet = Wallet(self.did(name), read_key(path))
        self.documents[f"/{name}/did.json"] = wallet.document()
        return wallet

    def credential(self, issuer: str, subject: str, kind: str = "ServiceProviderCredential") -> Path:
        """A credential of `issuer` about `subject`, in a file."""
        did, key, moment = (
            self.did(issuer),
            read_key(self.folder / f"{issuer}.jwk"),
            int(now().timestamp()),
        )
        claims = {
            "iss": did,
            "sub": subject,
            "jti": f"{did}#{new_id()}",
            "nbf": moment - 5,
            "exp": moment + 3600,
            "vc": {
                "@context": ["https://www.w3.org/2018/credentials/v1"],
                "type": ["VerifiableCredential", kind],
                "credentialSubject": [{"id": subject, "name": "Leverancier"}],
            },
        }
        header = {"alg": "ES256", "typ": "JWT", "kid": f"{did}#{key.kid}"}
        file = self.folder / f"{new_id()}.jwt"
        file.write_text(jwt.encode(header, claims, key, ["ES256"]))
        return file


@asynccontextmanager
async def publishing(folder: Path) -> AsyncIterator[Publisher]:
    documents: dict[str, dict[str, Any]] = {}

    async def document(request: web.Request) -> web.Response:
        return web.json_response(documents[request.path])

    app = web.Application()
    app.router.add_get("/{name}/did.json", document)
    server = TestServer(app)
    await server.start_server()
    try:
        yield Publisher(folder, str(server.make_url("")).rstrip("/"), documents)
    finally:
        await server.close()


def certificate(folder: Path) -> dict[str, Any]:
    """What b shows that it is an organisation with: its settings, with the root in `root.pem`."""
    root = Authority.new("Test UZI Root")
    issued = root.authority("Test UZI CA").issue(
        "b", uzi=uzi_name("90000002"), organisation="Organisation b", locality="Zwolle"
    )
    files = issued.write(folder, "uzi")
    files.certificate.write_text(issued.chain_pem + root.pem)
    (folder / "root.pem").write_text(root.pem)
    return {"uzi_certificate": files.certificate, "uzi_key": files.key}


async def ask(node: RunningNode) -> dict[str, Any]:
    """What becomes of b's question to a."""
    b = node["b"]
    body = {
        "patient": BSN,
        "holders": [node["a"].ura],
        "user": DOCTOR.json(),
        "purpose": "TREAT",
        "treatment_relation": "current",
    }
    answer = await b.internal.post(f"{b.internal_root}/b/exchanges/bgz", json=body)
    assert answer.status_code == 200, answer.text
    [holder] = answer.json()["holders"]
    return {"reason": holder["requests"][0]["reason"]}


@pytest.mark.parametrize(
    ("removed", "grant", "said"),
    [
        ("", JWT_BEARER, ""),
        ("the word of the organisation", VP_BEARER, ""),
        ("a credential of the provider itself", None, "it was issued to another"),
        ("an issuer that is believed", None, "not trusted for ServiceProviderCredential"),
        ("the key of the provider in its document", None, "client_assertion"),
        ("credentials of the organisation", CLIENT_CREDENTIALS, ""),
    ],
)
async def test_the_provider_is_taken_for_the_organisation_when_every_condition_holds(
    make_database: MakeDatabase, tmp_path: Path, removed: str, grant: str | None, said: str
) -> None:
    async with publishing(tmp_path) as at:
        provider, _ = at.wallet("provider"), at.wallet("issuer")
        about = at.did("another") if removed == "a credential of the provider itself" else provider.did
        credential = at.credential("issuer", about)
        if removed == "the key of the provider in its document":
            at.documents["/provider/did.json"] = Wallet(
                provider.did, read_key(tmp_path / "issuer.jwk")
            ).document()
        own: dict[str, Any] = {
            "delegates": removed != "the word of the organisation",
            **certificate(tmp_path),
        }
        if removed == "credentials of the organisation":
            own = {"delegates": True}
        believed = "other" if removed == "an issuer that is believed" else "issuer"
        async with running_node(
            make_database,
            by_slug={"a": {"presentation_definitions": {"bgz": ONLY_THE_ORGANISATION}}, "b": own},
            service_provider={
                "did": provider.did,
                "signing_key": tmp_path / "provider.jwk",
                "credentials": (credential,),
            },
            trust={
                "uzi": (tmp_path / "root.pem",) if (tmp_path / "root.pem").exists() else (),
                "issuers": {"ServiceProviderCredential": (at.did(believed),)},
                "http_on_loopback": True,
            },
            certificates={"uzi": "test", "revocation": "off"},
        ) as node:
            for _ in range(2):
                found = await ask(node)
                assert said in found["reason"]
            given = await node.node.pool.fetch("SELECT requester, grant_type, client_id FROM access_token")
            rows = [(row["requester"], row["grant_type"]) for row in given]
            assert rows == ([(node["b"].ura, grant)] * 2 if grant else [])
            if grant == JWT_BEARER:
                assert {row["client_id"] for row in given} == {provider.did}


async def test_the_document_of_the_provider_is_published_beside_those_of_the_organisations(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with publishing(tmp_path) as at:
        at.wallet("provider")
        settings = {
            "signing_key": tmp_path / "provider.jwk",
            "credentials": (at.credential("provider", at.did("provider")),),
        }
        async with running_node(make_database, ("a",), service_provider=settings) as node:
            root = node["a"].front_root
            told = (await node["a"].front.get(f"{root}/service-provider/did.json")).json()
            host = root.removeprefix("http://").replace(":", "%3A")
            assert told["id"] == f"did:web:{host}:service-provider"
            own = (await node["a"].front.get(f"{root}/a/did.json")).json()
            keys = [one["verificationMethod"][0]["publicKeyJwk"]["x"] for one in (told, own)]
            assert keys[0] == orjson.loads((tmp_path / "provider.jwk").read_bytes())["x"] != keys[1]
    async with running_node(make_database, ("a",)) as node:
        root = node["a"].front_root
        assert (await node["a"].front.get(f"{root}/service-provider/did.json")).status_code == 404


def test_an_organisation_delegates_to_a_provider_that_is_there(tmp_path: Path) -> None:
    organisation = Organisation(
        slug="a",
        ura="90000001",
        name="A",
        internal_key="k" * 16,
        signing_key=tmp_path / "a.jwk",
        delegates=True,
    )
    with pytest.raises(ValueError, match=r"delegates of a needs service_provider"):
        Settings(
            database="postgresql://x@127.0.0.1/x",
            public_url="https://node.example",
            internal_url="http://127.0.0.1:1",
            organisations=(organisation,),
        )
