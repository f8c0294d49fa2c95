"""Two operators in separate processes, either killed (kill -9) at each step of registering, publishing, following and
asking: afterwards index, directory and logs agree, and the next question gets its answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from tests.fault.test_kill_at_the_guarded_door import restarted_to_die_at
from tests.lrza import location
from tests.nation import HOLDER
from tests.operators import Gate
from tests.two_operators import THIRD, Told, Two, eventually, two_operators

pytestmark = pytest.mark.slow

BEFORE, AFTER = False, True
ASKED = 27
"""Searches of one question to one holder."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def both(open_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    async with two_operators(open_folder, tmp_path_factory.mktemp("nation")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def two(both: Two) -> Two:
    """Both, running, whatever the test before left."""
    for site in (both.holder, both.asker):
        if site.process.poll() is not None:
            await site.start()
    return both


async def test_without_a_kill_everything_agrees(two: Two) -> None:
    bsn = await two.patient()
    await two.asked(bsn)
    assert len(two.given) == ASKED
    await two.agree(bsn)


# -- the holder registers ------------------------------------------------------------------------------------


async def test_a_holder_killed_right_after_it_answered_a_write_registers_it(two: Two) -> None:
    bsn = await two.patient(until_registered=False)
    await two.holder.kill()
    await two.holder.start()
    await two.registered(bsn)
    await two.asked(bsn)
    await two.agree(bsn)


@pytest.mark.parametrize(
    ("facility", "after"),
    [("prs", BEFORE), ("prs", AFTER), ("nvi", BEFORE), ("nvi", AFTER)],
    ids=[
        "the pseudonym is asked",
        "the pseudonym is made",
        "the registration is sent",
        "the registration is there",
    ],
)
async def test_a_holder_killed_while_it_registers_is_in_the_index_once(
    two: Two, facility: str, after: bool
) -> None:
    async with Gate(two.registering.between[facility], "POST", after=after) as gate:
        bsn = await two.patient(until_registered=False)
        await gate.reached()
        await two.holder.kill()
    await two.holder.start()
    await two.registered(bsn)
    await two.asked(bsn)
    await two.agree(bsn)


# -- the holder publishes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [BEFORE, AFTER], ids=["sent", "there"])
@pytest.mark.parametrize("method", ["POST", "PUT"], ids=["a new entry", "a changed entry"])
async def test_a_holder_killed_while_it_publishes_has_each_entry_there_once(
    two: Two, method: str, after: bool
) -> None:
    name = f"Gebouw {method} {after}"
    await two.holder.kill()
    two.place(name, key="main" if method == "PUT" else f"wing-{int(after)}")
    async with Gate(two.registering.between["lrza"], method, after=after) as gate:
        await two.holder.start()
        await gate.reached()
        await two.holder.kill()
    await two.holder.start()
    await two.agree()
    names = [one["name"] for one in (await two.central()).values() if "name" in one]
    assert names.count(name) == 1


# -- the asker follows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "after"),
    [(1, AFTER), (3, BEFORE), (5, AFTER)],
    ids=["at the first page", "between pages", "when a later page was sent"],
)
async def test_an_asker_killed_between_pages_has_what_the_directory_has(
    two: Two, page: int, after: bool
) -> None:
    between = two.asking.between["lrza"]
    async with Gate(between, "GET", after=after, number=page) as gate:
        owner = {"reference": f"Organization/organisation-{THIRD}"}
        for number in range(7):  # More than two pages.
            made = location(owner, name=f"Locatie {page} {after} {number}")
            async with between.session.post(f"{between.target}/fhir/Location", json=made) as answer:
                assert answer.status == 201, await answer.text()
        await gate.reached()
        await two.asker.kill()
    await two.asker.start()
    await two.agree()


# -- the asker asks ------------------------------------------------------------------------------------------


async def asked_until_it_is_gone(two: Two, bsn: str) -> Told:
    """What the EHR was told of a question at which the asker died."""
    with contextlib.suppress(aiohttp.ClientError):
        await two.ask(bsn)
    told = two.told[-1]
    assert told.patient == bsn and told.whole == {}
    return told


