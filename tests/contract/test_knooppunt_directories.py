"""A Nuts knooppunt as the client of our directories: the requests of its update components, spelled as it spells them,
and what it does with the answers (facts of its `mcsd` component, generation A, and of its `lrza` component).

It takes a directory or leaves it: one type that it cannot read ends its run of that directory, and what it cannot lead
to the URA of the directory it does not take.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote_plus

import httpx
import pytest_asyncio
from tests.directories import OPEN, own_base, query_base, root_base, telling_node
from tests.knooppunt import CAPABILITIES, HEADERS, ROOT_TYPES, TYPES, Knooppunt
from tests.lrza import DIRECTORY, HOSPITAL, created, directory, endpoint, organisation, put, service, to
from tests.nodes import MakeDatabase, RunningNode


@pytest_asyncio.fixture(loop_scope="session")
async def node(make_database: MakeDatabase) -> AsyncIterator[RunningNode]:
    async with telling_node(make_database, None, OPEN) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as opened:
        yield opened


# -- our administration directory ------------------------------------------------------------------------------------


async def test_it_finds_our_directory_in_our_root_and_takes_all_of_it(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    root = Knooppunt(client, root_base(node))
    await root.update(ROOT_TYPES)
    assert root.directories() == {node["a"].ura: own_base(node)}
    ours = Knooppunt(client, own_base(node))
    changed = await ours.update()
    assert {key.partition("/")[0] for key in changed} == {
        "Organization",
        "Endpoint",
        "Location",
        "HealthcareService",
    }
    assert all(url == f"{own_base(node)}/{key}" for key, url in ours.urls.items())
    assert ours.refused(node["a"].ura, await ours.parents()) == []


async def test_a_second_run_brings_nothing_but_what_changed(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    ours = Knooppunt(client, own_base(node))
    await ours.update()
    before = dict(ours.held)
    changed = await ours.update()
    assert ours.held == before
    assert {"Organization"} <= {key.partition("/")[0] for key in changed}, (
        "organisations are read from the start"
    )


async def test_its_time_with_a_zone_is_a_time_here_too(node: RunningNode, client: httpx.AsyncClient) -> None:
    ours = Knooppunt(client, own_base(node))
    for since in ("2026-01-01T10:00:00+01:00", "2026-01-01T10:00:00Z", "2026-01-01T10:00:00.123456789+01:00"):
        ours.since = since
        assert "Location" in {key.partition("/")[0] for key in await ours.update()}


async def test_it_reads_our_root_with_every_type_as_older_ones_do(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    root = Knooppunt(client, root_base(node))
    await root.update()
    assert root.directories() == {node["a"].ura: own_base(node)}


async def test_its_lrza_component_reads_it_newest_first_too(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    ours = Knooppunt(client, own_base(node))
    for kind in TYPES:
        [page] = [one async for one in ours.pages(kind, {"_count": "100", "_sort": "-_lastUpdated"})]
        assert page["type"] == "searchset" and page["meta"]["lastUpdated"]
    await ours.update(_sort="-_lastUpdated")
    assert ours.refused(node["a"].ura, await ours.parents()) == []


async def test_what_it_is_told_is_newest_first_and_pages_lead_on(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    asked = Knooppunt(client, own_base(node)).pages("Endpoint/_history", {"_count": "2"})
    entries = [entry async for page in asked for entry in page.get("entry", ())]
    times = [entry["resource"]["meta"]["lastUpdated"] for entry in entries]
    assert len(entries) > 2 and times == sorted(times, reverse=True)


async def test_the_strict_directory_gives_the_types_of_the_guide_and_no_others(
    make_database: MakeDatabase,
) -> None:
    """Where generation A is followed as it stands, PractitionerRole ends the run: such a client is given the base of
    the update client."""
    async with (
        telling_node(make_database, None, OPEN, organisations=("a", "b"), over_back=True) as node,
        node["a"].back(node["b"]) as client,
    ):
        strict = Knooppunt(client, f"{node['a'].back_root}/a/administration/fhir/r4")
        await strict.update(("Organization", "Endpoint", "Location", "HealthcareService"))
        assert strict.refused(node["a"].ura, await strict.parents()) == []
        answer = await client.get(f"{strict.base}/PractitionerRole/_history?_count=100")
    assert answer.status_code == 404
    assert "PractitionerRole" in answer.json()["issue"][0]["diagnostics"]


async def test_its_secret_may_be_in_the_header_or_in_the_form(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Its OAuth library tries the header first and then the form (RFC 6749, section 2.3.1)."""
    secret, client_id = "a secret: of % at least thirty-two signs", "knooppunt"
    (tmp_path / "secret").write_text(secret)
    told = {"client_id": client_id, "secret": tmp_path / "secret", "writes": False, "access": "oauth2"}
    in_form = {"client_id": client_id, "client_secret": secret}

    def header(value: str) -> dict[str, str]:
        pair = f"{quote_plus(client_id)}:{quote_plus(value)}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}

    async with (
        telling_node(make_database, {}, told) as node,
        httpx.AsyncClient(trust_env=False) as client,
    ):

        async def asked(form: dict[str, str], headers: dict[str, str]) -> httpx.Response:
            where = f"{node['a'].front_root}/directory/update-client/oauth2/token"
            return await client.post(
                where, data={"grant_type": "client_credentials", **form}, headers=headers
            )

        for form, headers in (({}, header(secret)), (in_form, {}), (in_form, {"Authorization": ""})):
            answer = await asked(form, headers)
            assert answer.status_code == 200, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            ours = Knooppunt(client, own_base(node))
            await ours.update()
            assert ours.held
        for form, headers, status in (
            ({}, header("another secret of thirty-two signs!!"), 401),
            ({}, {"Authorization": "Basic !"}, 401),
            (in_form, header(secret), 400),
            ({}, {"Authorization": ""}, 401),
        ):
            assert (await asked(form, headers)).status_code == status


