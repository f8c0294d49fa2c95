"""A holder whose data are at several FHIR bases, each of which knows the patient under an id of its own.

async with spread() as holder:
    await holder.enter(directory, one=["Patient"], two=["Condition"])
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.addressing import URA, Directory, endpoint, organisation, server
from tests.guarded import BSN, condition, patient

from schakel.generic.addressing.exchanges import CATEGORIES
from schakel.kernel.clock import now


@dataclass
class Spread:
    """The holder: its bases are below `root`. `asked` are the queries that came, per base; `tokens` the addresses for
    which tokens were asked. `resources` are those it gives tokens for, `withheld` the bases that give no Patient and
    `mute` those that refuse everything. At each base stands one Condition, about the patient at `subject` there."""

    root: str = ""
    asked: dict[str, list[str]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    resources: tuple[str, ...] = ()
    withheld: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    subject: dict[str, str] = field(default_factory=dict)

    def base(self, name: str) -> str:
        return f"{self.root}/{name}/fhir"

    async def enter(self, directory: Directory, **categories: Iterable[str]) -> None:
        """The holder in a directory: an endpoint per base for these categories, and its authorisation server."""
        await directory.put(
            organisation("spread", URA, [*categories, "spread-oauth"]),
            *(
                endpoint(name, [(CATEGORIES, one) for one in codes], address=self.base(name))
                for name, codes in categories.items()
            ),
            {**server("spread-oauth"), "address": self.root},
            source="central",
        )
        await directory.in_step({"central": now()})

    async def metadata(self, _request: web.Request) -> web.Response:
        told: dict[str, Any] = {"issuer": self.root, "token_endpoint": f"{self.root}/token"}
        return web.json_response({**told, "protected_resources": list(self.resources)})

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.tokens.append(str(form.get("resource", "")))
        return web.json_response({"access_token": f"T{len(self.tokens)}", "token_type": "Bearer"})

    async def fhir(self, request: web.Request) -> web.Response:
        name, kind = request.match_info["name"], request.match_info["kind"]
        self.asked.setdefault(name, []).append(request.path_qs.removeprefix(f"/{name}/fhir/"))
        if name in self.mute or (kind == "Patient" and name in self.withheld):
            return web.Response(status=403)
        found: list[dict[str, Any]] = []
        if kind == "Patient":
            found = [patient(f"at-{name}", BSN)]
        if kind == "Condition":
            subject = self.subject.get(name, f"Patient/at-{name}")
            found = [condition(f"c-{name}", {"reference": subject})]
        entries = [{"resource": one, "search": {"mode": "match"}} for one in found]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
        body = orjson.dumps({**bundle, "entry": entries} if entries else bundle)
        return web.Response(body=body, content_type="application/fhir+json")


@asynccontextmanager
async def spread() -> AsyncIterator[Spread]:
    """The holder, listening."""
    holder = Spread()
    app = web.Application()
    app.router.add_get("/.well-known/oauth-authorization-server", holder.metadata)
    app.router.add_post("/token", holder.token)
    app.router.add_get("/{name}/fhir/{kind}{more:.*}", holder.fhir)
    listening = TestServer(app, shutdown_timeout=0.1)
    await listening.start_server()
    holder.root = str(listening.make_url("")).rstrip("/")
    try:
        yield holder
    finally:
        await listening.close()
