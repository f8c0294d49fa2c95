"""Directories found in a root: what each may say, what the root says better, and what comes and goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
import pytest_asyncio
from aiohttp import web
from tests.followed import (
    Directory,
    Follower,
    Json,
    endpoint,
    follower,
    link,
    open_remote,
    organisation,
    refusal,
    serving,
)

from schakel.generic.addressing.sync import ReadingRules, RootFeeder
from schakel.generic.addressing.sync.distributed import DIRECTORY

HOUR = timedelta(hours=1)
NORTH, SOUTH = "00000001", "00000002"


def service(owner: str, *endpoints: str) -> Json:
    return {
        "resourceType": "HealthcareService",
        "active": True,
        "name": "Cardiologie",
        "providedBy": link("Organization", owner),
        "endpoint": [link("Endpoint", one) for one in endpoints],
    }


def role(owner: str, practitioner: str) -> Json:
    return {
        "resourceType": "PractitionerRole",
        "organization": link("Organization", owner),
        "practitioner": link("Practitioner", practitioner),
    }


PERSON: Json = {"resourceType": "Practitioner", "name": [{"family": "Jansen"}]}


class Region:
    """A root and the directory of one provider, followed by a query directory."""

    def __init__(self, root: Directory, north: Directory, node: Follower) -> None:
        self.root = root
        self.north = north
        self.node = node

    @property
    def child(self) -> str:
        return f"root {NORTH} {self.north.base}"

    async def run(self) -> None:
        """The root, then every directory it names, until nothing is due at once."""
        ran = await self.node.run("root")
        assert ran.error == "", ran.error
        for source in await self.node.ledger.sources():
            if source.parent:
                await self.again(source.name)

    async def again(self, name: str = "") -> None:
        """One directory, and once more when all of it is to be read again."""
        name = name or self.child
        for _ in range(3):
            ran = await self.node.run(name)
            assert ran.error == "", ran.error
            if (await self.node.ledger.source(name)).whole == 0:
                return
        raise AssertionError("it is read as a whole again and again")

    async def names(self) -> set[str]:
        """What the query directory has of the provider, as Type/id."""
        entries = await self.node.replica.entries(self.child)
        return {f"{one.type}/{one.remote}" for one in entries if one.here}


@pytest_asyncio.fixture(loop_scope="session")
async def region(make_database: Callable[[], Awaitable[str]]) -> AsyncIterator[Region]:
    async with serving(Directory()) as root, serving(Directory()) as north, follower(make_database) as node:
        root.put("d1", endpoint(north.base, DIRECTORY))
        root.put("n", organisation("Ziekenhuis Noord volgens LRZa", NORTH, endpoint=[link("Endpoint", "d1")]))
        root.put("z", organisation("Zuid", SOUTH))
        north.put("e1", endpoint())
        north.put("top", organisation("Onze naam", NORTH, endpoint=[link("Endpoint", "e1")], alias=["Noord"]))
        north.put("ward", organisation("Afdeling", partOf=link("Organization", "top")))
        north.put("s1", service("ward", "e2"))
        north.put("e2", endpoint("https://fhir.noord.example/two"))
        node.feeders = [RootFeeder("root", root.base, open_remote(ReadingRules(page_size=2)), HOUR)]
        yield Region(root, north, node)


async def test_what_a_root_names_is_followed_and_the_root_itself_is_not_copied(region: Region) -> None:
    await region.run()
    here = await region.node.here()
    assert await region.names() == {
        "Organization/top", "Organization/ward", "HealthcareService/s1", "Endpoint/e1", "Endpoint/e2",
    }  # fmt: skip
    assert set(here) - {tuple(one.split("/")) for one in await region.names()} == {("Endpoint", "d1")}
    assert here["Organization", "top"]["name"] == "Ziekenhuis Noord volgens LRZa"
    assert here["Organization", "top"]["alias"] == ["Noord"]
    assert here["Organization", "ward"]["name"] == "Afdeling"
    assert all("_count=2" in path for path in region.north.asked)


REFUSED: dict[str, tuple[list[tuple[str, Json]], set[str]]] = {
    "an organisation with another URA": ([("x", organisation("Zuid", SOUTH))], {"Organization/x"}),
    "an organisation without URA or partOf": ([("x", organisation("Los"))], {"Organization/x"}),
    "a part of another organisation": (
        [("x", organisation("Zuid", SOUTH)), ("y", organisation("Deel", partOf=link("Organization", "x")))],
        {"Organization/x", "Organization/y"},
    ),
    "a part with another URA of its own": (
        [("x", organisation("Eigen", SOUTH, partOf=link("Organization", "top")))],
        {"Organization/x"},
    ),
    "organisations that are part of each other": (
        [
            ("x", organisation("X", partOf=link("Organization", "y"))),
            ("y", organisation("Y", partOf=link("Organization", "x"))),
        ],
        {"Organization/x", "Organization/y"},
    ),
    "a service of nobody": ([("x", service("absent"))], {"HealthcareService/x"}),
    "a location of another": (
        [("x", {"resourceType": "Location", "managingOrganization": link("Organization", "absent")})],
        {"Location/x"},
    ),
    "an endpoint that nobody uses": ([("x", endpoint())], {"Endpoint/x"}),
    "an endpoint that only a refused organisation uses": (
        [("x", organisation("Zuid", SOUTH, endpoint=[link("Endpoint", "y")])), ("y", endpoint())],
        {"Organization/x", "Endpoint/y"},
    ),
    "a practitioner without a role": ([("x", PERSON)], {"Practitioner/x"}),
    "a practitioner with a role elsewhere": (
        [("x", PERSON), ("y", role("absent", "x"))],
        {"Practitioner/x", "PractitionerRole/y"},
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_directory_speaks_for_nobody_else(region: Region, what: str) -> None:
    await region.run()
    before = await region.names()
    added, refused = REFUSED[what]
    for logical_id, resource in added:
        region.north.put(logical_id, resource)
    await region.again()
    assert await region.names() == before
    assert {f"{kind}/{name}" for kind, name in await region.node.findings()} == refused


async def test_practitioners_come_with_their_roles(region: Region) -> None:
    region.north.put("p", PERSON)
    region.north.put("r", role("ward", "p"))
    await region.run()
    assert {"Practitioner/p", "PractitionerRole/r"} <= await region.names()


@pytest.mark.parametrize(("depth", "taken"), [(10, True), (11, False)])
async def test_part_of_is_followed_ten_times(region: Region, depth: int, taken: bool) -> None:
    above = "top"
    for number in range(depth):
        region.north.put(f"p{number}", organisation(f"Deel {number}", partOf=link("Organization", above)))
        above = f"p{number}"
    await region.run()
    assert (f"Organization/p{depth - 1}" in await region.names()) is taken


async def test_an_endpoint_changes_without_the_service_that_uses_it(region: Region) -> None:
    await region.run()
    region.north.put("e2", endpoint("https://fhir.noord.example/moved"))
    await region.again()
    assert (await region.node.here())["Endpoint", "e2"]["address"] == "https://fhir.noord.example/moved"


async def test_what_was_refused_is_taken_when_it_becomes_theirs(region: Region) -> None:
    region.north.put("e3", endpoint("https://fhir.noord.example/three"))
    await region.run()
    assert "Endpoint/e3" not in await region.names()
    region.north.put("s2", service("top", "e3"))
    await region.again()
    assert "Endpoint/e3" in await region.names() and await region.node.findings() == {}


async def test_what_is_no_longer_theirs_goes_with_all_that_hangs_on_it(region: Region) -> None:
    await region.run()
    region.north.put("ward", organisation("Afdeling", partOf=link("Organization", "absent")))
    await region.again()
    assert await region.names() == {"Organization/top", "Endpoint/e1"}


async def test_another_ura_lets_all_be_read_again(region: Region) -> None:
    await region.run()
    region.north.asked = []
    region.north.put("top", organisation("Onze naam", SOUTH, endpoint=[link("Endpoint", "e1")]))
    await region.again()
    assert any("_since" in path for path in region.north.asked)
    assert any("_since" not in path for path in region.north.asked)
    assert await region.names() == set()
    region.north.put("top", organisation("Onze naam", NORTH, endpoint=[link("Endpoint", "e1")]))
    await region.again()
    assert len(await region.names()) == 5


GONE: dict[str, Callable[[Region], None]] = {
    "the endpoint is deleted": lambda region: region.root.delete("Endpoint", "d1"),
    "the endpoint is switched off": lambda region: region.root.put(
        "d1", endpoint(region.north.base, DIRECTORY, status="off")
    ),
    "it is no longer for directories": lambda region: region.root.put("d1", endpoint(region.north.base)),
    "the organisation is deleted": lambda region: region.root.delete("Organization", "n"),
    "the organisation is inactive": lambda region: region.root.put(
        "n", organisation("Noord", NORTH, active=False, endpoint=[link("Endpoint", "d1")])
    ),
    "the organisation no longer uses it": lambda region: region.root.put("n", organisation("Noord", NORTH)),
    "the organisation has another URA": lambda region: region.root.put(
        "n", organisation("Noord", "00000003", endpoint=[link("Endpoint", "d1")])
    ),
}


@pytest.mark.parametrize("what", GONE)
async def test_a_directory_that_the_root_no_longer_names_is_gone_with_all_it_said(
    region: Region, what: str
) -> None:
    await region.run()
    assert region.child in [one.name for one in await region.node.ledger.sources()]
    GONE[what](region)
    await region.node.run("root")
    assert region.child not in [one.name for one in await region.node.ledger.sources()]
    assert {key for key in await region.node.here() if key[1] != "d1"} == set()


async def test_the_root_gives_another_name_and_that_one_is_used(region: Region) -> None:
    await region.run()
    region.root.put("n", organisation("Nieuwe naam", NORTH, endpoint=[link("Endpoint", "d1")]))
    await region.run()
    assert (await region.node.here())["Organization", "top"]["name"] == "Nieuwe naam"


async def test_our_own_directory_is_not_followed(region: Region) -> None:
    ours = region.north.base.removesuffix("/fhir").upper().replace("HTTP", "http")
    region.node.feeders = [RootFeeder("root", region.root.base, open_remote(), HOUR, ours=[ours])]
    await region.run()
    assert region.north.asked == []
    assert [one.name for one in await region.node.ledger.sources()] == ["root"]


@pytest.mark.parametrize("address", ["ftp://fhir.example/directory", "https://[fhir.example/directory"])
async def test_an_address_that_is_not_https_is_not_followed(region: Region, address: str) -> None:
    """Whoever enters it there keeps nobody from following the others."""
    region.root.put("d1", endpoint(address, DIRECTORY))
    await region.run()
    assert [one.finding.code for one in await region.node.ledger.findings("root")] == ["directory-address"]


async def test_what_was_not_right_with_a_directory_is_resolved_when_it_is_mended(region: Region) -> None:
    region.root.put("d1", endpoint("ftp://noord.example/fhir", DIRECTORY))
    await region.run()
    assert ("", NORTH) in await region.node.findings()
    region.root.put("d1", endpoint(region.north.base, DIRECTORY))
    await region.run()
    assert await region.node.findings() == {}


async def test_a_directory_with_five_types_is_followed_all_the_same(region: Region) -> None:
    async def behave(request: web.Request) -> web.StreamResponse | None:
        return refusal(404) if "Practitioner" in request.path else None

    region.north.behave = behave
    await region.run()
    assert len(await region.names()) == 5
    absent = {one.finding.remote for one in await region.node.ledger.findings(region.child)}
    assert absent == {"Practitioner", "PractitionerRole"}


async def test_a_server_that_refuses_since_is_read_without(region: Region) -> None:
    async def behave(request: web.Request) -> web.StreamResponse | None:
        return refusal(400, "unknown parameter _since") if "_since" in request.query else None

    await region.run()
    region.north.behave = behave
    region.north.put("e1", endpoint("https://fhir.noord.example/moved"))
    await region.again()
    assert (await region.node.here())["Endpoint", "e1"]["address"] == "https://fhir.noord.example/moved"
    assert ("", "") in await region.node.findings()


async def test_one_directory_that_fails_holds_up_no_other(region: Region) -> None:
    async with serving(Directory()) as south:
        south.put("top", organisation("Zuid", SOUTH))
        region.root.put("d2", endpoint(south.base, DIRECTORY))
        region.root.put("z", organisation("Zuid", SOUTH, endpoint=[link("Endpoint", "d2")]))

        async def behave(request: web.Request) -> web.StreamResponse | None:
            return refusal(500)

        region.north.behave = behave
        await region.node.run("root")
        assert "500" in (await region.node.run(region.child)).error
        other = f"root {SOUTH} {south.base}"
        assert (await region.node.run(other)).error == ""
        assert (await region.node.source(region.child)).in_step is None
        assert (await region.node.source(other)).in_step is not None


async def test_one_directory_of_two_organisations_says_of_each_its_own(region: Region) -> None:
    region.north.put("top2", organisation("Zuid", SOUTH, endpoint=[link("Endpoint", "e1")]))
    region.root.put("z", organisation("Zuid volgens LRZa", SOUTH, endpoint=[link("Endpoint", "d1")]))
    await region.run()
    assert "Organization/top2" not in await region.names()
    entries = await region.node.replica.entries(f"root {SOUTH} {region.north.base}")
    assert {one.remote for one in entries if one.here} == {"top2", "e1"}


async def test_a_token_of_the_root_goes_to_the_root_alone(region: Region) -> None:
    class Tokens:
        async def token(self, scopes: str) -> str:
            return f"secret {scopes}"

        def forget(self, token: str) -> None:
            raise AssertionError("nobody refused it")

    plain, known = open_remote(), open_remote(tokens=Tokens(), scopes="read")
    region.node.feeders = [
        RootFeeder(
            "root",
            region.root.base,
            lambda base: known(base) if base == region.root.base else plain(base),
            HOUR,
        )
    ]
    await region.run()
    assert {one.get("authorization") for one in region.root.headers} == {"Bearer secret read"}
    assert {one.get("authorization") for one in region.north.headers} == {None}