async def test_nobody_reads_patients_there(node: RunningNode, client: httpx.AsyncClient) -> None:
    for base in (own_base(node), root_base(node), query_base(node)):
        answer = await client.get(f"{base}/Patient/_history?_count=100", headers=HEADERS)
        assert answer.status_code == 404


# -- the stand-in of the LRZa ----------------------------------------------------------------------------------------


async def test_its_lrza_component_follows_the_stand_in(tmp_path: Path) -> None:
    with directory(tmp_path, "page_size = 100\nseven_types = true") as lrza:
        async with lrza.client(HOSPITAL) as client:
            hospital = await created(client, organisation(HOSPITAL))
            await created(client, service(to(hospital)))
            peer = Knooppunt(client, "/fhir")
            peer.base = "https://lrza.example/fhir"
            found = []
            for kind in TYPES:
                asked = {"_count": "100", "_sort": "-_lastUpdated"}
                pages = [page async for page in peer.pages(kind, asked)]
                found += [entry["resource"] for page in pages for entry in page.get("entry", ())]
                peer.since = peer.since or pages[0]["meta"]["lastUpdated"]
            assert {one["resourceType"] for one in found} == {"Organization", "HealthcareService"}
            assert (await put(client, {**hospital, "active": False})).status_code == 200
            since = peer.since
            changed = set()
            for kind in TYPES:
                asked = {"_count": "100", "_sort": "-_lastUpdated", "_since": since}
                pages = [page async for page in peer.pages(f"{kind}/_history", asked)]
                changed |= peer._take(entry for page in pages for entry in page.get("entry", ()))
            assert f"Organization/{hospital['id']}" in changed
            assert peer.held[f"Organization/{hospital['id']}"]["active"] is False


async def test_with_the_five_types_of_the_guide_it_stops_at_the_first_that_is_not_there(
    tmp_path: Path,
) -> None:
    """As at the LRZa of the guide: its setting of types must then leave the two out."""
    with directory(tmp_path) as lrza:
        async with lrza.client(HOSPITAL) as client:
            statuses = [
                (
                    await client.get(f"/fhir/{kind}?_count=100&_sort=-_lastUpdated", headers=HEADERS)
                ).status_code
                for kind in TYPES
            ]
    assert statuses == [200, 200, 200, 200, 404, 404]


async def test_as_a_root_the_stand_in_tells_of_directories(tmp_path: Path) -> None:
    with directory(tmp_path, "seven_types = true") as lrza:
        async with lrza.client(HOSPITAL) as client:
            hospital = await created(client, organisation(HOSPITAL))
            payload = {"coding": [{"system": CAPABILITIES, "code": DIRECTORY}]}
            address = "https://care.example/administration/fhir"
            at = await created(client, endpoint(to(hospital), payloadType=[payload], address=address))
            assert (await put(client, {**hospital, "endpoint": [to(at)]})).status_code == 200
            root = Knooppunt(client, "https://lrza.example/fhir")
            await root.update(ROOT_TYPES)
    assert root.directories() == {HOSPITAL: address}
