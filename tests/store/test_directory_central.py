"""A central directory is followed: the first load, what changes, and whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

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
    reply,
    serving,
    until,
)

from schakel.generic.addressing.copying import local_id
from schakel.generic.addressing.sync import CentralFeeder, ReadingRules
from schakel.kernel.values import URA_SYSTEM

HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(loop_scope="session")
async def directory() -> AsyncIterator[Directory]:
    """Eight organisations with an endpoint each, three on a page."""
    async with serving(Directory()) as one:
        for number in range(1, 9):
            one.put(f"e{number}", endpoint(f"https://fhir.example/{number}"))
            one.put(
                f"o{number}",
                organisation(f"Huis {number}", f"{number:08}", endpoint=[link("Endpoint", f"e{number}")]),
            )
        yield one


@pytest_asyncio.fixture(loop_scope="session")
async def node(make_database: Callable[[], Awaitable[str]], directory: Directory) -> AsyncIterator[Follower]:
    async with follower(make_database) as one:
        one.feeders = [CentralFeeder("lrza", directory.base, open_remote(), HOUR)]
        yield one


async def test_the_first_load_takes_the_types_in_order_and_then_what_changed(
    directory: Directory, node: Follower
) -> None:
    ran = await node.run()
    assert ran.error == "" and ran.applied.created == 16
    searches = [path for path in directory.asked if "_history" not in path and "start" not in path]
    assert searches == [
        f"/fhir/{kind}"
        for kind in ("Organization", "Location", "HealthcareService", "Endpoint", "OrganizationAffiliation")
    ]
    histories = [path.partition("?")[0] for path in directory.asked if "_history" in path]
    assert histories == [f"{path}/_history" for path in searches]
    assert directory.asked.index("/fhir/Endpoint") < directory.asked.index(
        next(path for path in directory.asked if "_history" in path)
    )
    source = await node.source()
    assert source.in_step is not None and source.in_step == source.tried
    assert {key for key, _ in directory.now().items()} == set(await node.here())


async def test_a_resource_is_kept_under_an_id_of_our_own_with_its_references(
    directory: Directory, node: Follower
) -> None:
    directory.put("e9", endpoint())
    directory.put("o9", organisation("Negen", "00000009", endpoint=[
        link("Endpoint", "e9"), {"reference": f"{directory.base}/Endpoint/e1"},
        {"reference": "Endpoint/e2/_history/1"}, {"reference": "https://elsewhere.example/fhir/Endpoint/e1"},
        link("Endpoint", "absent"),
    ]))  # fmt: skip
    await node.run()
    kept = (await node.here())["Organization", "o9"]
    ours = {name: local_id(directory.base, "Endpoint", name) for name in ("e9", "e1", "e2", "absent")}
    assert [one["reference"] for one in kept["endpoint"]] == [
        f"Endpoint/{ours['e9']}", f"Endpoint/{ours['e1']}", f"Endpoint/{ours['e2']}",
        "https://elsewhere.example/fhir/Endpoint/e1", f"Endpoint/{ours['absent']}",
    ]  # fmt: skip
    assert kept["meta"]["source"] == f"{directory.base}/Organization/o9"
    assert kept["id"] == local_id(directory.base, "Organization", "o9")
    assert kept["meta"]["versionId"] == "1"


async def test_only_what_changed_is_asked_for_and_written(directory: Directory, node: Follower) -> None:
    await node.run()
    moment, directory.asked, directory.page = directory.moment.isoformat(), [], 50
    directory.put("o1", organisation("Anders", "00000001"))
    directory.put("o1", organisation("Nog anders", "00000001"))
    directory.put("o10", organisation("Tien", "00000010"))
    directory.delete("Endpoint", "e2")
    directory.put("e3", endpoint(status="off"))
    ran = await node.run()
    assert (ran.applied.created, ran.applied.updated, ran.applied.ended) == (1, 1, 2)
    assert all("_since=" in path for path in directory.asked) and len(directory.asked) == 5
    assert directory.asked[0] == f"/fhir/Organization/_history?_since={moment.replace('+', '%2B')}"
    here = await node.here()
    assert here["Organization", "o1"]["name"] == "Nog anders"
    assert here["Endpoint", "e3"]["status"] == "off"
    assert ("Endpoint", "e2") not in here
    assert (await node.run()).applied.changed is False


async def test_a_late_deletion_and_an_older_version_undo_nothing(
    directory: Directory, node: Follower
) -> None:
    directory.delete("Endpoint", "e2")
    directory.put("e2", endpoint("https://fhir.example/again"))
    await node.run()
    late = {
        "resourceType": "Bundle",
        "type": "history",
        "entry": [
            {"request": {"method": "DELETE", "url": "Endpoint/e2"}, "response": {"etag": 'W/"2"', "status": "204"}},
            {"resource": {**endpoint("https://fhir.example/old"), "id": "e1",
                          "meta": {"versionId": "0", "lastUpdated": "2020-01-01T00:00:00Z"}}},
        ],
    }  # fmt: skip

    async def behave(request: web.Request) -> web.StreamResponse | None:
        return reply(late) if request.path.endswith("Endpoint/_history") else None

    directory.behave = behave
    ran = await node.run()
    here = await node.here()
    assert not ran.applied.changed
    assert here["Endpoint", "e2"]["address"] == "https://fhir.example/again"
    assert here["Endpoint", "e1"]["address"] == "https://fhir.example/1"


async def test_what_was_deleted_can_be_made_again_with_a_number_that_begins_anew(
    directory: Directory, node: Follower
) -> None:
    directory.put("e1", endpoint("https://fhir.example/b"))
    await node.run()
    directory.delete("Endpoint", "e1")
    await node.run()
    assert ("Endpoint", "e1") not in await node.here()
    directory.put("e1", endpoint("https://fhir.example/c"))
    directory.log[-1].number = 1
    assert directory.log[-1].resource is not None
    directory.log[-1].resource["meta"]["versionId"] = "1"
    ran = await node.run()
    assert ran.applied.created == 1
    assert (await node.here())["Endpoint", "e1"]["address"] == "https://fhir.example/c"


@pytest.mark.parametrize("order", ["newest first", "oldest first", "twice"])
async def test_a_history_says_the_same_in_any_order_and_twice(
    directory: Directory, node: Follower, order: str
) -> None:
    await node.run()
    for name in ("b", "c", "d"):
        directory.put("o1", organisation(name, "00000001"))
    directory.page = 50

    def told(bundle: Json) -> Json:
        entries = bundle.get("entry", [])
        if bundle["type"] == "history" and entries:
            bundle["entry"] = {"newest first": entries, "oldest first": entries[::-1], "twice": entries * 2}[
                order
            ]
        return bundle

    directory.told = told
    assert (await node.run()).applied.updated == 1
    assert (await node.here())["Organization", "o1"]["name"] == "d"


# -- what is broken ------------------------------------------------------------------------------------------


BROKEN: dict[str, tuple[Json, str]] = {
    "a required element is missing": ({"status": ...}, "resource-broken"),
    "an unknown element": ({"colour": "blue"}, "resource-broken"),
    "implicitRules": ({"implicitRules": "https://example.org/rules"}, "resource-modified"),
    "modifierExtension": (
        {"modifierExtension": [{"url": "https://example.org/not", "valueBoolean": True}]},
        "resource-modified",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_broken_resource_is_written_down_and_the_rest_goes_on(
    directory: Directory, node: Follower, what: str
) -> None:
    await node.run()
    changed, code = BROKEN[what]
    resource = {**endpoint("https://fhir.example/new"), **changed}
    directory.put("e1", {name: value for name, value in resource.items() if value is not ...})
    directory.put("e10", endpoint())
    ran = await node.run()
    assert ran.error == "" and (ran.applied.created, ran.applied.refused) == (1, 1)
    assert await node.findings() == {("Endpoint", "e1"): code}
    here = await node.here()
    assert here["Endpoint", "e1"]["address"] == "https://fhir.example/1"
    directory.put("e1", endpoint("https://fhir.example/mended"))
    await node.run()
    assert await node.findings() == {}
    assert (await node.here())["Endpoint", "e1"]["address"] == "https://fhir.example/mended"


STRANGE: list[Any] = [
    None, 7, [], {}, {"resourceType": "Patient", "id": "p"}, {"resourceType": "Endpoint", "id": "a b"},
    {"resourceType": "Endpoint"}, {"resourceType": ["Endpoint"], "id": {}},
    {"resourceType": "Endpoint\u0000", "id": "x"}, {"resourceType": "Endpoint", "id": "x\u0000"},
    {**endpoint(), "id": "e20", "meta": {"versionId": "\u0000", "lastUpdated": 7}},
    {**endpoint(), "id": "e20", "meta": []}, {**endpoint("https://x.example/\u0000"), "id": "e21"},
    {**organisation(), "id": "o20", "identifier": {}, "partOf": [], "endpoint": 7},
    {**organisation("x\u0000"), "id": "o21"},
    {**organisation(), "id": "o22", "identifier": [None, {"system": URA_SYSTEM, "value": []}]},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(STRANGE)))
async def test_whatever_stands_in_a_page_the_rest_goes_on(
    directory: Directory, node: Follower, number: int
) -> None:
    await node.run()
    good = {**endpoint("https://fhir.example/good"), "id": "good", "meta": {"versionId": "1"}}

    async def behave(request: web.Request) -> web.StreamResponse | None:
        entries = [{"resource": STRANGE[number]}, 7, {"request": 7, "search": [], "response": {"etag": 7}}]
        return reply({"resourceType": "Bundle", "type": "history", "link": [7, {"relation": "next"}],
                      "entry": [*entries, {"resource": good}]})  # fmt: skip

    directory.behave = behave
    ran = await node.run()
    assert ran.error == "" and ("Endpoint", "good") in await node.here()


async def test_a_broken_version_that_switches_off_is_believed_in_that(
    directory: Directory, node: Follower
) -> None:
    await node.run()
    directory.put("e1", {**endpoint(status="off"), "colour": "blue"})
    assert (await node.run()).applied.ended == 1
    assert ("Endpoint", "e1") not in await node.here()


async def test_an_organisation_with_two_uras_is_nobodys(directory: Directory, node: Follower) -> None:
    await node.run()
    both = organisation("Huis 1", "00000001")
    both["identifier"].append({"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": "00000002"})
    directory.put("o1", both)
    await node.run()
    assert (await node.findings())["Organization", "o1"] == "ura-many"
    assert ("Organization", "o1") not in await node.here()


async def test_one_ura_of_two_organisations_is_reported_at_both_and_resolved(
    directory: Directory, node: Follower
) -> None:
    directory.put("copy", organisation("Huis 1 bis", "00000001"))
    directory.put("ward", organisation("Afdeling", "00000002", partOf=link("Organization", "o2")))
    await node.run()
    conflict = {("Organization", "copy"): "ura-conflict", ("Organization", "o1"): "ura-conflict"}
    assert await node.findings() == conflict
    directory.put("copy", organisation("Huis 1 bis", "00000001", active=False))
    await node.run()
    assert await node.findings() == {}


async def test_the_same_id_in_two_types_is_two_resources(directory: Directory, node: Follower) -> None:
    directory.put("same", organisation("Zelfde", "00000020", endpoint=[link("Endpoint", "same")]))
    directory.put("same", endpoint("https://fhir.example/same"))
    await node.run()
    here = await node.here()
    assert here["Organization", "same"]["endpoint"] == [
        {"reference": f"Endpoint/{here['Endpoint', 'same']['id']}"}
    ]
    assert here["Organization", "same"]["id"] != here["Endpoint", "same"]["id"]


# -- what fails ----------------------------------------------------------------------------------------------


async def _fails(directory: Directory, node: Follower, behave: Any) -> str:
    """Loads, lets the next run fail, and then not: everything is there, and the time asked from did not move."""
    await node.run()
    since = (await node.ledger.cursors("lrza"))["Organization"].since
    for number in range(1, 9):
        directory.put(f"o{number}", organisation("Later", f"{number:08}"))
    directory.behave = behave
    ran = await node.run()
    assert (await node.ledger.cursors("lrza"))["Organization"].since == since
    assert (await node.source()).error == ran.error != ""
    assert (await node.findings())["", ""] == "source-failed"
    directory.behave = None
    assert (await node.run()).applied.updated == 8
    assert await node.findings() == {} and (await node.source()).error == ""
    assert all(one["name"] == "Later" for key, one in (await node.here()).items() if key[0] == "Organization")
    error: str = ran.error
    return error


async def test_429_is_kept_to_and_said(directory: Directory, node: Follower) -> None:
    async def behave(request: web.Request) -> web.StreamResponse | None:
        return refusal(429, "slow down", Retry_After="1800")

    assert "429" in await _fails(directory, node, behave)


async def test_the_wait_is_what_the_server_asks_or_doubles(directory: Directory, node: Follower) -> None:
    waits = []
    for answer in (refusal(429, Retry_After="1800"), refusal(503), refusal(503), refusal(503)):

        async def behave(request: web.Request, answer: web.Response = answer) -> web.StreamResponse | None:
            return web.Response(
                status=answer.status, headers={"Retry-After": answer.headers.get("Retry-After", "")}
            )

        directory.behave = behave
        await node.run()
        source = await node.source()
        assert source.run_after is not None and source.tried is not None
        waits.append((source.run_after - source.tried).total_seconds())
    assert [round(one) for one in waits] == [1800, 4, 8, 16]


async def test_503_on_page_2(directory: Directory, node: Follower) -> None:
    async def behave(request: web.Request) -> web.StreamResponse | None:
        return refusal(503) if "start" in request.query else None

    assert "status 503" in await _fails(directory, node, behave)


async def test_html_is_no_answer(directory: Directory, node: Follower) -> None:
    async def behave(request: web.Request) -> web.StreamResponse | None:
        return web.Response(text="<html>Sign in</html>", content_type="text/html")

    assert "text/html" in await _fails(directory, node, behave)


async def test_a_dropped_connection(directory: Directory, node: Follower) -> None:
    async def behave(request: web.Request) -> web.StreamResponse | None:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    assert "no usable answer" in await _fails(directory, node, behave)


async def test_a_directory_that_is_slow_is_given_up_in_time(directory: Directory, node: Follower) -> None:
    async def behave(request: web.Request) -> web.StreamResponse | None:
        await asyncio.sleep(2)
        return None

    node.feeders = [CentralFeeder("lrza", directory.base, open_remote(seconds=0.3), HOUR)]
    assert "too slow" in await _fails(directory, node, behave)


async def test_a_page_that_is_too_large_is_not_read(directory: Directory, node: Follower) -> None:
    async def behave(request: web.Request) -> web.StreamResponse | None:
        return web.Response(body=b" " * 200_000, content_type="application/fhir+json")

    node.feeders = [CentralFeeder("lrza", directory.base, open_remote(most=100_000), HOUR)]
    assert "too large" in await _fails(directory, node, behave)


@pytest.mark.parametrize(
    ("link_of", "said"),
    [
        (lambda request: str(request.url.with_query(again="1")), "a second time"),
        (
            lambda request: str(request.url.update_query(x=str(len(request.path_qs)))),
            "what a page before it had",
        ),
        (
            lambda request: "https://elsewhere.example/fhir/Organization?page=2",
            "not the address of this directory",
        ),
    ],
)
async def test_pages_that_never_end_or_lead_away_are_named(
    directory: Directory, node: Follower, link_of: Any, said: str
) -> None:
    async def behave(request: web.Request) -> web.StreamResponse | None:
        version = str(len(directory.asked)) if said == "a second time" else "9"
        resource = {**organisation(), "id": "o1", "meta": {"versionId": version}}
        page = {"resourceType": "Bundle", "type": "history", "entry": [{"resource": resource}],
                "link": [{"relation": "next", "url": link_of(request)}]}  # fmt: skip
        return reply(page)

    assert said in await _fails(directory, node, behave)


async def test_more_pages_than_the_setting_are_an_error_that_names_it(
    directory: Directory, node: Follower
) -> None:
    node.feeders = [CentralFeeder("lrza", directory.base, open_remote(ReadingRules(pages=2)), HOUR)]
    ran = await node.run()
    assert "more than 2 pages of Organization (setting pages" in ran.error


async def test_more_changes_than_the_setting_are_an_error_that_names_it(
    directory: Directory, node: Follower
) -> None:
    await node.run()
    for number in range(1, 9):
        directory.put(f"o{number}", organisation("Later", f"{number:08}"))
    node.feeders = [CentralFeeder("lrza", directory.base, open_remote(ReadingRules(held=5)), HOUR)]
    assert "setting held" in (await node.run()).error


async def test_a_first_load_goes_on_at_the_page_where_it_was(
    directory: Directory, node: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schakel.generic.addressing.sync.feeder.BATCH", 1)
    away = True

    async def behave(request: web.Request) -> web.StreamResponse | None:
        return refusal(503) if away and request.query.get("start") == "6" else None

    directory.behave = behave
    assert "503" in (await node.run()).error
    assert (await node.source()).in_step is None
    away, directory.asked = False, []
    directory.put("o1", organisation("While it loaded", "00000001"))
    ran = await node.run()
    assert ran.error == "" and directory.asked[0] == "/fhir/Organization?start=6"
    here = await node.here()
    assert set(here) == set(directory.now()) and here["Organization", "o1"]["name"] == "While it loaded"


async def test_a_page_that_is_no_longer_there_begins_the_type_again(
    directory: Directory, node: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schakel.generic.addressing.sync.feeder.BATCH", 1)
    status = 503

    async def behave(request: web.Request) -> web.StreamResponse | None:
        return refusal(status) if request.query.get("start") == "6" and status else None

    directory.behave = behave
    await node.run()
    directory.asked, status = [], 410
    ran = await node.run()
    assert "410" in ran.error and directory.asked[:2] == ["/fhir/Organization?start=6", "/fhir/Organization"]
    status = 0
    assert (await node.run()).error == "" and set(await node.here()) == set(directory.now())


async def test_read_as_a_whole_what_is_no_longer_there_ends(directory: Directory, node: Follower) -> None:
    await node.run()
    directory.log = [one for one in directory.log if one.id != "o1"]
    for one in directory.log:
        assert one.resource is not None
        one.resource["meta"] = {"versionId": "0", "lastUpdated": "2020-01-01T00:00:00Z"}
        if one.id == "o2":
            one.resource["name"] = "From a backup"
    await node.ledger.whole("lrza")
    ran = await node.run()
    assert (ran.applied.updated, ran.applied.ended) == (1, 1)
    here = await node.here()
    assert set(here) == set(directory.now()) and here["Organization", "o2"]["name"] == "From a backup"


async def test_a_source_that_is_no_longer_in_the_settings_leaves_nothing(
    directory: Directory, node: Follower
) -> None:
    await node.run()
    node.feeders = [CentralFeeder("lrza", f"{directory.base}/", open_remote(), HOUR)]
    await node.following().align()
    assert await node.here() == {}
    assert [one.base for one in await node.ledger.sources()] == [f"{directory.base}/"]
    node.feeders = []
    await node.following().align()
    assert await node.ledger.sources() == []


async def test_a_run_that_was_overtaken_writes_nothing(directory: Directory, node: Follower) -> None:
    await node.run()
    started = await node.ledger.begin("lrza")
    await node.ledger.begin("lrza")
    with pytest.raises(Exception, match="another run"):
        await node.feeders[0].run(node.replica, started)


async def test_one_of_two_processes_follows_and_the_other_takes_over(
    directory: Directory, node: Follower
) -> None:
    first, second = node.following(), node.following()
    async with first.alone() as lock:
        assert lock is not None
        async with second.alone() as other:
            assert other is None
    async with second.alone() as lock:
        assert lock is not None


async def test_the_worker_brings_every_source_in_step_and_keeps_it_so(
    directory: Directory, node: Follower
) -> None:
    node.feeders = [CentralFeeder("lrza", directory.base, open_remote(), timedelta(seconds=0.2))]

    async def in_step() -> bool:
        return len(await node.here()) == len(directory.now())

    async with node.following().working():
        await until(in_step)
        directory.put("o99", organisation("Nieuw", "00000099"))
        await until(in_step)