@pytest.mark.parametrize(
    ("way", "method", "after", "number"),
    [
        ("prs", "POST", BEFORE, 1),
        ("nvi", "GET", BEFORE, 1),
        ("nvi", "GET", AFTER, 1),
        ("holder", "POST", BEFORE, 1),
        ("holder", "POST", AFTER, 1),
        ("holder", "GET", BEFORE, 1),
        ("holder", "GET", AFTER, ASKED // 2 + 1),
        ("holder", "GET", AFTER, ASKED),
    ],
    ids=[
        "it asks for a pseudonym",
        "it looks for who has data",
        "the index has answered",
        "it knows who has data and where they are",
        "a token was made",
        "it has its token",
        "it has half of the answers",
        "it has all answers but one",
    ],
)
async def test_an_asker_killed_while_it_asks_has_told_nothing_that_is_not_logged(
    two: Two, way: str, method: str, after: bool, number: int
) -> None:
    bsn = await two.patient()
    between = two.between if way == "holder" else two.asking.between[way]
    async with Gate(between, method, after=after, number=number) as gate:
        asking = asyncio.create_task(asked_until_it_is_gone(two, bsn))
        await gate.reached()
        await two.asker.kill()
        told = await asking
    assert [one["ura"] for one in told.located.get("holders", [])] == ([HOLDER] if way == "holder" else [])
    assert told.holders == []
    await two.asker.start()
    assert await two.events(two.asker, "zuid", bsn, "exchange") == []
    await two.asked(bsn)
    await two.agree(bsn)


async def test_an_asker_killed_as_soon_as_it_told_who_was_found_agrees(two: Two) -> None:
    bsn = await two.patient()
    told = await two.ask(bsn, until="localised")
    await two.asker.kill()
    assert [one["ura"] for one in told.located["holders"]] == [HOLDER]
    await two.asker.start()
    await two.asked(bsn)
    await two.agree(bsn)


# -- the holder is asked -------------------------------------------------------------------------------------


async def test_a_holder_killed_halfway_is_told_as_incomplete_and_its_answers_are_in_its_log(two: Two) -> None:
    bsn = await two.patient()
    half = ASKED // 2
    before = len(two.given)
    async with Gate(two.between, "GET", number=half + 1) as gate:
        asking = asyncio.create_task(two.ask(bsn))
        await gate.reached()

        async def came_through() -> bool:
            return len(two.given) - before == half

        await eventually(came_through, "half of the answers")
        await two.holder.kill()
    told = await asking
    [holder] = told.holders
    came = [one["decision"] for one in holder["requests"] if one["status"] == "complete"]
    assert (told.status, holder["status"]) == ("incomplete", "incomplete")
    assert sorted(came) == sorted(two.given[before:])
    await two.holder.start()
    await two.asked(bsn)
    await two.agree(bsn)


@pytest.mark.parametrize(
    ("module", "name", "logged"),
    [
        ("schakel.generic.identity.tokens.rows", "digest", False),
        ("schakel.gateway.acts", "minimise", False),
        ("schakel.gateway.pipeline", "_with_decision", True),
    ],
    ids=["it gives a token", "it judges", "its log is written"],
)
async def test_a_holder_killed_at_a_step_of_its_answer_told_nothing_that_is_not_in_its_log(
    two: Two, monkeypatch: pytest.MonkeyPatch, module: str, name: str, logged: bool
) -> None:
    bsn = await two.patient()
    before = len(two.given)
    await restarted_to_die_at(two.holder, monkeypatch, module, name)
    told = await two.ask(bsn)
    [holder] = told.holders
    assert holder["status"] == told.status == "failed", holder
    assert holder["entry"] == [] and len(two.given) == before
    await two.holder.ended()
    await two.holder.start()
    shown = [one for one in await two.events(two.holder, "noord", bsn) if f"{bsn}/_history/" in str(one)]
    assert bool(shown) == logged
    await two.asked(bsn)
    await two.agree(bsn)


# -- afterwards ----------------------------------------------------------------------------------------------


async def test_afterwards_both_operators_find_nothing_wrong(two: Two) -> None:
    bsn = await two.patient()
    await two.asked(bsn)
    await two.agree(bsn)
    await two.nothing_is_wrong()
