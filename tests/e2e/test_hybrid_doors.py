"""Hybrid care at the internal door of a running node: files come in, and the figures follow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson
import pytest
from tests.hybrid_node import (
    BSN,
    TODAY,
    ask,
    figure,
    inventory,
    join,
    pathway,
    person,
    sent,
    taking_part,
)
from tests.hybrid_node import region as region
from tests.hybrid_node import running as running
from tests.nodes import MakeDatabase
from tests.staff import OTHER, OWN, Member, Region, portal_node

from schakel.commands import hybrid
from schakel.commands.doors import Door
from schakel.demo import cast
from schakel.demo.doors import Client
from schakel.demo.roadmap import hybrid as demo_hybrid
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.hybrid import blocks


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
