"""Tokens for presentations: what the form must hold, what the token says, and that nothing is used twice.

What a presentation proves is told by a double here; that it is verified is tested with the credentials themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from schakel.generic.identity import AuthorisationServer, Caller, OAuthError, ServerRules, User
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.generic.identity.credentials import Definition, Definitions, Presented, Refused
from schakel.generic.identity.credentials.reading import credential
from schakel.generic.identity.tokens.grants import JWT_BEARER, VP_BEARER
from schakel.kernel.clock import new_id, now
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer

ISSUER = "https://node.example/haven"
HOLDER, PROVIDER = "did:web:clinic.example", "did:web:vendor.example"
CLIENT = "https://clinic.example/oauth2"
URA, PATIENT = "22222222", "999229588"
DOCTOR = User("123456789", "L. de Boer", "01.015")
FIELDS = {"organization_ura": URA, "organization_name": "Kliniek Oost", "user_id": DOCTOR.id}
CALLER = Caller("POST", f"{ISSUER}/oauth2/token")
SCOPES = frozenset({"bgz", "bgz-sender", "eOverdracht-sender", "eOverdracht-receiver", "other"})
MakeServer = Callable[..., AuthorisationServer]


class Told:
    """Presentations of which a test says what they prove; they are told by their text. Notes what was asked."""

    def __init__(self) -> None:
        self.definitions = Definitions.load()
        self.proves: dict[str, Presented | OAuthError] = {}
        self.asked: list[dict[str, Any]] = []

    def add(self, **changes: Any) -> str:
        """A new presentation."""
        text, moment = new_id(), now().timestamp()
        base = Presented(HOLDER, new_id(), new_id(), moment + 5, (), FIELDS, URA, "Kliniek Oost")
        self.proves[text] = replace(base, **changes)
        return text

    async def verify(self, vp_jwt: str, *, definition: Definition, **asked: Any) -> Presented:
        self.asked.append({"text": vp_jwt, "definition": definition.id, **asked})
        found = self.proves.get(vp_jwt, Refused("the presentation is not a JWT", code="jwt-malformed"))
        if isinstance(found, OAuthError):
            raise found
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def address(cluster: EmbeddedServer) -> AsyncIterator[str]:
    yield await cluster.ensure_database("presenting", "presenting", "secret")
    await cluster.drop_database("presenting", "presenting")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(address: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(address)
    yield opened
    await opened.close()


@pytest.fixture
def told() -> Told:
    return Told()


class NoKeys:
    """A directory without anybody."""

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        return None

    async def name(self, ura: str) -> str:
        return ""

    async def facility_type(self, ura: str) -> str:
        return ""


@pytest.fixture
def make_server(pool: asyncpg.Pool, told: Told) -> MakeServer:
    def make(lifetime: int = 300, of: asyncpg.Pool | None = None, **rules: Any) -> AuthorisationServer:
        return AuthorisationServer(
            of or pool, 1, ISSUER, NoKeys(), lifetime, SCOPES, presentations=told, rules=ServerRules(**rules)
        )

    return make


@pytest.fixture
def server(make_server: MakeServer) -> AuthorisationServer:
    return make_server()


def presenting(
    assertion: str, definition: str = "pd_any_care_organization", /, **changes: str | None
) -> dict[str, str]:
    """A good request with the grant vp_token-bearer; a change to None takes the field away."""
    base = {
        "grant_type": VP_BEARER,
        "scope": "bgz-sender",
        "client_id": CLIENT,
        "assertion": assertion,
        "presentation_submission": json.dumps({"id": "1", "definition_id": definition, "descriptor_map": []}),
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def bearing(assertion: str, client_assertion: str | None = None, /, **changes: str | None) -> dict[str, str]:
    """A good request with the grant jwt-bearer."""
    base = {
        "grant_type": JWT_BEARER,
        "scope": "bgz-sender",
        "assertion": assertion,
        "client_assertion": client_assertion,
        "client_assertion_type": ASSERTION_TYPE if client_assertion else None,
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


async def refusal(server: AuthorisationServer, form: Mapping[str, str]) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        await server.token(form, CALLER)
    return caught.value


# -- vp_token-bearer -----------------------------------------------------------------------------------------


async def test_a_token_says_what_the_presentation_proved(server: AuthorisationServer, told: Told) -> None:
    loa = "http://eidas.europa.eu/LoA/high"
    text = told.add(user=DOCTOR, assurance=loa, facility_type="V6", patient=PATIENT)
    answer = await server.token(presenting(text), CALLER)
    grant = await server.identify(Caller("GET", ISSUER, (f"Bearer {answer.token}",)))
    assert grant == answer.grant
    assert (grant.requester, grant.requester_name, grant.facility_type) == (URA, "Kliniek Oost", "V6")
    assert (grant.user, grant.assurance, grant.patient) == (DOCTOR, loa, PATIENT)
    assert (grant.client_id, grant.grant_type, grant.scope) == (CLIENT, VP_BEARER, "bgz-sender")
    assert grant.claims == FIELDS
    [asked] = told.asked
    assert (asked["definition"], asked["audience"]) == ("pd_any_care_organization", ISSUER)
    assert asked["submission"]["id"] == "1"


async def test_introspection_has_the_fields_of_the_definition_at_the_top(
    server: AuthorisationServer, told: Told
) -> None:
    text = told.add(fields={**FIELDS, "active": "false", "scope": "everything"})
    token = (await server.token(presenting(text), CALLER)).token
    answer = await server.introspect(token)
    assert answer.items() >= {**FIELDS, "active": True, "scope": "bgz-sender", "client_id": CLIENT}.items()
    assert "user" not in answer and "assertions" not in answer


async def test_a_token_lives_no_longer_than_the_profile_allows(make_server: MakeServer, told: Told) -> None:
    for lifetime, seconds in ((60, 60), (3600, 900)):
        answer = await make_server(lifetime).token(presenting(told.add()), CALLER)
        assert answer.seconds == seconds
        assert seconds - 5 < (answer.grant.expires - now()).total_seconds() <= seconds


@pytest.mark.parametrize("field", ["scope", "assertion", "client_id", "presentation_submission"])
async def test_a_missing_field_is_named(server: AuthorisationServer, told: Told, field: str) -> None:
    text = told.add()
    for missing in (None, ""):
        error = await refusal(server, presenting(text, **{field: missing}))
        assert (error.error, error.expression) == ("invalid_request", field)
    assert told.asked == []


@pytest.mark.parametrize(
    ("changes", "word", "expression"),
    [
        ({"scope": "bgz everything"}, "invalid_scope", "scope"),
        ({"scope": "BGZ-sender"}, "invalid_scope", "scope"),
        ({"scope": "other"}, "invalid_scope", "scope"),
        ({"client_id": "a\nb"}, "invalid_request", "client_id"),
        ({"client_id": "x" * 501}, "invalid_request", "client_id"),
        ({"presentation_submission": "{"}, "invalid_request", "presentation_submission"),
        ({"presentation_submission": "[]"}, "invalid_request", "presentation_submission"),
        (
            {"presentation_submission": "{}"},
            "invalid_request",
            "presentation_submission.definition_id",
        ),
        (
            {"presentation_submission": '{"definition_id": "pd_other"}'},
            "invalid_request",
            "presentation_submission.definition_id",
        ),
        ({"assertion": "x"}, "invalid_grant", ""),
    ],
)
async def test_a_field_with_another_value_is_refused_by_its_name(
    server: AuthorisationServer, told: Told, changes: dict[str, str], word: str, expression: str
) -> None:
    error = await refusal(server, presenting(told.add(), **changes))
    assert (error.error, error.expression, error.status) == (word, expression, 400)


async def test_a_presentation_that_proves_no_organisation_gives_no_token(
    server: AuthorisationServer, told: Told
) -> None:
    error = await refusal(server, presenting(told.add(ura="")))
    assert (error.error, error.kind, error.requester) == ("invalid_grant", "presentation-ura", "")


@pytest.mark.parametrize("kept", ["jti", "nonce"])
async def test_neither_of_its_ids_is_used_twice(server: AuthorisationServer, told: Told, kept: str) -> None:
    value = new_id()
    await server.token(presenting(told.add(**{kept: value})), CALLER)
    error = await refusal(server, presenting(told.add(**{kept: value})))
    assert (error.error, error.kind, error.expression) == (
        "invalid_grant",
        "presentation-replayed",
        f"assertion.{kept}",
    )
    assert error.requester == URA
    # Of another holder it is another id.
    assert await server.token(presenting(told.add(**{kept: value}, holder=PROVIDER)), CALLER)


async def test_of_many_uses_at_the_same_moment_at_two_nodes_one_wins(
    address: str, make_server: MakeServer, told: Told
) -> None:
    other = await connect(address)
    try:
        for _ in range(5):
            form = presenting(told.add())
            tries = [node.token(form, CALLER) for node in [make_server(), make_server(of=other)] * 5]
            answers = await asyncio.gather(*tries, return_exceptions=True)
            refused = [one for one in answers if isinstance(one, OAuthError)]
            assert len(refused) == len(answers) - 1
            assert {one.kind for one in refused} == {"presentation-replayed"}
    finally:
        await other.close()


# -- several scopes --------------------------------------------------------------------------------------------


async def test_scopes_with_one_definition_are_proved_at_once(server: AuthorisationServer, told: Told) -> None:
    scope = "eOverdracht-sender bgz-sender eOverdracht-sender"
    answer = await server.token(presenting(told.add(), scope=scope), CALLER)
    assert answer.grant.scope == "bgz-sender eOverdracht-sender"
    assert len(told.asked) == 1


async def test_scopes_with_two_definitions_must_both_be_proved_by_the_one_presentation(
    server: AuthorisationServer, told: Told
) -> None:
    form = presenting(told.add(), "pd_care_professional", scope="bgz bgz-sender")
    assert (await server.token(form, CALLER)).grant.scopes == {"bgz", "bgz-sender"}
    assert {one["definition"] for one in told.asked} == {"pd_any_care_organization", "pd_care_professional"}
    # The submission is about one of them; the other is found by trying.
    said = {one["definition"]: one["submission"] is not None for one in told.asked}
    assert said == {"pd_any_care_organization": False, "pd_care_professional": True}


async def test_scopes_are_not_proved_by_two_values_of_one_field(
    server: AuthorisationServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, first = told.add(), told.verify

    async def differing(vp_jwt: str, *, definition: Definition, **asked: Any) -> Presented:
        found = await first(vp_jwt, definition=definition, **asked)
        return replace(found, fields={"organization_ura": URA, "organization_name": definition.id})

    monkeypatch.setattr(told, "verify", differing)
    error = await refusal(server, presenting(text, scope="bgz bgz-sender"))
    assert (error.error, error.expression) == ("invalid_grant", "assertion.organization_name")


# -- jwt-bearer ------------------------------------------------------------------------------------------------


def provider(told: Told, **changes: Any) -> str:
    """A presentation of a service provider."""
    return told.add(**{"holder": PROVIDER, "fields": {}, "ura": "", "organisation_name": "", **changes})


async def test_a_care_organisation_may_ask_by_itself(server: AuthorisationServer, told: Told) -> None:
    answer = await server.token(bearing(told.add(nonce="")), CALLER)
    assert (answer.grant.requester, answer.grant.grant_type) == (URA, JWT_BEARER)
    assert answer.grant.client_id == HOLDER


async def test_a_service_provider_asks_for_a_care_organisation(
    server: AuthorisationServer, told: Told
) -> None:
    organisation = told.add()
    answer = await server.token(bearing(organisation, provider(told)), CALLER)
    assert (answer.grant.requester, answer.grant.client_id) == (URA, PROVIDER)
    ours, theirs = told.asked
    assert (theirs["definition"], theirs["client"]) == ("pd_service_provider", told.proves[organisation])
    assert ours.get("client") is None


async def test_introspection_says_who_vouched_for_what(server: AuthorisationServer, told: Told) -> None:
    issued = {
        "type": ["VerifiableCredential", "X509Credential"],
        "@context": ["https://www.w3.org/2018/credentials/v1"],
        "issuer": "did:x509:1",
        "credentialSubject": {
            "id": HOLDER,
            "subject": {"O": "Kliniek Oost", "L": "Zwolle"},
            "san": {"otherName": f"2.16.528.1.1007.99.2110-1-900025039-S-{URA}-00.000-00000000"},
        },
        "issuanceDate": "2026-01-01T00:00:00Z",
    }
    held = (credential(issued),)
    answer = await server.token(bearing(told.add(credentials=held), provider(told)), CALLER)
    told_of = await server.introspect(answer.token)
    about = told_of["assertions"][HOLDER]
    assert about["organization_ura"] == [{"value": URA, "iss": "did:x509:1"}]
    assert about["organization_city"] == [{"value": "Zwolle", "iss": "did:x509:1"}]
    assert told_of["client_assertions"] == {}
    assert told_of["organization_ura"] == URA


async def test_a_client_assertion_that_comes_is_verified_even_when_none_is_needed(
    server: AuthorisationServer, told: Told
) -> None:
    error = await refusal(server, bearing(told.add(), "x"))
    assert (error.error, error.status, error.requester) == ("invalid_client", 401, URA)
    assert error.expression == "client_assertion"


@pytest.mark.parametrize("field", ["client_assertion", "client_assertion_type"])
async def test_a_client_assertion_comes_with_its_type(
    server: AuthorisationServer, told: Told, field: str
) -> None:
    error = await refusal(server, bearing(told.add(), provider(told), **{field: None}))
    assert (error.error, error.expression) == ("invalid_request", field)


async def test_a_client_assertion_of_another_type_is_refused(server: AuthorisationServer, told: Told) -> None:
    form = bearing(told.add(), provider(told), client_assertion_type="urn:other")
    assert (await refusal(server, form)).expression == "client_assertion_type"


async def test_where_a_service_provider_must_show_itself_none_asks_without(
    make_server: MakeServer, told: Told
) -> None:
    server = make_server(client_assertions="required")
    error = await refusal(server, bearing(told.add()))
    assert (error.error, error.expression) == ("invalid_request", "client_assertion")
    assert await server.token(bearing(told.add(), provider(told)), CALLER)


async def test_a_service_provider_speaks_for_the_same_organisation(
    server: AuthorisationServer, told: Told
) -> None:
    another = provider(told, fields={"organization_ura": "33333333"})
    error = await refusal(server, bearing(told.add(), another))
    assert (error.error, error.expression) == ("invalid_client", "client_assertion.organization_ura")
    same = provider(told, fields={"organization_ura": URA})
    assert await server.token(bearing(told.add(), same), CALLER)


@pytest.mark.parametrize("kept", ["jti", "nonce"])
async def test_a_client_assertion_is_used_once(server: AuthorisationServer, told: Told, kept: str) -> None:
    value, organisation = new_id(), told.add()
    await server.token(bearing(told.add(), provider(told, **{kept: value})), CALLER)
    error = await refusal(server, bearing(organisation, provider(told, **{kept: value})))
    assert (error.error, error.expression) == ("invalid_client", f"client_assertion.{kept}")
    # The presentation beside it was not used up.
    assert await server.token(bearing(organisation), CALLER)


async def test_one_presentation_is_not_both(server: AuthorisationServer, told: Told) -> None:
    text = told.add()
    error = await refusal(server, bearing(text, text))
    assert (error.error, error.kind) == ("invalid_request", "parts-equal")


async def test_a_presentation_of_one_grant_is_used_up_for_the_other(
    server: AuthorisationServer, told: Told
) -> None:
    text = told.add()
    await server.token(bearing(text), CALLER)
    assert (await refusal(server, presenting(text))).kind == "presentation-replayed"


# -- what is told beforehand -------------------------------------------------------------------------------------


async def test_metadata_name_the_grants_and_where_the_definitions_are(server: AuthorisationServer) -> None:
    told = server.metadata()
    assert told["grant_types_supported"] == ["client_credentials", VP_BEARER, JWT_BEARER]
    assert told["presentation_definition_endpoint"] == f"{ISSUER}/oauth2/presentation_definition"
    assert told["vp_formats"] == told["vp_formats_supported"]
    assert "ES256" in told["vp_formats"]["jwt_vp_json"]["alg_values_supported"]


async def test_the_definition_of_a_scope_is_published(server: AuthorisationServer) -> None:
    one = server.presentation_definition("eOverdracht-sender eOverdracht-receiver")
    assert one["id"] == "pd_any_care_organization"
    for scope, code in (("", "field-missing"), ("nothing", "scope"), ("bgz bgz-sender", "scope-several")):
        with pytest.raises(OAuthError) as caught:
            server.presentation_definition(scope)
        assert (caught.value.kind, caught.value.expression) == (code, "scope")
