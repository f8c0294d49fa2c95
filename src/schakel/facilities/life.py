"""Whether facilities answer: what is told of them to who judges by them, such as a measurement of the region."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from schakel.facilities.client import Facility, FacilityAway, once_more
from schakel.facilities.tokens import token_fault
from schakel.kernel.clock import now


@dataclass(frozen=True, slots=True)
class Life:
    """How a facility does that is called `id` here: `away` is why it gave no answer the last time it was asked, '' when
    it did, and `answered` when it last did as far as is known, None when that is not known of any moment."""

    id: str
    away: str
    answered: datetime | None


async def life(facilities: Mapping[str, Facility]) -> tuple[Life, ...]:
    """How each of these does now, in their order: all are asked at once, without a token or a word on anybody.

    An answer below 500 is a sign of life, whatever it says, and so is the 500 by which the ministry's services refuse
    who shows no token.
    """
    away = await asyncio.gather(*map(_away, facilities.values()))
    return tuple(
        Life(id, why, one.answered if why else now())
        for (id, one), why in zip(facilities.items(), away, strict=True)
    )


async def _away(facility: Facility) -> str:
    try:
        answer = await once_more(facility.knock)
    except FacilityAway as error:
        return error.why
    return f"status {answer.status}" if answer.status >= 500 and not token_fault(answer) else ""
