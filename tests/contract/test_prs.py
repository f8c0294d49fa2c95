"""Our client of the PRS: against the stand-in as a node is configured to ask it, against recorded answers, and while
the PRS is away, slow, broken or talks nonsense. Nothing of a patient is ever said."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.middleman import Behaviour, Passing, fails, halves, hangs_up, middleman, passes, says, slow
from tests.pseudonyms import RECIPIENT, SCOPE, URA, PseudonymServices, pseudonym_services
from tests.shared import shared, shared_root

from schakel import localising
from schakel.facilities import Facility, FacilityAway, FacilityRules, TokenRefused
from schakel.generic.pseudonyms import NoPseudonym, Pseudonyms, PseudonymToken, Recipient, Style
from schakel.kernel.outcomes import Upstream
from schakel.kernel.values import Bsn
from schakel_national.nvi import pseudonyms as nvi

PATIENT, OTHER = Bsn("999911120"), Bsn("999990019")
RULES = FacilityRules(timeout=20, failures=100)
HEADER = urlsafe_b64encode(b'{"alg":"RSA-OAEP","enc":"A256GCM"}').rstrip(b"=").decode()
JWE = f"{HEADER}.a2V5.bm9uY2U.dGV4dA.dGFn"


@pytest.fixture(scope="module")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PseudonymServices]:
    async with pseudonym_services(tmp_path_factory.mktemp("prs")) as made:
        yield made


@pytest.fixture(autouse=True)
def healed(services: PseudonymServices) -> None:
    services.between.behave = passes
    services.between.paths.clear()


async def token_of(services: PseudonymServices, **changed: Any) -> PseudonymToken:
    async with localising.pseudonyms(services.settings(**changed)) as client:
        assert client is not None
        return await client.token(PATIENT)


async def test_the_recipient_finds_the_same_pseudonym_each_time_and_another_for_another(
    services: PseudonymServices,
) -> None:
    async with localising.pseudonyms(services.settings()) as client:
        assert client is not None
        assert (client.recipient, client.scope) == (RECIPIENT, SCOPE)
        tokens = await asyncio.gather(*(client.token(PATIENT) for _ in range(5)))
        other = await client.token(OTHER)
    assert len({token.blind_factor for token in tokens}) == len({token.jwe for token in tokens}) == 5
    [pseudonym] = {services.found(token) for token in tokens}
    assert services.found(other) != pseudonym


async def test_the_index_opens_what_the_prs_sealed_for_it(services: PseudonymServices) -> None:
    index = nvi.Pseudonyms(services.recipient, b"a key", nvi.Checks(RECIPIENT, SCOPE))
    async with localising.pseudonyms(services.settings()) as client:
        assert client is not None
        known = {index.of(nvi.Token.read((await client.token(PATIENT)).value)) for _ in range(3)}
        assert len(known) == 1
        assert index.of(nvi.Token.read((await client.token(OTHER)).value)) not in known
        token = await client.token(PATIENT)
    assert nvi.Token(token.jwe, token.blind_factor) == nvi.Token.read(token.value)
    elsewhere = nvi.Pseudonyms(services.recipient, b"a key", nvi.Checks(RECIPIENT, "other"))
    with pytest.raises(nvi.Unreadable):
        elsewhere.of(nvi.Token.read(token.value))


async def test_a_person_written_otherwise_is_another_pseudonym_under_the_same_recipient_and_scope(
    services: PseudonymServices,
) -> None:
    plain = services.found(await token_of(services))
    found = {plain}
    for person in ("blanks", "snake"):
        async with localising.pseudonyms(services.settings(person=person)) as client:
            assert client is not None
            assert (client.recipient, client.scope) == (RECIPIENT, f"{SCOPE} ({person})")
            found.add(services.found(await client.token(PATIENT)))
    assert len(found) == 3


async def test_with_the_wire_of_the_guide_it_is_the_same_pseudonym(services: PseudonymServices) -> None:
    plain = services.found(await token_of(services))
    assert services.between.paths == ["/oprf/eval"]
    assert services.found(await token_of(services, style="guide")) == plain
    assert services.between.paths == ["/oprf/eval", "/evaluate"]


async def test_a_token_asked_for_with_an_assertion_is_taken_too(services: PseudonymServices) -> None:
    assert await token_of(services, oauth={"form": "assertion", "organisation": URA})
    assert await token_of(services, oauth={"form": "assertion", "organisation": URA, "chain": True})


async def test_one_token_serves_many_questions_until_it_is_refused(services: PseudonymServices) -> None:
    refused: list[str] = []

    async def forgets(passing: Passing) -> web.StreamResponse:
        bearer = passing.request.headers["Authorization"]
        if not refused:
            refused.append(bearer)
        if bearer in refused:
            return web.Response(status=400, text="Token verification failed")
        return (await passing.passed()).response()

    async with localising.pseudonyms(services.settings()) as client:
        assert client is not None
        await client.token(PATIENT)
        await asyncio.sleep(1.1)  # A token of the same second would be the same token.
        services.between.behave = forgets
        await client.token(PATIENT)
        assert len(services.between.paths) == 3


async def test_a_node_without_a_prs_has_no_client(services: PseudonymServices) -> None:
    async with localising.pseudonyms(services.settings(base=None)) as client:
        assert client is None


@pytest.mark.parametrize(
    ("changed", "error", "why"),
    [
        ({"recipient": "oin:00000099000000009000"}, NoPseudonym, "no recipient oin:00000099000000009000"),
        ({"scope": "other"}, NoPseudonym, "with a key for the scope other"),
        ({"recipient": "ura:90000901"}, NoPseudonym, "does not take a recipient of the form of ura:90000901"),
        ({"oauth": {"organisation": "00000099000000005000"}}, TokenRefused, "no token for prs:read"),
        ({"scopes": "nvi:read"}, TokenRefused, "no token for nvi:read"),
        ({"oauth": {"audience": "https://other.example"}}, TokenRefused, "no token for prs:read"),
        ({"oauth": None}, TokenRefused, "it wants a token or a certificate"),
    ],
    ids=["recipient", "scope", "form", "organisation", "scopes", "audience", "no token"],
)
async def test_a_setting_that_the_other_side_does_not_know_is_named(
    services: PseudonymServices, changed: dict[str, Any], error: type[Upstream], why: str
) -> None:
    with pytest.raises(error, match=why):
        await token_of(services, **changed)


@pytest.mark.parametrize(
    ("behave", "why"),
    [
        (slow(3), "too slow"),
        (fails(500), "it answered 500"),
        (fails(503), "it answered 503"),
        (hangs_up, "no usable answer"),
        (halves, "no usable answer"),
        (says(b"<html>Welcome</html>", "text/html"), "without a sealed pseudonym"),
        (says(b"{}", "application/json"), "without a sealed pseudonym"),
        (says(b"[1]", "application/json"), "without a sealed pseudonym"),
        (says(b'{"jwe": null}', "application/json"), "without a sealed pseudonym"),
        (says(b'{"jwe": "a.b.c"}', "application/json"), "without a sealed pseudonym"),
        (says(b'{"jwe": "a.b.c.d.e"}', "application/json"), "not sealed as it must be"),
        (says(orjson.dumps({"jwe": JWE + "\n"}), "application/json"), "without a sealed pseudonym"),
        (says(orjson.dumps({"jwe": JWE.replace(HEADER, "bnVsbA")}), "application/json"), "not sealed"),
        (says(b"x" * 2_000_000), "too large"),
    ],
    ids=[
        "slow", "500", "503", "hangs up", "half", "html", "empty", "array", "null", "three parts", "no header",
        "a line more", "null header", "too large",
    ],
)  # fmt: skip
async def test_a_prs_that_gives_no_usable_answer_is_away(
    services: PseudonymServices, behave: Behaviour, why: str
) -> None:
    services.between.behave = behave
    with pytest.raises(FacilityAway, match=why):
        await token_of(services)


async def test_a_prs_that_is_down_is_away(services: PseudonymServices) -> None:
    port = services.between.port
    await services.between.down()
    try:
        with pytest.raises(FacilityAway, match="not reachable"):
            await token_of(services)
    finally:
        services.between.port = port
        await services.between.up()
    assert await token_of(services)


async def test_a_token_server_that_is_down_is_away(services: PseudonymServices) -> None:
    with pytest.raises(FacilityAway, match=r"the token server of prs\.oauth gave no usable answer"):
        await token_of(services, oauth={"endpoint": "https://127.0.0.1:9/token"})


# -- recorded answers ----------------------------------------------------------------------------------------


@asynccontextmanager
async def answered(
    body: object, status: int = 200, style: Style = "service"
) -> AsyncIterator[tuple[Pseudonyms, list[Passing]]]:
    """A client whose PRS answers so, and what it asked."""
    asked: list[Passing] = []

    async def behave(passing: Passing) -> web.StreamResponse:
        asked.append(passing)
        data = body.encode() if isinstance(body, str) else orjson.dumps(body)
        return web.Response(status=status, body=data)

    async with middleman() as between:
        between.behave = behave
        async with Facility.open("PRS", f"http://127.0.0.1:{between.port}", None, RULES) as facility:
            yield Pseudonyms(facility, None, Recipient(RECIPIENT, SCOPE), style), asked


def recorded(group: str) -> list[str]:
    folder = shared_root() / "recordings" / "prs"
    return sorted(path.stem for path in folder.glob(f"{group}*.json")) or ["absent"]


@pytest.mark.shared
async def test_what_a_real_client_was_recorded_to_ask_is_what_we_ask() -> None:
    real = orjson.loads(shared("recordings", "prs", "chain-eval.json").read_bytes())["request"]
    async with answered({"jwe": JWE}) as (client, asked):
        await client.token(PATIENT)
    [passing] = asked
    assert (passing.request.method, passing.request.path) == (real["method"], real["path"])
    assert passing.request.content_type == "application/json"
    body = orjson.loads(passing.body)
    assert len(body["encryptedPersonalId"]) == len(real["body"]["encryptedPersonalId"])
    assert {**body, "encryptedPersonalId": ""} == {**real["body"], "encryptedPersonalId": ""}


@pytest.mark.shared
async def test_a_real_answer_is_taken() -> None:
    real = orjson.loads(shared("recordings", "prs", "eval-ok-raw-jwe.json").read_bytes())["response"]["body"]
    async with answered(real) as (client, _):
        assert (await client.token(PATIENT)).jwe == real["jwe"]


@pytest.mark.shared
@pytest.mark.parametrize("name", recorded("eval-") + recorded("auth-") + recorded("old-v0021-eval"))
async def test_a_refusal_of_the_real_one_is_none_of_the_caller(name: str) -> None:
    response = orjson.loads(shared("recordings", "prs", f"{name}.json").read_bytes())["response"]
    if response["status"] == 200:
        response["body"]["jwe"] = JWE
        async with answered(response["body"]) as (client, _):
            assert (await client.token(PATIENT)).jwe == JWE
        return
    async with answered(response["body"], response["status"]) as (client, _):
        with pytest.raises((NoPseudonym, TokenRefused)) as caught:
            await client.token(PATIENT)
    assert caught.value.kind == ("token-refused" if response["status"] == 403 else "pseudonym-refused")
    assert f"status {response['status']}" in caught.value.message


@pytest.mark.parametrize("algorithm", ["RSA-OAEP", "RSA-OAEP-256", "RSA1_5", "dir", "none"])
async def test_only_answers_sealed_as_the_prs_seals_are_taken(algorithm: str) -> None:
    header = urlsafe_b64encode(orjson.dumps({"alg": algorithm, "enc": "A256GCM"})).rstrip(b"=").decode()
    async with answered({"jwe": JWE.replace(HEADER, header)}) as (client, _):
        if algorithm.startswith("RSA-OAEP"):
            assert await client.token(PATIENT)
        else:
            with pytest.raises(FacilityAway, match="not sealed as it must be"):
                await client.token(PATIENT)


# -- nothing of a patient ------------------------------------------------------------------------------------


async def test_nothing_of_a_patient_or_of_a_question_is_logged_or_said(services: PseudonymServices) -> None:
    def echoes(status: int) -> Behaviour:
        async def behave(passing: Passing) -> web.StreamResponse:
            sent = orjson.loads(passing.body)
            secrets.append(sent["encryptedPersonalId"])
            detail = [{"type": "x", "loc": ["body"], "msg": "m", "input": {**sent, "personalId": PATIENT}}]
            return web.json_response({"detail": detail, "error": sent}, status=status)

        return behave

    secrets: list[str] = [PATIENT]
    said: list[str] = []
    with capture_logs() as lines:
        async with localising.pseudonyms(services.settings()) as client:
            assert client is not None
            token = await client.token(PATIENT)
            secrets += [token.jwe, token.blind_factor, token.value]
            said += [repr(token), str(token), repr(client)]
            for status in (400, 403, 404, 422, 429, 500, 500, 500, 500, 500):
                services.between.behave = echoes(status)
                with pytest.raises(Upstream) as caught:
                    await client.token(PATIENT)
                said += [
                    caught.value.message,
                    caught.value.cause,
                    repr(caught.value),
                    str(caught.value.issues),
                ]
    assert any(line["event"] == "facility-resting" for line in lines)
    assert not [secret for secret in secrets if secret in str(lines) or secret in " ".join(said)]
