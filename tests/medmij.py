"""A node that takes part in MedMij, with the stand-ins it needs, and a client (PGO) with a person behind it.

    async with medmij_node(make_database) as network:
        tokens = await network.pgo().tokens("a", BSN)

`Browser` walks through the pages as a browser without JavaScript does: it follows redirects to our own hosts, keeps
cookies and sends forms.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urljoin, urlsplit

import httpx
import orjson
from lxml import html
from tests.nodes import MakeDatabase, RunningNode, free_ports, running_node

from schakel.demo import toml
from schakel.generic.identity.keys import new_rsa_key
from schakel_national import broker, medmij_lists
from schakel_national.serving import Facility, serving

CLIENT = "pgo.example"
REDIRECT = "https://pgo.example/auth/callback"
KNOWN = "999901370"
"""A patient whom `a` knows."""
STRANGER = "999901382"
"""A person whom nobody knows."""

PATIENT = {
    "resourceType": "Patient",
    "id": "known",
    "name": [{"family": "Aarts"}],
    "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": KNOWN}],
}
SERVICES = {
    "48": "Basisgegevens Zorg",
    "49": "Huisartsgegevens",
    "63": "Vaccinaties",
    "903": "Zelfmetingen delen",
}


@dataclass
class Network:
    """The running node, its stand-ins' folder (`lists` rewrites theirs) and addresses."""

    node: RunningNode
    folder: Path
    broker: str
    lists: dict[str, Any]

    def write_lists(self, **changes: Any) -> None:
        """Publishes other lists from now on."""
        self.lists |= changes
        (self.folder / "medmij-lists.toml").write_text(toml.document(self.lists))

    def base(self, slug: str) -> str:
        return f"{self.node[slug].front_root}/{slug}/oauth2"

    def pgo(self, **members: Any) -> Pgo:
        return Pgo(self, **members)


@dataclass
class Page:
    """What a browser shows: an address, a status and a document."""

    response: httpx.Response

    @property
    def text(self) -> str:
        return " ".join(self.tree.text_content().split())

    @property
    def tree(self) -> Any:
        return html.fromstring(self.response.text)

    def form(self) -> dict[str, str]:
        [form] = self.tree.forms
        return {str(name): str(value or "") for name, value in form.fields.items()}


class Browser:
    """A browser without JavaScript. It does not go to hosts that are not ours: `gone_to` says where it was sent."""

    def __init__(self, language: str = "nl") -> None:
        self.http = httpx.AsyncClient(headers={"Accept-Language": language}, timeout=30, trust_env=False)
        self.gone_to = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def open(self, address: str) -> Page:
        return await self._shown(await self.http.get(address))

    async def send(self, page: Page, **values: str) -> Page:
        """Sends the one form of a page, with these fields in it."""
        [form] = page.tree.forms
        fields = {**page.form(), **values}
        return await self._shown(
            await self.http.post(urljoin(str(page.response.url), form.action), data=fields)
        )

    async def _shown(self, response: httpx.Response) -> Page:
        while response.is_redirect:
            address = urljoin(str(response.url), response.headers["location"])
            if urlsplit(address).hostname != "127.0.0.1" or "/callback-of-pgo" in address:
                self.gone_to = address
                break
            response = await self.http.get(address)
        return Page(response)


