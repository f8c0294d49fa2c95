"""The board at the internal door: who may write what, what comes out, and what is refused and why."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.nodes import RunningNode, databases, running_node
from tests.standings import DAY, HOSPITAL, PRACTICE, SMALL, finding, item, roadmap, run, step

from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel.roadmap import reading, wire
from schakel.roadmap.evidence import Finding, Member, Run
from schakel.roadmap.reading import shipped
from schakel.roadmap.shown import COLUMNS
from schakel.store.embedded import EmbeddedServer

KEEPER, OTHER = HOSPITAL, PRACTICE
"""The organisations of the node: a keeps the board, b does not."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with (
        databases(cluster, "roadmap_door") as make,
        running_node(
            make,
            organisations=("a", "b"),
            roadmap={
                "keepers": ("a",),
                "region": "Noord",
                "members": 2,
                "findings": 3,
                "file_bytes": 3_000_000,
            },
        ) as running,
    ):
        yield running


async def ask(
    node: RunningNode, slug: str, path: str, body: bytes | None = None, *, key: str | None = None
) -> httpx.Response:
    """Asks the door of an organisation, with its own key unless another is given; posts `body` when there is one."""
    one = node[slug]
    url = f"{one.internal_root}/{slug}/roadmap/{path}"
    shown = {"X-API-Key": one.key if key is None else key}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await (
            client.get(url, headers=shown) if body is None else client.post(url, content=body, headers=shown)
        )


_runs = iter(range(1, 1000))


def fresh(*found: tuple[str, Finding], members: tuple[Member, ...] = (KEEPER, OTHER), **changes: Any) -> Run:
    """A run of now, with an id of its own."""
    return run(*found, id=f"door-{next(_runs)}", at=now(), members=members, **changes)


