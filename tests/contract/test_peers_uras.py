"""The certificate of a holder's server is held against the URA under which the directory has that holder."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.certificates import Authority, server_context, uzi_name

from schakel.generic.identity.certificates import PRODUCTION_AUTHORITIES, TEST_AUTHORITIES
from schakel.kernel import tls
from schakel.kernel.outcomes import Outcome
from schakel.network import AccessToken, Peers, ServerUras
from schakel.network.peers import Allowance

HOLDER, ANOTHER = "90000002", "90000003"
EMPTY = b'{"resourceType":"Bundle","type":"searchset"}'
CHECKED, REQUIRED = ServerUras(TEST_AUTHORITIES), ServerUras(TEST_AUTHORITIES, required=True)


@asynccontextmanager
async def holder(context: ssl.SSLContext, seen: list[str]) -> AsyncIterator[str]:
    """The address of a holder; `seen` gets what was asked of it."""

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        if request.path == "/token":
            return web.json_response({"access_token": "T", "token_type": "Bearer"})
        return web.Response(body=EMPTY, content_type="application/fhir+json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


async def asked(folder: Path, uras: ServerUras | None, trusted: bool = True, **shown: Any) -> list[str]:
    """The codes of what came of a token, a document and a page, for a server with such a certificate."""
    root = Authority.new("Root")
    (folder / "root.pem").write_text(root.pem)
    files = root.issue("holder", hosts=("127.0.0.1",), **shown).write(folder, "holder")
    seen: list[str] = []
    codes: list[str] = []
    async with holder(server_context(files), seen) as base:
        context = tls.client([folder / "root.pem"], setting="") if trusted else None
        peers = Peers(timeout=3, tls=context, entered=[base], uras=uras)
        try:
            for request in (
                peers.token(HOLDER, f"{base}/token", {"grant_type": "x"}),
                peers.document(HOLDER, f"{base}/document"),
                peers.get(HOLDER, f"{base}/fhir/X", AccessToken("T"), "stu3", "id", Allowance(1000)),
            ):
                try:
                    await request
                    codes.append("")
                except Outcome as error:
                    codes.append(error.kind)
        finally:
            await peers.close()
    assert len(seen) == codes.count("")  # To a server that is not believed nothing was sent.
    return codes


TAKEN, REFUSED = [""] * 3, ["peer-another"] * 3


@pytest.mark.parametrize(
    ("uras", "shown", "codes"),
    [
        (CHECKED, {"uzi": uzi_name(HOLDER)}, TAKEN),
        (REQUIRED, {"uzi": uzi_name(HOLDER)}, TAKEN),
        (CHECKED, {"uzi": uzi_name(ANOTHER)}, REFUSED),
        (REQUIRED, {"uzi": uzi_name(ANOTHER)}, REFUSED),
        (None, {"uzi": uzi_name(ANOTHER)}, TAKEN),
        (CHECKED, {}, TAKEN),
        (REQUIRED, {}, REFUSED),
        # A number of an authority that is not taken here, such as one for tests.
        (ServerUras(PRODUCTION_AUTHORITIES), {"uzi": uzi_name(HOLDER)}, REFUSED),
        (CHECKED, {"uzi": uzi_name(HOLDER)[:-1]}, REFUSED),
    ],
    ids=[
        "its own",
        "its own, required",
        "another",
        "another, required",
        "another, not checked",
        "none",
        "none, required",
        "of tests in production",
        "not right",
    ],
)
async def test_a_server_of_another_ura_is_sent_nothing(
    tmp_path: Path, uras: ServerUras | None, shown: dict[str, Any], codes: list[str]
) -> None:
    assert await asked(tmp_path, uras, **shown) == codes


@pytest.mark.parametrize("uras", [CHECKED, REQUIRED, None], ids=["checked", "required", "off"])
async def test_a_server_that_no_authority_vouches_for_is_sent_nothing_whatever_its_number(
    tmp_path: Path, uras: ServerUras | None
) -> None:
    assert await asked(tmp_path, uras, trusted=False, uzi=uzi_name(HOLDER)) == ["upstream"] * 3
