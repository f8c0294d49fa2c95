"""Care that cannot wait: access in an emergency under a holder's written policy, and the acute regime."""

from __future__ import annotations

import html
import tomllib
from typing import Any

from schakel.demo import cast
from schakel.demo.check import patient
from schakel.demo.check.professionals import logged_in
from schakel.demo.check.trial import Party, Trial, detail, identifier, prove, prove_equal, report, troubles
from schakel.kernel.clock import instant, now

_WHY = "Bewusteloos binnengebracht op de spoedeisende hulp"


async def given(trial: Trial) -> str:
    """A doctor who proved who they are gets what the patient did not permit, for a reason that is written down; the
    holder's officer looks at it afterwards, and the patient reads both."""
    bsn, holder = await trial.stranger(), trial.holder
    begun, login = instant(now()), await logged_in(trial)
    before = report(await _asked(trial, bsn, login, holder), holder.ura)
    prove_equal(before["status"], "refused", f"without an emergency ({troubles(before)})")
    answer = await _asked(trial, bsn, login, holder, emergency=_WHY)
    told = report(answer, holder.ura)
    prove_equal(told["status"], "complete", f"in an emergency ({troubles(told)})")
    prove(bool(answer["bundle"].get("entry")), "nothing came")
    events = await trial.log(holder, patient_in_identifier=bsn, date=f"ge{begun}", _count="1000")
    mine = [e for e in events if identifier(e, "XrequestId").partition(".")[0] == answer["id"]]
    grounds = {detail(event, "toestemmingsProfiel").partition("/")[0] for event in mine}
    prove_equal(grounds, {"break-glass"}, f"kinds of ground in the log of {holder.slug}")
    case = await _case(trial, bsn, begun)
    prove_equal((case["reason"], case["user"]["id"]), (_WHY, trial.user(trial.requester).id), "the case")
    judged = await trial.internal(
        "POST",
        holder,
        f"/consent/emergencies/{case['id']}",
        {"accepted": True, "by": "Check of the demo", "note": "Seen at the emergency department"},
    )
    prove_equal(judged.status, 200, f"the second look ({judged.said()})")
    page = await patient.read(trial, holder, bsn)
    told_there = [one for one in patient.SECTION.findall(page) if html.escape(_WHY) in one]
    prove(bool(told_there), f"the page of {holder.slug} does not tell the reason")
    return (
        f"refused without a reason; with one {len(answer['bundle']['entry'])} resources under {case['policy']!r}, each "
        f"request so in the log of {holder.slug}, whose officer judged it and whose page tells the patient"
    )


async def without_policy(trial: Trial) -> str:
    """A holder that decided nothing about emergencies gives nothing in one."""
    other = trial.parties[cast.GENERAL_PRACTICE.slug]
    login = await logged_in(trial)
    answer = await _asked(trial, await trial.stranger(), login, other, emergency=_WHY)
    reason = await _refusal(trial, answer, other)
    waiting = await trial.internal("GET", other, "/consent/emergencies")
    prove_equal(waiting.json()["emergencies"], [], f"cases at {other.slug}")
    return f"{other.slug} refused with {reason!r} in its log, and has no case"


async def acute(trial: Trial) -> str:
    """A holder that lets acute care in unless the patient objected refuses where Mitz says no."""
    holder = trial.holder
    node = tomllib.loads((trial.folder / f"{holder.operator}.toml").read_text("utf-8"))
    [own] = [one for one in node["organisations"] if one["slug"] == holder.slug]
    types = own["acute_opt_out"]["requester_types"]
    prove(cast.organisation(trial.requester.slug).type_code in types, "the regime is not for who asks")
    answer = await _asked(trial, await trial.stranger(), await logged_in(trial), holder, purpose="ETREAT")
    reason = await _refusal(trial, answer, holder)
    prove_equal(reason, "mitz-deny", f"the log of {holder.slug}")
    return (
        f"{holder.slug} has the regime for {', '.join(types)}, asked Mitz, and refused: {reason!r} in its log"
    )


async def _asked(trial: Trial, bsn: str, login: str, holder: Party, **changed: str) -> dict[str, Any]:
    """What the EHR of the requester gets from one holder, when it asks for the BgZ."""
    question = trial.question(trial.requester, bsn, login, [holder.ura])
    return await trial.exchanged(trial.requester, {**question, **changed})


async def _case(trial: Trial, bsn: str, begun: str) -> dict[str, Any]:
    """The case that waits at the holder for this patient since then."""
    reply = await trial.internal("GET", trial.holder, "/consent/emergencies")
    prove_equal(reply.status, 200, f"the cases that wait ({reply.said()})")
    found: list[dict[str, Any]] = [
        one for one in reply.json()["emergencies"] if one["patient"] == bsn and one["made"] >= begun
    ]
    prove_equal(len(found), 1, f"cases of this patient at {trial.holder.slug}")
    return found[0]


async def _refusal(trial: Trial, answer: dict[str, Any], holder: Party) -> str:
    """Why a holder refused all of it, as its log says."""
    told = report(answer, holder.ura)
    prove_equal(told["status"], "refused", f"what {holder.slug} said ({troubles(told)})")
    prove("entry" not in answer["bundle"], "something was given")
    events = await trial.log(holder, entity__identifier=f"urn:uuid:{told['requests'][0]['decision']}")
    prove_equal([event["outcome"] for event in events], ["4"], f"the log of {holder.slug}")
    return str(events[0].get("outcomeDesc"))
