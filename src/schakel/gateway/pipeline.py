"""The pipeline of the guarded door. Read `Gateway._decided` from top to bottom: it is the rule.

identify -> parse -> judge the form -> facts -> which grounds could suffice -> ask for consent -> decide -> execute what
was judged -> minimise -> log, durable, with the decision -> answer. A step that cannot be made is a refusal. Faults
before the patient is known are named to the caller; after that a refusal has one status (403), one code and the id of
the decision. The reason stands in the log (`schakel explain ID`).
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal

from schakel.facilities import FacilityAway
from schakel.gateway.acts import Acts
from schakel.gateway.batch import Batch, read_bundle
from schakel.gateway.decision import Decision, Holder, token_refused
from schakel.gateway.delivery import Delivery
from schakel.gateway.emergency import reason_of
from schakel.gateway.notifications import Notifications
from schakel.gateway.parts import (
    DECISION,
    Addresses,
    Authorisation,
    Call,
    Candidates,
    Consent,
    Identification,
    Log,
)
from schakel.gateway.targets import Refused, Target, Targets
from schakel.generic.authorisation import Facts, GroundKind
from schakel.generic.consent import ConsentQuestion, Permission
from schakel.generic.identity import Grant, TokenElsewhereError
from schakel.generic.logging.events import Outcome as LogOutcome
from schakel.kernel.outcomes import Busy, Forbidden, NotSupported, Outcome
from schakel.server import Answer, FhirService, Interaction, Request, capabilities

_TASK_KINDS: tuple[Literal["handover", "referral"], ...] = ("handover", "referral")
"""Kinds of ground that a Task is."""

_RETRY_SECONDS = 10
_NOTIFIED = re.compile(r"Task/([A-Za-z0-9\-.]{1,64})")


class Gateway:
    """The guarded door of one organisation."""

    def __init__(
        self,
        *,
        ura: str,
        name: str,
        service: FhirService,
        server: Identification,
        policy: Authorisation,
        consent: Consent,
        candidates: Candidates,
        log: Log,
        addresses: Addresses,
        most_entries: int,
    ) -> None:
        self._holder = Holder(ura, name)
        self._most_entries = most_entries
        self._service = service
        self._server = server
        self._policy = policy
        self._consent = consent
        self._log = log
        self._candidates = candidates
        self._targets = Targets(service, policy, candidates)
        self._acts = Acts(service, self._targets, Notifications(ura, service, addresses))

    @property
    def exchanges(self) -> tuple[str, ...]:
        """The ids of the exchanges of this door."""
        return tuple(exchange.id for exchange in self._policy.matrix.exchanges)

    async def answer(self, call: Call, base: str) -> Answer:
        """The answer to a request at the guarded door. Raises an `Outcome` for every refusal."""
        request = call.request
        if request.path == "metadata" and request.method == "GET":
            possible = self._policy.possible(request.version)
            return Answer(200, capabilities.statement(request.version, base, possible))
        began = time.perf_counter()
        grant = await self._identified(call, base)
        if not request.path and request.method == "POST" and request.body:
            return await self._bundle(call, grant, base, began)
        return await self._one(request, call, grant, base, began)

    async def _identified(self, call: Call, base: str) -> Grant:
        """Who asks. That a token was shown by somebody else than it was given to is written down before it is told."""
        try:
            return await self._server.identify(call.caller)
        except TokenElsewhereError as refused:
            await self._log.write(token_refused(self._holder, call, base, refused))
            raise

    async def _one(
        self, request: Request, call: Call, grant: Grant, base: str, began: float | None = None
    ) -> Answer:
        """The answer to one request of somebody who is known; `began` is when it was first looked at."""
        decision = Decision(self._holder, call.caller, grant, request, base, policy=self._policy.digest)
        decision.since = began or decision.since
        decision.check("identified")
        async with self._refusals_logged(decision):
            return await self._decided(request, grant, decision)

    async def _bundle(self, call: Call, grant: Grant, base: str, began: float) -> Answer:
        """A batch: each entry is a request of its own, with its own decision. A transaction is one request."""
        request = call.request
        decision = Decision(self._holder, call.caller, grant, request, base, policy=self._policy.digest)
        async with self._refusals_logged(decision):
            bundle = read_bundle(self._service, request, self._most_entries)
            batch = Batch(self._service, request, bundle, base) if bundle["type"] == "batch" else None
        if batch is None:
            return await self._one(replace(request, resource=bundle), call, grant, base, began)
        return await batch.answer(lambda request: self._one(request, call, grant, base))

    async def _decided(self, request: Request, grant: Grant, decision: Decision) -> Answer:
        """The rule: what is asked, may it be, and only then is it done."""
        asked = self._parsed(request)
        decision.emergency = reason_of(request)
        judged = await self._judged(asked, grant)
        decision.interaction = judged
        delivery = self._delivery(asked, request)
        judgement = self._policy.judge(grant.scopes, judged, delivery)
        decision.row = judgement.row
        decision.check("form accepted")

        target = await self._targets.target(grant, judged, judgement)
        decision.row = target.row
        decision.interaction = target.interaction
        self._patient_known(target, grant, decision)
        bsn = target.subject.bsn if target.subject else ""
        facts = decision.facts = self._targets.facts(grant, target.row, bsn)
        kinds = self._policy.grounds(facts)
        decision.check("patient known" if decision.patient else "no patient involved")

        if kinds and kinds != {"none"}:
            question = _question(target, grant, facts, kinds - {"none"}, decision.emergency)
            permission = decision.permission = await self._consent.permit(question)
            decision.check("ground found")
            if permission.kind == "break-glass":
                await self._log.write(decision.emergency_begun(permission))

        verdict = decision.verdict = self._policy.decide(facts, _ground(kinds, decision.permission))
        decision.check("decided")
        if not verdict.permitted:
            raise Refused(verdict.reason)

        decision.named = target.row.tie == "task" or delivery is not None
        if delivery is None:
            act = await self._acts.prepared(target, asked, request, grant, decision.base)
        else:
            act = await self._acts.delivered(target, delivery, request, grant, decision.base)
        decision.kept(act.kept, act.written)
        decision.check("minimised")
        if decision.patient:
            await self._candidates.given(grant.jti, decision.patient, grant.expires)
        await self._log.write(decision.event("0"), decision.json("0"))
        return _with_decision(await act.finish(), decision)

    # -- the steps, where they need more than a line -------------------------------------------------------

    def _parsed(self, request: Request) -> Interaction:
        """The interaction that a request asks; what a header asks beside it is done or refused by name.

        A POST on a Task without a body is a notification that names the sender's Task (eOverdracht 4.x, where the
        notification endpoint is our `[base]/Task`).
        """
        named = _NOTIFIED.fullmatch(request.path) if request.method == "POST" else None
        if named is not None and not request.body and request.resource is None and not request.query:
            return Interaction(request.version, "transaction", id=named[1], empty=True)
        asked = self._service.parse(request)
        if asked.subset:
            raise NotSupported("resources are read whole at this door", expression="_summary, _elements")
        if asked.kind in ("read", "search") and "if-match" in request.headers:
            raise NotSupported("If-Match is for writing", expression="If-Match")
        if "if-none-exist" in request.headers:
            raise NotSupported("If-None-Exist is not possible at this door", expression="If-None-Exist")
        return asked

    def _delivery(self, asked: Interaction, request: Request) -> Delivery | None:
        """What a transaction brings; it is looked into when the matrix takes one at all."""
        if asked.kind != "transaction" or asked.empty or request.resource is None:
            return None
        return Delivery(self._service, asked.version, request.resource)

    async def _judged(self, asked: Interaction, grant: Grant) -> Interaction:
        """What is judged: for a page link the search that made the page, which is bound to this token."""
        if asked.query is None or asked.query.page is None:
            return asked
        original = await self._service.source.page_query(
            asked.version, asked.query.page[0], asked.query.type, grant.jti
        )
        return replace(asked, query=original)

    def _patient_known(self, target: Target, grant: Grant, decision: Decision) -> None:
        """From here on refusals no longer say why."""
        if target.subject is not None:
            decision.patient = target.subject.bsn
            if grant.patient not in ("", decision.patient):
                raise Refused("token-other-patient")
        decision.task = target.tasks[0].key if target.tasks else ""

    # -- refusing ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _refusals_logged(self, decision: Decision) -> AsyncIterator[None]:
        """Every refusal is written down before it is told."""
        try:
            yield
        except Refused as refused:
            await self._log_refusal(decision, "4", refused.reason)
            raise _refusal(decision) from refused
        except FacilityAway as away:
            await self._log_refusal(decision, "8", "consent-unavailable")
            raise _unavailable(decision) from away
        except Outcome as outcome:
            fault = outcome.status >= 500
            await self._log_refusal(decision, "8" if fault else "4", outcome.kind)
            if decision.patient and not fault and not decision.named:
                raise _refusal(decision) from outcome
            outcome.headers[DECISION] = decision.id
            raise
        except Exception:
            await self._log_refusal(decision, "8", "fault")
            raise

    async def _log_refusal(self, decision: Decision, outcome: LogOutcome, reason: str) -> None:
        decision.shown, decision.held = (), ()
        await self._log.write(decision.event(outcome, reason), decision.json(outcome, reason))


def _question(
    target: Target, grant: Grant, facts: Facts, kinds: frozenset[GroundKind], emergency: str
) -> ConsentQuestion:
    """What the consent desk is asked."""
    user, task = grant.user, target.tasks[0].key if target.tasks else ""
    kind: Literal["", "handover", "referral"] = next(
        (kind for kind in _TASK_KINDS if task and kind in kinds), ""
    )
    assert target.subject is not None
    return ConsentQuestion(
        patient=target.subject.bsn,
        requester=grant.requester,
        accepted=kinds,
        token=grant.jti,
        exchange=target.row.exchange,
        form=target.form,
        requester_type=grant.facility_type,
        user_id=user.id if user else "",
        user_name=user.name if user else "",
        user_role=user.role if user else "",
        responsible=user.responsible if user else "",
        responsible_role=user.responsible_role if user else "",
        purpose=facts.purpose,
        assurance=grant.assurance,
        emergency=emergency,
        task=task if kind else "",
        task_kind=kind,
    )


def _ground(kinds: frozenset[GroundKind], permission: Permission | None) -> GroundKind | None:
    if permission is not None:
        return permission.kind
    return "none" if kinds == {"none"} else None


def _refusal(decision: Decision) -> Forbidden:
    return Forbidden(
        f"this request was refused; decision {decision.id}", code="refused", headers={DECISION: decision.id}
    )


def _unavailable(decision: Decision) -> Busy:
    return Busy(
        f"it could not be checked whether this is allowed; try again later; decision {decision.id}",
        code="consent-unavailable",
        headers={DECISION: decision.id, "Retry-After": str(_RETRY_SECONDS)},
    )


def _with_decision(given: Answer, decision: Decision) -> Answer:
    """The answer with the id that leads to the token, the rule, the ground and the data versions behind it."""
    return replace(given, headers={**given.headers, DECISION: decision.id})
