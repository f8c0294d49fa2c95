"""The NVI is away, slow, broken or lies: that is never taken to say that nobody has data, and nothing is registered
twice or left behind. The node is killed at each step of registering and withdrawing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from tests.fault.processes import KEY, URA, Site, ehr, running_site
from tests.middleman import (
    Behaviour,
    Middleman,
    Passing,
    fails,
    half_as_whole,
    halves,
    hangs_up,
    passes,
    rewrites,
    says,
    slow,
)
from tests.nation import HOLDER, Nation, nation
from tests.nodes import RunningNode, databases, running_node
from tests.referring import SOURCE, before_the_index, referring

from schakel import localising
from schakel.config import Nvi, Prs, Settings
from schakel.facilities import Facility
from schakel.generic.localisation import NviClient, NviRules
from schakel.kernel import tls
from schakel.kernel.outcomes import Upstream
from schakel.kernel.values import BSN_SYSTEM, Bsn
from schakel.store.embedded import EmbeddedServer
from schakel.token_sources import Asker, token_source

BSN = "999900018"
RULES = [{"ground": "law", "categories": ["Condition"], "start": "2026-01-01"}]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        await made.refer()
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def between(country: Nation) -> AsyncIterator[Middleman]:
    async with before_the_index(country) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(country: Nation, between: Middleman, cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with (
        databases(cluster, "localisation_fails") as make_database,
        running_node(make_database, ("a",), **referring(country, between, seconds=2.5)) as made,
    ):
        yield made


async def localised(node: RunningNode) -> list[str]:
    localiser = node.node.organisations["a"].localiser
    assert localiser is not None
    return [one.ura for one in await localiser.localise(Bsn(BSN))]


NOT_BUNDLES = (
    b"",
    b"[]",
    b"null",
    b"{}",
    b'{"resourceType":"Patient"}',
    b'{"resourceType":"Bundle","entry":{}}',
)


@pytest.mark.parametrize(
    "behave",
    [
        slow(6),
        hangs_up,
        halves,
        half_as_whole,
        fails(500),
        fails(503),
        fails(404),
        fails(400),
        fails(302),
        *(says(body, "application/fhir+json") for body in NOT_BUNDLES),
        rewrites(lambda body: body.replace(b'"total":0', b'"total":3')),
    ],
)
async def test_what_is_no_answer_is_never_nobody(
    node: RunningNode, between: Middleman, behave: Behaviour
) -> None:
    assert await localised(node) == []
    between.behave = behave
    try:
        with pytest.raises(Upstream):
            await localised(node)
    finally:
        between.behave = passes
    assert await localised(node) == []


async def test_a_record_that_names_nobody_is_told_and_hides_no_other(
    node: RunningNode, between: Middleman
) -> None:
    def record(name: str, *extensions: dict[str, Any]) -> dict[str, Any]:
        return {
            "resource": {"resourceType": "List", "id": name, "extension": list(extensions), "new": {"x": 1}}
        }

    def ura(value: object) -> dict[str, Any]:
        return {
            "valueReference": {
                "identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": value}
            }
        }

    entry = [
        record("one"),
        record("two", ura("9")),
        record("three", ura(7), {"url": "x"}),
        {"resource": 5},
        6,
    ]
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": 5, "entry": entry}
    between.behave = says(orjson.dumps(bundle), "application/fhir+json")
    try:
        assert await localised(node) == ["00000009"]
        answer = await node["a"].internal_r4.get(
            f"{node['a'].internal_root}/a/localisation/fhir/r4/List", params={"patient:identifier": BSN}
        )
    finally:
        between.behave = passes
    [shown, outcome] = answer.json()["entry"]
    assert shown["resource"]["id"] == "two" and answer.json()["total"] == 1
    assert len(outcome["resource"]["issue"]) == 4 and "record one" in answer.text


async def test_the_next_page_is_followed_and_never_elsewhere(node: RunningNode, between: Middleman) -> None:
    def page(ura: str, following: str) -> bytes:
        identifier = {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": ura}
        resource = {
            "resourceType": "List",
            "id": ura,
            "extension": [{"valueReference": {"identifier": identifier}}],
        }
        link = [{"relation": "next", "url": following}] if following else []
        return orjson.dumps({"resourceType": "Bundle", "entry": [{"resource": resource}], "link": link})

    async def paged(passing: Passing) -> web.StreamResponse:
        more = "page=2" in passing.request.raw_path
        body = page("90000098", "") if more else page("90000099", "List?page=2")
        return web.Response(body=body, content_type="application/fhir+json")

    between.behave = paged
    try:
        assert await localised(node) == ["90000099", "90000098"]
        between.behave = says(
            page("90000099", "http://127.0.0.1:9/fhir/List?page=2"), "application/fhir+json"
        )
        with pytest.raises(Upstream):
            await localised(node)
    finally:
        between.behave = passes


# -- kill -9 -------------------------------------------------------------------------------------------------


def gate(method: str, where: str) -> tuple[Behaviour, asyncio.Event]:
    """Holds up the first request of this method, before or after it is passed on; the event says that it is there."""
    here = asyncio.Event()

    async def behave(passing: Passing) -> web.StreamResponse:
        if here.is_set() or passing.request.method != method:
            return (await passing.passed()).response()
        if where == "after":
            await passing.passed()
        here.set()
        await asyncio.sleep(20)
        return web.Response(status=500)

    return behave, here


async def until(found: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await found():  # noqa: ASYNC110 # no door tells when
            await asyncio.sleep(0.2)


async def put(client: aiohttp.ClientSession, site: Site, resource: dict[str, Any]) -> None:
    url = f"{site.fhir}/{resource['resourceType']}/{resource['id']}"
    async with client.put(url, json=resource) as answer:
        assert answer.status in (200, 201), await answer.text()


async def held(country: Nation) -> int:
    """How many records the index has of the patient, asked past the node."""
    async with asking(country) as client:
        return len((await client.localise(Bsn(BSN))).records)


@asynccontextmanager
async def asking(country: Nation) -> AsyncIterator[NviClient]:
    """A client of the index beside the node."""
    sections = referring(country)
    given = Nvi(**sections["nvi"])
    settings = Settings.model_construct(prs=Prs(**sections["prs"]), nvi=given)
    own = tls.client(given.ca, given.certificate, given.key, setting="nvi.")
    assert given.base is not None
    async with (
        localising.pseudonyms(settings) as pseudonyms,
        Facility.open("NVI", given.base, own) as facility,
        token_source(given.oauth, given, "nvi.", Asker(HOLDER)) as tokens,
    ):
        assert pseudonyms is not None
        yield NviClient(facility, tokens, pseudonyms, HOLDER, NviRules(SOURCE))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "where"),
    [("POST", "before"), ("POST", "after"), ("DELETE", "before"), ("DELETE", "after"), ("GET", "before")],
)
async def test_kill_9_while_the_index_is_told_ends_right(
    country: Nation, between: Middleman, open_folder: Path, method: str, where: str
) -> None:
    organisation = {
        "slug": "noord",
        "ura": URA,
        "name": "Ziekenhuis Noord",
        "internal_key": KEY,
        "signing_key": "noord.jwk",
        "registrations": RULES,
    }
    settings = {**referring(country, between, seconds=2.5), "organisations": [organisation]}
    patient = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": BSN_SYSTEM, "value": BSN}],
    }
    condition = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}}
    try:
        async with running_site(open_folder, **settings) as (site, _), ehr() as client:
            between.behave, reached = gate(method, where)
            await put(client, site, patient)
            await put(client, site, condition)
            if method == "POST":
                await asyncio.wait_for(reached.wait(), 15)
                await site.kill()
                await site.start()

            async def registered() -> bool:
                return await held(country) == 1

            await until(registered)
            async with client.delete(f"{site.fhir}/Condition/c") as answer:
                assert answer.status in (200, 204)
            if method != "POST":
                await asyncio.wait_for(reached.wait(), 15)
                await site.kill()
                await site.start()

            async def withdrawn() -> bool:
                return await held(country) == 0

            await until(withdrawn)
            assert BSN not in site.log and "eyJ" not in site.log
    finally:
        between.behave = passes
