"""One process of a holder with all it knows of consent, for tests of the consent desk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from tests.mitz import BSN, HOLDER, REQUESTER, Handler, Register, Trusting, facility, register

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
    Standings,
)
from schakel.generic.consent.mitz import Mitz
from schakel.generic.consent.once import Once
from schakel.kernel.clock import now

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
    """With a handler there is a Mitz that answers so, or the one `there`; the rest is as in `ConsentDesk`."""
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


@asynccontextmanager
async def processes(pool: asyncpg.Pool, trusting: Trusting) -> AsyncIterator[Open]:
    """Call it for a process on an empty database; see `process`."""
    await pool.execute(
        "TRUNCATE disclosure_ground, consent_objection, mitz_feed, mitz_notice, mitz_choice, emergency_access"
    )
    async with AsyncExitStack() as stack:

        async def make(handler: Handler | None = None, **members: Any) -> Here:
            return await stack.enter_async_context(process(pool, trusting, handler, **members))

        yield make
