"""Tokens are given for a signed assertion, once, and each guard refuses when its one condition is gone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import ECKey

from schakel.generic.identity import AssertionSigner, AuthorisationServer, Caller, OAuthError, User, new_key
from schakel.generic.identity.assertion import ASSERTION_TYPE, LEEWAY_SECONDS, MAX_CHARACTERS, MAX_SECONDS
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Busy, Invalid, Unauthenticated
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer

ISSUER = "https://node.example/haven"
REQUESTER, STRANGER = "22222222", "33333333"
DOCTOR = User("900025039", "L. de Boer", "01.010", "900000008", "01.015")
KEY = new_key()
OTHER_KEY = new_key()
CALLER = Caller("POST", f"{ISSUER}/oauth2/token")
Claims = dict[str, Any]


class Directory:
    """Public keys by URA."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        self._jwks = jwks

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        return self._jwks.get(ura)

    async def name(self, ura: str) -> str:
        return ""

    async def facility_type(self, ura: str) -> str:
        return ""


def public(key: Claims) -> Claims:
    return {name: value for name, value in key.items() if name != "d"}


DIRECTORY = Directory({REQUESTER: {"keys": [public(KEY)]}})


def claims(**changes: object) -> Claims:
    """The claims of a good assertion with changes; a change to None takes the claim away."""
    moment = int(now().timestamp())
    base = {
        "iss": REQUESTER,
        "sub": REQUESTER,
        "aud": ISSUER,
        "jti": new_id(),
        "iat": moment,
        "exp": moment + MAX_SECONDS,
        "user": DOCTOR.json(),
        "purpose_of_use": "TREAT",
        "treatment_relation": "current",
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def signed(content: Claims, key: Claims = KEY, **header: object) -> str:
    headers = {"alg": "ES256", "kid": key["kid"], **header}
    present = {name: value for name, value in headers.items() if value is not None}
    return jwt.encode(present, content, ECKey.import_key(key), ["ES256"])


def forged(content: Claims, algorithm: str, secret: bytes = b"") -> str:
    """A JWT with alg none, or HS256 with this secret."""
    head = {"alg": algorithm, "kid": KEY["kid"]}
    body = ".".join(_encoded(json.dumps(part).encode()) for part in (head, content))
    mac = hmac.new(secret, body.encode(), hashlib.sha256).digest() if secret else b""
    return f"{body}.{_encoded(mac)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def form(assertion: str, **changes: object) -> dict[str, str]:
    """The form of a good request with changes; a change to None takes the field away."""
    base = {
        "grant_type": "client_credentials",
        "scope": "bgz",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    return {name: str(value) for name, value in {**base, **changes}.items() if value is not None}


def bearing(header: str | None) -> Caller:
    """A request for data with this header Authorization."""
    return Caller("GET", f"{ISSUER}/fhir/stu3/Condition", () if header is None else (header,))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def address(cluster: EmbeddedServer) -> AsyncIterator[str]:
    yield await cluster.ensure_database("identity", "identity", "secret")
    await cluster.drop_database("identity", "identity")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(address: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(address)
    yield opened
    await opened.close()


@pytest.fixture
def make_server(pool: asyncpg.Pool) -> Callable[..., AuthorisationServer]:
    """Call it for one more server of organisation 1, as another process would have it."""

    def make(
        keys: Directory = DIRECTORY, tenant: int = 1, of: asyncpg.Pool | None = None
    ) -> AuthorisationServer:
        return AuthorisationServer(of or pool, tenant, ISSUER, keys, 300)

    return make


@pytest.fixture
def server(make_server: Callable[..., AuthorisationServer]) -> AuthorisationServer:
    return make_server()


async def refusal(server: AuthorisationServer, fields: Mapping[str, str]) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        await server.token(fields, CALLER)
    return caught.value


# -- what works --------------------------------------------------------------------------------------------


async def test_a_token_says_what_the_requester_signed(server: AuthorisationServer) -> None:
    answer = await server.token(form(signed(claims())), CALLER)
    grant = await server.identify(bearing(f"Bearer {answer.token}"))
    assert grant == answer.grant
    assert (grant.requester, grant.scope, grant.user) == (REQUESTER, "bgz", DOCTOR)
    assert (grant.purpose, grant.treatment_relation, grant.patient) == ("TREAT", "current", "")
    assert 295 < (grant.expires - now()).total_seconds() < 305
    assert answer.json() == {
        "access_token": answer.token,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "bgz",
    }


async def test_another_process_knows_the_token_too(
    server: AuthorisationServer, make_server: Callable[..., AuthorisationServer]
) -> None:
    answer = await server.token(form(signed(claims())), CALLER)
    assert await make_server().identify(bearing(f"bearer {answer.token}")) == answer.grant


async def test_what_the_signer_makes_is_taken(server: AuthorisationServer, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(KEY))
    signer = AssertionSigner(REQUESTER, path)
    answer = await server.token(form(signer.assertion(ISSUER, DOCTOR, "TREAT", "current")), CALLER)
    assert answer.grant.user == DOCTOR
    assert signer.jwks() == {"keys": [public(KEY)]}


async def test_a_key_without_name_is_tried_among_all_of_the_requester(
    make_server: Callable[..., AuthorisationServer],
) -> None:
    unusable = [{"kty": "RSA", "n": "AQ", "e": "AQAB"}, {**public(OTHER_KEY), "x": "AAAA"}, "text"]
    keys = Directory({REQUESTER: {"keys": [*unusable, public(OTHER_KEY), public(KEY)]}})
    answer = await make_server(keys).token(form(signed(claims(), kid=None)), CALLER)
    assert answer.grant.requester == REQUESTER


async def test_clocks_may_differ_a_little(server: AuthorisationServer) -> None:
    moment = int(now().timestamp())
    early = claims(iat=moment + LEEWAY_SECONDS - 2, exp=moment + LEEWAY_SECONDS + 10)
    late = claims(iat=moment - MAX_SECONDS, exp=moment - LEEWAY_SECONDS + 3)
    for content in (early, late):
        assert (await server.token(form(signed(content)), CALLER)).seconds == 300


async def test_the_text_of_a_token_is_kept_nowhere(server: AuthorisationServer, pool: asyncpg.Pool) -> None:
    answer = await server.token(form(signed(claims())), CALLER)
    rows = await pool.fetch("SELECT t::text AS row, digest FROM access_token t")
    assert all(answer.token not in row["row"] for row in rows)
    assert hashlib.sha256(answer.token.encode()).digest() in [row["digest"] for row in rows]


async def test_introspection_tells_what_a_token_says(server: AuthorisationServer) -> None:
    answer = await server.token(form(signed(claims())), CALLER)
    told = await server.introspect(answer.token)
    assert told.pop("exp") - told.pop("iat") == 300
    assert told == {
        "active": True,
        "iss": ISSUER,
        "client_id": REQUESTER,
        "sub": REQUESTER,
        "scope": "bgz",
        "token_type": "Bearer",
        "jti": answer.grant.jti,
        "user": DOCTOR.json(),
        "purpose_of_use": "TREAT",
        "treatment_relation": "current",
    }
    for other in ("", "x" * 43, answer.token + "A", "é" * 43, "\0" * 43):
        assert await server.introspect(other) == {"active": False}


async def test_metadata_name_the_addresses_and_the_one_algorithm(server: AuthorisationServer) -> None:
    told = server.metadata()
    assert told["issuer"] == ISSUER
    assert told["token_endpoint"] == f"{ISSUER}/oauth2/token"
    assert told["jwks_uri"] == f"{ISSUER}/oauth2/jwks"
    assert told["token_endpoint_auth_signing_alg_values_supported"] == ["ES256"]
    assert told["scopes_supported"] == ["bgz"]


# -- the assertion, one condition at a time ------------------------------------------------------------------


def _later(seconds: int) -> int:
    return int(now().timestamp()) + seconds


WRONG_CLAIMS: dict[str, Callable[[], Claims]] = {
    "assertion-iss": lambda: claims(iss=None),
    "assertion-iss of seven digits": lambda: claims(iss="2222222", sub="2222222"),
    "assertion-iss that is no text": lambda: claims(iss=22222222, sub=22222222),
    "requester-unknown": lambda: claims(iss=STRANGER, sub=STRANGER),
    "assertion-sub": lambda: claims(sub=None),
    "assertion-sub of another": lambda: claims(sub=STRANGER),
    "assertion-aud": lambda: claims(aud=None),
    "assertion-aud of another holder": lambda: claims(aud="https://node.example/other"),
    "assertion-aud with a slash": lambda: claims(aud=ISSUER + "/"),
    "assertion-aud with more": lambda: claims(aud=[ISSUER, "https://node.example/other"]),
    "assertion-jti": lambda: claims(jti=None),
    "assertion-jti that is empty": lambda: claims(jti=""),
    "assertion-jti too long": lambda: claims(jti="x" * 129),
    "assertion-jti with a control character": lambda: claims(jti="a\0b"),
    "assertion-iat": lambda: claims(iat=None),
    "assertion-iat with a fraction": lambda: claims(iat=now().timestamp()),
    "assertion-iat that is true": lambda: claims(iat=True),
    "assertion-iat in the future": lambda: claims(iat=_later(20), exp=_later(40)),
    "assertion-exp": lambda: claims(exp=None),
    "assertion-exp as text": lambda: claims(exp=str(_later(60))),
    "assertion-exp in the past": lambda: claims(iat=_later(-60), exp=_later(-LEEWAY_SECONDS - 1)),
    "assertion-exp too far": lambda: claims(iat=_later(0), exp=_later(0) + MAX_SECONDS + 2),
    "assertion-exp before iat": lambda: claims(iat=_later(2), exp=_later(0)),
    "assertion-exp beyond all times": lambda: claims(exp=10**30),
    "assertion-nbf in the future": lambda: claims(nbf=_later(30)),
}


@pytest.mark.parametrize("case", WRONG_CLAIMS)
async def test_an_assertion_with_one_wrong_claim_is_no_proof(server: AuthorisationServer, case: str) -> None:
    error = await refusal(server, form(signed(WRONG_CLAIMS[case]())))
    assert (error.error, error.status, error.kind) == ("invalid_client", 401, case.partition(" ")[0])


WRONG_CONTENT: dict[str, tuple[str, Claims]] = {
    "no user": ("user", {"user": None}),
    "a user that is text": ("user", {"user": "900025039"}),
    "a user with more": ("user", {"user": {**DOCTOR.json(), "admin": "yes"}}),
    "a user without id": ("user.id", {"user": {"name": "L. de Boer", "role": "01.010"}}),
    "a user without name": ("user.name", {"user": {"id": "900025039", "role": "01.010"}}),
    "a user without role": ("user.role", {"user": {"id": "900025039", "name": "L. de Boer"}}),
    "a role that is none": ("user.role", {"user": {**DOCTOR.json(), "role": "arts"}}),
    "a name with a line break": ("user.name", {"user": {**DOCTOR.json(), "name": "L.\nde Boer"}}),
    "a name too long": ("user.name", {"user": {**DOCTOR.json(), "name": "L" * 201}}),
    "a mandate that is a number": ("user.responsible", {"user": {**DOCTOR.json(), "responsible": 9}}),
    "a mandate that is null": ("user.responsible", {"user": {**DOCTOR.json(), "responsible": None}}),
    "a role of a mandate that is none": (
        "user.responsible_role",
        {"user": {**DOCTOR.json(), "responsible": "900025040", "responsible_role": "arts"}},
    ),
    "a role of nobody's mandate": (
        "user.responsible",
        {"user": {**DOCTOR.json(), "responsible": "", "responsible_role": "01.015"}},
    ),
    "no purpose": ("purpose_of_use", {"purpose_of_use": None}),
    "an empty purpose": ("purpose_of_use", {"purpose_of_use": ""}),
    "a purpose that is a list": ("purpose_of_use", {"purpose_of_use": ["TREAT"]}),
    "no treatment relation": ("treatment_relation", {"treatment_relation": None}),
    "a blank treatment relation": ("treatment_relation", {"treatment_relation": " "}),
    "a treatment relation too long": ("treatment_relation", {"treatment_relation": "x" * 65}),
}


@pytest.mark.parametrize("case", WRONG_CONTENT)
async def test_an_assertion_must_say_for_whom_and_why(server: AuthorisationServer, case: str) -> None:
    where, changes = WRONG_CONTENT[case]
    content = {name: value for name, value in {**claims(), **changes}.items() if value is not None}
    error = await refusal(server, form(signed(content)))
    assert (error.error, error.status, error.expression) == ("invalid_request", 400, where)
    assert where in error.message
    assert error.requester == REQUESTER


async def test_only_a_key_of_the_requester_proves_who_it_is(server: AuthorisationServer) -> None:
    error = await refusal(server, form(signed(claims(), OTHER_KEY, kid=KEY["kid"])))
    assert (error.error, error.kind, error.requester) == ("invalid_client", "assertion-signature", "")


async def test_a_key_that_the_token_brings_along_is_not_used(server: AuthorisationServer) -> None:
    for kid in (KEY["kid"], None):
        error = await refusal(server, form(signed(claims(), OTHER_KEY, kid=kid, jwk=public(OTHER_KEY))))
        assert error.kind == "assertion-signature"


async def test_a_key_name_that_the_directory_lacks_is_named(server: AuthorisationServer) -> None:
    error = await refusal(server, form(signed(claims(), kid="old")))
    assert error.kind == "assertion-key"
    assert "'old'" in error.message


@pytest.mark.parametrize("change", [{"use": "enc"}, {"alg": "ES384"}, {"x": "AAAA"}, {"kty": "OKP"}])
async def test_a_key_for_something_else_does_not_verify(
    make_server: Callable[..., AuthorisationServer], change: Claims
) -> None:
    keys = Directory({REQUESTER: {"keys": [{**public(KEY), **change}]}})
    assert (await refusal(make_server(keys), form(signed(claims())))).kind == "assertion-key"


async def test_an_unsigned_assertion_is_refused(server: AuthorisationServer) -> None:
    error = await refusal(server, form(forged(claims(), "none")))
    assert (error.error, error.kind) == ("invalid_client", "assertion-algorithm")


async def test_a_public_key_is_no_shared_secret(server: AuthorisationServer) -> None:
    secret = ECKey.import_key(public(KEY)).as_pem(private=False)
    error = await refusal(server, form(forged(claims(), "HS256", secret)))
    assert (error.error, error.kind) == ("invalid_client", "assertion-algorithm")


async def test_changed_claims_break_the_signature(server: AuthorisationServer) -> None:
    head, _, signature = signed(claims()).split(".")
    other = _encoded(json.dumps(claims(purpose_of_use="ETREAT")).encode())
    assert (await refusal(server, form(f"{head}.{other}.{signature}"))).kind == "assertion-signature"


async def test_a_header_that_must_be_understood_is_refused(server: AuthorisationServer) -> None:
    head = {"alg": "ES256", "kid": KEY["kid"], "crit": ["x"], "x": 1}
    body = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims()).encode())}"
    assert (await refusal(server, form(f"{body}.{_encoded(bytes(64))}"))).kind == "assertion-header"


