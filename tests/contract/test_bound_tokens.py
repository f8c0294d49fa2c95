"""Tokens of a holder that are bound to our key: asked where its metadata offer that, shown with a proof for each
request, and asked again where the holder wants its nonce."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry, extract_compact
from tests.nodes import DOCTOR

from schakel.generic.identity import AssertionSigner, DpopKey, Errand, TokenForms, new_key
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Outcome, Upstream
from schakel.network import AccessToken, Peers, Proofs, TokenAsker
from schakel.network.peers import Allowance, PeerRefused

ERRAND = Errand("bgz", DOCTOR, "TREAT", "current")
HOLDER = "90000002"
WELL_KNOWN = "/.well-known/oauth-authorization-server/issuer"
EMPTY = b'{"resourceType":"Bundle","type":"searchset"}'
RULES = JWSRegistry(algorithms=["ES256"], strict_check_header=False)


@dataclass
class Server:
    """A holder that binds tokens to keys as RFC 9449 has it. It asks for the first of `nonces` in a proof, at the token
    endpoint and at the data, each time that it is told to have another (`turn`)."""

    root: str = ""
    algorithms: list[Any] | str | None = field(default_factory=lambda: ["PS256", "ES256"])
    kind: str = "DPoP"
    nonces: list[str] = field(default_factory=list)
    patience: int = 100
    resources: list[str] | None = None
    down: bool = False
    hangs: bool = False
    told: int = 0
    key: str = ""
    seen: list[tuple[str, str, dict[str, Any] | None]] = field(default_factory=list)
    forms: list[dict[str, Any]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == WELL_KNOWN:
            self.told += 1
            if self.hangs:
                await asyncio.sleep(60)
            return self._metadata()
        claims = self._proof(request)
        self.seen.append((request.method, request.path, claims))
        form = dict(await request.post())
        if form:
            self.forms.append(form)
        if claims is not None and self.nonces and claims.get("nonce") != self.nonces[0]:
            return self._without_nonce(at_token=bool(form))
        if form:
            return web.json_response({"access_token": "T", "token_type": self.kind})
        scheme, _, token = request.headers["Authorization"].partition(" ")
        good = scheme == self.kind == "Bearer" or (claims is not None and claims["ath"] == digest(token))
        return web.Response(body=EMPTY, status=200 if good else 401, content_type="application/fhir+json")

    def _metadata(self) -> web.Response:
        if self.down:
            return web.Response(status=404)
        told: dict[str, Any] = {
            "issuer": f"{self.root}/issuer",
            "token_endpoint": f"{self.root}/token",
            "grant_types_supported": ["client_credentials"],
            "dpop_signing_alg_values_supported": self.algorithms,
            "protected_resources": self.resources,
        }
        return web.json_response({name: value for name, value in told.items() if value is not None})

    def _proof(self, request: web.Request) -> dict[str, Any] | None:
        """The claims of the one proof in a request, which is right in all but its nonce."""
        headers = request.headers.getall("DPoP", [])
        if not headers:
            return None
        [text] = headers
        jwk: Any = extract_compact(text.encode(), registry=RULES).headers()["jwk"]
        assert set(jwk) == {"kty", "crv", "x", "y"}
        key = ECKey.import_key(jwk)
        read = jwt.decode(text, key, registry=RULES)
        assert (read.header["typ"], read.header["alg"]) == ("dpop+jwt", "ES256")
        claims: dict[str, Any] = read.claims
        assert (claims["htm"], claims["htu"]) == (request.method, f"{self.root}{request.path}")
        assert abs(claims["iat"] - now().timestamp()) < 60
        assert claims["jti"] not in self.used
        self.used.add(claims["jti"])
        self.key = self.key or key.thumbprint()
        assert self.key == key.thumbprint()
        return claims

    def _without_nonce(self, *, at_token: bool) -> web.Response:
        self.patience -= 1
        headers = {"DPoP-Nonce": self.nonces[0]} if self.patience >= 0 else {}
        if at_token:
            return web.json_response({"error": "use_dpop_nonce"}, status=400, headers=headers)
        headers["WWW-Authenticate"] = 'DPoP error="use_dpop_nonce", error_description="a nonce"'
        return web.Response(status=401, headers=headers)

    def turn(self) -> None:
        """Its nonce is another from now on."""
        self.nonces.pop(0)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What was asked, and the nonce in the proof; no metadata."""
        return [(path, str((claims or {}).get("nonce", ""))) for _, path, claims in self.seen]


