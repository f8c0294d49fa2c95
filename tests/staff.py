"""A node with a portal, the stand-in of the identity provider of the region, and people who log in there.

async with portal_node(make_database) as region, Member(region, "programme") as manager:
    await manager.log_in()
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
from joserfc.jwk import RSAKey
from tests.certificates import Files
from tests.medmij import Browser, Page
from tests.nodes import MakeDatabase, RunningNode, free_ports, running_node

from schakel.demo import toml
from schakel.generic.identity.keys import new_rsa_key
from schakel_national import workplace
from schakel_national.serving import Facility, serving

OWN, OTHER = "90000001", "90000002"
"""URA numbers of the organisations `a` and `b`."""

PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "viewer": {"roles": ["viewer"]},
    "declarer elsewhere": {"roles": ["declarer"], "organisations": [OTHER]},
    "declarer": {"roles": ["declarer"], "organisations": [OWN]},
    "reader": {"roles": ["reader"], "organisations": [OWN]},
    "programme": {"roles": ["programme"]},
}
"""Who may do what, by subject; the provider knows `nobody` as well, who has no role."""


@dataclass
class Region:
    """A running node and what it needs."""

    node: RunningNode
    issuer: str
    folder: Path

    @property
    def portal(self) -> str:
        """Where its portal begins, without a slash at the end."""
        return f"{self.node['a'].front_root}/portal"


@asynccontextmanager
async def portal_node(
    make_database: MakeDatabase,
    *,
    node_settings: Mapping[str, Any] | None = None,
    files: Files | None = None,
    people: Mapping[str, Mapping[str, Any]] = PEOPLE,
    names: Mapping[str, str] | None = None,
    slash: str = "",
    **portal: Any,
) -> AsyncIterator[Region]:
    """A node with organisations `a` and `b` and a portal; `portal` are settings of it, `node_settings` of the node,
    `people` who may do what, `names` what the provider calls them. By `files` the provider knows it, when given; its
    issuer ends in `slash`."""
    with TemporaryDirectory(prefix="schakel-portal-") as name:
        folder = Path(name)
        [port] = free_ports(1)
        issuer, key = f"http://127.0.0.1:{port}", new_rsa_key()
        (folder / "client.jwk").write_bytes(orjson.dumps(key))
        login = {"issuer": f"{issuer}{slash}", "client_id": "node", "key": folder / "client.jwk"}
        if files is not None:
            key = RSAKey.import_key(files.key.read_bytes()).as_dict(private=False)
            login |= {"key": files.key, "certificate": files.certificate}
        settings = {
            "login": login,
            "people": [{"subject": subject, **one} for subject, one in people.items()],
            **portal,
        }
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(
                running_node(make_database, portal=settings, **(node_settings or {}))
            )
            client: dict[str, toml.Value] = {
                "id": "node",
                "redirect_uris": [f"{node['a'].front_root}/portal/callback"],
                "key": {part: key[part] for part in ("kty", "n", "e")},
            }
            known: list[toml.Value] = [
                {"subject": one, "name": (names or {}).get(one, f"Jo {one}")} for one in (*people, "nobody")
            ]
            (folder / "workplace.toml").write_text(toml.document({"clients": [client], "people": known}))
            provider = Facility("workplace", workplace.application(folder, f"{issuer}{slash}"), port)
            await stack.enter_async_context(serving("127.0.0.1", [provider]))
            yield Region(node, issuer, folder)


class Member(Browser):
    """The browser of someone of the region, who is called `subject` at the identity provider."""

    def __init__(self, region: Region, subject: str = "viewer", language: str = "en") -> None:
        super().__init__(language)
        self.http.headers["Accept"] = "text/html,*/*;q=0.8"
        self.region = region
        self.subject = subject

    async def page(self, path: str = "/") -> Page:
        """The page at `path` below /portal, after the redirects that lead to it."""
        return await self.open(f"{self.region.portal}{path}")

    async def log_in(self, to: str = "", **chosen: str) -> Page:
        """Where the browser ends after a login."""
        return await self._shown(await self.http.get(await self.callback(to, **chosen)))

    async def callback(self, to: str = "", **chosen: str) -> str:
        """The address with which the provider sends the browser back, which has not gone there yet."""
        page = await self.page("/login" + (f"?{httpx.QueryParams({'to': to})}" if to else ""))
        answer = await self.send_form(page, "/login")
        at_provider = await self._shown(answer)
        sent = {**at_provider.form(), "who": self.subject, "action": "login", **chosen}
        answer = await self.http.post(f"{self.region.issuer}/login", data=sent)
        assert answer.status_code == 303, answer.text
        address: str = answer.headers["location"]
        return address

    async def submit(self, page: Page, action: str, **values: str) -> Page:
        """Where the form of a page that goes to `action` below /portal leads."""
        return await self._shown(await self.send_form(page, action, **values))

    async def send_form(self, page: Page, action: str, **values: str) -> httpx.Response:
        """The answer to the form of a page that goes to `action` below /portal, with these fields in it."""
        [form] = [one for one in page.tree.forms if one.action.endswith(f"/portal{action}")]
        fields = {str(name): str(value or "") for name, value in form.fields.items()}
        return await self.http.post(f"{self.region.portal}{action}", data={**fields, **values})

    async def token(self) -> str:
        """What the forms of this session carry."""
        page = await self.page("/about")
        [found] = page.tree.xpath("//form[contains(@action, '/portal/logout')]//input[@name='csrf']/@value")
        return str(found)

    def kept(self, prefix: str = "schakel-portal") -> list[str]:
        """The names of the cookies that the browser has of the portal."""
        return sorted(one.name for one in self.http.cookies.jar if one.name.startswith(prefix))