@pytest.mark.parametrize(
    "text", ["x", "a.b", "a.b.c", "a.b.c.d.e", "é.é.é", "..", "x" * (MAX_CHARACTERS + 1), "e30.W10.AA"]
)
async def test_text_that_is_no_jwt_is_refused(server: AuthorisationServer, text: str) -> None:
    assert (await refusal(server, form(text))).kind == "assertion-malformed"


async def test_a_claim_may_not_stand_twice(server: AuthorisationServer) -> None:
    twice = json.dumps(claims())[:-1] + ', "iss": "33333333"}'
    head = _encoded(json.dumps({"alg": "ES256"}).encode())
    error = await refusal(server, form(f"{head}.{_encoded(twice.encode())}.{_encoded(bytes(64))}"))
    assert error.kind == "assertion-malformed"


# -- the form ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["grant_type", "scope", "client_assertion_type", "client_assertion"])
async def test_a_missing_field_is_named(server: AuthorisationServer, field: str) -> None:
    for missing in (None, ""):
        error = await refusal(server, form(signed(claims()), **{field: missing}))
        assert (error.error, error.status, error.expression) == ("invalid_request", 400, field)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("grant_type", "authorization_code", "unsupported_grant_type"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2", "invalid_request"),
        ("scope", "bgz everything", "invalid_scope"),
        ("scope", "BGZ", "invalid_scope"),
        ("scope", "bgz ", "invalid_scope"),
        ("client_id", STRANGER, "invalid_client"),
    ],
)
async def test_a_field_with_another_value_is_refused(
    server: AuthorisationServer, field: str, value: str, word: str
) -> None:
    error = await refusal(server, form(signed(claims()), **{field: value}))
    assert (error.error, error.expression) == (word, field)


