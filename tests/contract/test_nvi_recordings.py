"""Our client of the NVI against the answers that the real one gave: each that a request of ours could meet."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from aiohttp import web
from tests.nvi import FakePseudonyms
from tests.shared import shared, shared_root

from schakel.facilities import Facility, FacilityAway, FacilityRules, TokenRefused
from schakel.generic.localisation import Localiser, NviClient, NviRefused, NviRules, NviUnclear, Record
from schakel.generic.localisation.lists import custodian_of
from schakel.kernel.outcomes import Outcome, Upstream
from schakel.kernel.values import Bsn

pytestmark = pytest.mark.shared

PATIENT = Bsn("999900006")
SOURCE = "urn:uuid:11111111-1111-4111-8111-111111111111"
Ask = Callable[[NviClient], Awaitable[object]]


def recordings() -> list[str]:
    """The names of all, without those of another service and of interfaces that we do not use."""
    left_out = (
        "crypto-old-",
        "upstream-",
        "mock-",
        "chain-token-",
        "registrations-",
        "localize",
        "bundle-",
        "old-",
    )
    folder = shared_root() / "recordings" / "nvi"
    names = sorted(path.stem for path in folder.glob("*.json"))
    return [
        name
        for name in names
        if not name.startswith((*left_out, "info-", "metadata", "document", "unsup", "gateway-health"))
    ]


def read(name: str) -> dict[str, Any]:
    """One recording."""
    found: dict[str, Any] = orjson.loads(Path(shared("recordings", "nvi", f"{name}.json")).read_bytes())
    return found


class Tokens:
    """Gives tokens, and counts those that were refused."""

    def __init__(self) -> None:
        self.given = 0
        self.refused: list[str] = []

    async def token(self, scopes: str) -> str:
        self.given += 1
        return f"{scopes}-{self.given}"

    def forget(self, token: str) -> None:
        self.refused.append(token)


class Peer:
    """Answers everything with one recording, and keeps what was asked."""

    def __init__(self, recording: dict[str, Any]) -> None:
        self.recording = recording
        self.asked: list[tuple[str, str, dict[str, Any] | None]] = []
        self.tokens = Tokens()
        self.pseudonyms = FakePseudonyms()

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.method, request.raw_path, orjson.loads(body) if body else None))
        answer = self.recording["response"]
        given = answer["body"]
        text = given.encode() if isinstance(given, str) else b"" if given is None else orjson.dumps(given)
        kind = answer["headers"].get("content-type")
        return web.Response(
            status=answer["status"], body=text, headers={"Content-Type": kind} if kind else None
        )


@asynccontextmanager
async def recorded(name: str) -> AsyncIterator[tuple[NviClient, Peer]]:
    """A client of a peer that answers with this recording."""
    peer = Peer(read(name))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", peer.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with Facility.open("NVI", f"http://127.0.0.1:{port}/fhir", None, FacilityRules()) as facility:
            ura = _custodian(peer.recording) or "90000111"
            yield NviClient(facility, peer.tokens, peer.pseudonyms, ura, NviRules(SOURCE)), peer
    finally:
        await runner.cleanup()


def _custodian(recording: dict[str, Any]) -> str:
    """The provider that a recorded answer names, when that is one record."""
    body = (recording["response"] or {}).get("body")
    return custodian_of(body) if isinstance(body, dict) else ""


def call(recording: dict[str, Any]) -> Ask:
    """What our client does that is asked as in a recording."""
    method, path = recording["request"]["method"], urlsplit(recording["request"]["path"])
    params = dict(parse_qsl(path.query, keep_blank_values=True))
    if method == "POST":
        return lambda client: client.create(PATIENT, "Condition")
    if method == "DELETE":
        return lambda client: client.delete(
            re.sub(r"[^A-Za-z0-9.-]", "", path.path.rpartition("/")[2]) or "x"
        )
    if path.path != "/fhir/List":
        return lambda client: client.read("8c431800-a529-452d-82df-6ef0e453d906")
    if "subject:identifier" in params and "source:identifier" not in params:
        return lambda client: client.localise(PATIENT)
    return (lambda client: client.own(PATIENT)) if "subject:identifier" in params else lambda c: c.all_own()


@pytest.mark.parametrize("name", recordings())
async def test_every_recorded_answer_is_understood_or_is_an_outcome(name: str) -> None:
    recording = read(name)
    status = recording["response"]["status"]
    async with recorded(name) as (client, peer):
        got, outcome = await answered(call(recording)(client))
        assert len(peer.asked) <= 2, "asked again once at most"
    if status in (404, 409):
        assert outcome is None and got in (None, False)
    assert (outcome is None) == (status < 300 or status in (404, 409))
    if outcome is not None:
        assert isinstance(outcome, Upstream), "none of them is a mistake of who asked us"
        for secret in (PATIENT, "oin-0000"):
            assert secret not in outcome.message and secret not in outcome.cause


async def answered(asked: Awaitable[object]) -> tuple[object, Outcome | None]:
    """What came, or what was raised."""
    try:
        return await asked, None
    except Outcome as outcome:
        return None, outcome


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("list-create-token-bad-jwe", NviUnclear),
        ("crypto-down-list-create", NviUnclear),
        ("crypto-down-search", NviUnclear),
        ("search-subject-bad-token", NviUnclear),
        ("list-create-no-active-key", FacilityAway),
        ("list-create-scope-missing", NviRefused),
        ("list-create-no-source-id", NviRefused),
        ("list-create-ura-mismatch", NviRefused),
        ("list-create-no-extension", NviRefused),
        ("list-create-no-subject", NviRefused),
        ("list-delete-scope-missing", NviRefused),
        ("search-code", NviRefused),
        ("gateway-expired", TokenRefused),
        ("gateway-act-sub-missing", TokenRefused),
        ("gateway-no-client-cert", TokenRefused),
        ("auth-wrong-audience", TokenRefused),
    ],
)
async def test_a_refusal_is_told_from_an_outage(name: str, kind: type[Outcome]) -> None:
    async with recorded(name) as (client, _):
        with pytest.raises(Outcome) as raised:
            await call(read(name))(client)
        assert type(raised.value) is kind


async def test_a_record_that_is_there_already_is_no_error() -> None:
    async with recorded("list-create-duplicate-new-token") as (client, _):
        assert await client.create(PATIENT, "Condition") is None


async def test_a_refused_pseudonym_is_made_anew_once() -> None:
    async with recorded("crypto-down-list-create") as (client, peer):
        with pytest.raises(NviUnclear):
            await client.create(PATIENT, "Condition")
        sent = [body["subject"]["identifier"]["value"] for _, _, body in peer.asked if body]
    assert len(sent) == len(set(sent)) == 2


async def test_a_refused_access_token_is_asked_anew_once() -> None:
    async with recorded("gateway-expired") as (client, peer):
        with pytest.raises(TokenRefused):
            await client.localise(PATIENT)
    assert peer.tokens.given == 2 and len(peer.tokens.refused) == 2


async def test_what_we_register_is_what_was_recorded() -> None:
    recording = read("list-create")
    async with recorded("list-create") as (client, peer):
        made = await client.create(PATIENT, "Condition")
    [(method, path, body)] = peer.asked
    assert body is not None and (method, path) == ("POST", "/fhir/List")
    expected = recording["request"]["body"]
    code = body.pop("code")
    assert code["coding"][0]["code"] == "Condition", "in the body, where it is ignored"
    body["subject"]["identifier"]["value"] = expected["subject"]["identifier"]["value"]
    assert body == expected
    assert made == Record("8c431800-a529-452d-82df-6ef0e453d906", "90000111", SOURCE)


async def test_a_search_has_the_parameters_of_the_recordings_and_no_other() -> None:
    async with recorded("search-subject-system") as (client, peer):
        found = await client.localise(PATIENT)
    [(_, path, _)] = peer.asked
    [(name, value)] = parse_qsl(urlsplit(path).query)
    system, _, token = value.partition("|")
    assert name == "subject:identifier" and token
    assert system == "http://minvws.github.io/generiekefuncties-docs/NamingSystem/nvi-identifier"
    assert len(found.records) == 3 and not found.unreadable
    assert {record.ura for record in found.records} == {"90000111", "90000222"}


async def test_own_records_are_those_of_our_software() -> None:
    async with recorded("search-none") as (client, peer):
        found = await client.all_own()
    [(_, path, _)] = peer.asked
    assert parse_qsl(urlsplit(path).query) == [("source:identifier", f"urn:ietf:rfc:3986|{SOURCE}")]
    assert found.records and {record.source for record in found.records} == {SOURCE}


@pytest.mark.parametrize(
    ("name", "gone"),
    [("list-delete", False), ("list-delete-again", True), ("list-delete-other-provider", True)],
)
async def test_a_delete_is_done_or_was_done(name: str, gone: bool) -> None:
    async with recorded(name) as (client, peer):
        assert await client.delete("8c431800-a529-452d-82df-6ef0e453d906") is not gone
    [(method, path, _)] = peer.asked
    assert (method, path) == ("DELETE", "/fhir/List/8c431800-a529-452d-82df-6ef0e453d906")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "?x", "a?subject:identifier=", "é", "a" * 65, " "])
async def test_nothing_but_an_id_is_ever_deleted(name: str) -> None:
    async with recorded("list-delete-query-none") as (client, peer):
        with pytest.raises(ValueError, match="id"):
            await client.delete(name)
    assert peer.asked == []


async def test_the_asking_side_leaves_ourselves_out_and_folds_doubles() -> None:
    async with recorded("search-subject-system") as (client, _):
        located = await Localiser(client).localise(PATIENT)
    assert [one.ura for one in located] == ["90000222"]


async def test_nobody_is_told_apart_from_no_answer() -> None:
    async with recorded("search-subject-unknown-patient") as (client, _):
        assert await Localiser(client).localise(PATIENT) == ()
    async with recorded("crypto-down-search") as (client, _):
        with pytest.raises(FacilityAway):
            await Localiser(client).localise(PATIENT)
