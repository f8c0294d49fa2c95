"""Running nodes for tests: composed on fresh databases, serving on real listeners on free ports.

    async with running_node(make_database, organisations=("a", "b"), write_check="lenient") as node:
        answer = await node["a"].internal.get("Patient/p1")

`running_region` starts several nodes that find each other in the directory.
"""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from tests.certificates import Authority, Files, client_context, uzi_name

from schakel import compose
from schakel.config import Organisation, Peer, Settings
from schakel.fhir.definitions import Version
from schakel.generic.identity import AssertionSigner, Caller, User, new_key
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.http.listeners import listening
from schakel.http.node import Node
from schakel.kernel.clock import now
from schakel.serve import listeners
from schakel.store.embedded import EmbeddedServer

MakeDatabase = Callable[[], Awaitable[str]]

DOCTOR = User("900000008", "Jan Jansen", "01.015")
"""Who asks, when a test does not say."""


@dataclass(frozen=True)
class RunningOrganisation:
    """One organisation of a running node. `internal` and `front` are clients with the FHIR base of that door as
    their base address; `internal` carries the organisation's key, `front` nothing. Those are of STU3, the other two
    of R4."""

    slug: str
    ura: str
    key: str
    signing_key: Path
    internal_root: str
    front_root: str
    internal: httpx.AsyncClient
    front: httpx.AsyncClient
    internal_r4: httpx.AsyncClient
    front_r4: httpx.AsyncClient
    back_root: str = ""
    certificate: Files | None = None
    authority: Authority | None = None

    def back(
        self,
        asker: RunningOrganisation | Files | None,
        version: Version = "stu3",
        *,
        local_address: str | None = None,
        **options: Any,
    ) -> httpx.AsyncClient:
        """A client with the FHIR base of this organisation's back door as its base address, which shows the certificate
        of `asker` (none when None) and comes from `local_address`. Close it. Needs `running_node(..., back=True)`."""
        assert self.authority is not None
        own = asker.certificate if isinstance(asker, RunningOrganisation) else asker
        context = client_context(self.authority, own=own)
        return httpx.AsyncClient(
            base_url=f"{self.back_root}/{self.slug}/fhir/{version}/",
            transport=httpx.AsyncHTTPTransport(verify=context, local_address=local_address),
            timeout=60,
            trust_env=False,
            **options,
        )

    def internal_base(self, version: Version) -> str:
        """The FHIR base of the internal door for that version."""
        return f"{self.internal_root}/{self.slug}/fhir/{version}"

    @property
    def internal_fhir(self) -> str:
        """The FHIR base of the internal door."""
        return self.internal_base("stu3")

    @property
    def front_fhir(self) -> str:
        """The FHIR base of the guarded door."""
        return f"{self.front_root}/{self.slug}/fhir/stu3"

    async def ground(self, patient: str, requester: str, **members: Any) -> dict[str, Any]:
        """Writes a ground for `requester` (URA) on `patient` (BSN), for the BgZ unless `members` say else."""
        until = (now() + timedelta(days=300)).date().isoformat()
        ground = {"requester": requester, "patient": patient, "until": until, "reason": "test"}
        if not {"exchange", "queries"} & set(members):
            ground["exchange"] = "bgz"
        ground |= members
        answer = await self.internal.post(f"{self.internal_root}/{self.slug}/grounds", json=ground)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def assertion(
        self,
        holder: RunningOrganisation,
        user: User = DOCTOR,
        purpose: str = "TREAT",
        relation: str = "current",
    ) -> str:
        """An assertion of this organisation for the authorisation server of `holder`."""
        signer = AssertionSigner(self.ura, self.signing_key)
        return signer.assertion(f"{holder.front_root}/{holder.slug}", user, purpose, relation)

    async def token(self, holder: RunningOrganisation, scope: str = "bgz", **claims: Any) -> str:
        """An access token of `holder` for this organisation, asked on front; `claims` as in `assertion`."""
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(holder, **claims),
        }
        answer = await holder.front.post(f"{holder.front_root}/{holder.slug}/oauth2/token", data=form)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token


@dataclass(frozen=True)
class RunningNode:
    """A node that serves: its services, its settings and its organisations by slug."""

    node: Node
    settings: Settings
    organisations: Mapping[str, RunningOrganisation]

    def __getitem__(self, slug: str) -> RunningOrganisation:
        return self.organisations[slug]