# -- once ----------------------------------------------------------------------------------------------------


async def test_an_assertion_is_taken_once(server: AuthorisationServer) -> None:
    request = form(signed(claims()))
    await server.token(request, CALLER)
    error = await refusal(server, request)
    assert (error.error, error.kind, error.requester) == ("invalid_client", "assertion-replayed", REQUESTER)


async def test_of_many_uses_at_the_same_moment_in_two_processes_one_wins(
    address: str, make_server: Callable[..., AuthorisationServer]
) -> None:
    other = await connect(address)
    try:
        servers = [make_server(), make_server(of=other)]
        request = form(signed(claims()))
        answers = await asyncio.gather(
            *(one.token(request, CALLER) for one in servers * 6), return_exceptions=True
        )
    finally:
        await other.close()
    refused = [one for one in answers if isinstance(one, OAuthError)]
    assert len(refused) == len(answers) - 1
    assert {one.kind for one in refused} == {"assertion-replayed"}


async def test_the_same_jti_of_another_requester_is_another_assertion(
    make_server: Callable[..., AuthorisationServer],
) -> None:
    keys = Directory({REQUESTER: {"keys": [public(KEY)]}, STRANGER: {"keys": [public(OTHER_KEY)]}})
    one = make_server(keys)
    content = claims()
    await one.token(form(signed(content)), CALLER)
    answer = await one.token(form(signed({**content, "iss": STRANGER, "sub": STRANGER}, OTHER_KEY)), CALLER)
    assert answer.grant.requester == STRANGER


