"""The inventory of hybrid care in a database: imports that are whole, decisions that stay, people counted once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta

import asyncpg
import orjson
import pytest
import pytest_asyncio

from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.roadmap.hybrid import blocks, figures
from schakel.roadmap.hybrid.model import Decision
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms
from schakel.roadmap.hybrid.store import Inventory
from schakel.store.database import connect, disconnect

HERE, THERE = "90000001", "90000002"
BSN = "999911120"
TODAY = now().astimezone(AMSTERDAM).date()
KEY = Pseudonyms(b"k" * 32)


def day(ago: int) -> str:
    return (TODAY - timedelta(days=ago)).isoformat()


def pathway(name: str = "hartfalen", **changes: object) -> dict[str, object]:
    return {
        "id": name,
        "name": name.title(),
        "sector": "MSZ",
        "suitability": "yes",
        "decided_by": "vakgroep",
        "decided_on": day(300),
        "reason": "past",
        "B1": day(200),
        "C6": True,
        **changes,
    }


def person(who: str = "a-person-of-the-region", **changes: object) -> dict[str, object]:
    return {"pathway": "hartfalen", "pseudonym": who, "eligible_from": day(100), **changes}


def taking_part(who: str = "a-person-of-the-region", **changes: object) -> dict[str, object]:
    return person(who, **{"enrolled_from": day(90), "last_event": day(3), **changes})


@pytest_asyncio.fixture(loop_scope="session")
async def pool(fresh_database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(fresh_database, connections=4)
    yield opened
    await disconnect(opened)


@pytest.fixture
def inventory(pool: asyncpg.Pool) -> Inventory:
    return Inventory(pool, 1, KEY)


async def add(inventory: Inventory, *rows: dict[str, object], ura: str = HERE) -> int:
    return (await inventory.add_pathways(orjson.dumps(rows), ura, f"Organisation {ura}", "key")).decisions


async def people(inventory: Inventory, *rows: dict[str, object], ura: str = HERE) -> None:
    await inventory.replace_people(orjson.dumps(rows), ura)


async def test_what_is_sent_is_shown_and_sending_it_again_changes_nothing(inventory: Inventory) -> None:
    for expected in (1, 0):
        assert await add(inventory, pathway()) == expected
        await people(inventory, taking_part(), person("another-person-here"))
        shown = await inventory.overview()
        view = shown.pathway(HERE, "hartfalen")
        assert (view.verdict.hybrid, view.tally.eligible, view.tally.active) == (True, 2, 1)
        assert len(await inventory.history(HERE, "hartfalen")) == 1


async def test_a_file_with_one_wrong_row_is_not_taken_at_all(inventory: Inventory) -> None:
    await add(inventory, pathway())
    await people(inventory, taking_part())
    with pytest.raises(Invalid, match=r"pathways\[1\], column suitability"):
        await add(inventory, pathway("copd"), pathway("astma", suitability="perhaps"))
    with pytest.raises(Invalid, match=r"people\[1\], column pathway"):
        await people(inventory, person("another-person-here"), person(pathway="copd"))
    shown = await inventory.overview()
    assert [one.pathway.id for one in shown.region.pathways] == ["hartfalen"]
    assert shown.region.everybody.active == 1


async def test_a_person_at_two_organisations_is_counted_once_in_the_region(inventory: Inventory) -> None:
    for ura in (HERE, THERE):
        await add(inventory, pathway(), ura=ura)
        await people(inventory, {**taking_part(), "pseudonym": "", "bsn": BSN}, ura=ura)
    shown = await inventory.overview()
    assert [shown.part(ura).tally.active for ura in (HERE, THERE)] == [1, 1]
    assert shown.region.tally.active == 1
    assert [(one.top, one.under) for one in shown.region.figures if one.kpi == figures.SCALE] == [(1, None)]


async def test_no_bsn_is_kept_anywhere(inventory: Inventory, pool: asyncpg.Pool) -> None:
    await add(inventory, pathway())
    await people(inventory, {**taking_part(), "pseudonym": "", "bsn": BSN})
    for table in ("hybrid_person", "hybrid_pathway", "hybrid_decision", "hybrid_organisation"):
        rows = await pool.fetch(f"SELECT t::text AS line FROM {table} t WHERE tenant = 1")
        assert rows and not [row["line"] for row in rows if BSN in row["line"]]


async def test_without_a_key_a_file_with_bsns_is_refused_and_one_with_pseudonyms_taken(
    pool: asyncpg.Pool,
) -> None:
    keyless = Inventory(pool, 1, Pseudonyms(None))
    await add(keyless, pathway())
    with pytest.raises(Invalid, match=r"roadmap\.pseudonym_key"):
        await people(keyless, {**taking_part(), "pseudonym": "", "bsn": BSN})
    await people(keyless, taking_part())
    assert (await keyless.overview()).region.tally.active == 1


async def test_people_of_other_pathways_stay_when_those_of_one_are_replaced(inventory: Inventory) -> None:
    await add(inventory, pathway(), pathway("copd"))
    await people(inventory, taking_part(), person("another-person-here", pathway="copd"))
    await people(inventory, person("a-third-person-here"))
    shown = await inventory.overview()
    found = [shown.pathway(HERE, name).tally for name in ("hartfalen", "copd")]
    assert [(one.eligible, one.active) for one in found] == [(1, 0), (1, 0)]


async def test_the_later_decision_counts_also_when_an_older_file_comes_again(inventory: Inventory) -> None:
    await add(inventory, pathway(suitability="undecided", decided_by="bestuur", reason=""))
    decided = Decision("no", "vakgroep", TODAY, "te weinig patiënten")
    assert await inventory.decide(HERE, "hartfalen", decided, "subject-1")
    assert not await inventory.decide(HERE, "hartfalen", decided, "subject-1")
    await add(inventory, pathway(suitability="undecided", decided_by="bestuur", reason=""))
    assert (await inventory.overview()).pathway(HERE, "hartfalen").pathway.decision == decided
    history = await inventory.history(HERE, "hartfalen")
    assert [(one.decision.suitability, one.account) for one in history] == [
        ("no", "subject-1"),
        ("undecided", "key"),
    ]


@pytest.mark.parametrize(
    ("decision", "named"),
    [
        (Decision("maybe", "x", TODAY, "x"), "suitability"),  # type: ignore[arg-type]
        (Decision("yes", " ", TODAY, "x"), "decided_by"),
        (Decision("yes", "x", TODAY, " "), "reason"),
        (Decision("yes", "x", TODAY, "x" * 1001), "reason"),
        (Decision("yes", "x", TODAY + timedelta(days=1), "x"), "decided_on"),
        (Decision("yes", "x", date(1989, 12, 31), "x"), "decided_on"),
    ],
)
async def test_a_decision_with_one_thing_wrong_is_refused_by_its_name(
    inventory: Inventory, decision: Decision, named: str
) -> None:
    await add(inventory, pathway())
    with pytest.raises(Invalid) as refused:
        await inventory.decide(HERE, "hartfalen", decision, "subject-1")
    assert refused.value.expression == named
    assert len(await inventory.history(HERE, "hartfalen")) == 1


async def test_a_pathway_that_goes_takes_its_people_along_and_leaves_its_history(
    inventory: Inventory, pool: asyncpg.Pool
) -> None:
    await add(inventory, pathway())
    await people(inventory, taking_part())
    await inventory.remove(HERE, "hartfalen")
    assert not await pool.fetchval("SELECT count(*) FROM hybrid_person WHERE tenant = 1")
    assert len(await inventory.history(HERE, "hartfalen")) == 1
    for lost in (
        inventory.remove(HERE, "hartfalen"),
        inventory.decide(HERE, "x", Decision("no", "x", TODAY, "x"), ""),
    ):
        with pytest.raises(NotFound):
            await lost


async def test_a_list_of_blocks_of_the_region_judges_what_is_there_already(inventory: Inventory) -> None:
    await add(inventory, pathway())
    assert (await inventory.overview()).region.pathways[0].verdict.hybrid
    table = orjson.loads(blocks.shipped_body())
    table["version"] = "own"
    table["blocks"] = [one for one in table["blocks"] if one["code"] != "C6"]
    await inventory.import_blocks(orjson.dumps(table), "key")
    [view] = (await inventory.overview()).region.pathways
    assert (view.verdict.hybrid, view.verdict.unlisted) == (False, ("C6",))
    with pytest.raises(Invalid, match="column c6"):
        await add(inventory, pathway())


async def test_tenants_do_not_see_each_other(inventory: Inventory, pool: asyncpg.Pool) -> None:
    await add(inventory, pathway())
    other = Inventory(pool, 2, KEY)
    assert (await other.overview()).region.pathways == ()
    with pytest.raises(NotFound):
        await other.remove(HERE, "hartfalen")


async def test_what_is_shown_is_kept_until_something_changes_at_any_node(
    inventory: Inventory, pool: asyncpg.Pool
) -> None:
    await add(inventory, pathway())
    first, again = await inventory.overview(), await inventory.overview()
    assert first is again
    await add(Inventory(pool, 1, KEY), pathway("copd"))
    assert len((await inventory.overview()).region.pathways) == 2


async def test_imports_at_the_same_moment_come_one_after_the_other(inventory: Inventory) -> None:
    await add(inventory, pathway())
    files = [[taking_part(f"person-of-file-{n}-{m}") for m in range(20)] for n in range(4)]
    await asyncio.gather(*(people(inventory, *rows) for rows in files))
    assert (await inventory.overview()).region.tally.active == 20


async def test_a_population_stays_until_another_is_told(inventory: Inventory) -> None:
    body = orjson.dumps([pathway()])
    await inventory.add_pathways(body, HERE, "Here", "key", population=1000)
    await inventory.add_pathways(body, HERE, "Here", "key")
    assert (await inventory.overview()).by_ura[HERE].population == 1000
    with pytest.raises(Invalid, match="population"):
        await inventory.add_pathways(body, HERE, "Here", "key", population=0)
