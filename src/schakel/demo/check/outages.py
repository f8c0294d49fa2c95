"""What is told, and what is not given, when a facility is away: its stand-in is taken away, and brought back."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from schakel.demo import cast
from schakel.demo.check.professionals import logged_in
from schakel.demo.check.trial import Trial, identifier, prove, prove_equal, report, troubles
from schakel.demo.directories import INTERVAL_SECONDS, STALE_SECONDS
from schakel.kernel.clock import instant, now

_BACK_SECONDS = 30.0
"""Within so many seconds after a facility is there again it is used again."""


async def without_mitz(trial: Trial) -> str:
    """The index alone names holders, and the asker is told that Mitz was not asked. A holder that must ask Mitz gives
    nothing, and says that it could not look, not that the patient forbids it; one with a ground of its own gives."""
    bsn = trial.chooser()
    begun, ground = instant(now()), trial.parties[cast.AMBULANCE.slug]
    async with trial.without("mitz"):
        answer = await trial.fetch(trial.requester, bsn, await logged_in(trial), ())
    try:
        said = _asked(answer)
        prove_equal(said["nvi"][0], "answered", "the index")
        prove_equal(said["mitz"][0], "failed", "Mitz")
        prove(answer["status"] != "complete", "the whole is told as complete")
        held, other = (report(answer, one.ura) for one in (trial.holder, ground))
        prove_equal(held["status"], "failed", f"{trial.holder.slug} without Mitz ({troubles(held)})")
        prove(not any(one["entries"] for one in held["requests"]), "something rested on a choice nobody read")
        prove_equal(other["status"], "complete", f"{ground.slug}, which has a ground ({troubles(other)})")
        events = await trial.log(trial.holder, patient_in_identifier=bsn, date=f"ge{begun}", _count="1000")
        mine = [e for e in events if identifier(e, "XrequestId").partition(".")[0] == answer["id"]]
        reasons = {(e["outcome"], e.get("outcomeDesc")) for e in mine}
        prove_equal(reasons, {("8", "consent-unavailable")}, f"the log of {trial.holder.slug}")
    finally:
        await _again(trial, bsn)
    return (
        f"told: {said['mitz'][1]}; {trial.holder.slug} gave nothing (consent-unavailable); {ground.slug} gave "
        f"under its own ground; the whole is {answer['status']}"
    )


async def without_pseudonyms(trial: Trial) -> str:
    """Nobody's pseudonym can be made, so the index is not asked; those that Mitz names are asked, and the asker is told
    that others may be missing."""
    bsn = trial.chooser()
    async with trial.without("prs"):
        answer = await trial.fetch(trial.requester, bsn, await logged_in(trial), ())
    try:
        said = _asked(answer)
        prove_equal(said["nvi"][0], "failed", "the index")
        prove_equal(said["mitz"], ("answered", ""), "Mitz")
        given = {one["ura"]: one["status"] for one in answer["holders"]}
        prove(bool(given) and set(given.values()) == {"complete"}, f"those that Mitz named: {given}")
        prove(len(given) < len(trial.known_at(bsn)), "nobody is missing")
        prove_equal(answer["status"], "incomplete", "the whole")
    finally:
        await _again(trial, bsn)
    return f"told: {said['nvi'][1]}; {len(given)} holders that Mitz named are complete, and the whole is incomplete"


async def stale(trial: Trial) -> str:
    """The national directory is away for longer than the operator allows: addresses are used, and told as stale."""
    bsn = await trial.patient()
    fresh = await _directory(trial, bsn)
    prove_equal(fresh["stale"], False, "the address before")
    begun = time.monotonic()
    async with trial.without("lrza"):
        await asyncio.sleep(STALE_SECONDS - INTERVAL_SECONDS)
        told = await _until(trial, bsn, True)
    after = time.monotonic() - begun
    await _until(trial, bsn, False)
    return (
        f"after {after:.0f} s an address is told as stale, of {told['as_of']}, and the BgZ came all the same; when the "
        "directory was there again it was in step again"
    )


def _asked(answer: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["by"]: (one["status"], one["reason"]) for one in answer["localised"]}


async def _again(trial: Trial, bsn: str) -> None:
    """Returns when the question without an outage is answered whole again. Raises `NotProved`."""
    end = time.monotonic() + _BACK_SECONDS
    while True:
        answer = await trial.fetch(trial.requester, bsn, await logged_in(trial), ())
        if answer["status"] == "complete":
            return
        prove(time.monotonic() < end, f"not complete {_BACK_SECONDS:.0f} s later: {_asked(answer)}")
        await asyncio.sleep(0.5)


async def _directory(trial: Trial, bsn: str) -> dict[str, Any]:
    """Where the address of the holder was from in an exchange that was complete."""
    answer = await trial.fetch(trial.requester, bsn)
    [told] = answer["holders"]
    prove_equal(told["status"], "complete", f"the exchange ({told['reason']})")
    found: dict[str, Any] = told["directory"]
    return found


async def _until(trial: Trial, bsn: str, wanted: bool) -> dict[str, Any]:
    """Where the address is from, once it is stale or no more. Raises `NotProved`."""
    end = time.monotonic() + _BACK_SECONDS
    while (found := await _directory(trial, bsn))["stale"] is not wanted:
        prove(time.monotonic() < end, f"the address is{'' if wanted else ' still'} not told as {wanted=}")
        await asyncio.sleep(0.5)
    return found