async def test_a_refused_request_does_not_use_the_assertion_up(server: AuthorisationServer) -> None:
    assertion = signed(claims())
    await refusal(server, form(assertion, scope="other"))
    assert (await server.token(form(assertion), CALLER)).grant.requester == REQUESTER


async def test_an_assertion_is_used_up_only_together_with_its_token(
    server: AuthorisationServer, pool: asyncpg.Pool
) -> None:
    request = form(signed(claims()))
    await pool.execute("ALTER TABLE access_token ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    try:
        with pytest.raises(asyncpg.CheckViolationError):
            await server.token(request, CALLER)
    finally:
        await pool.execute("ALTER TABLE access_token DROP CONSTRAINT full_disk")
    assert (await server.token(request, CALLER)).grant.requester == REQUESTER


async def test_what_expired_is_removed_and_what_may_come_back_is_kept(
    make_server: Callable[..., AuthorisationServer], pool: asyncpg.Pool
) -> None:
    await pool.execute("INSERT INTO used_id VALUES (7, 'old', now() - interval '1 s')")
    old = await make_server(tenant=7).token(form(signed(claims())), CALLER)
    await pool.execute("UPDATE access_token SET expires = now() - interval '1 s' WHERE tenant = 7")
    latest = form(signed(claims()))
    new = await make_server(tenant=7).token(latest, CALLER)
    kept = await pool.fetch("SELECT digest FROM used_id WHERE tenant = 7")
    tokens = await pool.fetch("SELECT jti FROM access_token WHERE tenant = 7")
    assert b"old" not in [row["digest"] for row in kept]
    assert (await refusal(make_server(tenant=7), latest)).kind == "assertion-replayed"
    assert [row["jti"] for row in tokens] == [new.grant.jti] != [old.grant.jti]
    expiry: datetime = await pool.fetchval("SELECT min(expires) FROM used_id WHERE tenant = 7")
    assert (expiry - now()).total_seconds() > 600


# -- tokens refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "", "Basic eDp5", "Bearer", "Bearer ", "Bearer x", "x" * 43])
async def test_a_header_without_a_token_of_ours_is_refused(
    server: AuthorisationServer, header: str | None
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await server.identify(bearing(header))
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_token_of_a_neighbour_is_not_known(
    server: AuthorisationServer, make_server: Callable[..., AuthorisationServer]
) -> None:
    answer = await server.token(form(signed(claims())), CALLER)
    neighbour = make_server(tenant=2)
    with pytest.raises(Unauthenticated):
        await neighbour.identify(bearing(f"Bearer {answer.token}"))
    assert await neighbour.introspect(answer.token) == {"active": False}


async def test_an_expired_token_is_refused(
    server: AuthorisationServer, make_server: Callable[..., AuthorisationServer], pool: asyncpg.Pool
) -> None:
    answer = await server.token(form(signed(claims())), CALLER)
    await pool.execute(
        "UPDATE access_token SET expires = now() + interval '0.3 s' WHERE jti = $1", answer.grant.jti
    )
    one = make_server()
    assert (await one.identify(bearing(f"Bearer {answer.token}"))).jti == answer.grant.jti
    await asyncio.sleep(0.35)
    for each in (one, make_server()):
        with pytest.raises(Unauthenticated) as caught:
            await each.identify(bearing(f"Bearer {answer.token}"))
        assert caught.value.kind == "token-invalid"
    assert await one.introspect(answer.token) == {"active": False}


async def test_without_its_database_nothing_is_given_or_believed(
    address: str, make_server: Callable[..., AuthorisationServer]
) -> None:
    closed = await connect(address)
    await closed.close()
    alone = make_server(of=closed)
    with pytest.raises(Busy):
        await alone.token(form(signed(claims())), CALLER)
    with pytest.raises(Busy):
        await alone.identify(bearing("Bearer " + "x" * 43))


# -- keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "is not an EC key"),
        (json.dumps({"kty": "oct", "k": "c2VjcmV0"}), "is not an EC key"),
        (json.dumps(public(KEY)), "has no private part"),
        (json.dumps({**KEY, "x": "AAAA"}), "is damaged"),
        (json.dumps({**KEY, "x": OTHER_KEY["x"], "y": OTHER_KEY["y"]}), "is damaged"),
        (json.dumps({**KEY, "kid": 5}), "is damaged"),
    ],
)
def test_a_bad_key_file_is_named_and_not_shown(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
        path.chmod(stat.S_IRUSR)
    with pytest.raises(Invalid) as caught:
        AssertionSigner(REQUESTER, path)
    assert str(path) in caught.value.message
    assert words in caught.value.message
    assert KEY["d"] not in caught.value.message


def test_keys_are_new_each_time_and_named_by_their_thumbprint() -> None:
    assert KEY["d"] != OTHER_KEY["d"]
    assert KEY["kid"] == ECKey.import_key(public(KEY)).thumbprint()
