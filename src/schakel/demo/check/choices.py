"""What a patient chose at the stand-in of Mitz decides, also when they change their mind on its page."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlencode

from schakel.demo.check.professionals import logged_in
from schakel.demo.check.trial import Trial, detail, identifier, prove, prove_equal, troubles
from schakel.fhir.json import Resource
from schakel.kernel.clock import instant, now

_SECRET = re.compile(r'name="secret" value="([^"]+)"')
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_HOSPITALS = "GGC002-RPZAC104"
"""The field of the page: hospitals may ask for what is kept at hospitals and GPs."""

_PATIENCE = 15


async def permitted(trial: Trial) -> str:
    """No ground is recorded here, a professional proved who they are, and Mitz says that the patient allows it."""
    bsn = trial.chooser()
    prove(not await trial.grounds(bsn, active=True), "there is a ground, so that Mitz would not be asked")
    begun, login = instant(now()), await logged_in(trial)
    answer = await trial.fetch(trial.requester, bsn, login)
    prove_equal(answer["status"], "complete", f"the exchange ({troubles(answer['holders'][0])})")
    prove(bool(answer["bundle"].get("entry")), "nothing came")
    events = await _events(trial, bsn, begun)
    grounds = {detail(event, "toestemmingsProfiel").partition("/")[0] for event in events}
    prove_equal(grounds, {"mitz"}, "kinds of ground in the log")
    return (
        f"{len(answer['bundle']['entry'])} resources for {trial.requester.slug}, in {len(events)} decisions that each "
        "rest on Mitz"
    )


async def changed(trial: Trial) -> str:
    """The patient takes the consent back on the page of Mitz; the same question is then refused."""
    bsn = trial.chooser()
    await choose(trial, bsn, "no")
    try:
        for second in range(_PATIENCE):
            begun, login = instant(now()), await logged_in(trial)
            answer = await trial.fetch(trial.requester, bsn, login)
            if answer["status"] == "refused":
                events = await _events(trial, bsn, begun)
                reasons = {event.get("outcomeDesc") for event in events}
                prove_equal({event["outcome"] for event in events}, {"4"}, "outcomes in the log")
                prove("entry" not in answer["bundle"], "something was given")
                said = ", ".join(sorted(str(reason) for reason in reasons))
                return f"27 of 27 requests refused within {second + 1} s of the choice; in the log: {said}"
            await asyncio.sleep(1)
    finally:
        await choose(trial, bsn, "yes")
    prove(False, f"still given {_PATIENCE} s after the patient took the consent back")
    return ""


async def _events(trial: Trial, bsn: str, since: str) -> list[Resource]:
    """What the holder logged of guarded requests about a patient since a moment."""
    events = await trial.log(trial.holder, patient_in_identifier=bsn, date=f"ge{since}", _count="1000")
    found = [event for event in events if identifier(event, "decision") and event["action"] in ("E", "R")]
    found = [event for event in found if event["type"]["code"] == "rest"]
    prove(bool(found), "the log has nothing of it")
    return found


async def choose(trial: Trial, bsn: str, choice: str) -> None:
    """Sets the choice on the page, as the patient."""
    address = trial.stand_ins["mitz-page"]
    form = urlencode({"bsn": bsn}).encode()
    entered = await trial.client.send("POST", f"{address}/login", headers=_FORM, data=form)
    prove_equal(entered.status, 303, "logging in at Mitz")
    cookie = {"Cookie": entered.headers["Set-Cookie"].partition(";")[0]}
    page = await trial.client.send("GET", f"{address}/", headers=cookie)
    secret = _SECRET.search(page.body.decode())
    prove(secret is not None, "Mitz shows no choices")
    assert secret is not None
    form = urlencode({"secret": secret[1], _HOSPITALS: choice}).encode()
    saved = await trial.client.send("POST", f"{address}/choices", headers={**cookie, **_FORM}, data=form)
    prove_equal(saved.status, 303, "saving a choice at Mitz")
