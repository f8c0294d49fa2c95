"""Hybrid care on the pages of a running node, with its past: who sees what, and what was replaced."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from lxml import html
from tests.hybrid_node import (
    PAGE,
    TODAY,
    ask,
    day,
    fill,
    inventory,
    pathway,
    person,
    sent,
    taking_part,
)
from tests.hybrid_node import region as region
from tests.hybrid_node import running as running
from tests.staff import OTHER, OWN, Member, Region

from schakel.commands import hybrid
from schakel.commands.doors import Door


async def test_a_replaced_list_can_be_read_at_the_door_on_a_page_and_by_the_command(
    region: Region, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = region.node["a"], region.node["b"]
    await fill(region)
    shipped = (await ask(a, "GET", "/blocks")).json()
    async with Member(region) as visitor:
        assert "Lists of building blocks of this region" not in (await visitor.page("/hybrid")).text
    own = {
        **shipped,
        "version": "own-1",
        "blocks": [one for one in shipped["blocks"] if one["code"] != "B10"],
    }
    await sent(a, "/blocks", own)
    answer = await ask(a, "POST", "/blocks", {**shipped, "version": "own-1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "blocks-version-taken")
    for asking in (a, b):
        told = (await ask(asking, "GET", "/blocks/versions")).json()["lists"]
        assert [(one["list"]["version"], one["by"]) for one in told] == [
            ("own-1", "Organisation a"),
            (shipped["version"], ""),
        ]
        assert told[0]["list"] == own and told[1]["list"] == shipped
        assert told[0]["since"] == told[1]["until"] and told[0]["until"] is told[1]["since"] is None
    door = Door("a", OWN, "Organisation a", f"{a.internal_root}/a", f"{a.front_root}/a", a.key)
    assert await asyncio.to_thread(hybrid.show_blocks, door) == 0
    said = capsys.readouterr().out
    assert "own-1" in said and "in force" in said and "came with the program" in said
    async with Member(region) as visitor:
        page = await visitor.page("/hybrid")
        links = page.tree.xpath("//table[caption[@id='lists-caption']]//th/a/@href")
        assert len(links) == 2 and links[1] == "/portal/hybrid/blocks/0"
        old = await visitor.page("/hybrid/blocks/0")
        assert "This list was replaced." in old.text and "came with the program" in old.text
        assert "B10" in [one.text_content() for one in old.tree.xpath("//tbody/tr/th")]
        now_in_force = await visitor.page(links[0].removeprefix("/portal"))
        assert "This list is in force." in now_in_force.text and "Organisation a" in now_in_force.text
        older = (await visitor.page(f"/hybrid?period={TODAY.year - 1}")).text
        assert "Judged by the list of building blocks that was in force then" in older
        assert "Judged by a list of building blocks that was replaced since:" in page.text
        assert "that was in force then" not in page.text
        for missing in ("99", "x"):
            answer = await visitor.http.get(f"{region.portal}/hybrid/blocks/{missing}")
            assert answer.status_code == 404


async def test_figures_of_a_count_by_older_rules_say_so(
    region: Region, capsys: pytest.CaptureFixture[str]
) -> None:
    a, year = region.node["a"], str(TODAY.year)
    code = "http://snomed.info/sct|84114007"
    rules = {"indication": code, "plan": "http://a.example/PlanDefinition/hartfalen"}
    await sent(a, "/pathways", [pathway(**rules)])
    whole = {"eligible_from": f"{year}-01-01", "eligible_until": f"{year}-12-31"}
    await sent(a, "/people", [person(1, **whole)], counted=year, pathway="hartfalen")
    note = "by rules that were changed since"

    async def pages(member: Member, *query: str) -> list[bool]:
        """Whether the region, the organisation and the pathway say it."""
        found = [
            (await member.page(f"{path}{''.join(query)}")).text for path in ("/hybrid", f"/hybrid/{OWN}")
        ]
        return [note in one for one in (*found, (await member.page(PAGE)).text)]

    async with Member(region) as visitor:
        assert await pages(visitor) == [False] * 3
        assert "by the rules of now" in (await visitor.page(PAGE)).text
        await sent(
            a, "/pathways", [pathway(**{**rules, "indication": f"{code} {code}1"}, excludes="language")]
        )
        assert await pages(visitor) == [True] * 3
        assert await pages(visitor, f"?period={TODAY.year - 1}") == [False, False, True]
        page = await visitor.page(PAGE)
        recorded = page.tree.xpath("//table[caption[@id='recorded-caption']]//tbody/tr")
        cells = [[cell.text_content() for cell in one.xpath("./td")] for one in recorded]
        assert [one[2] for one in cells] == [f"{code}, {code}1", code]
        assert [one[4] for one in cells] == ["Language or digital skill", "Frailty"]
        assert "Organisation a" not in recorded[0].text_content()
        await visitor.log_in()
        page = await visitor.page(PAGE)
        assert (
            "Organisation a" in page.tree.xpath("//table[caption[@id='recorded-caption']]")[0].text_content()
        )
    door = Door("a", OWN, "Organisation a", f"{a.internal_root}/a", f"{a.front_root}/a", a.key)
    assert await asyncio.to_thread(hybrid.show, door) == 0
    assert f"hartfalen: counted for {year} {note}" in capsys.readouterr().out


async def test_gp_care_and_home_care_are_held_against_a_share_of_their_patients(region: Region) -> None:
    a, b = region.node["a"], region.node["b"]
    await sent(a, "/pathways", [pathway(sector="HA")], population="100")
    await sent(a, "/people", [taking_part(number) for number in range(40)])
    await sent(b, "/pathways", [pathway(sector="VVT")])
    target = "25% (Zilveren Kruis, insurer, no date; policy of health insurers; the moment is not known)"
    async with Member(region) as visitor:
        page = await visitor.page("/hybrid")
        held = {
            one.xpath("./th")[0].text_content(): [cell.text_content() for cell in one.xpath("./td")]
            for one in page.tree.xpath("//table[caption[@id='held-KPI-4']]//tbody/tr")
        }
        assert held["Organisation a"][0] == target and "✓ reached" in held["Organisation a"][2]
        assert held["Organisation a"][1].startswith("40%: about 40 people")
        assert held["Organisation b"][1].startswith("not known") and held["Organisation b"][2] == "no figure"
        own = await visitor.page(f"/hybrid/{OWN}")
        rows = own.tree.xpath("//table[caption[@id='course-KPI-4-caption']]//tbody/tr")
        assert len(rows) == 8 and "✓ reached" in rows[0].xpath("./td[last()]")[0].text_content()
        assert own.tree.xpath("//svg[@aria-labelledby='course-KPI-4-title course-KPI-4-desc']")
        other = (await visitor.page(f"/hybrid/{OTHER}")).text
        assert f"Not held against {target}" in other


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
            for row in page.tree.xpath("//table[caption[@id='course-KPI-2-caption']]//tbody/tr")
        }
        counted, over, share, *reached = told[f"Q4 {last}"]
        assert (counted, over) == ("20", "25") and share == "80%" and len(told) == 8
        assert reached and all("✓ reached" in one for one in reached)
        for wrong in ("1", f"{last}-Q5", str(TODAY.year + 1), f"{last}-q1"):
            answer = await member.http.get(f"{region.portal}/hybrid?period={wrong}")
            assert answer.status_code == 400, wrong
    async with Member(region) as visitor:
        page = await visitor.page(f"/hybrid?period={last}-Q4")
        assert not page.tree.xpath("//table[caption[@id='course-people-caption']]")
        assert "about 25" in page.text
