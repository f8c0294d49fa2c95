"""The lists of MedMij: its clients (OCL), its servers (WHL), its services (GNL) and who offers them (ZAL).

    fetch -> check the structure -> not empty, number not lower -> keep in the database -> use

All four are used as one set that changes in one move. What cannot be fetched or is not right changes nothing: the
last good copy stays, also over a restart. Without a list nobody is on it.

Source: MedMij framework 2.2.x, "Interfaces lijsten" (core.lijsten) and its XML schemas.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import aiohttp
import asyncpg
import structlog
from lxml import etree

from schakel.kernel.background import beside
from schakel.kernel.outcomes import Invalid, Outcome, Upstream
from schakel.store.connection import acquire
from schakel.store.database import pack, unpack

_log = structlog.get_logger("schakel.medmij")

_MOST_BYTES = 50_000_000
_SECONDS = 30.0
_SOON_SECONDS = 15.0
"""When a list could not be had, it is asked again after this long, or sooner when the schedule says so."""

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_NAMESPACE = "xmlns://afsprakenstelsel.medmij.nl/"


@dataclass(frozen=True, slots=True)
class _Kind:
    """One list: the name of its file, its root, its namespaces (the newest first) and the path to its entries."""

    name: str
    root: str
    namespaces: tuple[str, ...]
    entries: tuple[str, str]


OCL = _Kind(
    "OAuthclientlist", "OAuthclientlist", ("oauthclientlist/release2/",), ("OAuthclients", "OAuthclient")
)
WHL = _Kind("Whitelist", "Whitelist", ("whitelist/release2/",), ("MedMijNodes", "MedMijNode"))
GNL = _Kind(
    "Gegevensdienstnamenlijst",
    "Gegevensdienstnamenlijst",
    ("gegevensdienstnamenlijst/release1/",),
    ("Gegevensdiensten", "Gegevensdienst"),
)
ZAL = _Kind(
    "Zorgaanbiederslijst",
    "Zorgaanbiederslijst",
    ("zorgaanbiederslijst/release3/", "zorgaanbiederslijst/release2/"),
    ("Zorgaanbieders", "Zorgaanbieder"),
)
KINDS = (OCL, WHL, GNL, ZAL)


@dataclass(frozen=True, slots=True)
class _List:
    """A list that is in order: its number, the XML, and what stands in it (key to name)."""

    number: int
    body: bytes
    content: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Set:
    lists: Mapping[str, _List] = field(default_factory=dict)

    def get(self, kind: _Kind) -> Mapping[str, str]:
        found = self.lists.get(kind.name)
        return found.content if found else MappingProxyType({})


class MedmijLists:
    """The lists as they are now. `address` is the folder where they are published, `seconds` the time between two
    fetches. Nobody is on them before `kept_fresh`."""

    def __init__(self, pool: asyncpg.Pool, address: str, seconds: float) -> None:
        self._pool = pool
        self._address = address
        self._seconds = seconds
        self._set = _Set()

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Uses the copies that were kept, and newer ones as soon as they can be had, until the end of the block."""
        await self._load()
        timeout = aiohttp.ClientTimeout(total=_SECONDS, connect=5)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            good = await self.refresh(session)
            async with beside(self._keep_fresh(session, good)):
                yield

    def client_name(self, host: str) -> str | None:
        """The organisation behind the OAuth client with this host name; None when it is not on the list."""
        return self._set.get(OCL).get(host)

    def is_node(self, host: str) -> bool:
        """Whether this host name is on the whitelist."""
        return host in self._set.get(WHL)

    def service_name(self, service: str) -> str | None:
        """What people read for a data service; None when it is not on the list."""
        return self._set.get(GNL).get(service)

    def offers(self, provider: str) -> bool:
        """Whether the provider (MedMij name without @medmij) is on the list of providers."""
        return f"{provider}@medmij" in self._set.get(ZAL)

    async def refresh(self, session: aiohttp.ClientSession) -> bool:
        """Fetches every list; whether all could be had. What changed is kept, and used from one moment to the next."""
        fetched: dict[str, _List] = {}
        good = True
        for kind in KINDS:
            try:
                fetched[kind.name] = self._newer(kind, await self._fetch(session, kind))
            except Outcome as error:
                good = False
                _log.warning("medmij list not taken", list=kind.name, code=error.kind, why=error.message)
        lists = dict(self._set.lists) | fetched
        changed = {name: one for name, one in fetched.items() if self._set.lists.get(name) is not one}
        try:
            for name, one in changed.items():
                await self._keep(name, one)
        except Outcome as error:
            good = False
            _log.warning("medmij list not kept", code=error.kind)
        self._set = _Set(MappingProxyType(lists))
        return good

    async def _keep_fresh(self, session: aiohttp.ClientSession, good: bool) -> None:
        while True:
            await asyncio.sleep(self._seconds if good else min(self._seconds, _SOON_SECONDS))
            good = await self.refresh(session)

    def _newer(self, kind: _Kind, body: bytes) -> _List:
        """The list in `body` when it may follow the one in use. Raises `Invalid`."""
        found = read(kind, body)
        used = self._set.lists.get(kind.name)
        if used is not None and found.number < used.number:
            raise Invalid(
                f"its number {found.number} is lower than {used.number}, which is in use", code="list-number"
            )
        return used if used is not None and found.number == used.number else found

    async def _fetch(self, session: aiohttp.ClientSession, kind: _Kind) -> bytes:
        """Raises `Upstream`."""
        address = f"{self._address}/MedMij_{kind.name}.xml"
        try:
            async with session.get(address, params={"api": "2"}, allow_redirects=False) as response:
                if response.status != 200:
                    raise Upstream(f"the answer has status {response.status}", code="list-status")
                chunks, size = [], 0
                async for chunk in response.content.iter_chunked(65_536):
                    size += len(chunk)
                    if size > _MOST_BYTES:
                        raise Upstream(f"the list has more than {_MOST_BYTES} bytes", code="list-large")
                    chunks.append(chunk)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Upstream(f"no answer ({type(error).__name__})", code="list-away") from error
        return b"".join(chunks)

    async def _load(self) -> None:
        """Use the copies that were kept; one that this version cannot read is as none."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch("SELECT name, body FROM medmij_list")
        lists = {}
        for row in rows:
            with contextlib.suppress(Invalid):
                kind = next(one for one in KINDS if one.name == row["name"])
                lists[kind.name] = read(kind, unpack(row["body"]))
        self._set = _Set(MappingProxyType(lists))

    async def _keep(self, name: str, one: _List) -> None:
        """Other processes keep their copies in the same place: the highest number stays."""
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO medmij_list (name, number, body) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE "
                "SET number = excluded.number, body = excluded.body, fetched = now() "
                "WHERE medmij_list.number < excluded.number",
                name,
                one.number,
                pack(one.body),
            )


def read(kind: _Kind, body: bytes) -> _List:
    """The list in an XML document. Raises `Invalid`: not this list, not its structure, or empty."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise Invalid("the list is not XML", code="list-xml") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise Invalid("the list has a DOCTYPE", code="list-xml")
    name = etree.QName(root.tag)
    if name.localname != kind.root or name.namespace not in [_NAMESPACE + one for one in kind.namespaces]:
        raise Invalid(f"the root is not {kind.root} of a release that is known", code="list-root")
    reader = _Reader(str(name.namespace))
    stamp, number = reader.text(root, "Tijdstempel"), reader.text(root, "Volgnummer")
    try:
        well = (
            len(stamp) >= 20
            and bool(datetime.fromisoformat(stamp))
            and bool(re.fullmatch(r"[0-9]{1,18}", number))
        )
    except ValueError:
        well = False
    if not well or int(number) < 1:
        raise Invalid("Tijdstempel is no moment or Volgnummer no positive number", code="list-head")
    content = dict(reader.entries(root, kind))
    if not content:
        raise Invalid("the list is empty", code="list-empty")
    return _List(int(number), body, MappingProxyType(content))


