"""Why a patient's data may be given: the order of grounds, and what stands against them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.consent import (
    ACUTE,
    ALL,
    ASKED,
    CHOSEN,
    IN_ACUTE_CARE,
    IN_EMERGENCY,
    POLICY,
    Open,
    processes,
)
from tests.mitz import (
    BSN,
    OTHER_BSN,
    REQUESTER,
    Handler,
    Trusting,
    decides,
    permits,
    result,
    says,
)
from tests.nodes import databases

from schakel.facilities import FacilityAway
from schakel.generic.consent import (
    EmergencyAccess,
    Permission,
)
from schakel.kernel.outcomes import Busy, Conflict, Invalid, NotFound
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return Trusting.made(tmp_path_factory.mktemp("mitz"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def address(cluster: EmbeddedServer) -> AsyncIterator[str]:
    async with databases(cluster, "consent_desk") as make:
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


async def test_a_choice_that_is_told_again_after_another_of_its_moment_is_a_notice_of_its_own(
    opened: Open,
) -> None:
    here = await opened()
    for permitted in (False, False, True, False):
        await here.told(permitted)
    assert [notice.choice.permitted for notice in await here.choices.feed()] == [False, True, False]
    await here.told(True, chosen=CHOSEN + timedelta(days=1))
    await here.told(False)  # The old one, told late: nothing new.
    assert len(await here.choices.feed()) == 4


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


@pytest.mark.parametrize(
    ("change", "days", "let_in"),
    [
        ({}, 29, False),
        ({"emergency": "another one"}, 0, False),
        ({}, 31, True),
        ({"user_id": "900000099"}, 0, True),
        ({"patient": OTHER_BSN}, 0, True),
        ({"requester": "90000099"}, 0, True),
    ],
)
async def test_who_was_not_accepted_has_no_other_emergency_with_that_patient_for_a_while(
    opened: Open, pool: asyncpg.Pool, change: dict[str, Any], days: int, let_in: bool
) -> None:
    here = await opened(emergency=POLICY)
    permission = await here.desk.permit(IN_EMERGENCY)
    await here.emergencies.judge(permission.id, accepted=False, by="F. Gaard", note="no emergency")
    await pool.execute("UPDATE emergency_access SET judged = judged - $1 * interval '1 day'", days)
    again = replace(IN_EMERGENCY, token="another token", **change)
    if let_in:
        assert (await here.desk.permit(again)).kind == "break-glass"
    else:
        assert await here.refused(again) == "break-glass-rejected"


async def test_that_nobody_looked_in_time_is_told_once_or_not_at_all(
    opened: Open, pool: asyncpg.Pool
) -> None:
    here = await opened(emergency=POLICY)
    permission = await here.desk.permit(IN_EMERGENCY)
    told: list[str] = []

    async def telling(_: object, case: EmergencyAccess) -> None:
        told.append(case.id)

    async def away(_: object, case: EmergencyAccess) -> None:
        raise ConnectionError(case.id)

    assert await here.emergencies.find_overdue(telling) == 0
    await pool.execute("UPDATE emergency_access SET due = now() - interval '1 second' WHERE tenant = 1")
    with pytest.raises(Busy):
        await here.emergencies.find_overdue(away)
    assert [await here.emergencies.find_overdue(telling) for _ in range(2)] == [1, 0]
    assert told == [permission.id]


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
