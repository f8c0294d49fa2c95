"""Hybrid care through a running node: files come in at the internal door, pages show what follows from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from lxml import html
from tests.nodes import MakeDatabase, RunningOrganisation, databases
from tests.staff import OTHER, OWN, Member, Region, portal_node

from schakel.commands import hybrid
from schakel.commands.doors import Door
from schakel.demo import cast
from schakel.demo.doors import Client
from schakel.demo.roadmap import hybrid as demo_hybrid
from schakel.kernel.clock import AMSTERDAM, new_id, now
from schakel.kernel.outcomes import Invalid
from schakel.roadmap import wire
from schakel.roadmap.evidence import Member as Organisation
from schakel.roadmap.evidence import Run
from schakel.roadmap.hybrid import blocks
from schakel.store.embedded import EmbeddedServer

TODAY = now().astimezone(AMSTERDAM).date()
BSN = "999911120"
ROADMAP = {"region": "Regio Test", "keepers": ["a"]}
PAGE = f"/hybrid/{OWN}/hartfalen"


def day(ago: int) -> str:
    return (TODAY - timedelta(days=ago)).isoformat()


def pathway(name: str = "hartfalen", **changes: object) -> dict[str, object]:
    return {
        "id": name,
        "name": f"Zorgpad {name}",
        "sector": "MSZ",
        "suitability": "yes",
        "decided_by": "vakgroep cardiologie",
        "decided_on": day(300),
        "reason": "past goed",
        "b1": "ja",
        "c6": day(200),
        "intramural": "ja",
        "excludes": "frailty",
        **changes,
    }


def person(number: int, **changes: object) -> dict[str, object]:
    return {
        "pathway": "hartfalen",
        "pseudonym": f"person-of-region-{number}",
        "eligible_from": day(100),
        **changes,
    }


def taking_part(number: int, **changes: object) -> dict[str, object]:
    return person(number, **{"enrolled_from": day(90), "last_event": day(3), **changes})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Region]:
    key = tmp_path_factory.mktemp("hybrid") / "pseudonyms.key"
    key.write_text("k" * 40)
    settings = {"roadmap": {**ROADMAP, "pseudonym_key": key}}
    async with (
        databases(cluster, "hybrid_doors") as make,
        portal_node(make, node_settings=settings, public=True) as made,
    ):
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def region(running: Region) -> Region:
    """The node with an empty inventory."""
    await running.node.node.pool.execute(
        "TRUNCATE hybrid_person, hybrid_pathway, hybrid_decision, hybrid_organisation, hybrid_blocks"
    )
    await running.node.node.pool.execute("UPDATE hybrid_revision SET number = number + 1")
    return running


async def ask(
    organisation: RunningOrganisation, method: str, path: str = "", body: object = None, **query: str
) -> httpx.Response:
    sent = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
    url = f"{organisation.internal_root}/{organisation.slug}/roadmap/hybrid{path}"
    return await organisation.internal.request(method, url, content=sent, params=query)


async def sent(organisation: RunningOrganisation, path: str, body: object, **query: str) -> Mapping[str, Any]:
    answer = await ask(organisation, "POST", path, body, **query)
    assert answer.status_code == 200, answer.text
    found: Mapping[str, Any] = answer.json()
    return found


async def inventory(organisation: RunningOrganisation) -> Mapping[str, Any]:
    answer = await ask(organisation, "GET")
    assert answer.status_code == 200, answer.text
    found: Mapping[str, Any] = answer.json()
    return found


async def join(region: Region, *uras: str) -> None:
    """Puts these organisations on the board."""
    members = tuple(Organisation(ura, f"Organisation {ura}", "MSZ") for ura in uras)
    moment = now() - timedelta(minutes=1)
    run = Run(new_id(), "Regio Test", "iza-2025-06", "test", moment, moment, members, ())
    keeper = region.node["a"]
    url = f"{keeper.internal_root}/a/roadmap/runs"
    answer = await keeper.internal.post(url, content=wire.dump(run))
    assert answer.status_code == 201, answer.text


def figure(part: Mapping[str, Any], kpi: str, number: int = 0) -> tuple[int, int | None]:
    found = [one for one in part["figures"] if one["kpi"] == kpi][number]
    return found["numerator"], found["denominator"]


async def test_files_come_in_as_csv_and_json_and_the_figures_follow(region: Region) -> None:
    a = region.node["a"]
    table = pathway()
    text = ";".join(table) + "\r\n" + ";".join(map(str, table.values()))
    assert await sent(a, "/pathways", text.encode("cp1252"), population="2000") == {
        "pathways": 1,
        "decisions": 1,
    }
    rows = [taking_part(1), {**taking_part(2), "pseudonym": "", "bsn": BSN}, person(3, exclusion="frailty")]
    assert await sent(a, "/people", {"people": rows}) == {"people": 3}
    shown = await inventory(a)
    [own] = shown["organisations"]
    assert (own["population"], own["pathways"][0]["hybrid"]) == (2000, True)
    assert [figure(own, "KPI-2", n) for n in range(4)] == [(2, 3), (2, 2), (2, 3), (2, 2)]
    assert figure(own, "KPI-1") == (1, 1) and figure(shown["region"], "KPI-4") == (2, None)
    assert own["pathways"][0]["people"]["not_taking_part"] == {"frailty": 1}
    assert {one["value"] for one in own["figures"][0]["targets"]} >= {0.4, 0.7}
    assert BSN not in orjson.dumps(shown).decode()


async def test_an_organisation_sees_and_writes_itself_alone_and_a_keeper_everybody(region: Region) -> None:
    a, b = region.node["a"], region.node["b"]
    await sent(a, "/pathways", [pathway()])
    await sent(b, "/pathways", [pathway("copd")])
    await sent(b, "/people", [taking_part(1, pathway="copd")])
    shown = await inventory(b)
    assert [one["ura"] for one in shown["organisations"]] == [OTHER] and "region" not in shown
    assert [one["ura"] for one in (await inventory(a))["organisations"]] == [OWN, OTHER]
    for method, path, body in (
        ("POST", "/pathways", [pathway()]),
        ("POST", "/people", [person(1)]),
        ("DELETE", "/pathways/hartfalen", None),
    ):
        answer = await ask(b, method, path, body, ura=OWN)
        assert (answer.status_code, answer.json()["code"]) == (403, "no-keeper"), answer.text
    answer = await ask(a, "POST", "/pathways", [pathway("astma")], ura=OTHER)
    assert (answer.status_code, answer.json()["expression"]) == (400, "ura")
    await join(region, OWN, OTHER)
    await sent(a, "/pathways", [pathway("astma")], ura=OTHER)
    assert len((await inventory(b))["organisations"][0]["pathways"]) == 2


async def test_the_door_is_for_the_organisation_with_its_key(region: Region) -> None:
    a, b = region.node["a"], region.node["b"]
    url = f"{a.internal_root}/b/roadmap/hybrid"
    for path, method in (("", "GET"), ("/pathways", "POST"), ("/people", "POST"), ("/blocks", "POST")):
        async with httpx.AsyncClient() as nobody:
            assert (await nobody.request(method, url + path)).status_code == 401
        assert (await a.internal.request(method, url + path)).status_code == 403
    assert (await b.internal.get(url)).status_code == 200


async def test_a_list_of_blocks_is_for_a_keeper_to_give(region: Region) -> None:
    a, b = region.node["a"], region.node["b"]
    refused = await ask(b, "POST", "/blocks", blocks.shipped_body())
    assert (refused.status_code, refused.json()["code"]) == (403, "no-keeper")
    table = (await ask(a, "GET", "/blocks")).json()
    assert orjson.loads(orjson.dumps(table)) == table and len(table["blocks"]) == 18
    table["version"] = "own"
    assert (await sent(a, "/blocks", table))["version"] == "own"
    assert (await inventory(b))["blocks"] == {"version": "own"}
    answer = await ask(a, "POST", "/blocks", {**table, "blocks": []})
    assert (answer.status_code, answer.json()["expression"]) == (400, "blocks")


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "named"),
    [
        ("POST", "/pathways", [pathway(suitability="x")], {}, "pathways[0].suitability"),
        ("POST", "/pathways", b"id;name\r\na", {}, ""),
        ("POST", "/pathways", [pathway()], {"population": "many"}, "population"),
        ("POST", "/pathways", [pathway()], {"population": "0"}, "population"),
        ("POST", "/pathways", [pathway()], {"ura": "north"}, "ura"),
        ("POST", "/pathways", [pathway()], {"colour": "red"}, "colour"),
        ("POST", "/people", [person(1)], {}, "people[0].pathway"),
        ("GET", "", None, {"ura": OWN}, "ura"),
    ],
)
async def test_a_request_with_one_thing_wrong_is_refused_by_its_name(
    region: Region, method: str, path: str, body: object, query: dict[str, str], named: str
) -> None:
    answer = await ask(region.node["a"], method, path, body, **query)
    assert answer.status_code == 400, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json().get("expression", "") == named


async def test_a_pathway_can_be_taken_away(region: Region) -> None:
    a = region.node["a"]
    await sent(a, "/pathways", [pathway()])
    assert (await ask(a, "DELETE", "/pathways/hartfalen")).status_code == 204
    assert (await ask(a, "DELETE", "/pathways/hartfalen")).status_code == 404
    assert (await inventory(a))["organisations"][0]["pathways"] == []


async def test_the_command_hands_files_over_and_shows_what_follows(
    region: Region, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = region.node["a"]
    door = Door("a", OWN, "Organisation a", f"{a.internal_root}/a", f"{a.front_root}/a", a.key)
    paths, people = tmp_path / "pathways.json", tmp_path / "people.json"
    paths.write_bytes(orjson.dumps([pathway()]))
    people.write_bytes(orjson.dumps([taking_part(1), person(2)]))

    async def said(call: Callable[..., int], *arguments: object) -> str:
        assert await asyncio.to_thread(call, *arguments) == 0
        return capsys.readouterr().out

    assert "no pathways were sent yet" in await said(hybrid.show, door)
    assert "1 pathway taken in, with 1 new decision" in await said(hybrid.import_file, paths, door, None, 900)
    assert "2 rows about people taken in" in await said(hybrid.import_file, people, door, None, None)
    shown = await said(hybrid.show, door)
    assert (
        "1 of 2 active" in shown and "Hybrid: basic functions B1" in shown and "1 hybrid pathways of" in shown
    )
    with pytest.raises(Invalid, match="this file is about people"):
        await asyncio.to_thread(hybrid.import_file, people, door, None, 900)
    people.write_bytes(orjson.dumps([person(1, pathway="copd")]))
    with pytest.raises(Invalid, match=r"people\[0\], column pathway"):
        await asyncio.to_thread(hybrid.import_file, people, door, None, None)
    with pytest.raises(Invalid, match="cannot be read"):
        await asyncio.to_thread(hybrid.import_file, tmp_path / "none.csv", door, None, None)


async def test_the_inventory_of_the_demo_is_taken_in_by_the_keeper(region: Region) -> None:
    await join(region, *(one.ura for one in cast.ORGANISATIONS))
    a = region.node["a"]
    async with Client() as client:
        await demo_hybrid.send(client, f"{a.internal_root}/a", a.key, TODAY, 1)
    shown = await inventory(a)
    assert {one["name"] for one in shown["organisations"]} == {
        f"Organisation {one.ura}" for one in cast.ORGANISATIONS
    }
    top, under = figure(shown["region"], "KPI-2")
    assert under is not None and 0.25 <= top / under < 0.5


async def test_a_node_without_a_board_has_no_inventory(make_database: MakeDatabase) -> None:
    async with portal_node(make_database, public=True) as bare:
        answer = await ask(bare.node["a"], "GET")
        assert (answer.status_code, answer.json()["code"]) == (404, "board-unknown")
        async with Member(bare) as visitor:
            assert (await visitor.http.get(f"{bare.portal}/hybrid")).status_code == 404


# -- the pages ---------------------------------------------------------------------------------------------------


async def fill(region: Region) -> None:
    a = region.node["a"]
    await sent(
        a, "/pathways", [pathway(), pathway("copd", suitability="undecided", decided_by="bestuur", c6="")]
    )
    rows = [taking_part(n) for n in range(23)] + [person(n, exclusion="frailty") for n in range(30, 33)]
    await sent(a, "/people", rows)


async def test_every_page_says_something_without_anything_and_with_an_inventory(region: Region) -> None:
    async with Member(region) as visitor:
        assert "No organisation has sent its care pathways yet." in (await visitor.page("/hybrid")).text
        await fill(region)
        first = (await visitor.page("/hybrid")).text
        assert "bestuur" in first and "Share of pathways that are hybrid" in first and "40%" in first
        own = (await visitor.page(f"/hybrid/{OWN}")).text
        assert "Not hybrid: only basic functions (B1)" in own and "Hybrid: basic functions B1" in own
        one = (await visitor.page(PAGE)).text
        assert "vakgroep cardiologie" in one and "Arranged on all layers?" in one
        for missing in (f"/hybrid/{OTHER}", f"/hybrid/{OWN}/astma"):
            assert (await visitor.http.get(f"{region.portal}{missing}")).status_code == 404


async def test_small_numbers_of_people_are_shown_to_those_alone_who_are_logged_in(region: Region) -> None:
    await fill(region)
    async with Member(region) as visitor:
        for path in ("/hybrid", f"/hybrid/{OWN}", PAGE):
            page = (await visitor.page(path)).text
            assert "fewer than 5" in page and "about 25" in page
            assert "person-of-region" not in page
        await visitor.log_in()
        known = await visitor.page(PAGE)
        assert "fewer than 5" not in known.text and "about 25" not in known.text
        assert "23" in [one.text_content() for one in known.tree.xpath("//dd")]
        assert [one.text_content() for one in known.tree.xpath("//tr[th='Frailty']/td")] == ["3"]


async def decided(member: Member, **changes: str) -> httpx.Response:
    page = await member.page(PAGE)
    values = {
        "suitability": "no",
        "decided_by": "maatschap",
        "decided_on": day(1),
        "reason": "te weinig mensen",
    }
    return await member.send_form(page, PAGE, **{**values, **changes})


@pytest.mark.parametrize("who", ["declarer", "programme"])
async def test_a_decision_on_the_page_counts_and_stays_in_the_history(region: Region, who: str) -> None:
    await fill(region)
    async with Member(region, who) as member:
        await member.log_in()
        answer = await decided(member)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/portal{PAGE}")
        page = (await member.page(PAGE)).text
        assert page.index("te weinig mensen") < page.index("past goed")
        assert f"Jo {who}" in page
    [own] = (await inventory(region.node["a"]))["organisations"]
    assert [one["suitability"] for one in own["pathways"] if one["id"] == "hartfalen"] == ["no"]
    async with Member(region) as visitor:
        assert f"Jo {who}" not in (await visitor.page(PAGE)).text


@pytest.mark.parametrize("who", ["viewer", "reader", "declarer elsewhere"])
async def test_who_may_not_decide_sees_no_form_and_cannot_send_one(region: Region, who: str) -> None:
    await fill(region)
    async with Member(region, who) as member:
        await member.log_in()
        assert "Write down a decision" not in (await member.page(PAGE)).text
        form = {
            "suitability": "no",
            "decided_by": "x",
            "decided_on": day(1),
            "reason": "x",
            "csrf": await member.token(),
        }
        answer = await member.http.post(f"{region.portal}{PAGE}", data=form)
        assert answer.status_code == 403
    [own] = (await inventory(region.node["a"]))["organisations"]
    assert "no" not in [one["suitability"] for one in own["pathways"]]


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("suitability", "perhaps", "Choose one of the three."),
        ("decided_by", " ", "Fill this in."),
        ("decided_by", "x" * 1001, "This text is too long."),
        ("decided_on", "", "Fill this in."),
        ("decided_on", "yesterday", "This is no day."),
        ("decided_on", (TODAY + timedelta(days=1)).isoformat(), "This day is still to come."),
        ("decided_on", "1989-12-31", "This day lies before 1990."),
        ("reason", "", "Fill this in."),
    ],
)
async def test_a_decision_with_one_thing_wrong_changes_nothing_and_says_so_at_its_field(
    region: Region, name: str, typed: str, said: str
) -> None:
    await fill(region)
    async with Member(region, "declarer") as member:
        await member.log_in()
        answer = await decided(member, **{name: typed})
        assert answer.status_code == 400
        page: Any = html.fromstring(answer.text)
        [fault] = page.xpath("//p[@class='error']")
        assert said in fault.text_content() and fault.get("id") == f"{name}-error"
        [field] = page.xpath(f"//*[@aria-describedby='{name}-error']")
        assert field.get("aria-invalid") == "true"
        assert page.xpath(f"//div[@role='alert']//a[@href='#{name}']")
        if name != "reason":
            assert "te weinig mensen" in page.xpath("//textarea[@name='reason']")[0].text
    [own] = (await inventory(region.node["a"]))["organisations"]
    assert {one["suitability"] for one in own["pathways"]} == {"yes", "undecided"}


async def test_a_decision_without_the_secret_of_the_session_is_refused(region: Region) -> None:
    await fill(region)
    async with Member(region, "declarer") as member:
        await member.log_in()
        assert (await decided(member, csrf="another")).status_code == 403
    [own] = (await inventory(region.node["a"]))["organisations"]
    assert {one["suitability"] for one in own["pathways"]} == {"yes", "undecided"}


async def test_the_figures_of_a_period_are_those_of_its_days_alone(region: Region) -> None:
    a = region.node["a"]
    last, before = TODAY.year - 1, TODAY.year - 2
    await sent(a, "/pathways", [pathway(decided_on=f"{last}-03-01", b1="ja", c6=f"{last}-08-15")])
    row = {"eligible_from": f"{last}-02-01", "enrolled_from": f"{last}-02-02"}
    events = {"last_event": f"{last}-11-05", "earlier_events": f"{last}-04-05"}
    rows = [taking_part(n, **row, **events) for n in range(20)]
    rows += [taking_part(n, **row, last_event="") for n in range(20, 25)]
    await sent(a, "/people", rows)

    async def shares(member: Member, path: str) -> list[str]:
        """The first figure of KPI-1 and of KPI-2."""
        page = await member.page(path)
        found = (
            page.tree.xpath(f"//table[caption[@id='figures-{kpi}']]//tbody/tr[1]/td[3]")
            for kpi in ("KPI-1", "KPI-2")
        )
        return [str(one[0].text_content()) for one in found]

    async with Member(region) as member:
        await member.log_in()
        for place in ("/hybrid", f"/hybrid/{OWN}"):
            assert await shares(member, f"{place}?period={last}") == ["100%", "80%"]
            assert await shares(member, f"{place}?period={last}-Q2") == ["0%", "none: nothing to count over"]
            assert await shares(member, f"{place}?period={last}-Q4") == ["100%", "80%"]
            assert await shares(member, f"{place}?period={TODAY.year}") == ["100%", "0%"]
            assert (await shares(member, f"{place}?period={before}"))[0] == "none: nothing to count over"
        page = await member.page(f"/hybrid?period={last}-Q4")
        assert page.tree.xpath("//select[@name='period']/option[@selected]/@value") == [f"{last}-Q4"]
        bars = page.tree.xpath("//table[caption[@id='course-pathways-caption']]//tbody/tr")
        assert len(bars) == 8 and page.tree.xpath("//table[caption[@id='course-people-caption']]")
        told = {
            row.xpath("./th")[0].text_content(): [one.text_content() for one in row.xpath("./td")]
            for row in page.tree.xpath("//table[caption[@id='course-caption']]//tbody/tr")
        }
        assert told[f"Q4 {last}"] == ["100%", "25", "20", "80%"] and len(told) == 8
        for wrong in ("1", f"{last}-Q5", str(TODAY.year + 1), f"{last}-q1"):
            answer = await member.http.get(f"{region.portal}/hybrid?period={wrong}")
            assert answer.status_code == 400, wrong
    async with Member(region) as visitor:
        page = await visitor.page(f"/hybrid?period={last}-Q4")
        assert not page.tree.xpath("//table[caption[@id='course-people-caption']]")
        assert "about 25" in page.text