class _Reader:
    """Reads elements of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def text(self, parent: etree._Element, name: str) -> str:
        """The text of the one child with this name. Raises `Invalid`."""
        found = parent.findall(f"{{{self._namespace}}}{name}")
        text = (found[0].text or "").strip() if len(found) == 1 else ""
        if not text:
            raise Invalid(f"{name} is missing, empty or double", code="list-structure", expression=name)
        return text

    def entries(self, root: etree._Element, kind: _Kind) -> Iterator[tuple[str, str]]:
        """Key and name of each entry. Raises `Invalid`."""
        outer, inner = (f"{{{self._namespace}}}{name}" for name in kind.entries)
        groups = root.findall(outer)
        if len(groups) != 1:
            raise Invalid(f"{kind.entries[0]} is missing or double", code="list-structure")
        for entry in groups[0]:
            if not isinstance(entry.tag, str):
                continue  # A comment.
            if entry.tag != inner:
                raise Invalid(f"{kind.entries[0]} has something else in it", code="list-structure")
            yield self._entry(entry, kind)

    def _entry(self, entry: etree._Element, kind: _Kind) -> tuple[str, str]:
        if kind in (OCL, WHL):
            host = self.text(entry, "Hostname")
            if not _HOST.fullmatch(host):
                raise Invalid("a Hostname is no host name in lower case", code="list-structure")
            return host, self.text(entry, "OAuthclientOrganisatienaam") if kind is OCL else host
        if kind is GNL:
            return self.text(entry, "GegevensdienstId"), self.text(entry, "Weergavenaam")
        name = self.text(entry, "Zorgaanbiedernaam")
        return name, name
