"""A wallet presents, the authorisation server verifies: the whole way, with real credentials in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
from tests.presenting import AUDIENCE, HOLDER, URA, Draft, Scene

from schakel.generic.identity import (
    AssertionSigner,
    AuthorisationServer,
    Caller,
    DpopKey,
    Errand,
    OAuthError,
    TokenForms,
    User,
    new_key,
)
from schakel.generic.identity.credentials import Definition, Refused, Wallet
from schakel.generic.identity.signer import AskedServer
from schakel.generic.identity.tokens.grants import CLIENT_CREDENTIALS, JWT_BEARER, VP_BEARER
from schakel.kernel.outcomes import Upstream
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer

ENDPOINT = f"{AUDIENCE}/oauth2/token"
DOCTOR = User("900000008", "J. Jansen", "01.015")
KEY = new_key()
LOA = "http://eidas.europa.eu/LoA/high"


class Directory:
    """Knows the asking organisation by its key."""

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        return {"keys": [{k: v for k, v in KEY.items() if k != "d"}]} if ura == URA else None

    async def name(self, ura: str) -> str:
        return ""

    async def facility_type(self, ura: str) -> str:
        return ""


@pytest.fixture
def scene() -> Scene:
    return Scene.new()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("presented", "presented", "secret"))
    yield opened
    await opened.close()
    await cluster.drop_database("presented", "presented")


@pytest.fixture
def server(pool: asyncpg.Pool, scene: Scene) -> AuthorisationServer:
    scopes = frozenset({"bgz", "bgz-sender"})
    return AuthorisationServer(
        pool, 1, AUDIENCE, Directory(), 300, scopes, presentations=scene.presentations()
    )


@pytest.fixture
def signer(tmp_path: Path) -> AssertionSigner:
    path = tmp_path / "key.jwk"
    path.write_bytes(orjson.dumps(KEY))
    return AssertionSigner(URA, path)


def wallet(scene: Scene, *credentials: Draft) -> Wallet:
    return Wallet(HOLDER, scene.holder_key, [one.sign() for one in credentials])


def errand(scope: str, *beside: Mapping[str, Any]) -> Errand:
    return Errand(scope, DOCTOR, "TREAT", "current", beside)


def offered(server: AuthorisationServer, *grants: str) -> AskedServer:
    """The server as its metadata tell, with only these grants when some are given."""
    told = server.metadata()
    return AskedServer.read({**told, "grant_types_supported": list(grants) or told["grant_types_supported"]})


def publisher(server: AuthorisationServer) -> Any:
    """Fetches a presentation definition as the server publishes it."""

    async def definition(address: str, scope: str) -> Definition:
        assert address == f"{AUDIENCE}/oauth2/presentation_definition"
        return Definition.read(server.presentation_definition(scope))

    return definition


async def test_an_organisation_presents_itself_and_its_professional(
    server: AuthorisationServer, scene: Scene, signer: AssertionSigner
) -> None:
    forms = TokenForms(signer, "https://kliniek-oost.example", wallet(scene, scene.x509(), scene.facility()))
    form = await forms.form(offered(server), errand("bgz", scene.dezi()), publisher(server))
    assert form["grant_type"] == VP_BEARER
    key = DpopKey.new()
    caller = Caller("POST", ENDPOINT, dpop=(key.proof("POST", ENDPOINT),))
    answer = await server.token(form, caller)
    assert (answer.grant.requester, answer.grant.requester_name) == (URA, "Kliniek Oost")
    assert (answer.grant.facility_type, answer.grant.assurance, answer.grant.jkt) == ("V6", LOA, key.jkt)
    assert answer.grant.user is not None and answer.grant.user.role == "01.015"
    told = await server.introspect(answer.token)
    assert told["organization_ura"] == URA and told["client_id"] == "https://kliniek-oost.example"
    with pytest.raises(OAuthError) as caught:
        await server.token(form, Caller("POST", ENDPOINT))
    assert (caught.value.kind, caught.value.requester) == ("presentation-replayed", URA)


async def test_the_same_goes_as_an_assertion_and_each_claim_has_an_origin(
    server: AuthorisationServer, scene: Scene, signer: AssertionSigner
) -> None:
    forms = TokenForms(signer, "https://kliniek-oost.example", wallet(scene, scene.x509()))
    form = await forms.form(offered(server, JWT_BEARER), errand("bgz-sender"), publisher(server))
    assert form["grant_type"] == JWT_BEARER
    answer = await server.token(form, Caller("POST", ENDPOINT))
    assert (answer.grant.requester, answer.grant.client_id) == (URA, HOLDER)
    [ura] = (await server.introspect(answer.token))["assertions"][HOLDER]["organization_ura"]
    assert (ura["value"], ura["iss"]) == (URA, scene.did_x509)
    assert ura["exp"] > ura["iat"]


async def test_what_cannot_be_presented_is_asserted_where_that_will_do(
    server: AuthorisationServer, scene: Scene, signer: AssertionSigner
) -> None:
    forms = TokenForms(signer, "https://kliniek-oost.example", wallet(scene, scene.x509()))
    form = await forms.form(offered(server), errand("bgz"), publisher(server))
    assert form["grant_type"] == CLIENT_CREDENTIALS
    assert (await server.token(form, Caller("POST", ENDPOINT))).grant.user == DOCTOR


@pytest.mark.parametrize("grant", [VP_BEARER, JWT_BEARER])
async def test_where_it_will_not_do_the_credential_that_is_missing_is_named(
    server: AuthorisationServer, scene: Scene, signer: AssertionSigner, grant: str
) -> None:
    forms = TokenForms(signer, "https://kliniek-oost.example", wallet(scene, scene.x509()))
    with pytest.raises(Refused) as caught:
        await forms.form(offered(server, grant), errand("bgz"), publisher(server))
    assert "HealthcareProviderRoleTypeCredential" in caught.value.message


async def test_without_credentials_only_an_assertion_can_be_made(
    server: AuthorisationServer, signer: AssertionSigner
) -> None:
    forms = TokenForms(signer, "https://kliniek-oost.example")
    assert not forms.presents
    form = await forms.form(offered(server), errand("bgz"), publisher(server))
    assert form["grant_type"] == CLIENT_CREDENTIALS
    with pytest.raises(Upstream, match="no grant that we can make"):
        await forms.form(offered(server, VP_BEARER), errand("bgz"), publisher(server))


@pytest.mark.parametrize("missing", ["issuer", "token_endpoint"])
def test_metadata_that_say_too_little_are_refused_by_name(missing: str) -> None:
    good = {"issuer": AUDIENCE, "token_endpoint": ENDPOINT}
    assert AskedServer.read(good).grants == {CLIENT_CREDENTIALS}
    with pytest.raises(Upstream, match=missing):
        AskedServer.read({**good, missing: None})
