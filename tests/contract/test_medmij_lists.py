"""The lists of MedMij, fetched over HTTP: what is wrong changes nothing, and what was good survives a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from tests.nodes import free_ports

from schakel.generic.addressing.medmij_lists import GNL, OCL, WHL, ZAL, MedmijLists, read
from schakel.kernel.outcomes import Invalid
from schakel.store.database import connect, disconnect
from schakel_national.serving import Facility, serving

SPACE = "xmlns://afsprakenstelsel.medmij.nl/"
STAMP = "2026-01-02T03:04:05+00:00"


def document(root: str, release: str, entries: str, number: object = 7, stamp: str = STAMP) -> bytes:
    return (
        f'<{root} xmlns="{SPACE}{root.lower()}/{release}/"><Tijdstempel>{stamp}</Tijdstempel>'
        f"<Volgnummer>{number}</Volgnummer>{entries}</{root}>"
    ).encode()


def clients(*hosts: str, number: object = 7, stamp: str = STAMP) -> bytes:
    inner = "".join(
        f"<OAuthclient><Hostname>{host}</Hostname><OAuthclientOrganisatienaam>Org {host}"
        "</OAuthclientOrganisatienaam></OAuthclient>"
        for host in hosts
    )
    return document("OAuthclientlist", "release2", f"<OAuthclients>{inner}</OAuthclients>", number, stamp)


GOOD = {
    "/MedMij_OAuthclientlist.xml": clients("pgo.example"),
    "/MedMij_Whitelist.xml": document(
        "Whitelist",
        "release2",
        "<MedMijNodes><MedMijNode><Hostname>pgo.example</Hostname></MedMijNode></MedMijNodes>",
    ),
    "/MedMij_Gegevensdienstnamenlijst.xml": document(
        "Gegevensdienstnamenlijst",
        "release1",
        "<Gegevensdiensten><Gegevensdienst><GegevensdienstId>48</GegevensdienstId>"
        "<Weergavenaam>Basisgegevens Zorg</Weergavenaam></Gegevensdienst></Gegevensdiensten>",
    ),
    "/MedMij_Zorgaanbiederslijst.xml": document(
        "Zorgaanbiederslijst",
        "release3",
        "<Zorgaanbieders><Zorgaanbieder><Zorgaanbiedernaam>een.huisarts@medmij</Zorgaanbiedernaam>"
        "</Zorgaanbieder></Zorgaanbieders>",
    ),
}


@dataclass
class Published:
    """What the list node publishes now; a list that is absent is answered with 503."""

    address: str
    files: dict[str, bytes] = field(default_factory=lambda: dict(GOOD))
    asked: list[str] = field(default_factory=list)

    async def app(
        self, scope: dict[str, object], receive: object, send: Callable[..., Awaitable[None]]
    ) -> None:
        body = self.files.get(str(scope["path"]))
        self.asked.append(f"{scope['path']}?{bytes(scope['query_string']).decode()}")  # type: ignore[call-overload]
        status = 200 if body is not None else 503
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body or b""})


@pytest_asyncio.fixture(loop_scope="session")
async def published() -> AsyncIterator[Published]:
    [port] = free_ports(1)
    node = Published(f"http://127.0.0.1:{port}")
    async with serving("127.0.0.1", [Facility("lists", node.app, port)]):  # type: ignore[arg-type]
        yield node


@pytest_asyncio.fixture(loop_scope="session")
async def pool(fresh_database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(fresh_database, connections=2)
    yield opened
    await disconnect(opened)


async def fetched(lists: MedmijLists) -> bool:
    async with aiohttp.ClientSession() as session:
        return await lists.refresh(session)


async def test_before_anything_was_fetched_nobody_is_on_a_list(
    pool: asyncpg.Pool, published: Published
) -> None:
    lists = MedmijLists(pool, published.address, 900)
    assert lists.client_name("pgo.example") is None and not lists.is_node("pgo.example")
    assert lists.service_name("48") is None and not lists.offers("een.huisarts")
    published.files.clear()
    async with lists.kept_fresh():
        assert lists.client_name("pgo.example") is None


async def test_each_list_says_what_stands_in_it(pool: asyncpg.Pool, published: Published) -> None:
    lists = MedmijLists(pool, published.address, 900)
    async with lists.kept_fresh():
        assert lists.client_name("pgo.example") == "Org pgo.example"
        assert lists.is_node("pgo.example") and not lists.is_node("evil.example")
        assert lists.service_name("48") == "Basisgegevens Zorg"
        assert lists.offers("een.huisarts") and not lists.offers("een")
    assert set(published.asked) == {f"{path}?api=2" for path in GOOD}


WRONG = {
    "no XML": b"<OAuthclientlist",
    "nothing": b"",
    "an empty list": clients(number=9),
    "a lower number": clients("evil.example", number=6),
    "no number": clients("evil.example", number=""),
    "a number that is none": clients("evil.example", number="x"),
    "zero": clients("evil.example", number=0),
    "no moment": clients("evil.example", number=9, stamp="yesterday at a quarter past ten"),
    "another list": GOOD["/MedMij_Whitelist.xml"].replace(b">7<", b">9<"),
    "another release": clients("evil.example", number=9).replace(b"release2", b"release9"),
    "a host in capitals": clients("EVIL.example", number=9),
    "a host with a port": clients("evil.example:443", number=9),
    "an entry without a name": clients("evil.example", number=9).replace(
        b"OAuthclientOrganisatienaam", b"Naam"
    ),
    "an unknown element": clients("evil.example", number=9).replace(b"<OAuthclient>", b"<X/><OAuthclient>"),
    "an entity": b'<!DOCTYPE a [<!ENTITY e "evil.example">]>' + clients("&e;", number=9),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_list_that_is_not_right_changes_nothing(
    pool: asyncpg.Pool, published: Published, what: str
) -> None:
    lists = MedmijLists(pool, published.address, 900)
    assert await fetched(lists)
    published.files["/MedMij_OAuthclientlist.xml"] = WRONG[what]
    assert not await fetched(lists)
    assert lists.client_name("pgo.example") == "Org pgo.example"
    assert lists.client_name("evil.example") is None
    assert lists.is_node("pgo.example")


async def test_a_newer_list_replaces_the_whole_of_the_older(pool: asyncpg.Pool, published: Published) -> None:
    lists = MedmijLists(pool, published.address, 900)
    assert await fetched(lists)
    published.files["/MedMij_OAuthclientlist.xml"] = clients("new.example", number=8)
    assert await fetched(lists)
    assert lists.client_name("new.example") and lists.client_name("pgo.example") is None


async def test_the_last_good_list_is_there_after_a_restart_without_the_list_node(
    pool: asyncpg.Pool, published: Published
) -> None:
    assert await fetched(MedmijLists(pool, published.address, 900))
    published.files.clear()
    lists = MedmijLists(pool, published.address, 900)
    async with lists.kept_fresh():
        assert lists.client_name("pgo.example") == "Org pgo.example"
        published.files["/MedMij_OAuthclientlist.xml"] = clients("evil.example", number=6)
        await fetched(lists)
        assert lists.client_name("evil.example") is None


def test_a_reader_takes_every_list_with_its_own_root() -> None:
    assert read(ZAL, GOOD["/MedMij_Zorgaanbiederslijst.xml"]).number == 7
    for kind in (OCL, WHL, GNL):
        with pytest.raises(Invalid):
            read(kind, GOOD["/MedMij_Zorgaanbiederslijst.xml"])
