"""A node whose professionals log in at the stand-in of Dezi, and a browser with a professional behind it.

async with dezi_node(make_database) as scene:
    begun = await scene.begin()
    async with Browser() as browser:
        page = await browser.open(begun["address"])
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import orjson
from tests.medmij import Browser, Page
from tests.nodes import MakeDatabase, RunningNode, RunningOrganisation, free_ports, running_node

from schakel.demo import toml
from schakel.generic.identity.keys import new_rsa_key
from schakel_national import dezi
from schakel_national.serving import Facility, serving

NUMBER = "900000008"
OWN, ELSEWHERE = f"{NUMBER} 90000001", f"{NUMBER} 90000002"
"""What is chosen on the page of the stand-in: the professional, for the organisation `a` or for `b`."""

HIGH = "http://eidas.europa.eu/LoA/high"


@dataclass
class Scene:
    """The running node, where Dezi is, and the folder of the stand-in."""

    node: RunningNode
    dezi: str
    folder: Path

    @property
    def a(self) -> RunningOrganisation:
        return self.node["a"]

    async def begin(self, **body: Any) -> dict[str, str]:
        """What the EHR gets: the id of a login, and the address to open."""
        answer = await self.a.internal.post(f"{self.a.internal_root}/a/professionals/logins", json=body)
        assert answer.status_code == 201, answer.text
        begun: dict[str, str] = answer.json()
        return begun

    async def told(self, login: str, slug: str = "a") -> httpx.Response:
        """What the EHR is told of a login."""
        one = self.node[slug]
        return await one.internal.get(f"{one.internal_root}/{slug}/professionals/logins/{login}")

    async def ended(self, who: str = OWN, action: str = "login") -> dict[str, Any]:
        """How a login stands after someone went through it in a browser."""
        begun = await self.begin()
        async with Browser("en") as browser:
            page = await browser.open(begun["address"])
            if page.tree.forms:
                await browser.send(page, who=who, action=action)
        found: dict[str, Any] = (await self.told(begun["id"])).json()
        return found

    async def logged_in(self) -> str:
        """The id of a login that is done."""
        found = await self.ended()
        assert found["state"] == "logged-in", found
        login: str = found["id"]
        return login


async def page_of(browser: Browser, address: str, who: str = OWN, action: str = "login") -> Page:
    """The page at which a login ends."""
    return await browser.send(await browser.open(address), who=who, action=action)


@asynccontextmanager
async def dezi_node(
    make_database: MakeDatabase,
    *,
    form: str = "jwe",
    loa: str = HIGH,
    node_settings: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """A node with organisations `a` and `b`, for both of which one professional works. `settings` are those of
    `[dezi]`, `node_settings` others of the node."""
    with TemporaryDirectory(prefix="schakel-dezi-") as name:
        folder = Path(name)
        [port] = free_ports(1)
        issuer, key = f"http://127.0.0.1:{port}", new_rsa_key()
        (folder / "client.jwk").write_bytes(orjson.dumps(key))
        given = {"issuer": issuer, "client_id": "node", "key": folder / "client.jwk", **settings}
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(
                running_node(make_database, dezi=given, **(node_settings or {}))
            )
            client: dict[str, toml.Value] = {
                "id": "node",
                "redirect_uris": [f"{node[slug].front_root}/{slug}/professionals/callback" for slug in "ab"],
                "key": {part: key[part] for part in ("kty", "n", "e", "kid")},
            }
            person: dict[str, toml.Value] = {
                "number": NUMBER,
                "initials": "J.",
                "prefix": "van",
                "surname": "Dam",
                "role": "01.015",
                "role_name": "Huisarts",
                "organisations": [{"ura": node[slug].ura, "name": f"Organisation {slug}"} for slug in "ab"],
            }
            table: dict[str, toml.Value] = {
                "form": form,
                "loa": loa,
                "clients": [client],
                "professionals": [person],
            }
            (folder / "dezi.toml").write_text(toml.document(table))
            facility = Facility("dezi", dezi.application(folder, issuer), port)
            await stack.enter_async_context(serving("127.0.0.1", [facility]))
            yield Scene(node, issuer, folder)
