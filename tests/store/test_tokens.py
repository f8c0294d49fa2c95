"""A token is bound to a key or a certificate, is used with each proof once, and ends when it is withdrawn."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from tests.proofs import KEY, proof
from tests.token_server import (
    CERTIFICATE,
    DATA_URL,
    ISSUER,
    OTHER,
    OTHER_CERTIFICATE,
    REQUESTER,
    STRANGER,
    TOKEN_URL,
    Directory,
    MakeServer,
    asking,
    form,
    reading,
)

from schakel.generic.identity import (
    AuthorisationServer,
    Caller,
    OAuthError,
    ServerRules,
)
from schakel.generic.identity.dpop import FRESH_SECONDS, LEEWAY_SECONDS
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, Outcome, Unauthenticated
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def address(cluster: EmbeddedServer) -> AsyncIterator[str]:
    yield await cluster.ensure_database("tokens", "tokens", "secret")
    await cluster.drop_database("tokens", "tokens")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(address: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(address)
    yield opened
    await opened.close()


@pytest.fixture
def make_server(pool: asyncpg.Pool) -> MakeServer:
    """Call it for one more server of organisation 1, as another node would have it; `rules` as in ServerRules."""

    def make(of: asyncpg.Pool | None = None, **rules: Any) -> AuthorisationServer:
        return AuthorisationServer(of or pool, 1, ISSUER, Directory(), 300, rules=ServerRules(**rules))

    return make


@pytest.fixture
def server(make_server: MakeServer) -> AuthorisationServer:
    return make_server()


async def bound_token(server: AuthorisationServer, key: ECKey = KEY, **claims: Any) -> str:
    answer = await server.token(form(**claims), asking(proof("POST", TOKEN_URL, key=key)))
    assert answer.grant.jkt == key.thumbprint()
    return answer.token


async def refused(server: AuthorisationServer, caller: Caller, code: str, word: str) -> None:
    """The request is refused with this code of ours, and this word in a challenge of the right scheme."""
    with pytest.raises(Unauthenticated) as caught:
        await server.identify(caller)
    challenge = caught.value.headers["WWW-Authenticate"]
    assert (caught.value.kind, caught.value.status) == (code, 401)
    assert f'error="{word}"' in challenge
    assert caught.value.message.replace('"', "'") in challenge
    if word == "invalid_dpop_proof":
        assert challenge.startswith("DPoP ") and "ES256" in challenge


async def test_who_asks_by_assertion_is_called_as_this_holder_knows_them(make_server: MakeServer) -> None:
    """It is what the patient reads in the log; nobody vouched for it, so that introspection does not say it."""
    server = make_server()
    for requester, name in ((REQUESTER, "Kliniek Oost"), (STRANGER, "")):
        answer = await server.token(form(requester), asking())
        assert answer.grant.requester_name == name
        bearer = Caller("GET", DATA_URL, (f"Bearer {answer.token}",))
        assert (await server.identify(bearer)).requester_name == name
        assert "Kliniek" not in str(await server.introspect(answer.token))


# -- bound to a key ------------------------------------------------------------------------------------------


async def test_a_proof_at_the_token_endpoint_binds_the_token(server: AuthorisationServer) -> None:
    answer = await server.token(form(), asking(proof("POST", TOKEN_URL)))
    assert answer.json()["token_type"] == "DPoP"
    assert (await server.introspect(answer.token))["cnf"] == {"jkt": KEY.thumbprint()}
    assert (await server.introspect(answer.token))["token_type"] == "DPoP"
    grant = await server.identify(reading(answer.token, proof("GET", DATA_URL, answer.token)))
    assert grant == answer.grant


async def test_one_token_is_used_often_with_a_new_proof_each_time(server: AuthorisationServer) -> None:
    token = await bound_token(server)
    callers = [reading(token, proof("GET", DATA_URL, token)) for _ in range(30)]
    grants = await asyncio.gather(*map(server.identify, callers))
    assert {grant.requester for grant in grants} == {REQUESTER}


async def test_a_bound_token_without_its_key_is_worth_nothing(server: AuthorisationServer) -> None:
    token = await bound_token(server)
    good = proof("GET", DATA_URL, token)
    await refused(server, reading(token, scheme="Bearer"), "token-bound", "invalid_token")
    await refused(server, reading(token, good, scheme="Bearer"), "token-bound", "invalid_token")
    await refused(server, reading(token), "dpop-header", "invalid_dpop_proof")
    await refused(server, reading(token, good, good), "dpop-header", "invalid_dpop_proof")
    another = proof("GET", DATA_URL, token, key=OTHER)
    await refused(server, reading(token, another), "token-key", "invalid_token")
    # None of these used the good proof up.
    assert (await server.identify(reading(token, good))).jkt == KEY.thumbprint()


async def test_a_token_that_is_not_bound_does_not_come_with_a_proof(server: AuthorisationServer) -> None:
    token = (await server.token(form(), asking())).token
    caller = reading(token, proof("GET", DATA_URL, token))
    await refused(server, caller, "token-unbound", "invalid_token")
    assert (await server.identify(reading(token, scheme="Bearer"))).jkt == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"htm": "POST"}, "dpop-htm"),
        ({"htu": TOKEN_URL}, "dpop-htu"),
        ({"ath": None}, "dpop-ath"),
        ({"iat": 1}, "dpop-iat"),
        ({"jti": None}, "dpop-jti"),
        ({"header": {"typ": "JWT"}}, "dpop-typ"),
    ],
)
async def test_a_proof_with_one_thing_wrong_opens_nothing(
    server: AuthorisationServer, changes: dict[str, Any], code: str
) -> None:
    token = await bound_token(server)
    caller = reading(token, proof("GET", DATA_URL, token, **changes))
    await refused(server, caller, code, "invalid_dpop_proof")


async def test_a_wrong_proof_gets_no_token_and_does_not_use_the_assertion_up(
    server: AuthorisationServer,
) -> None:
    request = form()
    for proofs in ([proof("GET", TOKEN_URL)], [proof("POST", TOKEN_URL)] * 2):
        with pytest.raises(OAuthError) as caught:
            await server.token(request, asking(*proofs))
        assert (caught.value.error, caught.value.status) == ("invalid_dpop_proof", 400)
    assert (await server.token(request, asking(proof("POST", TOKEN_URL)))).grant.jkt


async def test_where_tokens_must_be_bound_none_is_given_or_taken_without_a_key(
    make_server: MakeServer,
) -> None:
    loose = (await make_server().token(form(), asking())).token
    strict = make_server(dpop="required")
    with pytest.raises(OAuthError) as caught:
        await strict.token(form(), asking())
    assert (caught.value.error, caught.value.kind) == ("invalid_dpop_proof", "dpop-header")
    with pytest.raises(Unauthenticated) as refused:
        await strict.identify(reading(loose, scheme="Bearer"))
    assert refused.value.headers["WWW-Authenticate"].startswith("DPoP ")
    assert await bound_token(strict)


async def test_where_keys_play_no_part_a_proof_is_not_looked_at(make_server: MakeServer) -> None:
    server = make_server(dpop="off")
    answer = await server.token(form(), asking("x"))
    assert answer.json()["token_type"] == "Bearer"
    with pytest.raises(Unauthenticated) as caught:
        await server.identify(reading(answer.token, proof("GET", DATA_URL, answer.token)))
    assert caught.value.kind == "token-scheme"
    assert "DPoP" not in caught.value.headers["WWW-Authenticate"]
    assert "dpop_signing_alg_values_supported" not in server.metadata()


# -- bound to a certificate ----------------------------------------------------------------------------------


async def test_a_certificate_at_the_token_endpoint_binds_the_token(server: AuthorisationServer) -> None:
    answer = await server.token(form(), asking(certificate=CERTIFICATE))
    assert (await server.introspect(answer.token))["cnf"] == {"x5t#S256": CERTIFICATE.thumbprint}
    for _ in range(2):  # The second time it is remembered.
        caller = reading(answer.token, scheme="Bearer", certificate=CERTIFICATE)
        assert await server.identify(caller) == answer.grant
        for wrong in (None, OTHER_CERTIFICATE):
            stolen = reading(answer.token, scheme="Bearer", certificate=wrong)
            await refused(server, stolen, "token-certificate", "invalid_token")


async def test_a_token_may_be_bound_to_a_key_and_a_certificate(server: AuthorisationServer) -> None:
    caller = asking(proof("POST", TOKEN_URL), certificate=CERTIFICATE)
    token = (await server.token(form(), caller)).token

    def shown(**members: Any) -> Caller:
        return reading(token, proof("GET", DATA_URL, token), **members)

    assert (await server.identify(shown(certificate=CERTIFICATE))).x5t == CERTIFICATE.thumbprint
    await refused(server, shown(certificate=OTHER_CERTIFICATE), "token-certificate", "invalid_token")
    await refused(server, shown(), "token-certificate", "invalid_token")


async def test_a_token_that_is_bound_to_nothing_is_not_taken_from_who_shows_a_certificate(
    server: AuthorisationServer, make_server: MakeServer
) -> None:
    free = (await server.token(form(), asking())).token
    assert (await server.identify(reading(free, scheme="Bearer"))).x5t == ""
    for _ in range(2):  # The second time it is remembered, on both ways.
        caller = reading(free, scheme="Bearer", certificate=CERTIFICATE)
        await refused(server, caller, "token-unbound", "invalid_token")
    lenient = make_server(bind_certificate=False)
    assert (await lenient.identify(reading(free, scheme="Bearer", certificate=CERTIFICATE))).jkt == ""
    bound = (await server.token(form(), asking(proof("POST", TOKEN_URL)))).token
    proved = reading(bound, proof("GET", DATA_URL, bound), certificate=CERTIFICATE)
    assert (await server.identify(proved)).jkt


async def test_certificates_bind_nothing_when_the_setting_says_so(make_server: MakeServer) -> None:
    server = make_server(bind_certificate=False)
    token = (await server.token(form(), asking(certificate=CERTIFICATE))).token
    assert (await server.identify(reading(token, scheme="Bearer"))).x5t == ""
    assert server.metadata()["tls_client_certificate_bound_access_tokens"] is False


# -- once ----------------------------------------------------------------------------------------------------


async def test_a_proof_opens_once(server: AuthorisationServer, make_server: MakeServer) -> None:
    token = await bound_token(server)
    caller = reading(token, proof("GET", DATA_URL, token))
    await server.identify(caller)
    for node in (server, make_server()):
        await refused(node, caller, "dpop-replayed", "invalid_dpop_proof")


async def test_a_proof_of_the_token_endpoint_is_used_up_there(server: AuthorisationServer) -> None:
    shown = proof("POST", TOKEN_URL)
    await server.token(form(), asking(shown))
    request = form()
    with pytest.raises(OAuthError) as caught:
        await server.token(request, asking(shown))
    assert (caught.value.error, caught.value.kind) == ("invalid_dpop_proof", "dpop-replayed")
    assert caught.value.requester == REQUESTER
    # The assertion beside it was not used up: all or nothing.
    assert (await server.token(request, asking())).token


async def test_a_replayed_assertion_does_not_use_up_the_proof_beside_it(server: AuthorisationServer) -> None:
    request, shown = form(), proof("POST", TOKEN_URL)
    await server.token(request, asking())
    with pytest.raises(OAuthError) as caught:
        await server.token(request, asking(shown))
    assert caught.value.kind == "assertion-replayed"
    assert (await server.token(form(), asking(shown))).grant.jkt


async def test_the_same_jti_of_another_key_is_another_proof(server: AuthorisationServer) -> None:
    for key in (KEY, OTHER):
        token = await bound_token(server, key)
        assert await server.identify(reading(token, proof("GET", DATA_URL, token, key=key, jti="same")))


async def test_of_many_uses_at_the_same_moment_at_two_nodes_one_wins(
    address: str, make_server: MakeServer
) -> None:
    other = await connect(address)
    nodes = [make_server(), make_server(of=other)]
    try:
        token = await bound_token(nodes[0])
        for _ in range(10):
            callers = [reading(token, proof("GET", DATA_URL, token)) for _ in range(3)]
            tries = [node.identify(caller) for node in nodes * 4 for caller in callers]
            answers = await asyncio.gather(*tries, return_exceptions=True)
            lost = [one for one in answers if isinstance(one, BaseException)]
            assert len(answers) - len(lost) == len(callers)
            assert {one.kind for one in lost if isinstance(one, Outcome)} == {"dpop-replayed"}
            shown = proof("POST", TOKEN_URL)
            gets = [node.token(form(), asking(shown)) for node in nodes * 4]
            given = [
                one
                for one in await asyncio.gather(*gets, return_exceptions=True)
                if not isinstance(one, Exception)
            ]
            assert len(given) == 1
    finally:
        await other.close()


async def test_a_proof_is_remembered_for_longer_than_it_is_taken(
    server: AuthorisationServer, pool: asyncpg.Pool
) -> None:
    token = await bound_token(server)
    caller = reading(token, proof("GET", DATA_URL, token))
    await pool.execute("TRUNCATE used_id")
    await server.identify(caller)
    kept = await pool.fetchval("SELECT extract(epoch FROM max(expires) - now())::int FROM used_id")
    assert kept > FRESH_SECONDS + LEEWAY_SECONDS + 60
    with time_machine.travel(time.time() + FRESH_SECONDS + LEEWAY_SECONDS + 1, tick=False):
        await refused(server, caller, "dpop-iat", "invalid_dpop_proof")


async def test_a_token_of_which_the_answer_never_came_is_no_second_chance(
    address: str, make_server: MakeServer, pool: asyncpg.Pool
) -> None:
    """The node is gone between the commit and the answer: nobody has the token, and the assertion is used up."""
    cut = await connect(address)
    request, before = form(), await pool.fetchval("SELECT count(*) FROM access_token")
    asked = asyncio.create_task(make_server(of=cut).token(request, asking(proof("POST", TOKEN_URL))))
    for _ in range(10_000):
        if asked.done() or await pool.fetchval("SELECT count(*) FROM access_token") > before:
            break
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    cut.terminate()
    with pytest.raises(OAuthError) as caught:
        await make_server().token(request, asking())
    assert caught.value.kind == "assertion-replayed"


async def test_a_proof_whose_token_is_not_known_is_not_written_down(
    server: AuthorisationServer, pool: asyncpg.Pool
) -> None:
    await pool.execute("TRUNCATE used_id")
    for token in ("x" * 43, "short"):
        await refused(server, reading(token, proof("GET", DATA_URL, token)), "token-invalid", "invalid_token")
    assert await pool.fetchval("SELECT count(*) FROM used_id") == 0


# -- withdrawn -----------------------------------------------------------------------------------------------


async def test_withdrawing_ends_the_tokens_of_one_requester_and_no_other(server: AuthorisationServer) -> None:
    await server.withdraw(REQUESTER)
    mine = [(await server.token(form(), asking())).token for _ in range(2)]
    bound = await bound_token(server)
    other = (await server.token(form(STRANGER), asking())).token
    for token in (*mine, other):
        await server.identify(reading(token, scheme="Bearer"))
    assert await server.withdraw(REQUESTER) == 3
    for token in mine:
        await refused(server, reading(token, scheme="Bearer"), "token-invalid", "invalid_token")
        assert await server.introspect(token) == {"active": False}
    await refused(server, reading(bound, proof("GET", DATA_URL, bound)), "token-invalid", "invalid_token")
    assert (await server.identify(reading(other, scheme="Bearer"))).requester == STRANGER
    assert await server.withdraw(REQUESTER) == 0


async def test_withdrawal_bites_at_another_node_within_five_seconds(
    server: AuthorisationServer, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = make_server()
    token, bound = (await server.token(form(), asking())).token, await bound_token(server)
    await another.identify(reading(token, scheme="Bearer"))
    await another.identify(reading(bound, proof("GET", DATA_URL, bound)))
    await server.withdraw(REQUESTER)
    await refused(another, reading(bound, proof("GET", DATA_URL, bound)), "token-invalid", "invalid_token")
    assert await another.identify(reading(token, scheme="Bearer"))  # It is still remembered there.
    later = time.monotonic() + 5.01
    monkeypatch.setattr(time, "monotonic", lambda: later)
    await refused(another, reading(token, scheme="Bearer"), "token-invalid", "invalid_token")


# -- headers, whatever they hold -------------------------------------------------------------------------------


async def test_two_tokens_in_one_request_are_refused(server: AuthorisationServer) -> None:
    token = (await server.token(form(), asking())).token
    caller = Caller("GET", DATA_URL, (f"Bearer {token}", f"Bearer {token}"))
    with pytest.raises(Invalid) as caught:
        await server.identify(caller)
    assert (caught.value.kind, caught.value.status) == ("token-several", 400)
    assert 'error="invalid_request"' in caught.value.headers["WWW-Authenticate"]


_HEADER = st.text(st.characters(max_codepoint=255), max_size=80)
_CHALLENGE = re.compile(r'(Bearer|DPoP) [a-z_]+="[ !#-\[\]-~]*"(, ([A-Za-z]+ )?[a-z_]+="[ !#-\[\]-~]*")*')


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    authorization=st.lists(
        st.one_of(_HEADER, _HEADER.map("Bearer {}".format), _HEADER.map("DPoP {}".format)), max_size=2
    ),
    dpop=st.lists(_HEADER, max_size=2),
    method=st.sampled_from(["GET", "POST", ""]),
    url=st.sampled_from([DATA_URL, "", "//[", "https://a:x/"]),
)
def test_whatever_the_headers_hold_the_caller_is_told_what_is_wrong(
    make_server: MakeServer, authorization: list[str], dpop: list[str], method: str, url: str
) -> None:
    caller = Caller(method, url, tuple(authorization), tuple(dpop))

    async def tried() -> None:
        with pytest.raises(Outcome) as caught:
            await make_server(of=_NoDatabase()).identify(caller)
        assert caught.value.status in (400, 401)
        assert _CHALLENGE.fullmatch(caught.value.headers["WWW-Authenticate"])

    asyncio.run(tried())


class _NoDatabase:
    """A pool that is never asked: no such text is a token."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from([*form(), "assertion", "client_id", "presentation_submission", "code"]),
        st.one_of(st.sampled_from([*form().values(), ""]), st.text(max_size=50)),
    ),
    dpop=st.lists(_HEADER, max_size=2),
)
def test_whatever_the_form_holds_the_answer_is_an_oauth_error(
    make_server: MakeServer, fields: dict[str, str], dpop: list[str]
) -> None:
    async def tried() -> None:
        server = AuthorisationServer(_NoDatabase(), 1, "https://other.example", Directory(), 300)  # type: ignore[arg-type]
        with pytest.raises(OAuthError) as caught:
            await server.token(fields, asking(*dpop))
        assert caught.value.status in (400, 401)
        json.dumps(caught.value.message)

    asyncio.run(tried())


async def test_no_grant_leaves_the_time_limits_of_the_node(server: AuthorisationServer) -> None:
    """A token of five minutes says so, and the bound one too."""
    answer = await server.token(form(), asking(proof("POST", TOKEN_URL)))
    assert answer.json()["expires_in"] == 300
    assert 295 < (answer.grant.expires - now()).total_seconds() < 305
