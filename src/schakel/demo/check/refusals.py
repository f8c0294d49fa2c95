"""What must be refused, and that the refusal is written down with its reason.

Before the patient is known a refusal names its reason to the caller. After that the caller gets one status
(403), one sentence and the decision's id; the reason is in the holder's log, and nothing about the patient is
in the answer.
"""

from __future__ import annotations

import base64
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from schakel.demo import cast
from schakel.demo.check.trial import (
    PURPOSE,
    RELATION,
    Party,
    Trial,
    bsn_query,
    detail,
    identifier,
    prove,
    prove_equal,
)
from schakel.demo.doors import Reply
from schakel.fhir.json import Resource
from schakel.generic.identity import AssertionSigner, new_key
from schakel.kernel.clock import instant, now

_NOBODY = "99009999"
"""A URA that no directory of the region has."""


async def no_token(trial: Trial) -> str:
    """Without a token, and with a made-up one."""
    path = f"Condition?{bsn_query(await trial.patient())}"
    for token in ("", "A" * 43):
        reply = await trial.guarded(path, token)
        prove_equal(reply.status, 401, "status")
        prove("WWW-Authenticate" in reply.headers, "the answer does not ask for a token")
        _no_resources(reply)
    return "401 without a token and with a made-up one"


async def unknown_organisation(trial: Trial) -> str:
    """An organisation with a good key of its own, which is in nobody's directory."""
    reply = await trial.ask_token(_forged(trial, _NOBODY))
    said = oauth_refusal(reply, 401, "invalid_client")
    prove(_NOBODY in said, f"the refusal does not name the organisation: {said}")
    return f"401 invalid_client: {said}"


async def stolen_name(trial: Trial) -> str:
    """An assertion in the name of the requester, signed with a key of someone else."""
    kid = orjson.loads(trial.requester.signing_key.read_bytes())["kid"]
    reply = await trial.ask_token(_forged(trial, trial.requester.ura, kid))
    said = oauth_refusal(reply, 401, "invalid_client")
    prove("signature" in said, f"refused for another reason: {said}")
    return f"401 invalid_client: {said}"


async def replay(trial: Trial) -> str:
    """The same assertion twice."""
    assertion = trial.assertion(trial.requester)
    first = await trial.ask_token(assertion)
    prove_equal(first.status, 200, f"the first use ({first.said()})")
    said = oauth_refusal(await trial.ask_token(assertion), 401, "invalid_client")
    prove("before" in said, f"refused for another reason: {said}")
    return f"a token the first time; the second time 401 invalid_client: {said}"


async def scope(trial: Trial) -> str:
    """A scope that the holder does not offer."""
    said = oauth_refusal(
        await trial.ask_token(trial.assertion(trial.requester), "bgz everything"), 400, "invalid_scope"
    )
    return f"400 invalid_scope: {said}"


async def missing_ground(trial: Trial) -> str:
    """A patient of whom the holder has a record, but never a ground for this requester, and no choice at Mitz."""
    bsn = await trial.stranger()
    prove(
        bool(await trial.search(trial.holder, f"Condition?{bsn_query(bsn)}")),
        "the holder has nothing to refuse",
    )
    return await _refused_exchange(trial, trial.requester, bsn, "mitz-deny")


async def ground_of_another(trial: Trial) -> str:
    """The patient has a ground, but for another organisation than the one that asks."""
    other = trial.parties[cast.GENERAL_PRACTICE.slug]
    return await _refused_exchange(trial, other, await trial.patient(), "mitz-deny")


async def ended_ground(trial: Trial) -> str:
    """The same question is answered under a new ground, and refused as soon as the ground has ended."""
    other, bsn = trial.parties[cast.HOME_CARE.slug], await trial.patient()
    written = await trial.internal(
        "POST",
        trial.holder,
        "/grounds",
        {
            "requester": other.ura,
            "patient": bsn,
            "exchange": "bgz",
            "until": instant(now() + timedelta(hours=1)),
            "reason": "Check of the demo",
        },
    )
    prove_equal(written.status, 201, f"writing a ground ({written.said()})")
    ground = written.json()["id"]
    answer = await trial.fetch(other, bsn)
    prove_equal(answer["status"], "complete", "the exchange under the ground")
    ended = await trial.internal("DELETE", trial.holder, f"/grounds/{ground}")
    prove_equal(ended.status, 200, f"ending the ground ({ended.said()})")
    proof = await _refused_exchange(trial, other, bsn, "mitz-deny")
    return f"complete under ground {ground}; after its end {proof}"


