"""Why a patient's data may be given: the order of grounds, what stands against them, and Mitz asked once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web
from tests.mitz import (
    BSN,
    HOLDER,
    OTHER_BSN,
    REQUESTER,
    Handler,
    Register,
    Trusting,
    answer,
    decides,
    facility,
    message_of,
    permits,
    register,
    result,
    said,
    says,
)

from schakel.facilities import FacilityAway
from schakel.generic.consent import (
    AcutePolicy,
    Categories,
    CategoryRow,
    Choice,
    Choices,
    ConsentDesk,
    ConsentQuestion,
    ConsentRefused,
    Emergencies,
    EmergencyPolicy,
    Grounds,
    Objections,
    Permission,
    Standings,
)
from schakel.generic.consent.mitz import Mitz
from schakel.generic.consent.once import Once
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Conflict, Invalid, NotFound
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer

HIGH = "http://eidas.europa.eu/LoA/high"
ALL = frozenset({"recorded", "referral", "handover", "patient", "mitz", "acute", "break-glass"})
POLICY = EmergencyPolicy("Noodprocedure", date(2026, 1, 1), 24)
ACUTE = AcutePolicy(frozenset({"ETREAT"}), frozenset({"N6"}))
CHOSEN = datetime(2026, 1, 1, tzinfo=UTC)

ASKED = ConsentQuestion(
    patient=BSN,
    requester=REQUESTER,
    accepted=ALL,
    token="token-1",
    exchange="bgz",
    form="Condition?category=problem",
    requester_type="Z3",
    user_id="900000008",
    user_name="Jan Jansen",
    user_role="01.015",
    purpose="TREAT",
    assurance=HIGH,
)
IN_EMERGENCY = replace(ASKED, emergency="unconscious, allergies unknown")
IN_ACUTE_CARE = replace(ASKED, purpose="ETREAT", requester_type="N6")


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return Trusting.made(tmp_path_factory.mktemp("mitz"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def address(cluster: EmbeddedServer) -> AsyncIterator[str]:
    yield await cluster.ensure_database("consent", "consent", "secret")
    await cluster.drop_database("consent", "consent")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(address: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(address)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def nothing_known(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "TRUNCATE disclosure_ground, consent_objection, mitz_feed, mitz_notice, mitz_choice, emergency_access"
    )


@dataclass(frozen=True)
class Here:
    """One process of the holder, with all it knows of consent."""

    desk: ConsentDesk
    grounds: Grounds
    objections: Objections
    choices: Choices
    emergencies: Emergencies
    there: Register | None

    @property
    def asked(self) -> int:
        """How often Mitz was asked."""
        return len(self.there.asked) if self.there else 0

    async def refused(self, question: ConsentQuestion) -> str:
        with pytest.raises(ConsentRefused) as refused:
            await self.desk.permit(question)
        assert question.patient not in refused.value.message
        return refused.value.reason

    async def ground(self, **changes: Any) -> Any:
        members = {
            "exchange": "bgz",
            "until": now() + timedelta(days=1),
            "reason": "test",
            **changes,
        }
        return await self.grounds.write(REQUESTER, BSN, **members)

    async def told(self, permitted: bool, providers: str = "RPZAC001", **changes: Any) -> None:
        chosen = replace(Choice(BSN, "GGC002", providers, permitted, CHOSEN), **changes)
        await self.choices.keep([chosen])


Open = Callable[..., Awaitable[Here]]


@pytest_asyncio.fixture(loop_scope="session")
async def opened(pool: asyncpg.Pool, trusting: Trusting) -> AsyncIterator[Open]:
    """Call it for a process: with a handler there is a Mitz; the rest as in `ConsentDesk`."""
    async with AsyncExitStack() as stack:

        async def make(handler: Handler | None = None, **members: Any) -> Here:
            return await stack.enter_async_context(process(pool, trusting, handler, **members))

        yield make


@asynccontextmanager
async def process(
    pool: asyncpg.Pool,
    trusting: Trusting,
    handler: Handler | None = None,
    *,
    there: Register | None = None,
    tenant: int = 1,
    type_code: str = "V6",
    seconds: float = 10,
    added: tuple[CategoryRow, ...] = (),
    **policies: Any,
) -> AsyncIterator[Here]:
    async with AsyncExitStack() as stack:
        if handler is not None:
            there = await stack.enter_async_context(register(trusting, handler))
        mitz = None
        if there is not None:
            mitz = Mitz(await stack.enter_async_context(facility(trusting, there.port)))
        grounds, choices = Grounds(pool, tenant), Choices(pool, tenant)
        emergencies = Emergencies(pool, tenant)
        desk = ConsentDesk(
            ura=HOLDER,
            type_code=type_code,
            standings=Standings(pool, tenant),
            grounds=grounds,
            choices=choices,
            emergencies=emergencies,
            categories=Categories(added),
            mitz=mitz,
            answers=Once(seconds),
            **policies,
        )
        yield Here(desk, grounds, Objections(pool, tenant), choices, emergencies, there)


# -- grounds that were recorded ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["recorded", "referral", "handover", "patient"])
async def test_a_recorded_ground_permits_as_its_kind(opened: Open, kind: str) -> None:
    here = await opened()
    ground = await here.ground(kind=kind)
    permission = await here.desk.permit(ASKED)
    assert permission == Permission(kind, ground.id, "grounds", permission.explanation, ground.made)  # type: ignore[arg-type]


async def test_a_kind_of_ground_that_is_not_accepted_is_not_tried(opened: Open) -> None:
    here = await opened(permits)
    await here.ground(kind="referral")
    assert await here.refused(replace(ASKED, accepted=frozenset({"recorded"}))) == "no-ground"
    assert here.asked == 0


async def test_a_ground_for_a_search_permits_that_search(opened: Open) -> None:
    here = await opened()
    await here.ground(exchange="", queries=[ASKED.form])
    assert (await here.desk.permit(ASKED)).kind == "recorded"
    assert await here.refused(replace(ASKED, form="")) == "no-ground"


@pytest.mark.parametrize(
    "change",
    [{"requester": "33333333"}, {"patient": OTHER_BSN}, {"exchange": "images", "form": ""}],
)
async def test_a_ground_permits_nothing_else(opened: Open, change: dict[str, Any]) -> None:
    here = await opened()
    await here.ground()
    assert await here.refused(replace(ASKED, **change)) == "no-ground"


async def test_a_ground_that_was_withdrawn_is_told_as_such(opened: Open) -> None:
    here = await opened()
    ground = await here.ground()
    await here.grounds.end(ground.id)
    assert await here.refused(ASKED) == "ground-ended"


async def test_a_task_that_covers_the_request_permits(opened: Open) -> None:
    here = await opened()
    asked = replace(ASKED, task="Task/7", task_kind="referral")
    permission = await here.desk.permit(asked)
    assert (permission.kind, permission.id) == ("referral", "Task/7")
    assert await here.refused(replace(asked, accepted=frozenset({"recorded"}))) == "no-ground"


async def test_the_grounds_of_a_neighbour_do_not_count(opened: Open) -> None:
    await (await opened(tenant=2)).ground()
    assert await (await opened()).refused(ASKED) == "no-ground"


@pytest.mark.parametrize(
    ("kind", "task"),
    [("general", ""), ("recorded", "Task/1"), ("patient", "Task/1"), ("referral", "x" * 201)],
)
async def test_a_ground_of_no_kind_is_refused(opened: Open, kind: str, task: str) -> None:
    with pytest.raises(Invalid):
        await (await opened()).ground(kind=kind, task=task)


# -- objections ----------------------------------------------------------------------------------------------


async def test_an_objection_wins_over_every_ground(opened: Open) -> None:
    here = await opened(permits, acute=ACUTE, emergency=POLICY)
    for kind in ("recorded", "referral", "handover", "patient"):
        await here.ground(kind=kind)
    await here.objections.write(BSN, by="A. Bakker")
    for question in (ASKED, replace(ASKED, task="Task/7", task_kind="handover"), IN_EMERGENCY, IN_ACUTE_CARE):
        assert await here.refused(question) == "objection"
    assert here.asked == 0


@pytest.mark.parametrize(
    ("about", "stands"),
    [
        ({"requesters": [REQUESTER]}, True),
        ({"requesters": ["33333333"]}, False),
        ({"provider_categories": ["RPZAC001"]}, True),
        ({"provider_categories": ["RPZAC104"]}, False),
        ({"requesters": ["33333333"], "provider_categories": ["RPZAC001"]}, True),
        ({"exchanges": ["bgz"]}, True),
        ({"exchanges": ["images"]}, False),
        ({"requesters": [REQUESTER], "exchanges": ["images"]}, False),
        ({"requesters": [REQUESTER], "exchanges": ["images", "bgz"]}, True),
    ],
)
async def test_an_objection_stands_against_what_it_is_about(
    opened: Open, about: dict[str, Any], stands: bool
) -> None:
    here = await opened()
    await here.ground()
    await here.objections.write(BSN, by="A. Bakker", **about)
    if stands:
        assert await here.refused(ASKED) == "objection"
    else:
        assert (await here.desk.permit(ASKED)).kind == "recorded"


async def test_a_requester_of_unknown_kind_may_be_of_any(opened: Open) -> None:
    here = await opened()
    await here.ground()
    await here.objections.write(BSN, by="A. Bakker", provider_categories=["RPZAC104"])
    assert await here.refused(replace(ASKED, requester_type="")) == "objection"


async def test_an_objection_that_was_taken_back_no_longer_stands(opened: Open) -> None:
    here = await opened()
    await here.ground()
    objection = await here.objections.write(BSN, by="A. Bakker", reason="does not want it")
    ended = await here.objections.end(objection.id, by="B. Smit")
    assert (await here.desk.permit(ASKED)).kind == "recorded"
    assert ended.ended_by == "B. Smit" and ended.ended is not None
    assert await here.objections.end(objection.id, by="C. Vos") == ended
    assert await here.objections.list(BSN) == []
    assert await here.objections.list(BSN, ended=True) == [ended]


async def test_an_objection_of_another_patient_or_at_a_neighbour_does_not_stand(opened: Open) -> None:
    here = await opened()
    await here.ground()
    await here.objections.write(OTHER_BSN, by="A. Bakker")
    await (await opened(tenant=2)).objections.write(BSN, by="A. Bakker")
    assert (await here.desk.permit(ASKED)).kind == "recorded"


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": ""},
        {"by": "A\nB"},
        {"reason": "x" * 501},
        {"requesters": ["abc"]},
        {"provider_categories": ["GP"]},
        {"exchanges": ["BGZ!"]},
        {"requesters": ["1"] * 201},
    ],
)
async def test_an_objection_that_cannot_be_understood_is_refused(opened: Open, wrong: dict[str, Any]) -> None:
    here = await opened()
    with pytest.raises(Invalid):
        await here.objections.write(BSN, **{"by": "A. Bakker", **wrong})
    with pytest.raises(NotFound):
        await here.objections.end("no id", by="x")


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
        await other_pool.close()


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


# -- what Mitz told ------------------------------------------------------------------------------------------


async def test_a_no_in_mitz_wins_over_a_general_ground_and_not_over_a_specific_one(opened: Open) -> None:
    here = await opened()
    await here.ground()
    await here.told(False)
    assert await here.refused(ASKED) == "mitz-deny"
    await here.ground(kind="referral")
    assert (await here.desk.permit(ASKED)).kind == "referral"


@pytest.mark.parametrize(
    "told",
    [
        {"permitted": True},
        {"permitted": False, "providers": "RPZAC104"},
        {"permitted": False, "category": "GGC013"},
        {"permitted": False, "patient": OTHER_BSN},
    ],
)
async def test_a_no_to_something_else_changes_nothing(opened: Open, told: dict[str, Any]) -> None:
    here = await opened()
    await here.ground()
    await here.told(**told)
    assert (await here.desk.permit(ASKED)).kind == "recorded"


async def test_a_no_to_all_or_to_treatment_data_covers_the_rest(opened: Open) -> None:
    pharmacy = await opened(type_code="A1")
    await pharmacy.ground()
    await pharmacy.told(False, providers="")
    assert await pharmacy.refused(ASKED) == "mitz-deny"
    await pharmacy.told(True, category="GGC013", chosen=CHOSEN)
    assert (await pharmacy.desk.permit(ASKED)).kind == "recorded"


async def test_mitz_itself_says_more_than_what_it_told_before(opened: Open) -> None:
    here = await opened(permits)
    await here.ground()
    await here.told(False)
    assert (await here.desk.permit(ASKED)).kind == "mitz"


async def test_the_last_choice_stands_in_whatever_order_they_come(opened: Open) -> None:
    here = await opened()
    await here.ground()
    await here.told(False, chosen=CHOSEN + timedelta(days=2))
    await here.told(True, chosen=CHOSEN + timedelta(days=1))
    assert await here.refused(ASKED) == "mitz-deny"
    await here.told(True, chosen=CHOSEN + timedelta(days=2))  # Of the same moment: the one that permits less.
    assert await here.refused(ASKED) == "mitz-deny"
    await here.told(True, chosen=CHOSEN + timedelta(days=3))
    assert (await here.desk.permit(ASKED)).kind == "recorded"


async def test_the_feed_has_every_notice_once_and_in_order(opened: Open) -> None:
    here, neighbour = await opened(), await opened(tenant=2)
    await asyncio.gather(
        *(here.told(True, chosen=CHOSEN + timedelta(days=n)) for n in range(20)),
        *(here.told(True, chosen=CHOSEN + timedelta(days=n)) for n in range(20)),
        neighbour.told(False),
    )
    feed = await here.choices.feed()
    assert [notice.number for notice in feed] == list(range(1, 21))
    assert len({notice.choice.chosen for notice in feed}) == 20
    assert [n.number for n in await here.choices.feed(after=18)] == [19, 20]
    assert [n.number for n in await here.choices.feed(count=2)] == [1, 2]


# -- acute care ----------------------------------------------------------------------------------------------

NO_CHOICE = decides(result("NotApplicable"))


async def test_acute_care_without_an_objection_may_go_on(opened: Open) -> None:
    here = await opened(_as_asked("NotApplicable"), acute=ACUTE)
    assert (await here.desk.permit(IN_ACUTE_CARE)).kind == "acute"


def _as_asked(decision: str) -> Handler:
    return decides(result(decision))


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "TREAT"},
        {"requester_type": "Z3"},
        {"requester_type": ""},
        {"accepted": ALL - {"acute"}},
    ],
)
async def test_the_opt_out_regime_is_for_acute_care_alone(opened: Open, change: dict[str, Any]) -> None:
    here = await opened(NO_CHOICE, acute=ACUTE)
    assert await here.refused(replace(IN_ACUTE_CARE, **change)) != ""


async def test_the_opt_out_regime_is_off_until_it_is_set(opened: Open) -> None:
    assert await (await opened(NO_CHOICE)).refused(IN_ACUTE_CARE) == "mitz-no-choice"


async def test_who_objected_in_mitz_is_left_alone_in_acute_care(opened: Open) -> None:
    assert await (await opened(_as_asked("Deny"), acute=ACUTE)).refused(IN_ACUTE_CARE) == "mitz-deny"
    here = await opened(NO_CHOICE, acute=ACUTE)
    await here.told(False)
    assert await here.refused(IN_ACUTE_CARE) == "mitz-deny"


async def test_acute_care_waits_for_mitz_when_it_is_away(opened: Open) -> None:
    here = await opened(says(b"", 503), acute=ACUTE)
    for accepted in (ALL, frozenset({"acute"})):
        with pytest.raises(FacilityAway):
            await here.desk.permit(replace(IN_ACUTE_CARE, accepted=accepted))


async def test_the_opt_out_regime_needs_mitz(opened: Open) -> None:
    with pytest.raises(Invalid, match="Mitz"):
        await opened(acute=ACUTE)


# -- emergencies ---------------------------------------------------------------------------------------------


async def test_an_emergency_is_permitted_and_becomes_a_case(opened: Open) -> None:
    here = await opened(NO_CHOICE, emergency=POLICY)
    permission = await here.desk.permit(IN_EMERGENCY)
    [case] = await here.emergencies.list()
    assert (permission.kind, permission.id) == ("break-glass", case.id)
    assert "Noodprocedure, 2026-01-01" in permission.explanation
    assert (case.patient, case.requester, case.user_id, case.user_name) == (
        BSN,
        REQUESTER,
        "900000008",
        "Jan Jansen",
    )
    assert (case.reason, case.overrode, case.document) == (
        "unconscious, allergies unknown",
        "",
        "Noodprocedure, 2026-01-01",
    )
    assert case.due - case.made == timedelta(hours=24) and not case.overdue


async def test_the_requests_of_one_emergency_are_one_case(opened: Open) -> None:
    here = await opened(emergency=POLICY)
    asked = (replace(IN_EMERGENCY, form=f"Condition?_id={n}") for n in range(10))
    found = await asyncio.gather(*(here.desk.permit(one) for one in asked))
    assert len({permission.id for permission in found}) == 1
    assert len(await here.emergencies.list()) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"emergency": ""}, "no-ground"),
        ({"accepted": ALL - {"break-glass"}}, "no-ground"),
        ({"emergency": "  "}, "break-glass-reason"),
        ({"emergency": "x" * 501}, "break-glass-reason"),
        ({"assurance": "http://eidas.europa.eu/LoA/substantial"}, "break-glass-assurance"),
        ({"assurance": ""}, "break-glass-assurance"),
        ({"user_id": ""}, "break-glass-user"),
    ],
)
async def test_an_emergency_lacking_one_condition_is_none(
    opened: Open, change: dict[str, Any], reason: str
) -> None:
    here = await opened(emergency=POLICY)
    assert await here.refused(replace(IN_EMERGENCY, **change)) == reason
    assert await here.emergencies.list() == []


async def test_without_a_written_policy_there_are_no_emergencies(opened: Open) -> None:
    assert await (await opened()).refused(IN_EMERGENCY) == "no-ground"


async def test_an_emergency_does_not_go_over_an_objection(opened: Open) -> None:
    denied = await opened(_as_asked("Deny"), emergency=POLICY)
    only = frozenset({"break-glass"})
    assert await denied.refused(IN_EMERGENCY) == "mitz-deny"
    assert await denied.refused(replace(IN_EMERGENCY, accepted=only)) == "mitz-deny"
    told = await opened(emergency=POLICY)
    await told.told(False)
    assert await told.refused(IN_EMERGENCY) == "mitz-deny"
    await told.objections.write(BSN, by="A. Bakker")
    assert await told.refused(IN_EMERGENCY) == "objection"
    assert await told.emergencies.list() == []


async def test_what_could_not_be_checked_may_be_an_objection(opened: Open) -> None:
    here = await opened(says(b"", 503), emergency=POLICY)
    with pytest.raises(FacilityAway):
        await here.desk.permit(IN_EMERGENCY)
    assert await here.refused(replace(IN_EMERGENCY, requester_type="")) == "mitz-requester-type-missing"


async def test_a_policy_that_names_the_case_goes_over_an_objection_and_says_so(opened: Open) -> None:
    policy = replace(POLICY, overrides_objection=True)
    denied = await opened(_as_asked("Deny"), emergency=policy)
    assert (await denied.desk.permit(IN_EMERGENCY)).kind == "break-glass"
    away = await opened(says(b"", 503), emergency=policy)
    assert (await away.desk.permit(replace(IN_EMERGENCY, token="token-2"))).kind == "break-glass"
    objection = await denied.objections.write(BSN, by="A. Bakker")
    await denied.desk.permit(replace(IN_EMERGENCY, token="token-3"))
    told = {case.token: case.overrode for case in await denied.emergencies.list()}
    assert told == {"token-1": "no in Mitz", "token-2": "", "token-3": f"objection {objection.id}"}


async def test_the_officer_looks_at_a_case_once(opened: Open) -> None:
    here = await opened(emergency=POLICY)
    permission = await here.desk.permit(IN_EMERGENCY)
    judged = await here.emergencies.judge(permission.id, accepted=True, by="F. Gaard", note="")
    assert (judged.accepted, judged.judge) == (True, "F. Gaard") and judged.judged is not None
    assert await here.emergencies.list() == [] and await here.emergencies.list(judged=True) == [judged]
    with pytest.raises(Conflict, match=r"F\. Gaard"):
        await here.emergencies.judge(permission.id, accepted=False, by="X", note="no")
    with pytest.raises(NotFound):
        await here.emergencies.judge("00000000-0000-4000-8000-000000000000", accepted=True, by="X")


async def test_a_case_that_was_not_accepted_gives_no_more_access(opened: Open) -> None:
    here = await opened(emergency=POLICY)
    permission = await here.desk.permit(IN_EMERGENCY)
    with pytest.raises(Invalid, match="note"):
        await here.emergencies.judge(permission.id, accepted=False, by="F. Gaard")
    await here.emergencies.judge(permission.id, accepted=False, by="F. Gaard", note="no emergency")
    assert await here.refused(IN_EMERGENCY) == "break-glass-rejected"


async def test_a_case_past_its_term_is_overdue(opened: Open, pool: asyncpg.Pool) -> None:
    here = await opened(emergency=POLICY)
    await here.desk.permit(IN_EMERGENCY)
    await pool.execute("UPDATE emergency_access SET due = now() - interval '1 second' WHERE tenant = 1")
    assert [case.overdue for case in await here.emergencies.list()] == [True]


async def test_cases_of_a_neighbour_are_not_here(opened: Open) -> None:
    here, neighbour = await opened(emergency=POLICY), await opened(emergency=POLICY, tenant=2)
    permission = await here.desk.permit(IN_EMERGENCY)
    assert await neighbour.emergencies.list() == []
    with pytest.raises(NotFound):
        await neighbour.emergencies.judge(permission.id, accepted=True, by="X")
