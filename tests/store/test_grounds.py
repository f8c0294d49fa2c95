"""Grounds for disclosure: what is written permits exactly that, for as long as it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from schakel.generic.addressing import Address, ConfiguredDirectory
from schakel.generic.consent import ConsentQuestion, Ground, Grounds, Standings
from schakel.generic.consent.grounds import LONGEST
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Busy, Invalid, NotFound
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer

REQUESTER, STRANGER = "22222222", "33333333"
PATIENT, OTHER = "999911120", "999990019"
QUERY = "Condition?category=problem"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("grounds", "grounds", "secret"))
    yield opened
    await opened.close()
    await cluster.drop_database("grounds", "grounds")


@pytest_asyncio.fixture(loop_scope="session")
async def grounds(pool: asyncpg.Pool) -> Kept:
    await pool.execute("TRUNCATE disclosure_ground")
    return Kept(pool, 1)


class Kept(Grounds):
    """Grounds, with the question that the consent desk asks of them."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        super().__init__(pool, tenant)
        self._standings = Standings(pool, tenant)

    async def permits(self, requester: str, patient: str, exchange: str, query: str = "") -> Ground | None:
        """The active ground that covers this, or None."""
        question = ConsentQuestion(
            patient=patient,
            requester=requester,
            accepted=frozenset({"recorded"}),
            token="token",
            exchange=exchange,
            form=query,
        )
        return (await self._standings.of(question, "", ())).ground


async def write(grounds: Kept, **changes: Any) -> Ground:
    """A ground for the BgZ of the patient until tomorrow, with changes."""
    base: dict[str, Any] = {
        "requester": REQUESTER,
        "patient": PATIENT,
        "exchange": "bgz",
        "until": now() + timedelta(days=1),
        "reason": "referral",
    }
    members = {**base, **changes}
    return await grounds.write(members.pop("requester"), members.pop("patient"), **members)


async def test_a_ground_of_which_the_log_cannot_be_told_is_none_and_one_stays_as_it_is(grounds: Kept) -> None:
    async def away(_: object, ground: Ground) -> None:
        raise Busy(f"the log is away: {ground.reason}")

    with pytest.raises(Busy):
        await write(grounds, told=away)
    assert await grounds.list(patient=PATIENT) == []
    kept = await write(grounds)
    with pytest.raises(Busy):
        await grounds.end(kept.id, away)
    [still] = await grounds.list(patient=PATIENT)
    assert still == kept and still.ended is None


async def test_a_ground_permits_what_it_says(grounds: Kept) -> None:
    written = await write(grounds)
    assert (written.exchange, written.queries, written.reason) == ("bgz", (), "referral")
    assert written.ended is None
    assert await grounds.permits(REQUESTER, PATIENT, "bgz") == written
    assert await grounds.permits(REQUESTER, PATIENT, "bgz", QUERY) == written
    assert await grounds.list() == [written]


@pytest.mark.parametrize(
    ("requester", "patient", "exchange"),
    [
        (STRANGER, PATIENT, "bgz"),
        (REQUESTER, OTHER, "bgz"),
        (REQUESTER, PATIENT, "images"),
        (REQUESTER, PATIENT, ""),
    ],
)
async def test_a_ground_permits_nothing_else(
    grounds: Kept, requester: str, patient: str, exchange: str
) -> None:
    await write(grounds)
    assert await grounds.permits(requester, patient, exchange) is None
    assert await grounds.explain(requester, patient, exchange) == "no-ground"


async def test_a_ground_for_queries_permits_exactly_those(grounds: Kept) -> None:
    written = await write(grounds, exchange="", queries=(QUERY, "AllergyIntolerance?"))
    assert await grounds.permits(REQUESTER, PATIENT, "bgz", QUERY) == written
    for query in ("", "Condition?", QUERY + "&x=y", QUERY.upper()):
        assert await grounds.permits(REQUESTER, PATIENT, "bgz", query) is None
        assert await grounds.permits(REQUESTER, PATIENT, "", query) is None


async def test_a_ground_of_a_neighbour_permits_nothing(grounds: Kept, pool: asyncpg.Pool) -> None:
    written = await write(grounds)
    neighbour = Kept(pool, 2)
    assert await neighbour.permits(REQUESTER, PATIENT, "bgz") is None
    assert await neighbour.list() == []
    with pytest.raises(NotFound):
        await neighbour.end(written.id)
    assert await grounds.permits(REQUESTER, PATIENT, "bgz") == written