@dataclass
class Pgo:
    """A client of the network. `request` are parameters of the authorisation request that differ."""

    network: Network
    client: str = CLIENT
    redirect: str = REDIRECT
    correlation: str = field(default_factory=lambda: str(uuid.uuid4()))

    def address(self, slug: str, scope: str | None = None, **changes: str | None) -> str:
        """Where the browser goes; a change to None leaves a parameter out."""
        values: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client,
            "redirect_uri": self.redirect,
            "scope": scope or f"provider{slug}",
            "state": "abc.DEF-1_2=",
            "MedMij-Request-ID": str(uuid.uuid4()),
            "X-Correlation-ID": self.correlation,
        }
        for name, value in changes.items():
            values[
                {"request_id": "MedMij-Request-ID", "correlation_id": "X-Correlation-ID"}.get(name, name)
            ] = value
        query = httpx.QueryParams({name: value for name, value in values.items() if value is not None})
        return f"{self.network.base(slug)}/authorize?{query}"

    async def authorise(self, slug: str, bsn: str = KNOWN, scope: str | None = None) -> dict[str, str]:
        """The parameters with which the browser comes back after login and consent."""
        async with Browser() as browser:
            page = await browser.open(self.address(slug, scope))
            assert page.response.status_code == 200, page.text
            page = await browser.send(page, answer="yes")
            page = await browser.send(page, bsn=bsn, action="login")
            assert page.response.status_code == 200, page.text
            await browser.send(page, answer="yes")
            return came_back(browser.gone_to)

    async def post(
        self, slug: str, form: Mapping[str, str], path: str = "token", **headers: str
    ) -> httpx.Response:
        """A request to the token endpoint; `headers` replaces the ids, '' leaves one out."""
        sent = {"MedMij-Request-ID": str(uuid.uuid4()), "X-Correlation-ID": self.correlation}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            return await http.post(
                f"{self.network.base(slug)}/{path}",
                data=dict(form),
                headers={name: value for name, value in sent.items() if value},
            )

    def exchange(self, code: str) -> dict[str, str]:
        """The form that offers a code."""
        return {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self.client,
            "redirect_uri": self.redirect,
        }

    def refreshing(self, token: str) -> dict[str, str]:
        """The form that offers a refresh token."""
        return {"grant_type": "refresh_token", "refresh_token": token, "client_id": self.client}

    async def tokens(self, slug: str, bsn: str = KNOWN, scope: str | None = None) -> dict[str, Any]:
        """The answer of the token endpoint after login and consent."""
        came = await self.authorise(slug, bsn, scope)
        answer = await self.post(slug, self.exchange(came["code"]))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def came_back(address: str) -> dict[str, str]:
    """The parameters of the address to which a browser was sent back."""
    query = parse_qs(urlsplit(address).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in query.values()), address
    return dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))


@asynccontextmanager
async def medmij_node(
    make_database: MakeDatabase,
    *,
    loa: str | None = None,
    client_auth: str = "private_key_jwt",
    node_settings: Mapping[str, Any] | None = None,
    **medmij: Any,
) -> AsyncIterator[Network]:
    """A node with organisations `a` and `b` (MedMij names `providera` and `providerb`); `a` knows one patient.
    `medmij` are settings of taking part, `node_settings` those of the node."""
    with TemporaryDirectory(prefix="schakel-medmij-") as name:
        folder = Path(name)
        login_port, lists_port = free_ports(2)
        issuer, lists_at = (f"http://127.0.0.1:{port}" for port in (login_port, lists_port))
        key = new_rsa_key()
        (folder / "broker-client.jwk").write_bytes(orjson.dumps(key))
        lists: dict[str, Any] = {
            "number": 5,
            "clients": [
                {"hostname": CLIENT, "organisation": "Mijn Dossier BV"},
                {"hostname": "other.example", "organisation": "Ander Dossier BV"},
            ],
            "nodes": [{"hostname": CLIENT}],
            "services": [{"id": number, "name": text} for number, text in SERVICES.items()],
            "providers": [{"name": f"provider{slug}@medmij", "services": []} for slug in ("a", "b")],
        }
        (folder / "medmij-lists.toml").write_text(toml.document(lists))
        settings = {
            "lists": lists_at,
            "lists_seconds": 1,
            "broker": {"issuer": issuer, "client_id": "node", "key": folder / "broker-client.jwk"},
            **medmij,
        }
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                serving(
                    "127.0.0.1", [Facility("lists", medmij_lists.application(folder, lists_at), lists_port)]
                )
            )
            node = await stack.enter_async_context(
                running_node(make_database, medmij=settings, **(node_settings or {}))
            )
            client: dict[str, toml.Value] = {
                "id": "node",
                "redirect_uris": [
                    f"{node[slug].front_root}/{slug}/{part}/callback"
                    for slug in ("a", "b")
                    for part in ("oauth2", "log")
                ],
                "auth": client_auth,
                "key": {part: key[part] for part in ("kty", "n", "e", "kid")},
            }
            level: dict[str, toml.Value] = {"loa_authn": loa} if loa else {}
            table: dict[str, toml.Value] = {**level, "clients": [client]}
            (folder / "broker.toml").write_text(toml.document(table))
            login = Facility("broker", broker.application(folder, issuer), login_port)
            await stack.enter_async_context(serving("127.0.0.1", [login]))
            for version in ("stu3", "r4"):
                url = f"{node['a'].internal_root}/a/fhir/{version}/Patient/known"
                answer = await node["a"].internal.put(url, json=PATIENT)
                assert answer.status_code == 201, answer.text
            yield Network(node, folder, issuer, lists)