async def another_bsn(trial: Trial) -> str:
    """One token, two patients: the answer for the second says nothing."""
    bsn, stranger = await trial.patient(), await trial.stranger()
    token = await trial.token(trial.requester)
    allowed = await trial.guarded(f"Condition?{bsn_query(bsn)}", token)
    prove_equal(allowed.status, 200, f"the patient with a ground ({allowed.said()})")
    prove(bool(allowed.json().get("entry")), "the patient with a ground has nothing")
    reply = await trial.guarded(f"Condition?{bsn_query(stranger)}", token)
    event = await _refused(trial, reply, "mitz-deny")
    prove(stranger.encode() not in reply.body, "the answer has the BSN")
    prove_equal(identifier(event, "1"), stranger, "patient in the log")
    nobody = await trial.guarded(f"Condition?{bsn_query('999900006')}", token)
    prove_equal(
        (nobody.status, _without_id(nobody)), (reply.status, _without_id(reply)), "someone whom nobody knows"
    )
    return "200 for one, 403 for the other with the same token; someone whom nobody knows gets the same 403"


async def extra_parameter(trial: Trial) -> str:
    """A search of the BgZ with one parameter more."""
    path = f"{await _form(trial)}&clinical-status=active"
    return await _refused_form(trial, path, "clinical-status=active", "form-not-allowed")


async def another_include(trial: Trial) -> str:
    """A search of the BgZ with an include that its form does not have."""
    path = f"{await _form(trial)}&_include=Condition:asserter"
    return await _refused_form(trial, path, "_include=Condition:asserter", "form-not-allowed")


async def no_patient(trial: Trial) -> str:
    """Everyone's problems at once."""
    return await _refused_form(trial, "Condition", "Condition", "patient-not-named")


async def writing(trial: Trial) -> str:
    """A resource put at the guarded door, which is then not there."""
    token = await trial.token(trial.requester)
    resource = {"resourceType": "Basic", "id": "check-writes", "code": {"text": "check"}}
    reply = await trial.guarded("Basic/check-writes", token, "PUT", orjson.dumps(resource))
    prove_equal(reply.status, 405, f"status ({reply.said()})")
    read = await trial.internal("GET", trial.holder, "/fhir/stu3/Basic/check-writes")
    prove_equal(read.status, 404, "what was put")
    return f"405, and the resource is not there: {reply.said()}"


async def another_door(trial: Trial) -> str:
    """The requester's key at the holder's internal door, and no key at all."""
    path = f"{trial.holder.own}/Condition?{bsn_query(await trial.patient())}"
    for key in (trial.requester.internal_key, ""):
        reply = await trial.client.send("GET", path, headers={"X-API-Key": key} if key else {})
        prove_equal(reply.status, 401, f"status ({reply.said()})")
        _no_resources(reply)
    neighbour = trial.parties[cast.OUT_OF_HOURS.slug]
    reply = await trial.client.send("GET", path, headers={"X-API-Key": neighbour.internal_key})
    prove_equal(reply.status, 403, f"with the key of {neighbour.slug}, on the same node")
    _no_resources(reply)
    return f"403 with the key of {neighbour.slug} on the same node, 401 with that of another node and without"


async def changing_the_log(trial: Trial) -> str:
    """An event changed, removed and made through the door of the log; it stays as it was."""
    path = trial.holder.log.removeprefix(trial.holder.internal)
    page = await trial.internal("GET", trial.holder, f"{path}?_count=1")
    prove_equal(page.status, 200, f"reading the log ({page.said()})")
    event = page.json()["entry"][0]["resource"]
    changed = {**event, "outcome": "8"}
    for method, where in (
        ("PUT", f"{path}/{event['id']}"),
        ("DELETE", f"{path}/{event['id']}"),
        ("POST", path),
    ):
        reply = await trial.internal(method, trial.holder, where, changed)
        prove(reply.status in (404, 405), f"{method} was answered with {reply.status}")
    read = await trial.internal("GET", trial.holder, f"{path}/{event['id']}")
    prove_equal(orjson.loads(read.body), event, "the event afterwards")
    return f"PUT, DELETE and POST are not there; event {event['id']} is as it was"


