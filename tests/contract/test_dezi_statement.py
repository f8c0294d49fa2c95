"""Statements of Dezi, verified by the keys that it publishes over HTTP; each test changes one thing."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey
from tests.presenting import signed

from schakel.facilities import Facilities, FacilityAway, FacilityRules
from schakel.generic.identity.dezi import DeziRules, DeziTrust, StatementWrong, StatusUnknown
from schakel.generic.identity.key_sets import KeySets, KeysWrong
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Outcome, Upstream

HIGH = "http://eidas.europa.eu/LoA/high"
KEY = RSAKey.generate_key(2048, {"kid": "k1"}, private=True)
OTHER = RSAKey.generate_key(2048, {"kid": "k2"}, private=True)
WEAK = {"kty": "RSA", "kid": "weak", "n": "8" * 171, "e": "AQAB"}
"""A key of 1024 bits."""

EC = ECKey.generate_key("P-256", {"kid": "ec"}, private=True)


@dataclass
class Dezi:
    """What Dezi publishes; it may be changed. `asked` are the paths that were asked."""

    url: str = ""
    keys: list[Any] = field(default_factory=lambda: [public(KEY)])
    document: bytes | None = None
    code: int = 200
    status: Any = None
    status_code: int = 200
    wait: float = 0.0
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        await asyncio.sleep(self.wait)
        if request.path == "/jwks.json":
            if self.document is not None:
                return web.Response(body=self.document, status=self.code)
            return web.json_response({"keys": self.keys}, status=self.code)
        said = {"verklaring_id": "v1", "status": "valid"} if self.status is None else self.status
        return web.json_response(said, status=self.status_code)

    def claims(self, **changed: Any) -> dict[str, Any]:
        moment = int(now().timestamp())
        claims = {
            "jti": "j1",
            "iss": "abonnee.dezi.nl",
            "nbf": moment - 10,
            "exp": moment + 7_000_000,
            "json_schema": "https://www.dezi.nl/json_schemas/v1/verklaring.json",
            "loa_dezi": HIGH,
            "verklaring_id": "v1",
            "status_uri": f"{self.url}/status/v1/verklaring/v1",
            "dezi_nummer": "900000008",
            "voorletters": "J.",
            "voorvoegsel": None,
            "achternaam": "Dam",
            "abonnee_nummer": "90000001",
            "abonnee_naam": "Praktijk",
            "rol_code": "01.015",
            "rol_naam": "Huisarts",
            "rol_code_bron": "http://www.dezi.nl/rol_bron/big",
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not GONE}

    def statement(self, key: Any = KEY, header: Mapping[str, Any] | None = None, **changed: Any) -> str:
        head = {
            "alg": "RS256",
            "typ": "JWT",
            "kid": key.kid,
            "jku": f"{self.url}/jwks.json",
            **(header or {}),
        }
        kept = {name: value for name, value in head.items() if value is not GONE}
        return signed(kept, self.claims(**changed), key)


GONE = object()


def public(key: Any, **members: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "use": "sig", **members}


@pytest_asyncio.fixture(loop_scope="session")
async def dezi() -> AsyncIterator[Dezi]:
    async with _served(Dezi()) as made:
        yield made


@asynccontextmanager
async def _served(made: Dezi) -> AsyncIterator[Dezi]:
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


@asynccontextmanager
async def trusting(dezi: Dezi, patience: float = 20, **rules: Any) -> AsyncIterator[DeziTrust]:
    given = {"jku": frozenset({f"{dezi.url}/jwks.json"}), "levels": frozenset({HIGH}), **rules}
    async with Facilities.open("Dezi", rules=FacilityRules(timeout=patience)) as wires:
        yield DeziTrust(wires, DeziRules(**given))


async def wrong(dezi: Dezi, statement: str, **rules: Any) -> StatementWrong:
    async with trusting(dezi, **rules) as trust:
        with pytest.raises(StatementWrong) as refusal:
            await trust.verify(statement, now())
    return refusal.value


async def test_a_statement_tells_who_the_professional_is(dezi: Dezi) -> None:
    async with trusting(dezi) as trust:
        found = await trust.verify(dezi.statement(voorvoegsel="van"), now())
    assert (found.number, found.name, found.role) == ("900000008", "J. van Dam", "01.015")
    assert (found.ura, found.organisation, found.assurance) == ("90000001", "Praktijk", HIGH)
    assert found.user.id == "900000008" and not found.warnings


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *(
            (name, value)
            for name in ("jti", "iss", "loa_dezi", "verklaring_id", "achternaam", "abonnee_naam", "rol_code")
            for value in (GONE, None, "", 7, ["x"], " x", "x\n")
        ),
        ("iss", "another.dezi.nl"),
        ("loa_dezi", "http://eidas.europa.eu/LoA/low"),
        *(("nbf", value) for value in (GONE, None, "1", 1.5, True, -1)),
        *(("exp", value) for value in (GONE, None, "never", 1.5, True, 10**12)),
        *(("dezi_nummer", value) for value in (GONE, "90000000", "9000000080", "90000000a", 900000008)),
        *(("abonnee_nummer", value) for value in (GONE, "", "123456789", "x", 90000001)),
        *(("rol_code", value) for value in ("01.15", "1.015", "01015", "arts")),
        *((name, 7) for name in ("voorletters", "voorvoegsel", "rol_naam", "json_schema", "status_uri")),
        ("achternaam", "x" * 200),
    ],
)
async def test_a_claim_that_is_not_right_is_named(dezi: Dezi, claim: str, value: Any) -> None:
    refusal = await wrong(dezi, dezi.statement(**{claim: value}))
    assert refusal.expression == claim and claim in refusal.message and refusal.status == 400


@pytest.mark.parametrize("claim", ["voorletters", "voorvoegsel", "rol_naam", "json_schema"])
@pytest.mark.parametrize("value", [GONE, None, ""])
async def test_a_claim_that_nobody_needs_may_be_absent(dezi: Dezi, claim: str, value: Any) -> None:
    async with trusting(dezi) as trust:
        assert (await trust.verify(dezi.statement(**{claim: value}), now())).surname == "Dam"


@pytest.mark.parametrize("value", [GONE, 7, "http://www.dezi.nl/another"])
async def test_the_source_of_a_role_is_only_warned_about(dezi: Dezi, value: Any) -> None:
    async with trusting(dezi) as trust:
        found = await trust.verify(dezi.statement(rol_code_bron=value), now())
        other = dezi.statement(rol_code_bron="http://www.dezi.nl/rol_code_bron/big")
        assert not (await trust.verify(other, now())).warnings
    assert found.warnings == ("rol_code_bron",)


async def test_a_statement_counts_from_its_beginning_to_its_end_and_five_seconds(dezi: Dezi) -> None:
    text, begin = dezi.statement(), now() - timedelta(seconds=10)
    end = begin + timedelta(seconds=7_000_010)
    async with trusting(dezi) as trust:
        for moment in (begin - timedelta(seconds=4), end + timedelta(seconds=3)):
            await trust.verify(text, moment)
        for moment, claim in ((begin - timedelta(seconds=7), "nbf"), (end + timedelta(seconds=7), "exp")):
            with pytest.raises(StatementWrong) as refusal:
                await trust.verify(text, moment)
            assert refusal.value.expression == claim


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ({"alg": "none"}, "alg"),
        ({"alg": "HS256"}, "alg"),
        ({"alg": "PS256"}, "alg"),
        ({"alg": GONE}, "verklaring"),
        ({"alg": ["RS256"]}, "alg"),
        ({"crit": ["x"], "x": 1}, "crit"),
        ({"typ": "other"}, "typ"),
        ({"kid": GONE}, "kid"),
        ({"kid": ""}, "kid"),
        ({"kid": 7}, "kid"),
        ({"kid": "unknown"}, "kid"),
        ({"jku": GONE}, "jku"),
        ({"jku": ["x"]}, "jku"),
        ({"jku": "http://169.254.169.254/jwks.json"}, "jku"),
        ({"x5c": ["MII"]}, "x5c"),
    ],
)
async def test_a_header_that_is_not_right_is_named(dezi: Dezi, header: dict[str, Any], name: str) -> None:
    text = dezi.statement()
    if header.get("alg", "RS256") != "RS256":
        _, body, signature = text.split(".")
        head = {"typ": "JWT", "kid": "k1", "jku": f"{dezi.url}/jwks.json", **header}
        kept = {key: value for key, value in head.items() if value is not GONE}
        text = f"{base64.urlsafe_b64encode(orjson.dumps(kept)).rstrip(b'=').decode()}.{body}.{signature}"
    else:
        text = dezi.statement(header=header)
    assert (await wrong(dezi, text)).expression == name


async def test_keys_elsewhere_are_never_asked(dezi: Dezi) -> None:
    async with _served(Dezi()) as other:
        for address in (f"{other.url}/jwks.json", f"{dezi.url}/other.json", f"{dezi.url}/jwks.json?x=1"):
            await wrong(dezi, dezi.statement(header={"jku": address}))
        assert other.asked == dezi.asked == []


async def test_an_older_statement_is_refused_by_name(dezi: Dezi) -> None:
    assert "DeziIDJWT2024" in (await wrong(dezi, dezi.statement(relations=[]))).message


@pytest.mark.parametrize("key", [OTHER, EC])
async def test_a_signature_of_another_key_is_refused(dezi: Dezi, key: Any) -> None:
    dezi.keys = [public(KEY), public(EC)]
    if key is EC:
        text = dezi.statement()
        text = f"{text.rpartition('.')[0]}.{dezi.statement(OTHER).rpartition('.')[2]}"
    else:
        text = dezi.statement(key, {"kid": "k1"})
    assert (await wrong(dezi, text)).kind == "statement-signature"


async def test_a_new_key_is_fetched_once_and_not_for_every_stranger(dezi: Dezi) -> None:
    async with Facilities.open("Dezi") as wires:
        sets = KeySets(wires, seconds=600, pause=0.3)
        address = f"{dezi.url}/jwks.json"
        assert await sets.find(address, "k1") and not await sets.find(address, "k2")
        dezi.keys.append(public(OTHER))
        for number in range(20):
            assert not await sets.find(address, f"stranger-{number}")
        assert len(dezi.asked) == 1
        await asyncio.sleep(0.35)
        assert await sets.find(address, "k2") and len(dezi.asked) == 2
        many = await asyncio.gather(*(sets.find(address, "k1") for _ in range(50)))
        assert all(many) and len(dezi.asked) == 2


async def test_those_who_come_together_wait_for_one_answer(dezi: Dezi) -> None:
    dezi.wait = 0.05
    async with trusting(dezi) as trust:
        text = dezi.statement()
        found = await asyncio.gather(*(trust.verify(text, now()) for _ in range(20)))
    assert len(found) == 20 and dezi.asked == ["/jwks.json"]


@pytest.mark.parametrize("document", [b"", b"x", b"[]", b"{}", b'{"keys": 7}', b"\xff"])
async def test_what_is_no_key_set_says_nothing_of_a_statement(dezi: Dezi, document: bytes) -> None:
    dezi.document = document
    async with trusting(dezi) as trust:
        with pytest.raises(KeysWrong):
            await trust.verify(dezi.statement(), now())


@pytest.mark.parametrize(
    "keys", [[7], [{}], [{"kty": "RSA"}], [{**WEAK, "kid": "k1"}], [{"kty": "oct", "k": "AA", "kid": "k1"}]]
)
async def test_a_key_that_cannot_be_used_is_none(dezi: Dezi, keys: list[Any]) -> None:
    dezi.keys = keys
    assert (await wrong(dezi, dezi.statement())).expression == "kid"


@pytest.mark.parametrize(("code", "kind"), [(404, KeysWrong), (302, KeysWrong), (500, Upstream)])
async def test_keys_that_are_refused_say_nothing_of_a_statement(
    dezi: Dezi, code: int, kind: type[Exception]
) -> None:
    dezi.code = code
    async with trusting(dezi) as trust:
        with pytest.raises(kind):
            await trust.verify(dezi.statement(), now())


async def test_dezi_that_is_away_or_slow_says_nothing_of_a_statement(dezi: Dezi) -> None:
    text = dezi.statement()
    async with trusting(dezi, patience=0.5) as trust:
        dezi.wait = 5
        with pytest.raises(FacilityAway):
            await trust.verify(text, now())
    async with trusting(Dezi(url="http://127.0.0.1:1")) as trust:
        with pytest.raises(FacilityAway):
            await trust.verify(Dezi(url="http://127.0.0.1:1").statement(), now())


# -- does it still hold ----------------------------------------------------------------------------------------


async def test_the_status_is_asked_only_when_that_is_set(dezi: Dezi) -> None:
    dezi.status = {"verklaring_id": "v1", "status": "withdrawn"}
    async with trusting(dezi) as trust:
        await trust.verify(dezi.statement(), now())
    assert dezi.asked == ["/jwks.json"]
    refusal = await wrong(dezi, dezi.statement(), status="required")
    assert refusal.kind == "statement-withdrawn"
    dezi.status = None
    async with trusting(dezi, status="required") as trust:
        await trust.verify(dezi.statement(), now())


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({}, 200),
        ([], 200),
        ({"verklaring_id": "v1"}, 200),
        ({"verklaring_id": "v1", "status": "unknown"}, 200),
        ({"verklaring_id": "v1", "status": True}, 200),
        ({"verklaring_id": "v2", "status": "valid"}, 200),
        ({"verklaring_id": "v2", "status": "withdrawn"}, 200),
        ({"verklaring_id": "v1", "status": "valid"}, 404),
        ({"verklaring_id": "v1", "status": "valid"}, 500),
    ],
)
async def test_a_status_that_is_not_understood_lets_nobody_through(
    dezi: Dezi, status: Any, code: int
) -> None:
    dezi.status, dezi.status_code = status, code
    async with trusting(dezi, status="required") as trust:
        with pytest.raises(StatusUnknown):
            await trust.verify(dezi.statement(), now())


async def test_a_status_that_cannot_be_asked_lets_nobody_through(dezi: Dezi) -> None:
    async with trusting(dezi, patience=1.0, status="required") as trust:
        await trust.verify(dezi.statement(), now())
        dezi.wait = 5
        with pytest.raises(FacilityAway):
            await trust.verify(dezi.statement(), now())


@pytest.mark.parametrize("uri", [GONE, "x", "http://127.0.0.1:1/status", "https://evil.example/v1", "//x/"])
async def test_a_status_is_asked_at_dezi_alone(dezi: Dezi, uri: Any) -> None:
    assert (await wrong(dezi, dezi.statement(status_uri=uri), status="required")).expression == "status_uri"


# -- whatever is given ------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(text=st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*){2}", fullmatch=True))
@settings(max_examples=300, deadline=None)
def test_no_text_gives_anything_but_a_refusal(text: str) -> None:
    _only_refused(text)


@given(
    name=st.sampled_from(sorted(Dezi().claims())),
    value=_JSON,
    header=st.sampled_from(["alg", "kid", "jku", "typ", "crit", "x5c"]),
    other=_JSON,
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_claim_and_no_header_gives_anything_but_a_refusal_or_a_professional(
    name: str, value: Any, header: str, other: Any
) -> None:
    def part(members: Mapping[str, Any]) -> str:
        return (
            base64.urlsafe_b64encode(orjson.dumps(members, option=orjson.OPT_NON_STR_KEYS))
            .rstrip(b"=")
            .decode()
        )

    dezi = Dezi(url="http://127.0.0.1:1")
    head = {"alg": "RS256", "kid": "k1", "jku": f"{dezi.url}/jwks.json"}
    try:
        odd = part({**head, header: other}), part(dezi.claims(**{name: value}))
    except (TypeError, ValueError):
        return
    _only_refused(f"{odd[0]}.{odd[1]}.AAAA")
    trust = _trust_without_wires(dezi.url)
    with suppress(StatementWrong):
        trust.said(f"{part(head)}.{odd[1]}.AAAA", now())


def _trust_without_wires(url: str) -> DeziTrust:
    return DeziTrust(_Nowhere(), DeziRules(frozenset({f"{url}/jwks.json"}), frozenset({HIGH})))


class _Nowhere(Facilities):
    """Nobody answers."""

    def __init__(self) -> None:
        self.name = "Dezi"

    async def send(self, *_: Any, **__: Any) -> Any:
        raise FacilityAway("Dezi", "not there")


def _only_refused(text: str) -> None:
    trust = _trust_without_wires("http://127.0.0.1:1")
    with (
        pytest.raises(Outcome) as refusal,
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
    ):
        runner.run(trust.verify(text, now()))
    assert isinstance(refusal.value, StatementWrong | FacilityAway)
