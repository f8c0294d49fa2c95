"""What was replaced in the inventory of hybrid care stays: lists of blocks, what was recorded of a pathway, and by
which rules a record was counted."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import date, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio

from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Conflict
from schakel.roadmap.hybrid import blocks
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms
from schakel.roadmap.hybrid.store import Inventory
from schakel.store.database import connect, disconnect
from schakel.store.migrations import migrate

HERE = "90000001"
TODAY = now().astimezone(AMSTERDAM).date()
BEFORE = Period.quarters(TODAY, 2)[0]
"""The last quarter that is over."""

_WITHOUT_HISTORY = 19
"""The migrations of a program that kept none."""

HEART, OTHER_CODE = "http://snomed.info/sct|84114007", "http://snomed.info/sct|42343007"
PLAN = "http://north.example/PlanDefinition/hartfalen"


@pytest_asyncio.fixture(loop_scope="session")
async def pool(fresh_database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(fresh_database, connections=4)
    yield opened
    await disconnect(opened)


@pytest.fixture
def inventory(pool: asyncpg.Pool) -> Inventory:
    return Inventory(pool, 1, Pseudonyms(b"k" * 32))


def row(pathway: str = "hartfalen", /, **changes: object) -> dict[str, object]:
    return {
        "id": pathway,
        "name": pathway.title(),
        "sector": "MSZ",
        "suitability": "yes",
        "decided_by": "vakgroep",
        "decided_on": (BEFORE.start - timedelta(days=400)).isoformat(),
        "reason": "past",
        "indication": HEART,
        "plan": PLAN,
        **changes,
    }


async def send(inventory: Inventory, *rows: dict[str, object], account: str = "north") -> None:
    await inventory.add_pathways(orjson.dumps(rows), HERE, "Here", account)


def listed(version: str, *codes: str) -> bytes:
    """A list in which the codes with an X are basic functions, and the others care and treatment."""
    words = {"nl": version, "en": version}
    rows = [
        {"code": code, "group": "basic" if code[0] == "X" else "care", "title": words, "about": words}
        for code in codes
    ]
    return orjson.dumps({"version": version, "title": words, "blocks": rows})


async def set_back(pool: asyncpg.Pool, table: str, column: str, day: date) -> None:
    """Lets what was written a moment ago have been written on `day`."""
    await pool.execute(
        f"UPDATE {table} SET {column} = ($1::date + time '12:00') AT TIME ZONE 'Europe/Amsterdam' "
        f"WHERE {column} > now() - interval '1 hour'",
        day,
    )


async def hybrid(inventory: Inventory, period: Period | None) -> dict[str, bool]:
    shown = await inventory.overview(period)
    return {one.pathway.id: one.verdict.hybrid for one in shown.region.pathways}


async def test_a_replaced_list_stays_with_who_brought_it_and_when(inventory: Inventory) -> None:
    await inventory.import_blocks(listed("own", "X1", "Y1"), "first")
    await inventory.import_blocks(listed("own-2", "X1", "Y2"), "second")
    present, replaced, shipped = await inventory.lists()
    assert [one.account for one in (present, replaced, shipped)] == ["second", "first", ""]
    assert [block.code for block in replaced.blocks.blocks] == ["X1", "Y1"]
    assert shipped.blocks == blocks.shipped() and shipped.since is None
    assert (shipped.until, replaced.until, present.until) == (replaced.since, present.since, None)
    assert present.since is not None and present.since <= now()


async def test_a_version_of_a_list_has_one_name_and_the_list_in_force_is_not_brought_twice(
    inventory: Inventory,
) -> None:
    await inventory.import_blocks(listed("own", "X1", "Y1"), "first")
    await inventory.import_blocks(listed("own", "X1", "Y1"), "second")
    assert [one.account for one in await inventory.lists()] == ["first", ""]
    table = orjson.loads(blocks.shipped_body())
    for taken in (listed("own", "X1", "Y2"), orjson.dumps({**table, "blocks": table["blocks"][:12]})):
        with pytest.raises(Conflict, match="a version of its own"):
            await inventory.import_blocks(taken, "third")
    assert len(await inventory.lists()) == 2


async def test_a_period_is_judged_by_the_list_and_the_blocks_of_its_end(
    inventory: Inventory, pool: asyncpg.Pool
) -> None:
    await inventory.import_blocks(listed("old", "X1", "Y1"), "north")
    await send(inventory, row(X1="yes", Y1="yes"), row("copd", X1="yes"))
    for table, column in (("hybrid_blocks", "made"), ("hybrid_version", "recorded")):
        await set_back(pool, table, column, BEFORE.end)
    await inventory.import_blocks(listed("new", "X1", "Y2"), "north")
    then, today = await inventory.overview(BEFORE), await inventory.overview()
    assert then.judged_by.blocks.version == "old" and then.judged_by.until is not None
    assert today.judged_by.blocks.version == "new" and today.judged_by.until is None
    assert await hybrid(inventory, BEFORE) == {"hartfalen": True, "copd": False}
    assert await hybrid(inventory, None) == {"hartfalen": False, "copd": False}
    # What is recorded by the new list says nothing of how it was judged by the old one.
    await send(inventory, row(X1="yes"), row("copd", X1="2020-01-01", Y2="2020-01-01"))
    assert await hybrid(inventory, BEFORE) == {"hartfalen": True, "copd": False}
    assert await hybrid(inventory, None) == {"hartfalen": False, "copd": True}
    *earlier, newest = await inventory.course()
    assert earlier[-1].judged_by.blocks.version == "old" and newest.judged_by.blocks.version == "new"


async def test_pathways_that_came_after_a_list_was_replaced_are_judged_by_their_own(
    inventory: Inventory,
) -> None:
    """A region that brings its list first has no past without hybrid care because of that."""
    await inventory.import_blocks(listed("own", "X1", "Y1"), "north")
    await send(inventory, row(X1="2020-01-01", Y1="2020-01-01"))
    shown = await inventory.overview(BEFORE)
    assert (shown.judged_by.blocks.version, shown.judged_by.until) == ("own", None)
    assert await hybrid(inventory, BEFORE) == {"hartfalen": True}


async def test_one_that_came_later_does_not_change_by_which_list_the_others_are_judged(
    inventory: Inventory, pool: asyncpg.Pool
) -> None:
    await inventory.import_blocks(listed("old", "X1", "Y1"), "north")
    await send(inventory, row(X1="yes", Y1="yes"))
    for table, column in (("hybrid_blocks", "made"), ("hybrid_version", "recorded")):
        await set_back(pool, table, column, BEFORE.end)
    await inventory.import_blocks(listed("new", "X1", "Y2"), "north")
    await send(inventory, row("copd", X1="2020-01-01", Y2="2020-01-01"))
    shown = await inventory.overview(BEFORE)
    assert shown.judged_by.blocks.version == "old"
    assert {one.pathway.id: one.blocks.version for one in shown.region.pathways} == {
        "hartfalen": "old",
        "copd": "new",
    }
    assert await hybrid(inventory, BEFORE) == {"hartfalen": True, "copd": True}


async def test_what_was_recorded_of_a_pathway_stays_with_who_and_when_also_when_it_goes(
    inventory: Inventory,
) -> None:
    await send(inventory, row(B1="2026-01-02", excludes="frailty"), account="first")
    await send(inventory, row(B1="2026-01-02", excludes="frailty"), account="again")
    await send(inventory, row(B1="2026-01-02", C6="yes", indication=OTHER_CODE), account="second")
    await inventory.remove(HERE, "hartfalen")
    last, first = await inventory.recorded(HERE, "hartfalen")
    assert [one.account for one in (last, first)] == ["second", "first"] and first.at < last.at
    assert [[d.code for d in one.digitised] for one in (last, first)] == [["B1", "C6"], ["B1"]]
    assert (first.indication, last.indication) == ((HEART,), (OTHER_CODE,))
    assert (first.excludes, last.excludes) == (frozenset({"frailty"}), frozenset[str]())
    assert first.digitised[0].since == date(2026, 1, 2) and first.list == blocks.shipped().version
    assert await inventory.recorded(HERE, "copd") == ()


@pytest.mark.parametrize(
    ("changes", "older"),
    [
        ({}, False),
        ({"C6": "yes", "specialism": "other", "excludes": "frailty"}, False),
        ({"indication": f"{HEART} {HEART}"}, False),
        ({"indication": OTHER_CODE}, True),
        ({"plan": f"{PLAN} {PLAN}-2"}, True),
    ],
    ids=["nothing", "what is no rule", "the same rule twice", "the indication", "the plan"],
)
async def test_a_count_by_rules_that_were_changed_says_so_until_it_is_counted_anew(
    inventory: Inventory, changes: dict[str, str], older: bool
) -> None:
    year = str(TODAY.year)
    counted = [
        {
            "pathway": "hartfalen",
            "bsn": "999911120",
            "eligible_from": f"{year}-01-01",
            "eligible_until": f"{year}-12-31",
        }
    ]
    await send(inventory, row(), row("copd"))
    await inventory.replace_count(orjson.dumps(counted), HERE, "hartfalen", year, "counter")
    await send(inventory, row(**changes))
    shown = await inventory.overview()
    [made] = shown.pathway(HERE, "hartfalen").counts
    assert (made.year, made.people, made.account, made.older) == (year, 1, "counter", older)
    assert [one.pathway.id for one in shown.region.counted_before(shown.period)] == ["hartfalen"] * older
    assert shown.pathway(HERE, "copd").counts == ()
    before = await inventory.overview(Period.of(str(TODAY.year - 2)))
    assert before.region.counted_before(before.period) == ()
    await inventory.replace_count(orjson.dumps(counted), HERE, "hartfalen", year, "counter")
    [made] = (await inventory.overview()).pathway(HERE, "hartfalen").counts
    assert not made.older


async def test_another_tenant_has_a_history_of_its_own(inventory: Inventory, pool: asyncpg.Pool) -> None:
    await inventory.import_blocks(listed("own", "X1", "Y1"), "north")
    await send(inventory, row(X1="yes"))
    other = Inventory(pool, 2, Pseudonyms(None))
    assert [one.number for one in await other.lists()] == [0]
    assert await other.recorded(HERE, "hartfalen") == ()
    await other.import_blocks(listed("own", "X1", "Y1"), "south")


async def test_an_inventory_of_before_there_was_a_history_begins_with_what_it_had(
    fresh_database: str, tmp_path: Path
) -> None:
    with as_file(files("schakel.store") / "migrations") as folder:
        for path in sorted(folder.glob("*.sql"))[:_WITHOUT_HISTORY]:
            shutil.copy(path, tmp_path)
    older: asyncpg.Connection[Any] = await asyncpg.connect(fresh_database)
    try:
        assert len(await migrate(older, tmp_path)) == _WITHOUT_HISTORY
        await older.execute(
            "INSERT INTO hybrid_blocks (tenant, body, account, made) "
            "VALUES (1, $1, 'north', now() - interval '2 days')",
            listed("own", "X1", "Y1"),
        )
        await older.execute(
            "INSERT INTO hybrid_organisation (tenant, ura, name) VALUES (1, $1, 'Here')", HERE
        )
        await older.execute(
            "INSERT INTO hybrid_pathway SELECT 1, $1, name, name, 'MSZ', '', '', true, '', '{}', '', '', '', "
            """'[{"code": "X1", "since": "2020-01-01", "source": ""}, {"code": "Y1", "since": null, "source": ""}]', """
            "'{}', '{a|1}', '{b|2}', now() - ago FROM (VALUES ('later', interval '1 day'), "
            "('earlier', interval '3 days')) AS v (name, ago)",
            HERE,
        )
        await older.execute(
            "INSERT INTO hybrid_decision (tenant, ura, pathway, suitability, decided_by, decided_on, reason, account) "
            "SELECT 1, $1, name, 'yes', 'x', '2020-01-01', 'x', 'north' FROM unnest('{later,earlier}'::text[]) name",
            HERE,
        )
    finally:
        await older.close()
    pool = await connect(fresh_database)
    try:
        inventory = Inventory(pool, 1, Pseudonyms(None))
        assert await hybrid(inventory, None) == {"earlier": True, "later": True}
        [later], [earlier] = [await inventory.recorded(HERE, name) for name in ("later", "earlier")]
        assert (later.list, earlier.list) == ("own", blocks.shipped().version)
        assert (later.account, later.indication, later.plan) == ("", ("a|1",), ("b|2",))
        assert later.at < now() - timedelta(hours=23)
    finally:
        await disconnect(pool)