async def test_an_ended_ground_permits_nothing_and_says_so(grounds: Kept) -> None:
    written = await write(grounds)
    ended = await grounds.end(written.id)
    assert ended.ended is not None
    assert await grounds.permits(REQUESTER, PATIENT, "bgz") is None
    assert await grounds.explain(REQUESTER, PATIENT, "bgz") == "ground-ended"
    assert await grounds.end(written.id) == ended


async def test_an_expired_ground_permits_nothing_and_says_so(grounds: Kept, pool: asyncpg.Pool) -> None:
    await write(grounds)
    await pool.execute("UPDATE disclosure_ground SET until = now()")
    assert await grounds.permits(REQUESTER, PATIENT, "bgz") is None
    assert await grounds.explain(REQUESTER, PATIENT, "bgz") == "ground-expired"


async def test_ending_a_ground_leaves_the_other_in_force(grounds: Kept) -> None:
    first = await write(grounds, until=now() + timedelta(days=9))
    second = await write(grounds)
    assert await grounds.permits(REQUESTER, PATIENT, "bgz") == first
    await grounds.end(first.id)
    assert await grounds.permits(REQUESTER, PATIENT, "bgz") == second


async def test_grounds_are_listed_by_patient_requester_and_whether_they_stand(grounds: Kept) -> None:
    first = await write(grounds)
    second = await write(grounds, patient=OTHER)
    third = await write(grounds, requester=STRANGER)
    ended = await grounds.end(first.id)
    assert await grounds.list() == [third, second, ended]
    assert await grounds.list(patient=PATIENT) == [third, ended]
    assert await grounds.list(requester=REQUESTER) == [second, ended]
    assert await grounds.list(patient=PATIENT, active=True) == [third]
    with pytest.raises(Invalid):
        await grounds.list(patient="123")


WRONG: dict[str, dict[str, Any]] = {
    "neither exchange nor queries": {"exchange": ""},
    "both exchange and queries": {"queries": (QUERY,)},
    "an exchange with blanks": {"exchange": "b g z"},
    "an empty query": {"exchange": "", "queries": ("",)},
    "a query with a control character": {"exchange": "", "queries": ("Condition?\0",)},
    "too many queries": {"exchange": "", "queries": tuple(str(n) for n in range(201))},
    "a term without a zone": {"until": datetime(2100, 1, 1)},
    "a term in the past": {"until": now() - timedelta(seconds=1)},
    "a term too far ahead": {"until": now() + LONGEST + timedelta(hours=1)},
    "no reason": {"reason": " "},
    "a reason of two lines": {"reason": "a\nb"},
    "a patient that is none": {"patient": "999911121"},
    "a requester that is none": {"requester": "haven"},
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_ground_with_one_thing_wrong_is_not_written(grounds: Kept, case: str) -> None:
    with pytest.raises(Invalid) as caught:
        await write(grounds, **WRONG[case])
    assert PATIENT not in caught.value.message
    assert await grounds.list() == []


@pytest.mark.parametrize("name", ["", "x", "00000000-0000-0000-0000-000000000000"])
async def test_ending_what_does_not_exist_is_an_error(grounds: Kept, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        await grounds.end(name)
    assert caught.value.kind == "ground-unknown"


async def test_without_its_database_nothing_is_permitted(cluster: EmbeddedServer) -> None:
    closed = await connect(await cluster.ensure_database("grounds", "grounds", "secret"))
    await closed.close()
    with pytest.raises(Busy):
        await Kept(closed, 1).permits(REQUESTER, PATIENT, "bgz")


async def test_the_directory_finds_who_is_in_it_and_names_who_is_not() -> None:
    haven = Address(REQUESTER, "Haven", "https://a.example", "https://a.example/t", {}, {"keys": []})
    directory = ConfiguredDirectory([haven])
    assert await directory.find(REQUESTER) == replace(haven, source="configuration")
    assert await directory.jwks(REQUESTER) == {"keys": []}
    assert await directory.jwks(STRANGER) is None
    with pytest.raises(NotFound, match=STRANGER) as caught:
        await directory.find(STRANGER)
    assert caught.value.kind == "holder-unknown"
    with pytest.raises(Invalid, match=REQUESTER):
        ConfiguredDirectory([haven, haven])