async def send(node: RunningNode, slug: str, one: Run) -> httpx.Response:
    return await ask(node, slug, "runs", wire.dump(one))


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """What a refusal says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    told: str = answer.json()["detail"]
    return told


# -- runs --------------------------------------------------------------------------------------------------------------


async def test_a_keeper_sends_what_was_found_in_the_region_and_it_is_on_the_board(node: RunningNode) -> None:
    one = fresh((KEEPER.ura, finding("tls")), (OTHER.ura, finding("tls", "fails")))
    answer = await send(node, "a", one)
    assert (answer.status_code, answer.json()) == (201, {"id": one.id, "added": True})
    again = await send(node, "a", one)
    assert (again.status_code, again.json()) == (200, {"id": one.id, "added": False})
    for slug in "ab":
        told = (await ask(node, slug, "runs?count=1")).json()["runs"]
        assert [(run["id"], run["sender"], run["whole"]) for run in told] == [
            (one.id, "Organisation a", True)
        ]
        board = (await ask(node, slug, "board")).json()
        assert board["region"] == "Noord"
        assert board["last_run"]["id"] == one.id
        assert {member["ura"] for member in board["members"]} == {KEEPER.ura, OTHER.ura}
        assert len(board["cells"]) == 2 * len(shipped().items)


async def test_a_run_of_another_region_changes_nothing_on_the_board(node: RunningNode) -> None:
    before = (await ask(node, "a", "board")).json()["members"]
    foreign = replace(fresh((KEEPER.ura, finding("tls")), members=(KEEPER,)), region="Zuid")
    assert "'Zuid'" in refused(await send(node, "a", foreign), 400, "run-of-another-region")
    assert (await ask(node, "a", "board")).json()["members"] == before


async def test_a_keeper_that_speaks_for_itself_leaves_the_others_on_the_board(node: RunningNode) -> None:
    assert (await send(node, "a", fresh())).status_code == 201
    one = fresh((KEEPER.ura, finding("tls")), members=(KEEPER,))
    answer = await ask(node, "a", "runs?about=self", wire.dump(one))
    assert answer.status_code == 201, answer.text
    board = (await ask(node, "a", "board")).json()
    assert {member["ura"] for member in board["members"]} == {KEEPER.ura, OTHER.ura}
    both = await ask(node, "a", "runs?about=self", wire.dump(fresh((OTHER.ura, finding("tls")))))
    assert OTHER.ura in refused(both, 403, "no-keeper")
    assert "about" in refused(await ask(node, "a", "runs?about=all", wire.dump(fresh())), 400, "invalid")


async def test_an_organisation_that_is_no_keeper_says_what_was_found_about_itself(node: RunningNode) -> None:
    one = fresh((OTHER.ura, finding("tls")), members=(OTHER,))
    assert (await send(node, "b", one)).status_code == 201
    told = (await ask(node, "a", "runs?count=1")).json()["runs"][0]
    assert (told["id"], told["sender"], told["whole"]) == (one.id, "Organisation b", False)


async def test_it_says_nothing_about_another(node: RunningNode) -> None:
    both = fresh((OTHER.ura, finding("tls")), (KEEPER.ura, finding("tls", "fails")))
    told = refused(await send(node, "b", both), 403, "no-keeper")
    assert KEEPER.ura in told and "members[0]" in told and "roadmap.keepers" in told
    alone = fresh((OTHER.ura, finding("tls")), members=(OTHER, KEEPER))
    assert "members[1]" in refused(await send(node, "b", alone), 403, "no-keeper")
    other = fresh((KEEPER.ura, finding("tls")), members=(KEEPER,))
    refused(await send(node, "b", other), 403, "no-keeper")
    known = {one["id"] for one in (await ask(node, "a", "runs")).json()["runs"]}
    assert not known & {both.id, alone.id, other.id}


async def test_what_it_says_of_itself_moves_nobody_off_the_board(node: RunningNode) -> None:
    await send(node, "a", fresh())
    renamed = replace(OTHER, name="Somebody else", sector="MSZ")
    assert (await send(node, "b", fresh(members=(renamed,)))).status_code == 201
    members = (await ask(node, "a", "board")).json()["members"]
    assert {one["ura"]: (one["name"], one["sector"]) for one in members} == {
        KEEPER.ura: (KEEPER.name, KEEPER.sector),
        OTHER.ura: (OTHER.name, OTHER.sector),
    }


WRONG_RUNS: dict[str, tuple[bytes, int, str]] = {
    "no JSON": (b"{", 400, "run-invalid"),
    "nothing": (b"", 400, "run-invalid"),
    "a run of another form": (b'{"format": "other"}', 400, "run-invalid"),
    "too many members": (
        wire.dump(fresh(members=(KEEPER, OTHER, replace(OTHER, ura="90000003")))),
        413,
        "too-large",
    ),
    "too many findings": (
        wire.dump(fresh(*((KEEPER.ura, finding(f"check-{n}")) for n in range(4)))),
        413,
        "too-large",
    ),
    "a run of tomorrow": (wire.dump(run(id="tomorrow", at=now() + DAY)), 400, "run-in-the-future"),
}


@pytest.mark.parametrize("case", WRONG_RUNS)
async def test_a_run_with_one_thing_wrong_is_refused(node: RunningNode, case: str) -> None:
    body, status, code = WRONG_RUNS[case]
    refused(await ask(node, "a", "runs", body), status, code)


async def test_a_run_whose_id_is_taken_is_refused(node: RunningNode) -> None:
    one = fresh()
    await send(node, "a", one)
    refused(await send(node, "a", replace(one, by="another")), 409, "run-taken")


@pytest.mark.parametrize(
    "query", ["runs?count=0", "runs?count=1001", "runs?count=x", "runs?most=1", "board?format=xml"]
)
async def test_a_parameter_that_is_not_right_is_refused(node: RunningNode, query: str) -> None:
    refused(await ask(node, "a", query), 400, "invalid")


@pytest.mark.parametrize("path", ["runs", "versions", "board"])
async def test_the_door_opens_with_the_organisations_own_key_only(node: RunningNode, path: str) -> None:
    refused(await ask(node, "a", path, key="key-of-nobody-at-all"), 401, "key-unknown")
    refused(await ask(node, "a", path, key=""), 401, "key-missing")
    refused(await ask(node, "a", path, key=node["b"].key), 403, "key-other-organisation")
    assert (await ask(node, "a", path)).status_code == 200


async def test_a_node_that_keeps_no_board_says_so(cluster: EmbeddedServer) -> None:
    async with databases(cluster, "roadmap_none") as make, running_node(make, organisations=("a",)) as bare:
        for path in ("runs", "versions", "board"):
            assert "roadmap.keepers" in refused(await ask(bare, "a", path), 404, "board-unknown")


async def test_a_keeper_must_be_an_organisation_of_the_node(cluster: EmbeddedServer) -> None:
    async with databases(cluster, "roadmap_keeper") as make:
        with pytest.raises((Invalid, ValueError), match=r"roadmap\.keepers names 'elsewhere'"):
            async with running_node(make, organisations=("a",), roadmap={"keepers": ("elsewhere",)}):
                pass


# -- the board ---------------------------------------------------------------------------------------------------------


async def test_the_board_comes_out_as_a_table_without_formulas(node: RunningNode) -> None:
    formula = replace(OTHER, name="=HYPERLINK(1)")
    await send(node, "a", fresh((KEEPER.ura, finding("tls")), members=(KEEPER, formula)))
    answer = await ask(node, "b", "board?format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 1 + 2 * len(shipped().items)
    assert {row[1] for row in rows[1:]} == {KEEPER.name, "'=HYPERLINK(1)"}


# -- versions ----------------------------------------------------------------------------------------------------------


async def test_only_a_keeper_says_which_roadmap_is_in_force(cluster: EmbeddedServer) -> None:
    setting = {"keepers": ("a",), "file_bytes": 20_000}
    async with (
        databases(cluster, "roadmap_versions") as make,
        running_node(make, organisations=("a", "b"), roadmap=setting) as own,
    ):
        body = reading.dump(SMALL)
        refused(await ask(own, "b", "versions", body), 403, "no-keeper")
        assert (await ask(own, "a", "versions")).json() == {"versions": []}
        answer = await ask(own, "a", "versions", body)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["version"], answer.json()["before"]) == ("1", shipped().version)
        newer = roadmap(*SMALL.items, item("GF-3", step("GF-3.S1")), version="2")
        changes = (await ask(own, "a", "versions", reading.dump(newer))).json()["changes"]
        assert [(one["kind"], one["item"]) for one in changes] == [("added", "GF-3")]
        assert "GF-3" in changes[0]["words"]["nl"]
        told = (await ask(own, "b", "versions")).json()["versions"]
        assert [(one["version"], one["by"]) for one in told] == [
            ("2", "Organisation a"),
            ("1", "Organisation a"),
        ]
        assert (await ask(own, "b", "board")).json()["roadmap"] == "2"
        refused(await ask(own, "a", "versions", body), 409, "version-taken")
        broken = orjson.dumps({**orjson.loads(body), "version": "3", "items": 7})
        assert (await ask(own, "a", "versions", broken)).status_code == 400
        assert "roadmap.file_bytes" in refused(
            await ask(own, "a", "versions", b" " * 20_001), 413, "too-large"
        )
        assert (await ask(own, "b", "board")).json()["roadmap"] == "2"
