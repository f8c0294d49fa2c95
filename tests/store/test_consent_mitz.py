"""The consent desk and Mitz: what counts as a yes, what is asked, and that it is asked once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web
from tests.consent import (
    ASKED,
    Open,
    process,
    processes,
)
from tests.mitz import (
    BSN,
    OTHER_BSN,
    Handler,
    Register,
    Trusting,
    answer,
    decides,
    message_of,
    permits,
    result,
    said,
    says,
)
from tests.nodes import databases

from schakel.facilities import FacilityAway
from schakel.generic.consent import (
    Categories,
    CategoryRow,
    ConsentRefused,
)
from schakel.generic.consent.once import Once
from schakel.kernel.outcomes import Invalid
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return Trusting.made(tmp_path_factory.mktemp("mitz"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def address(cluster: EmbeddedServer) -> AsyncIterator[str]:
    async with databases(cluster, "consent_mitz") as make:
        yield await make()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(address: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(address)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def opened(pool: asyncpg.Pool, trusting: Trusting) -> AsyncIterator[Open]:
    async with processes(pool, trusting) as make:
        yield make


# -- Mitz ----------------------------------------------------------------------------------------------------


async def test_the_choice_in_mitz_permits(opened: Open) -> None:
    here = await opened(permits)
    permission = await here.desk.permit(ASKED)
    assert (permission.kind, permission.source) == ("mitz", "mitz")
    assert f"urn:uuid:{permission.id}".encode() in here.there.asked[0][1]  # type: ignore[union-attr]


@pytest.mark.parametrize(("decision", "reason"), [("Deny", "mitz-deny"), ("NotApplicable", "mitz-no-choice")])
async def test_without_a_permit_of_mitz_there_is_none(opened: Open, decision: str, reason: str) -> None:
    assert await (await opened(decides(result(decision)))).refused(ASKED) == reason


@pytest.mark.parametrize("handler", [says(b"", 503), says(answer(result())), says(b"Permit")])
async def test_what_could_not_be_checked_is_not_a_refusal_and_no_permit(
    opened: Open, handler: Handler
) -> None:
    here = await opened(handler)
    with pytest.raises(FacilityAway):
        await here.desk.permit(ASKED)


async def test_a_ground_needs_no_mitz(opened: Open) -> None:
    here = await opened(says(b"", 503))
    await here.ground()
    assert (await here.desk.permit(ASKED)).kind == "recorded"
    assert here.asked == 0


async def test_where_mitz_is_not_asked_only_the_other_grounds_count(opened: Open) -> None:
    assert await (await opened()).refused(ASKED) == "no-ground"
    assert await (await opened()).refused(replace(ASKED, accepted=frozenset({"mitz"}))) == "mitz-off"
    here = await opened(permits)
    assert await here.refused(replace(ASKED, accepted=frozenset({"recorded"}))) == "no-ground"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"purpose": "PUBHLTH"}, "mitz-purpose-missing"),
        ({"requester_type": ""}, "mitz-requester-type-missing"),
        ({"user_id": "jjansen"}, "mitz-user-missing"),
        ({"user_id": ""}, "mitz-user-missing"),
        ({"user_role": ""}, "mitz-role-missing"),
        ({"responsible": "900000009"}, "mitz-role-missing"),
        ({"responsible": "dr", "responsible_role": "01.015"}, "mitz-user-missing"),
    ],
)
async def test_mitz_is_not_asked_with_half_a_question(
    opened: Open, change: dict[str, Any], reason: str
) -> None:
    here = await opened(permits)
    assert await here.refused(replace(ASKED, **change)) == reason
    assert here.asked == 0


async def test_who_gave_the_mandate_is_the_provider_and_the_user_is_mandated(opened: Open) -> None:
    here = await opened(permits)
    await here.desk.permit(replace(ASKED, responsible="900000009", responsible_role="01.022", user_role=""))
    assert here.there is not None
    body = here.there.asked[0][1].decode()
    assert body.index("provider-identifier") < body.index("900000009") < body.index(":mandated")
    assert body.index(":mandated") < body.index("900000008")
    assert 'code="01.022"' in body


@pytest.mark.parametrize(
    ("type_code", "category"),
    [
        ("V6", "GGC002"),
        ("Z3", "GGC002"),
        ("N6", "GGC002"),
        ("A1", "GGC013"),
        ("J8", "GGC013"),
        ("Z5", "GGC012"),
    ],
)
async def test_the_category_is_that_of_the_kind_of_holder(
    opened: Open, type_code: str, category: str
) -> None:
    seen: list[bytes] = []

    async def handler(_there: Register, _request: web.Request, body: bytes) -> web.StreamResponse:
        seen.append(body)
        good = answer(result(category=category), relates=message_of(body))
        return said(good.replace(b'code="V6"', f'code="{type_code}"'.encode()))

    here = await opened(handler, type_code=type_code)
    assert (await here.desk.permit(ASKED)).kind == "mitz"
    assert f'code="{category}"'.encode() in seen[0]


@pytest.mark.parametrize("type_code", ["G5", "M1", "X3", "TA1", "", "V99"])
async def test_a_holder_without_a_category_is_refused_by_name(opened: Open, type_code: str) -> None:
    here = await opened(permits, type_code=type_code)
    with pytest.raises(ConsentRefused, match=type_code or "none") as refused:
        await here.desk.permit(ASKED)
    assert refused.value.reason == "mitz-category-unknown"
    assert here.asked == 0


async def test_an_operator_may_add_a_row_for_a_type_without_one(opened: Open) -> None:
    added = (CategoryRow("G5", "GGC002", "our agreement of 2026"), CategoryRow("G5", "GGC013", "idem"))

    async def handler(_there: Register, _request: web.Request, body: bytes) -> web.StreamResponse:
        both = answer(result(), result(category="GGC013"), relates=message_of(body))
        return said(both.replace(b'code="V6"', b'code="G5"'))

    assert (await (await opened(handler, type_code="G5", added=added)).desk.permit(ASKED)).kind == "mitz"


@pytest.mark.parametrize(
    "row",
    [
        CategoryRow("V6", "GGC013", "x"),
        CategoryRow("G5", "GGC13", "x"),
        CategoryRow("G5", "GGC002", " "),
        CategoryRow("g5", "GGC002", "x"),
    ],
)
def test_a_row_that_cannot_be_added_is_named(row: CategoryRow) -> None:
    with pytest.raises(Invalid, match=r"mitz\.categories"):
        Categories([row])


# -- asked once ----------------------------------------------------------------------------------------------


def slow(seconds: float = 0.3) -> Handler:
    async def handler(there: Register, request: web.Request, body: bytes) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await permits(there, request, body)

    return handler


async def test_requests_at_the_same_time_wait_for_one_answer(opened: Open) -> None:
    here = await opened(slow())
    permissions = await asyncio.gather(*(here.desk.permit(ASKED) for _ in range(20)))
    assert len({permission.id for permission in permissions}) == 1
    assert here.asked == 1
    await here.desk.permit(replace(ASKED, form="AllergyIntolerance?"))
    assert here.asked == 1


async def test_a_first_caller_who_leaves_does_not_stop_the_others(opened: Open) -> None:
    here = await opened(slow())
    first = asyncio.create_task(here.desk.permit(ASKED))
    await asyncio.sleep(0.1)
    others = [asyncio.create_task(here.desk.permit(ASKED)) for _ in range(5)]
    await asyncio.sleep(0.05)
    first.cancel()
    assert {p.kind for p in await asyncio.gather(*others)} == {"mitz"}
    assert first.cancelled() and here.asked == 1


async def test_a_failure_reaches_all_who_waited_and_is_not_kept(opened: Open) -> None:
    async def handler(there: Register, request: web.Request, body: bytes) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return said(b"", 503) if len(there.asked) == 1 else await permits(there, request, body)

    here = await opened(handler)
    found = await asyncio.gather(*(here.desk.permit(ASKED) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, FacilityAway) for one in found) and here.asked == 1
    assert (await here.desk.permit(ASKED)).kind == "mitz"


@pytest.mark.parametrize(
    "change",
    [
        {"token": "token-2"},
        {"patient": OTHER_BSN},
        {"requester": "33333333"},
        {"requester_type": "V6"},
        {"user_id": "900000009"},
        {"user_role": "30.000"},
        {"purpose": "COC"},
    ],
)
async def test_another_question_is_asked_again(opened: Open, change: dict[str, Any]) -> None:
    async def handler(_there: Register, _request: web.Request, body: bytes) -> web.StreamResponse:
        bsn = OTHER_BSN if OTHER_BSN.encode() in body else BSN
        return said(answer(result(bsn=bsn), relates=message_of(body)))

    here = await opened(handler)
    await here.desk.permit(ASKED)
    await here.desk.permit(replace(ASKED, **change))
    assert here.asked == 2


async def test_an_answer_lives_as_long_as_was_set_and_no_longer(opened: Open) -> None:
    here = await opened(permits, seconds=0.4)
    await here.desk.permit(ASKED)
    await here.desk.permit(ASKED)
    assert here.asked == 1
    await asyncio.sleep(0.5)
    await here.desk.permit(ASKED)
    assert here.asked == 2


async def test_no_answer_lives_longer_than_ten_seconds() -> None:
    with pytest.raises(ValueError, match="10"):
        Once[str, str](10.1)


async def test_a_notification_ends_what_every_process_remembers(
    pool: asyncpg.Pool, address: str, trusting: Trusting
) -> None:
    decision = "Permit"

    async def handler(_there: Register, _request: web.Request, body: bytes) -> web.StreamResponse:
        return said(answer(result(decision), relates=message_of(body)))

    other_pool = await connect(address)
    try:
        async with (
            process(pool, trusting, handler) as one,
            process(other_pool, trusting, there=one.there) as two,
        ):
            assert (await one.desk.permit(ASKED)).kind == (await two.desk.permit(ASKED)).kind == "mitz"
            decision = "Deny"
            await two.told(True, patient=OTHER_BSN)
            assert (await one.desk.permit(ASKED)).kind == "mitz"  # About another patient: it is remembered.
            await two.told(False)
            for process_ in (one, two):
                assert await process_.refused(ASKED) == "mitz-deny"
    finally:
        await disconnect(other_pool)


async def test_an_answer_from_before_a_notification_is_not_used_after_it(opened: Open) -> None:
    """The notification comes in while Mitz is being asked: the answer may be of before it."""
    asked, told = asyncio.Event(), asyncio.Event()

    async def handler(there: Register, _request: web.Request, body: bytes) -> web.StreamResponse:
        decision = "Permit" if len(there.asked) == 1 else "Deny"
        if decision == "Permit":
            asked.set()
            await told.wait()
        return said(answer(result(decision), relates=message_of(body)))

    here = await opened(handler)
    waiting = asyncio.create_task(here.refused(ASKED))
    await asked.wait()
    await here.told(False)
    told.set()
    assert await waiting == "mitz-deny"
    assert here.asked == 2