# -- how a refusal is judged -----------------------------------------------------------------------------------


def _forged(trial: Trial, ura: str, kid: str = "") -> str:
    """An assertion in the name of `ura`, signed with a key that was made just now and perhaps called `kid`."""
    key = new_key()
    with tempfile.NamedTemporaryFile(suffix=".jwk.json") as file:
        file.write(orjson.dumps({**key, "kid": kid or key["kid"]}))
        file.flush()
        signer = AssertionSigner(ura, Path(file.name))
        return signer.assertion(trial.holder.issuer, trial.user(trial.requester), PURPOSE, RELATION)


def oauth_refusal(reply: Reply, status: int, error: str) -> str:
    """The description of a refusal by the token endpoint with this status and word."""
    prove_equal(reply.status, status, f"status ({reply.said()})")
    table = reply.json()
    prove_equal(table.get("error"), error, "error")
    prove("access_token" not in table, "a token was given")
    return str(table["error_description"])


def _no_resources(reply: Reply) -> None:
    table = reply.json()
    prove_equal(table.get("resourceType"), "OperationOutcome", "body")
    prove("entry" not in table, "the answer has entries")


def _without_id(reply: Reply) -> str:
    """What a refusal says, but for the id of its decision."""
    return reply.said().replace(reply.headers.get("X-Decision-ID", "?"), "")


async def _refused(trial: Trial, reply: Reply, reason: str) -> Resource:
    """The event in the log of a refusal after the patient was known; it has this reason."""
    prove_equal(reply.status, 403, f"status ({reply.said()})")
    _no_resources(reply)
    prove(reason not in reply.said(), "the answer tells the reason")
    return await _logged_refusal(trial, reply.headers.get("X-Decision-ID", ""), reason)


async def _logged_refusal(trial: Trial, decision: str, reason: str) -> Resource:
    prove(bool(decision), "the refusal has no decision id")
    events = await trial.log(trial.holder, entity__identifier=f"urn:uuid:{decision}")
    prove_equal(len(events), 1, f"events of decision {decision}")
    prove_equal((events[0]["outcome"], events[0].get("outcomeDesc")), ("4", reason), "the log")
    return events[0]


async def _refused_exchange(trial: Trial, requester: Party, bsn: str, reason: str) -> str:
    """The exchange brings nothing, and each of its 27 refusals is in the holder's log with this reason."""
    answer = await trial.fetch(requester, bsn)
    [holder] = answer["holders"]
    prove_equal((answer["status"], holder["status"]), ("refused", "refused"), "exchange")
    prove("entry" not in answer["bundle"], "something was given")
    requests: list[dict[str, Any]] = holder["requests"]
    prove_equal([r["status"] for r in requests], ["refused"] * 27, "requests")
    for request in requests:
        event = await _logged_refusal(trial, request["decision"], reason)
        prove_equal(identifier(event, "1"), bsn, "patient in the log")
        prove_equal(detail(event, "toestemmingsProfiel"), "", "ground in the log")
    return f"27 of 27 requests refused, nothing given, {reason!r} in the log of {trial.holder.slug} for each"


async def _form(trial: Trial) -> str:
    """A search that the BgZ has, for a patient with a ground."""
    return f"Condition?{bsn_query(await trial.patient())}"


async def _refused_form(trial: Trial, path: str, part: str, reason: str) -> str:
    """The search `path`, which has `part`, is refused where that of the BgZ is answered; the log says why."""
    token = await trial.token(trial.requester)
    allowed = await trial.guarded(await _form(trial), token)
    prove_equal(allowed.status, 200, f"the form itself ({allowed.said()})")
    reply = await trial.guarded(path, token)
    prove_equal(reply.status, 403, f"status ({reply.said()})")
    _no_resources(reply)
    event = await _logged_refusal(trial, reply.headers.get("X-Decision-ID", ""), reason)
    prove(any(part in query for query in _queries(event)), "the log has another search under this decision")
    return f"403, {reason!r} in the log: {reply.said()}"


def _queries(event: Resource) -> list[str]:
    """The requests that an AuditEvent names."""
    return [base64.b64decode(one["query"]).decode() for one in event["entity"] if "query" in one]
