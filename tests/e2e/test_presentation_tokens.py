"""Tokens for presentations, over the wire: definition, DID documents, presentation, token, introspection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from tests.certificates import Authority, uzi_name
from tests.nodes import MakeDatabase, RunningNode, running_node

from schakel.generic.identity.credentials import Definition, Presentation


@asynccontextmanager
async def _node(make_database: MakeDatabase, folder: Path) -> AsyncIterator[RunningNode]:
    """A node of which organisation b has an UZI certificate that all believe."""
    root = Authority.new("Test UZI Root")
    above = root.authority("Test UZI CA")
    issued = above.issue("b", uzi=uzi_name("90000002"), organisation="Organisation b", locality="Zwolle")
    files = issued.write(folder, "uzi")
    files.certificate.write_text(issued.chain_pem + root.pem)
    (folder / "root.pem").write_text(root.pem)
    own = {"uzi_certificate": files.certificate, "uzi_key": files.key}
    async with running_node(
        make_database,
        by_slug={"b": own},
        trust={"uzi": (folder / "root.pem",), "http_on_loopback": True},
        certificates={"uzi": "test", "revocation": "off"},
    ) as node:
        yield node


async def _asked(node: RunningNode, scope: str) -> httpx.Response:
    a = node["a"]
    address = f"{a.front_root}/a/oauth2/presentation_definition"
    return await a.front.get(address, params={"scope": scope})


async def _made(node: RunningNode, scope: str) -> Presentation:
    """What b presents to a for `scope`."""
    definition = Definition.read((await _asked(node, scope)).json())
    wallet = node.node.organisations["b"].wallet
    return wallet.present(definition, audience=f"{node['a'].front_root}/a")


async def _token(node: RunningNode, made: Presentation, scope: str, **changed: Any) -> httpx.Response:
    form = {
        "grant_type": "vp_token-bearer",
        "scope": scope,
        "client_id": f"{node['a'].front_root}/b",
        "assertion": made.assertion,
        "presentation_submission": orjson.dumps(made.submission).decode(),
        **changed,
    }
    return await node["a"].front.post(f"{node['a'].front_root}/a/oauth2/token", data=form)


async def test_an_organisation_gets_a_token_for_what_its_certificate_proves(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with _node(make_database, tmp_path) as node:
        a = node["a"]
        made = await _made(node, "eOverdracht-sender")
        answer = await _token(node, made, "eOverdracht-sender")
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        told = await a.internal.post(f"{a.internal_root}/a/oauth2/introspect", data={"token": token})
        members = told.json()
        assert members["active"] and members["sub"] == "90000002"
        assert members["organization_ura"] == "90000002"
        assert members["organization_name"] == "Organisation b"
        again = await _token(node, made, "eOverdracht-sender")
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        assert "used before" in again.json()["error_description"]


async def test_a_refusal_names_the_credential_that_is_missing(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with _node(make_database, tmp_path) as node:
        made = await _made(node, "eOverdracht-sender")
        answer = await _token(node, made, "bgz", presentation_submission="{}")
        assert answer.status_code == 400
        grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
        answer = await _token(node, made, "bgz", **grant)
        assert answer.json()["error"] == "invalid_grant"
        assert "id_healthcare_provider_role_type (HealthcareProviderRoleTypeCredential)" in answer.text


async def test_a_did_document_is_published_on_front(make_database: MakeDatabase, tmp_path: Path) -> None:
    async with _node(make_database, tmp_path) as node:
        b = node["b"]
        answer = await b.front.get(f"{b.front_root}/b/did.json")
        document = answer.json()
        port = b.front_root.rpartition(":")[2]
        assert document["id"] == f"did:web:127.0.0.1%3A{port}:b"
        assert document["assertionMethod"] == document["authentication"]
        jwks = (await b.front.get(f"{b.front_root}/b/oauth2/jwks")).json()
        published = document["verificationMethod"][0]["publicKeyJwk"]
        assert published["x"] == jwks["keys"][0]["x"] and "d" not in published
        assert (await b.front.get(f"{b.front_root}/nobody/did.json")).status_code == 404


async def test_a_scope_without_a_definition_is_refused_by_name(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with _node(make_database, tmp_path) as node:
        answer = await _asked(node, "nothing")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


async def test_without_anybody_to_believe_no_presentations_are_offered(make_database: MakeDatabase) -> None:
    async with running_node(make_database) as node:
        a = node["a"]
        metadata = (await a.front.get(f"{a.front_root}/.well-known/oauth-authorization-server/a")).json()
        assert not {"presentation_definition_endpoint", "did_methods_supported"} & metadata.keys()
        assert "vp_token-bearer" not in metadata["grant_types_supported"]


@pytest.mark.parametrize("grant", ["vp_token-bearer", "urn:ietf:params:oauth:grant-type:jwt-bearer"])
async def test_whatever_is_posted_as_a_presentation_is_refused_without_a_fault(
    make_database: MakeDatabase, tmp_path: Path, grant: str
) -> None:
    async with _node(make_database, tmp_path) as node:
        made = await _made(node, "eOverdracht-sender")
        for assertion in ("", "x", "{}", "a.b.c", made.assertion[:-9], made.assertion.replace(".", "..", 1)):
            for submission in (
                "",
                "[]",
                "{}",
                '{"definition_id": 7}',
                '{"definition_id": "pd_any_care_organization"}',
            ):
                answer = await _token(
                    node,
                    made,
                    "eOverdracht-sender",
                    grant_type=grant,
                    assertion=assertion,
                    presentation_submission=submission,
                )
                assert answer.status_code == 400, answer.text
                assert answer.json()["error"] in ("invalid_request", "invalid_grant")
