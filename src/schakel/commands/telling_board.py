"""What `schakel check` found, told to the board of the region by the organisation whose endpoint it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import get_args

from schakel.commands.doors import Client, Door, refusal
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.roadmap import wire
from schakel.roadmap.evidence import Finding, Measured, Member, Run
from schakel.roadmap.region import SuiteCheck

_BY = "schakel check"


@dataclass(frozen=True, slots=True)
class Board:
    """The organisation whose endpoint was checked, and for which check of the roadmap the result counts."""

    door: Door
    check: str


def suite_check(name: str | None) -> str:
    """The check of the roadmap for which a suite counts. Raises `Invalid` for another word, and for none."""
    known = get_args(SuiteCheck)
    if name is None or name not in known:
        raise Invalid(f"--as says for which check of the roadmap the suite counts: {', '.join(known)}")
    return name


def tell(board: Board, finding: Finding) -> None:
    """Gives the board a run with this one finding, and prints that. Raises `NotFound` when the organisation is not in
    the region yet, and what the door refuses."""
    asyncio.run(_told(board.door, finding))
    print(f"told the board of the region: {finding.check} at {board.door.name} ({board.door.ura})")


async def _told(door: Door, finding: Finding) -> None:
    async with Client(door) as client:
        answer = await client.send("GET", "roadmap/board")
        if answer.status != 200:
            raise refusal(answer)
        there = answer.table()
        found = [one for one in there["members"] if one["ura"] == door.ura]
        if not found:
            raise NotFound(
                f"{door.name} ({door.ura}) is not on the board of {there['region']} yet: measure the region first "
                "(schakel roadmap run --board)"
            )
        moment = now()
        member = Member(door.ura, found[0]["name"], found[0]["sector"], found[0]["kind"])
        run = Run(
            new_id(),
            there["region"],
            there["roadmap"],
            _BY,
            moment,
            moment,
            (member,),
            (Measured(door.ura, finding, moment),),
        )
        params = (("about", "self"),)
        answer = await client.send("POST", "roadmap/runs", params=params, body=wire.dump(run))
        if answer.status not in (200, 201):
            raise refusal(answer)
