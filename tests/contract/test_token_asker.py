"""How a token is asked of a holder: where and with which grant its metadata say, and what it lacks is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.nodes import DOCTOR

from schakel.generic.identity import AssertionSigner, Errand, TokenForms, new_key
from schakel.kernel.outcomes import Upstream
from schakel.network.asking import TokenAsker
from schakel.network.peers import Peers
from schakel.network.proving import AccessToken

ERRAND = Errand("bgz", DOCTOR, "TREAT", "current")
WELL_KNOWN = "/.well-known/oauth-authorization-server"


@dataclass
class Server:
    """An authorisation server at `root` with the issuer `{root}/issuer`, which says what it is told to say."""

    root: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        self.seen.append((request.method, request.path, form))
        if request.method == "POST":
            return web.json_response({"access_token": "T", "token_type": "Bearer"})
        offered = {
            "issuer": f"{self.root}/issuer",
            "token_endpoint": f"{self.root}/plain",
            "grant_types_supported": ["client_credentials"],
        }
        return web.json_response({**offered, **self.metadata})

    @property
    def asked(self) -> list[str]:
        """Method and path of each request."""
        return [f"{method} {path}" for method, path, _ in self.seen]


@asynccontextmanager
async def serving(**metadata: Any) -> AsyncIterator[Server]:
    """The server, with these metadata in place of its own; `{root}` in a text is its address."""
    made, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    server = TestServer(app)
    await server.start_server()
    made.root = str(server.make_url("")).rstrip("/")
    made.metadata = orjson.loads(orjson.dumps(metadata).replace(b"{root}", made.root.encode()))
    try:
        yield made
    finally:
        await server.close()


async def ask(
    server: Server,
    folder: Path,
    *,
    issuer: str | None = None,
    endpoint: str = "",
    metadata: str = "",
    certificate: bool = False,
    times: int = 1,
) -> None:
    """Asks a token, without a wallet."""
    (folder / "key.jwk").write_bytes(orjson.dumps(new_key()))
    forms = TokenForms(AssertionSigner("90000001", folder / "key.jwk"), "https://us.example")
    peers = Peers(timeout=3, shows_certificate=certificate, entered=[server.root])
    asker = TokenAsker(peers, forms)
    issuer = f"{server.root}/issuer" if issuer is None else issuer
    try:
        for _ in range(times):
            assert await asker.token("90000002", issuer, endpoint, ERRAND, metadata) == AccessToken("T")
    finally:
        await peers.close()


async def test_without_a_token_endpoint_that_of_the_metadata_is_asked(tmp_path: Path) -> None:
    async with serving() as server:
        await ask(server, tmp_path, times=2)
        assert server.asked == [f"GET {WELL_KNOWN}/issuer", "POST /plain", "POST /plain"]
        form = server.seen[1][2]
        assert (form["grant_type"], form["scope"]) == ("client_credentials", "bgz")


async def test_an_issuer_with_a_slash_at_its_end_has_its_metadata_where_the_standard_says(
    tmp_path: Path,
) -> None:
    async with serving(issuer="{root}/issuer/") as server:
        await ask(server, tmp_path, issuer=f"{server.root}/issuer/")
        assert server.asked == [f"GET {WELL_KNOWN}/issuer", "POST /plain"]


async def test_who_shows_a_certificate_asks_where_certificates_are_taken(tmp_path: Path) -> None:
    aliases = {"token_endpoint": "{root}/secure"}
    async with serving(mtls_endpoint_aliases=aliases) as server:
        await ask(server, tmp_path, certificate=True)
        await ask(server, tmp_path, certificate=False)
        posts = [path for method, path, _ in server.seen if method == "POST"]
        assert posts == ["/secure", "/plain"]


async def test_aliases_that_name_no_token_endpoint_change_nothing(tmp_path: Path) -> None:
    for aliases in ({"revocation_endpoint": "{root}/revoke"}, "nonsense", None):
        async with serving(mtls_endpoint_aliases=aliases) as server:
            await ask(server, tmp_path, certificate=True)
            assert server.asked[-1] == "POST /plain"


async def test_the_endpoint_and_the_place_of_metadata_that_were_entered_stand(tmp_path: Path) -> None:
    async with serving() as server:
        await ask(server, tmp_path, endpoint=f"{server.root}/entered")
        await ask(server, tmp_path, metadata=f"{server.root}/elsewhere")
        assert server.asked == ["POST /entered", "GET /elsewhere", "POST /plain"]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"grant_types_supported": ["authorization_code"]}, "no grant that we can make"),
        # What it offers needs credentials, of which we have none.
        ({"grant_types_supported": ["vp_token-bearer"]}, "no grant that we can make"),
        ({"issuer": "https://other.example"}, "another issuer"),
        ({"issuer": None}, "no issuer"),
        ({"token_endpoint": ""}, "no token_endpoint"),
        ({"token_endpoint": 5}, "no token_endpoint"),
    ],
)
async def test_a_server_that_cannot_be_asked_gets_no_token_request(
    tmp_path: Path, metadata: dict[str, Any], said: str
) -> None:
    async with serving(**metadata) as server:
        with pytest.raises(Upstream, match=said):
            await ask(server, tmp_path)
        assert server.asked == [f"GET {WELL_KNOWN}/issuer"]


async def test_a_holder_without_an_authorisation_server_is_named_as_that(tmp_path: Path) -> None:
    async with serving() as server:
        with pytest.raises(Upstream, match="names no authorisation server") as caught:
            await ask(server, tmp_path, issuer="")
        assert (caught.value.kind, server.asked) == ("no-issuer", [])
