"""Directories that lie or are broken on purpose: what one of their resources says holds up no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import ValidationError
from tests.followed import (
    Directory,
    Follower,
    Json,
    endpoint,
    follower,
    link,
    open_remote,
    organisation,
    serving,
)

from schakel.config.addressing import Addressing
from schakel.generic.addressing import DirectoryRules, QueryDirectory
from schakel.generic.addressing.sync import CentralFeeder, RootFeeder
from schakel.generic.addressing.sync.distributed import DIRECTORY
from schakel.kernel.clock import now

HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(loop_scope="session")
async def directory() -> AsyncIterator[Directory]:
    """Two organisations."""
    async with serving(Directory(page=50)) as one:
        one.put("o1", organisation("Huis 1", "00000001"))
        one.put("o2", organisation("Huis 2", "00000002"))
        yield one


@pytest_asyncio.fixture(loop_scope="session")
async def node(make_database: Callable[[], Awaitable[str]], directory: Directory) -> AsyncIterator[Follower]:
    async with follower(make_database) as one:
        one.feeders = [CentralFeeder("lrza", directory.base, open_remote(most=20_000_000), HOUR)]
        yield one


def _nested(depth: int) -> Json:
    found: Json = {"url": "https://example.org/leaf", "valueString": "x"}
    for _ in range(depth):
        found = {"url": "https://example.org/nest", "extension": [found]}
    return found


def _moment(value: str) -> Json:
    return {"meta": {"versionId": "1", "lastUpdated": value}}


POISON: dict[str, Json] = {
    "a name of 300,000 characters": organisation("x" * 300_000),
    "an identifier of 300,000 characters": {
        **organisation(), "identifier": [{"system": "https://example.org/" + "y" * 300_000, "value": "z" * 300_000}],
    },
    "5,000 identifiers": {
        **organisation(), "identifier": [{"system": "https://example.org", "value": str(n)} for n in range(5000)],
    },
    "3,000 endpoints": organisation(endpoint=[link("Endpoint", f"e{n}") for n in range(3000)]),
    "a reference of 100,000 characters": organisation(endpoint=[{"reference": "https://x.example/" + "r" * 100_000}]),
    "extensions in extensions": {**organisation(), "extension": [_nested(40)]},
    "a link to itself": organisation(partOf=link("Organization", "poison")),
    "a URA with a letter": organisation("x", "0000000a"),
    "a URA with a line end": organisation("x", "00000001\n"),
    "a version before the first": {**organisation(), "meta": {"versionId": "-1"}},
    "a version that is no number": {**organisation(), "meta": {"versionId": "<b>\u202e"}},
    "a moment before the first": {**organisation(), **_moment("0001-01-01T00:00:00+14:00")},
    "a moment after the last": {**organisation(), **_moment("9999-12-31T23:59:59-14:00")},
    "a period from before the first moment": endpoint(period={"start": "0001-01-01", "end": "9999-12-31"}),
    "a telephone number with bytes that steer": {
        **organisation("\u0007\u001b[2J"), "telecom": [{"system": "phone", "value": "\u0000\u0001"}],
    },
    "markup in its name": organisation("<script>alert(1)</script>\u2028\u202e"),
    "a security label and tags of 50,000 characters": {
        **organisation(), "meta": {"tag": [{"system": "s" * 50_000, "code": "c" * 50_000}],
                                   "security": [{"system": "s" * 50_000, "code": "c" * 50_000}],
                                   "profile": ["https://example.org/" + "p" * 50_000]},
    },
    "numbers that are too large": {**organisation(), "extension": [
        {"url": "https://example.org/n", "valueDecimal": 1e300},
    ]},
    "a resource in it": {**organisation(), "contained": [
        {"resourceType": "Patient", "id": "p", "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn",
                                                                "value": "999990019"}]}]},
    "a place beyond the poles": {"resourceType": "Location", "position": {"longitude": 1e300, "latitude": -1e300}},
}  # fmt: skip


@pytest.mark.parametrize("first", [True, False], ids=["at the first load", "as a change"])
@pytest.mark.parametrize("what", POISON)
async def test_one_poisoned_resource_holds_up_no_other(
    directory: Directory, node: Follower, what: str, first: bool
) -> None:
    if not first:
        assert (await node.run()).error == ""
    poison = POISON[what]
    directory.put("poison", poison)
    if "meta" in poison:  # As it stands there, and not as a good server would say it.
        directory.log[-1].resource = {**poison, "id": "poison"}
    directory.put("o9", organisation("Huis 9", "00000009"))
    ran = await node.run()
    assert ran.error == ""
    assert ("Organization", "o9") in await node.here()
    directory.put("o8", organisation("Huis 8", "00000008"))
    assert (await node.run()).error == ""
    assert ("Organization", "o8") in await node.here()


RAW: dict[str, str] = {
    "a number with 200 digits": "1." + "0" * 200,
    "a number beyond all": "1e2000",
    "half a character": '"\\ud800"',
    "no number": "NaN",
    "a name that stands there twice": '{"a": 1, "a": 2}',
    "too deep": '{"a":' * 100 + "1" + "}" * 100,
}


@pytest.mark.parametrize("what", RAW)
async def test_one_resource_that_cannot_be_read_holds_up_no_other(
    directory: Directory, node: Follower, what: str
) -> None:
    place = {"resourceType": "Location", "name": "Huis", "position": {"longitude": 5.5, "latitude": 52.1}}
    directory.put("place", place)
    assert (await node.run()).error == ""
    directory.put("place", {**place, "position": {"longitude": "HERE", "latitude": 52.1}})
    directory.put("other", {**place, "position": {"longitude": 5.5, "latitude": 52.1}})

    async def behave(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith("/Location/_history"):
            return None
        entries = [directory._entry(one) for one in directory.log if one.type == "Location"]
        text = orjson.dumps({"resourceType": "Bundle", "type": "history", "entry": entries[::-1]}).decode()
        body = text.replace('"HERE"', RAW[what]).encode()
        return web.Response(body=body, content_type="application/fhir+json")

    directory.behave = behave
    assert (await node.run()).error == ""
    assert await node.findings() == {("Location", "place"): "resource-broken"}
    here = await node.here()
    assert here["Location", "place"]["position"] == here["Location", "other"]["position"] == place["position"]


async def test_a_page_that_cannot_be_read_beside_its_resources_is_no_page(
    directory: Directory, node: Follower
) -> None:
    assert (await node.run()).error == ""

    async def behave(request: web.Request) -> web.StreamResponse | None:
        link = '"link": [{"relation": "next", "url": "http://127.0.0.1/\\ud800"}]'
        body = f'{{"resourceType": "Bundle", "type": "searchset", {link}}}'
        return web.Response(body=body.encode(), content_type="application/fhir+json")

    directory.behave = behave
    await node.ledger.whole("lrza")
    assert "half a character" in (await node.run()).error
    assert ("Organization", "o1") in await node.here()


# -- clocks --------------------------------------------------------------------------------------------------


async def test_a_directory_whose_clock_was_ahead_for_a_while_is_not_missed_afterwards(
    directory: Directory, node: Follower
) -> None:
    def ahead(bundle: Json) -> Json:
        return {**bundle, "meta": {"lastUpdated": "2099-01-01T00:00:00Z"}}

    directory.told = ahead
    assert (await node.run()).error == ""
    directory.told = None
    directory.moment = now()
    directory.put("o3", organisation("Huis 3", "00000003"))
    assert (await node.run()).error == ""
    assert ("Organization", "o3") in await node.here()


@pytest.mark.parametrize("version", ["1", "", "one"])
async def test_a_resource_from_the_future_can_be_changed_and_deleted(
    directory: Directory, node: Follower, version: str
) -> None:
    directory.put("o3", organisation("Huis 3", "00000003"))
    [written] = [one for one in directory.log if one.id == "o3"]
    assert written.resource is not None
    written.resource["meta"] = {"versionId": version, "lastUpdated": "2099-01-01T00:00:00Z"}
    if not version:
        del written.resource["meta"]["versionId"]
    assert (await node.run()).error == ""
    directory.put("o3", organisation("Huis 3 nu", "00000003"))
    await node.run()
    assert (await node.here())["Organization", "o3"]["name"] == "Huis 3 nu"
    directory.delete("Organization", "o3")
    await node.run()
    assert ("Organization", "o3") not in await node.here()


async def test_what_was_deleted_in_the_future_can_be_made_again(directory: Directory, node: Follower) -> None:
    directory.put("o3", organisation("Huis 3", "00000003"))
    await node.run()
    directory.delete("Organization", "o3")
    directory.log[-1].moment = datetime(2099, 1, 1, tzinfo=UTC)
    await node.run()
    assert ("Organization", "o3") not in await node.here()
    directory.put("o3", organisation("Huis 3 nu", "00000003"))
    directory.log = [one for one in directory.log if one.moment < now()]
    await node.run()
    assert ("Organization", "o3") in await node.here()


# -- directories beside each other -----------------------------------------------------------------------------


async def test_a_directory_that_is_read_as_a_root_too_loses_nothing_with_it(
    directory: Directory, node: Follower
) -> None:
    """The national directory is both: one that has everybody, and one that names the directories of providers."""
    directory.put("d1", endpoint(f"{directory.base}/of-o1", DIRECTORY))
    directory.put("o1", organisation("Huis 1", "00000001", endpoint=[link("Endpoint", "d1")]))
    [central] = node.feeders
    node.feeders = [central, RootFeeder("root", directory.base, open_remote(), HOUR, [directory.base])]
    assert (await node.run("lrza")).error == (await node.run("root")).error == ""
    node.feeders = [central]
    await node.following().align()
    assert ("Endpoint", "d1") in await node.here()


async def test_a_directory_that_two_roots_name_stays_when_one_of_them_goes(
    directory: Directory, node: Follower
) -> None:
    async with serving(Directory()) as provider:
        provider.put("top", organisation("Huis 1", "00000001"))
        directory.put("d1", endpoint(provider.base, DIRECTORY))
        directory.put("o1", organisation("Huis 1", "00000001", endpoint=[link("Endpoint", "d1")]))
        async with serving(Directory(log=directory.log)) as second:
            one = RootFeeder("one", directory.base, open_remote(), HOUR)
            two = RootFeeder("two", second.base, open_remote(), HOUR)
            node.feeders = [one, two]
            for name in ("one", "two"):
                assert (await node.run(name)).error == ""
                assert (await node.run(f"{name} 00000001 {provider.base}")).error == ""
            node.feeders = [two]
            await node.following().align()
            assert ("Organization", "top") in await node.here()


async def test_a_root_that_is_believed_is_believed_in_the_directories_that_it_names(
    directory: Directory, node: Follower
) -> None:
    async with serving(Directory()) as provider, serving(Directory()) as root:
        provider.put("top", organisation("Huis 1 zelf", "00000001"))
        root.put("d1", endpoint(provider.base, DIRECTORY))
        root.put("o1", organisation("Huis 1 zelf", "00000001", endpoint=[link("Endpoint", "d1")]))
        node.feeders.append(RootFeeder("root", root.base, open_remote(), HOUR))
        for name in ("lrza", "root", f"root 00000001 {provider.base}"):
            assert (await node.run(name)).error == ""

        async def called(*authority: str) -> str:
            rules = DirectoryRules(authority)
            return await QueryDirectory(node.replica._pool, node.ledger.tenant, rules).name("00000001")

        assert await called() == ""
        assert await called("lrza", "root") == "Huis 1"
        assert await called("root", "lrza") == "Huis 1 zelf"
        assert await called("roo") == "", "another name is another directory"


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([{"name": "update-client", "kind": "central", "base": "https://x.example/fhir"}], "update-client"),
        ([{"name": "a", "kind": "central", "base": "https://x.example/fhir"},
          {"name": "b", "kind": "central", "base": "https://x.example/fhir/"}], "a and b"),
    ],
)  # fmt: skip
def test_a_source_is_not_another_ones(sources: list[Json], said: str) -> None:
    Addressing.model_validate({"sources": [{**one, "name": f"x{n}", "base": f"https://x.example/{n}"}
                                           for n, one in enumerate(sources)]})  # fmt: skip
    with pytest.raises(ValidationError, match=said):
        Addressing.model_validate({"sources": sources})


def test_a_directory_that_is_believed_is_one_of_ours() -> None:
    source = {"name": "lrza", "kind": "central", "base": "https://x.example/fhir"}
    Addressing.model_validate({"sources": [source], "authority": ["update-client", "lrza"]})
    with pytest.raises(ValidationError, match="authority names 'lrz'"):
        Addressing.model_validate({"sources": [source], "authority": ["lrz"]})