def digest(token: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Asking:
    """Our side: `token` asks one, `page` asks data with it."""

    server: Server
    peers: Peers
    asker: TokenAsker

    async def token(self, *, endpoint: str = "", base: str = "") -> AccessToken:
        return await self.asker.token(HOLDER, f"{self.server.root}/issuer", endpoint, ERRAND, "", base)

    async def page(self, token: AccessToken) -> bytes:
        url = f"{self.server.root}/fhir/Condition?patient=1#part"
        return (await self.peers.get(HOLDER, url, token, "stu3", "id", Allowance(10_000))).body


@asynccontextmanager
async def asking(folder: Path, *, prove: bool = True, **members: Any) -> AsyncIterator[Asking]:
    """Our side and a holder with these members."""
    made, app = Server(**members), web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    server = TestServer(app)
    await server.start_server()
    made.root = str(server.make_url("")).rstrip("/")
    if made.resources is not None:
        made.resources = [one.replace("{root}", made.root) for one in made.resources]
    (folder / "key.jwk").write_bytes(orjson.dumps(new_key()))
    forms = TokenForms(AssertionSigner("90000001", folder / "key.jwk"), "https://us.example")
    peers = Peers(timeout=3, entered=[made.root], proofs=Proofs(DpopKey.new()) if prove else None)
    try:
        yield Asking(made, peers, TokenAsker(peers, forms))
    finally:
        await peers.close()
        await server.close()


async def test_a_holder_that_offers_it_gets_a_proof_with_each_request(tmp_path: Path) -> None:
    async with asking(tmp_path) as us:
        token = await us.token()
        assert token == AccessToken("T", bound=True)
        for _ in range(3):
            assert await us.page(token) == EMPTY
        assert us.server.asked == [("/token", ""), *[("/fhir/Condition", "")] * 3]
        assert len(us.server.used) == 4


async def test_an_entered_endpoint_is_asked_by_what_the_metadata_offer_too(tmp_path: Path) -> None:
    async with asking(tmp_path) as us:
        assert (await us.token(endpoint=f"{us.server.root}/entered")).bound
        assert us.server.asked == [("/entered", "")]


@pytest.mark.parametrize(
    "members",
    [
        {"algorithms": None},
        {"algorithms": []},
        {"algorithms": ["PS256", 1]},
        {"algorithms": "ES256"},
        {"prove": False},
    ],
    ids=["nothing said", "none", "no algorithm of ours", "no list", "switched off here"],
)
async def test_without_an_offer_the_token_is_a_bearer_token(tmp_path: Path, members: dict[str, Any]) -> None:
    async with asking(tmp_path, kind="Bearer", **members) as us:
        token = await us.token()
        assert token == AccessToken("T")
        assert await us.page(token) == EMPTY
        assert us.server.used == set()


async def test_an_entered_endpoint_without_metadata_is_asked_without_a_proof(tmp_path: Path) -> None:
    async with asking(tmp_path, kind="Bearer", down=True) as us:
        for _ in range(2):
            assert await us.token(endpoint=f"{us.server.root}/entered") == AccessToken("T")
        with pytest.raises(Upstream):
            await us.token()


async def test_metadata_that_do_not_come_hold_up_an_entered_endpoint_once(tmp_path: Path) -> None:
    async with asking(tmp_path, kind="Bearer", hangs=True) as us:
        for _ in range(3):
            assert await us.token(endpoint=f"{us.server.root}/entered") == AccessToken("T")
        assert us.server.told == 1


async def test_a_holder_that_offers_it_and_gives_a_bearer_token_is_asked_with_that(tmp_path: Path) -> None:
    async with asking(tmp_path, kind="Bearer") as us:
        token = await us.token()
        assert not token.bound
        assert await us.page(token) == EMPTY


async def test_a_bound_token_that_was_not_asked_for_is_of_no_use(tmp_path: Path) -> None:
    async with asking(tmp_path, prove=False) as us:
        with pytest.raises(Upstream, match="no bearer token"):
            await us.token()


async def test_a_holder_that_wants_its_nonce_is_asked_once_more_and_the_nonce_remembered(
    tmp_path: Path,
) -> None:
    async with asking(tmp_path, nonces=["n1", "n2"]) as us:
        token = await us.token()
        assert us.server.asked == [("/token", ""), ("/token", "n1")]
        # Each time a new assertion: a server may have used up the first before it looked at the proof.
        first, second = (form["client_assertion"] for form in us.server.forms)
        assert first != second
        assert await us.page(token) == await us.page(token) == EMPTY
        us.server.turn()
        assert await us.page(token) == EMPTY
        assert us.server.asked[2:] == [("/fhir/Condition", nonce) for nonce in ("n1", "n1", "n1", "n2")]


async def test_a_holder_that_is_never_content_is_asked_twice_and_told_as_refusing(tmp_path: Path) -> None:
    async with asking(tmp_path, nonces=["n1"]) as us:
        token = await us.token()
        us.server.nonces = ["n2"]
        us.server.seen.clear()

        class Never(list[str]):
            def __getitem__(self, place: Any) -> Any:
                return f"n{len(us.server.seen) + 10}"

        us.server.nonces = Never(["x"])
        with pytest.raises(PeerRefused, match="nonce"):
            await us.page(token)
        assert len(us.server.seen) == 2
        with pytest.raises(PeerRefused, match="use_dpop_nonce"):
            await us.token()
        assert len(us.server.seen) == 4


@pytest.mark.parametrize("nonce", ["", 'a"b', "a b", "é", "x" * 501])
async def test_a_refusal_without_a_nonce_that_can_be_used_is_a_refusal(tmp_path: Path, nonce: str) -> None:
    async with asking(tmp_path, nonces=[nonce or "n"], patience=100 if nonce else 0) as us:
        with pytest.raises(PeerRefused):
            await us.token()
        assert len(us.server.seen) == 1
        with pytest.raises(PeerRefused):
            await us.page(AccessToken("T", bound=True))
        assert len(us.server.seen) == 2


async def test_a_nonce_is_of_one_holder_and_one_origin() -> None:
    proofs = Proofs(DpopKey.new())
    assert proofs.learn("1", "https://a.example/token", {"DPoP-Nonce": "n1"})

    def nonce(ura: str, url: str) -> object:
        text = proofs.proof(ura, "GET", url).encode()
        claims: dict[str, object] = orjson.loads(extract_compact(text, registry=RULES).payload)
        return claims.get("nonce")

    assert nonce("1", "https://a.example/fhir") == nonce("1", "https://A.example:443/x") == "n1"
    assert nonce("2", "https://a.example/fhir") is None
    assert nonce("1", "https://a.example:8443/fhir") is None
    assert nonce("1", "http://a.example/fhir") is None


@pytest.mark.parametrize(
    ("named", "sent"),
    [
        (["{root}/other", "{root}/fhir"], "{root}/fhir"),
        (["{root}/fhir/"], "{root}/fhir/"),
        (["{root}"], "{root}"),
        (None, None),
    ],
)
async def test_a_token_is_asked_for_the_address_where_it_will_be_shown(
    tmp_path: Path, named: list[str] | None, sent: str | None
) -> None:
    async with asking(tmp_path, resources=named) as us:
        root = us.server.root
        assert (await us.token(base=f"{root}/fhir")).bound
        assert us.server.forms[0].get("resource") == (sent and sent.replace("{root}", root))


@pytest.mark.parametrize("base", ["{root}/fhirx", "{root}/", "https://another.example/fhir"])
async def test_a_server_that_names_other_addresses_is_asked_for_no_token(tmp_path: Path, base: str) -> None:
    async with asking(tmp_path, resources=["{root}/fhir"]) as us:
        with pytest.raises(Outcome) as caught:
            await us.token(base=base.replace("{root}", us.server.root))
        assert (caught.value.kind, us.server.seen) == ("peer-resource", [])


def test_a_token_is_not_shown_when_it_is_printed() -> None:
    assert "secret" not in repr(AccessToken("secret", bound=True))