@dataclass(frozen=True)
class _Plan:
    """A node before it runs: its organisations and the addresses of its listeners. `certificates` are of the
    organisations by slug and of the node itself by '', which `authority` gave."""

    organisations: tuple[Organisation, ...]
    front: str
    internal: str
    public_keys: Mapping[str, Mapping[str, Any]]
    back: str
    certificates: Mapping[str, Files]
    authority: Authority
    folder: Path

    def back_settings(self, wanted: bool | Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the back listener: none, those of a test, or those with what `wanted` says instead."""
        if not wanted:
            return {}
        own = self.certificates[""]
        back = {
            "port": urlsplit(self.back).port,
            "public_url": self.back,
            "certificate": own.certificate,
            "key": own.key,
            "client_ca": (self.folder / "authority.pem",),
            **(wanted if isinstance(wanted, Mapping) else {}),
        }
        return {"back": back, "certificates": {"uzi": "test", "revocation": "off"}}

    def peers(self, over_back: bool) -> list[Peer]:
        """The directory entries of the organisations, with their addresses on back or on front."""
        at = self.back if over_back else self.front
        return [
            Peer(
                ura=o.ura,
                name=o.name,
                issuer=f"{self.front}/{o.slug}",
                token_endpoint=f"{at}/{o.slug}/oauth2/token",
                fhir={version: f"{at}/{o.slug}/fhir/{version}" for version in compose.VERSIONS},
                jwks={"keys": [dict(self.public_keys[o.slug])]},
            )
            for o in self.organisations
        ]


@asynccontextmanager
async def running_node(
    make_database: MakeDatabase, organisations: Sequence[str] = ("a", "b"), **overrides: Any
) -> AsyncIterator[RunningNode]:
    """One node with these organisations (slugs). `write_check`, `erasure` and `conditional_delete` are settings of each
    organisation, `by_slug` has further ones of single organisations, the rest are settings of the node. The guarded
    door stands open on the front listener; with `back=True` (or settings of `[back]` that a test wants) there is a back
    listener too, and with `over_back=True` the organisations ask each other there, each with its own certificate.
    `also` are further organisations in the directory. With `keys_only=True` nothing but the keys of the organisations
    is entered, so that their addresses must be found elsewhere."""
    async with running_region(make_database, [organisations], **overrides) as [node]:
        yield node


@asynccontextmanager
async def running_region(
    make_database: MakeDatabase, nodes: Sequence[Sequence[str]], **overrides: Any
) -> AsyncIterator[list[RunningNode]]:
    """One node for each list of slugs, each with its own database; all know all through the directory."""
    known = ("write_check", "erasure", "conditional_delete")
    each: dict[str, Any] = {name: overrides.pop(name) for name in known if name in overrides}
    over_back: bool = overrides.pop("over_back", False)
    also: Sequence[Peer] = overrides.pop("also", ())
    back = overrides.pop("back", over_back)
    keys_only: bool = overrides.pop("keys_only", False)
    by_slug: Mapping[str, Mapping[str, Any]] = overrides.pop("by_slug", {})
    with TemporaryDirectory(prefix="schakel-keys-") as folder:
        plans = _plans(nodes, Path(folder), each, by_slug, over_back)
        directory = tuple(peer for plan in plans for peer in plan.peers(over_back)) + tuple(also)
        if keys_only:
            directory = tuple(Peer(ura=peer.ura, name=peer.name, jwks=peer.jwks) for peer in directory)
        async with AsyncExitStack() as stack:
            running: list[RunningNode] = []
            for plan in plans:
                settings = Settings(
                    **{
                        "database": await make_database(),
                        "connections": 4,
                        "public_url": plan.front,
                        "internal_url": plan.internal,
                        "front_port": urlsplit(plan.front).port,
                        "internal_port": urlsplit(plan.internal).port,
                        "guarded_on_front": True,
                        "organisations": plan.organisations,
                        "directory": directory,
                        **plan.back_settings(back),
                        **({"peer_ca": (Path(folder) / "authority.pem",)} if over_back else {}),
                        **overrides,
                    }
                )
                node_services = await stack.enter_async_context(compose.node(settings))
                await stack.enter_async_context(listening(listeners(settings, node_services)))
                opened = {
                    o.slug: await _opened(stack, o, plan, settings.back is not None)
                    for o in plan.organisations
                }
                running.append(RunningNode(node_services, settings, opened))
            yield running


def _plans(
    nodes: Sequence[Sequence[str]],
    folder: Path,
    each: Mapping[str, Any],
    by_slug: Mapping[str, Mapping[str, Any]],
    over_back: bool,
) -> list[_Plan]:
    """The nodes before they run; the private keys are written in `folder`."""
    slugs = [slug for node in nodes for slug in node]
    ports = free_ports(3 * len(nodes))
    authority = Authority.new("Test Authority")
    (folder / "authority.pem").write_text(authority.pem)
    plans = []
    for number, node in enumerate(nodes):
        front, internal, back = (f"http://127.0.0.1:{p}" for p in ports[3 * number : 3 * number + 3])
        public = {}
        certificates = {"": authority.issue("node", hosts=("127.0.0.1",)).write(folder, f"node{number}")}
        made = []
        for slug in node:
            key, path = new_key(), folder / f"{slug}.jwk"
            path.write_bytes(orjson.dumps(key))
            public[slug] = {name: value for name, value in key.items() if name != "d"}
            ura, name = f"{90000001 + slugs.index(slug)}", f"Organisation {slug}"
            internal_key = f"key-of-organisation-{slug}"
            shown = authority.issue(
                f"{slug}.example", hosts=(f"{slug}.example",), uzi=uzi_name(ura), organisation=name
            )
            own = certificates[slug] = shown.write(folder, slug)
            made.append(
                Organisation(
                    slug=slug,
                    ura=ura,
                    name=name,
                    internal_key=internal_key,
                    signing_key=path,
                    **each,
                    **({"tls_certificate": own.certificate, "tls_key": own.key} if over_back else {}),
                    **{"medmij_name": f"provider{slug}", **by_slug.get(slug, {})},
                )
            )
        secure = back.replace("http:", "https:")
        plans.append(_Plan(tuple(made), front, internal, public, secure, certificates, authority, folder))
    return plans


async def _opened(
    stack: AsyncExitStack, organisation: Organisation, plan: _Plan, back: bool
) -> RunningOrganisation:
    """The organisation with its clients, which close with `stack`."""

    async def client(root: str, headers: Mapping[str, str], version: Version) -> httpx.AsyncClient:
        base = f"{root}/{organisation.slug}/fhir/{version}/"
        opened = httpx.AsyncClient(base_url=base, headers=headers, timeout=60, trust_env=False)
        return await stack.enter_async_context(opened)

    key = {"X-API-Key": organisation.internal_key}
    return RunningOrganisation(
        slug=organisation.slug,
        ura=organisation.ura,
        key=organisation.internal_key,
        signing_key=organisation.signing_key,
        internal_root=plan.internal,
        front_root=plan.front,
        internal=await client(plan.internal, key, "stu3"),
        front=await client(plan.front, {}, "stu3"),
        internal_r4=await client(plan.internal, key, "r4"),
        front_r4=await client(plan.front, {}, "r4"),
        back_root=plan.back if back else "",
        certificate=plan.certificates[organisation.slug],
        authority=plan.authority,
    )


def bearing(token: str) -> Caller:
    """A caller with a token and nothing else."""
    return Caller("GET", "http://here", (f"Bearer {token}",))


@asynccontextmanager
async def databases(cluster: EmbeddedServer, name: str) -> AsyncIterator[MakeDatabase]:
    """As the fixture `make_database`, for fixtures that live longer than one test; `name` is unique in the
    test process."""
    made: list[str] = []

    async def make() -> str:
        made.append(f"{name}_{len(made)}")
        return await cluster.ensure_database(made[-1], made[-1], "secret")

    yield make
    for one in made:
        await cluster.drop_database(one, one)


def free_ports(number: int) -> list[int]:
    """Ports on which nothing listens now, all different, below those that the system gives out itself: who stops
    listening for a moment does not find its port taken by a connection of somebody else."""
    chance, ports = random.Random(), list[int]()
    while len(ports) < number:
        port = chance.randrange(10_000, 20_000)
        with socket.socket() as sock, suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            if port not in ports:
                ports.append(port)
    return ports
