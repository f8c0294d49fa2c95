"""The pipeline of the guarded door, one step after the other.

identify -> authorise -> consent -> execute what was judged -> minimise -> log -> answer. A step that cannot be
made is a refusal. Faults before the patient is known are named to the caller; after that a refusal has one status
(403), one code and the id of the decision. The reason stands in the log (`schakel explain ID`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from schakel.fhir.definitions import Version
from schakel.fhir.search import Query
from schakel.gateway.disclosure import Disclosure
from schakel.gateway.minimise import Item, Minimised, Subject, minimise
from schakel.generic.authorisation import PatientNamed, Row, judge, listed_form
from schakel.generic.consent import Grounds
from schakel.generic.identity import AuthorisationServer, Caller, Grant
from schakel.generic.logging import AuditLog, Event
from schakel.generic.logging.events import Outcome as LogOutcome
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Forbidden, Gone, NotAllowed, NotFound, NotSupported, Outcome
from schakel.server import Answer, FhirService, Interaction, Request, answer, capabilities
from schakel.sources import Found, Stored

REFUSED = "refused"
EXCHANGE = "bgz"
DECISION = "X-Decision-ID"
_MOST_LOGGED = 4000
"""Characters of a request that the log keeps; an accepted one is always shorter."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request at the guarded door, with what the listener knows of the caller."""

    request: Request
    caller: Caller


@dataclass(slots=True)
class Decision:
    """What has been decided so far; it becomes one event in the log."""

    id: str = field(default_factory=new_id)
    query: str = ""
    base: str = ""
    subtype: str = "search-type"
    rule: str = ""
    ground: str = ""
    patient: str = ""
    checks: list[str] = field(default_factory=list)


class Gateway:
    """The guarded door of one organisation."""

    def __init__(
        self,
        *,
        ura: str,
        name: str,
        service: FhirService,
        server: AuthorisationServer,
        grounds: Grounds,
        log: AuditLog,
        rows: Sequence[Row],
        own_bases: tuple[str, ...],
    ) -> None:
        self._ura = ura
        self._name = name
        self._service = service
        self._server = server
        self._grounds = grounds
        self._log = log
        self._rows = rows
        self._disclosure = Disclosure(service, rows, own_bases)

    async def answer(self, call: Call, base: str) -> Answer:
        """The answer to a request at the guarded door. Raises an `Outcome` for every refusal."""
        if call.request.path == "metadata" and call.request.method == "GET":
            version = call.request.version
            kinds = frozenset(row.type for row in self._rows if row.version == version)
            return Answer(200, capabilities.statement(version, base, kinds))
        grant = await self._server.identify(next(iter(call.caller.authorization), None))
        decision = Decision(query=_request_line(call.request), base=base)
        async with self._refusals_logged(call, grant, decision):
            interaction = self._parsed(call.request, decision)
            if EXCHANGE not in grant.scopes:
                raise Forbidden(f"the token's scope does not include {EXCHANGE!r}", code="scope-missing")
            decision.checks.append("identified")
            if interaction.kind == "read":
                return await self._read(call, grant, interaction, decision)
            return await self._search(call, grant, interaction, decision, base)

    # -- a search ------------------------------------------------------------------------------------------

    async def _search(
        self, call: Call, grant: Grant, interaction: Interaction, decision: Decision, base: str
    ) -> Answer:
        assert interaction.query is not None
        query = await self._original(interaction, interaction.query, grant)
        judgement = judge(interaction.version, query, self._rows)
        decision.rule = judgement.row.id
        decision.checks.append("form accepted")
        bsn = await self._patient(interaction.version, judgement.patient, grant, decision)
        path = query.type if query.last is None else f"{query.type}/$lastn"
        await self._consent(grant, bsn, listed_form(f"{path}?{query.self_link()}"), decision)
        found = await self._service.search(interaction, grant.jti)
        kept = await self._minimised(interaction.version, found, bsn, query)
        await self._logged(call, grant, decision, kept)
        return _with_decision(self._service.render(base, interaction, _only(found, kept)), decision)

    async def _original(self, interaction: Interaction, query: Query, grant: Grant) -> Query:
        """The query to judge: for a page link, the query that made the page, bound to this token."""
        if query.page is None:
            return query
        return await self._service.source.page_query(
            interaction.version, query.page[0], query.type, grant.jti
        )

    async def _patient(
        self,
        version: Version,
        named: PatientNamed,
        grant: Grant,
        decision: Decision,
        known: Stored | None = None,
    ) -> str:
        """The BSN of the patient that a request names; `known` is a Patient that was just read."""
        bsn = named.bsn or await self._disclosure.bsn_of(version, named.id, known)
        if not bsn:
            raise _Refused("patient-unknown")
        decision.patient = bsn
        if grant.patient not in ("", bsn):
            raise _Refused("token-other-patient")
        return bsn

    async def _consent(self, grant: Grant, bsn: str, form: str, decision: Decision) -> None:
        """Permits only under a recorded ground, for the exchange or for this form."""
        ground = await self._grounds.permits(grant.requester, bsn, EXCHANGE, form)
        if ground is None:
            raise _Refused(await self._grounds.explain(grant.requester, bsn, EXCHANGE, form))
        decision.ground = ground.id
        decision.checks.append("ground found")

    async def _minimised(self, version: Version, found: Found, bsn: str, query: Query) -> Minimised:
        items = [self._disclosure.item(version, s, True) for s in found.matches]
        items += [self._disclosure.item(version, i.stored, False) for i in found.included]
        ids = (
            found.patients if found.patients is not None else await self._disclosure.patient_ids(version, bsn)
        )
        subject = Subject(bsn, ids)
        elsewhere = await self._disclosure.releasable_targets(version, items, subject)
        return minimise(version, items, subject, [str(i) for i in query.includes], elsewhere.__contains__)

    # -- a read --------------------------------------------------------------------------------------------

    async def _read(self, call: Call, grant: Grant, interaction: Interaction, decision: Decision) -> Answer:
        """A resource that some row of the exchange would release to this requester for this patient.

        A ground that lists queries permits those searches; a read needs one for the exchange.
        """
        version = interaction.version
        decision.subtype = "read"
        try:
            stored, whose = await self._service.source.read_with_patient(
                version, interaction.type, interaction.id
            )
        except (NotFound, Gone) as absent:
            raise _Refused("not-here") from absent
        found = self._disclosure.item(version, stored, True)
        named = self._disclosure.patient_of(found)
        row: Row | None
        if named is None:
            row = await self._through_link(version, grant, found, decision)
        else:
            bsn = await self._patient(version, PatientNamed(id=named), grant, decision, whose)
            await self._consent(grant, bsn, "", decision)
            row = self._disclosure.fitting_row(version, found, Subject(bsn, frozenset({named})))
            if row is None:
                released = await self._disclosure.release(version, found, [bsn])
                if released is None:
                    raise _Refused("form-not-allowed")
                row = released[1]
        decision.rule = row.id
        decision.checks.append("resource of an accepted form")
        await self._logged(call, grant, decision, Minimised((found,), ()))
        return _with_decision(answer.resource(stored), decision)

    async def _through_link(self, version: Version, grant: Grant, found: Item, decision: Decision) -> Row:
        """For a resource without a patient: the row through which it may be read, for a patient with a
        ground."""
        patients = await self._grounds.patients(grant.requester, EXCHANGE)
        released = await self._disclosure.release(version, found, patients)
        if released is None:
            raise _Refused("not-referred-to")
        subject, row = released
        await self._patient(version, PatientNamed(bsn=subject.bsn), grant, decision)
        await self._consent(grant, subject.bsn, "", decision)
        return row

    # -- parsing, logging, refusing ------------------------------------------------------------------------

    def _parsed(self, request: Request, decision: Decision) -> Interaction:
        interaction = self._service.parse(request)
        if interaction.kind not in ("read", "search"):
            decision.subtype = interaction.kind
            raise NotAllowed(
                f"{interaction.kind} is not possible at this door: it gives out data by read and search",
                code="interaction-not-allowed",
                headers={"Allow": "GET"},
            )
        if interaction.subset:
            raise NotSupported("resources are read whole at this door", expression="_summary, _elements")
        return interaction

    async def _logged(self, call: Call, grant: Grant, decision: Decision, kept: Minimised) -> None:
        """Writes the disclosure down; returns when it is durable."""
        decision.checks.append("minimised")
        if kept.dropped:
            held = ", ".join(f"{d.key}: {d.reason}" for d in kept.dropped)
            decision.checks.append(f"held back: {held}")
        disclosed = tuple(
            f"{i.key}/_history/{i.resource.get('meta', {}).get('versionId', '')}" for i in kept.released
        )
        await self._log.write(self._event(call, grant, decision, "0", "", disclosed))

    @asynccontextmanager
    async def _refusals_logged(self, call: Call, grant: Grant, decision: Decision) -> AsyncIterator[None]:
        try:
            yield
        except _Refused as refused:
            await self._log.write(self._event(call, grant, decision, "4", refused.reason))
            raise self._refusal(decision) from refused
        except Outcome as outcome:
            fault = outcome.status >= 500
            await self._log.write(self._event(call, grant, decision, "8" if fault else "4", outcome.kind))
            if decision.patient and not fault:
                raise self._refusal(decision) from outcome
            outcome.headers[DECISION] = decision.id
            raise
        except Exception:
            await self._log.write(self._event(call, grant, decision, "8", "fault"))
            raise

    @staticmethod
    def _refusal(decision: Decision) -> Forbidden:
        return Forbidden(
            f"this request was refused; decision {decision.id}",
            code=REFUSED,
            headers={DECISION: decision.id},
        )

    def _event(
        self,
        call: Call,
        grant: Grant,
        decision: Decision,
        outcome: LogOutcome,
        reason: str,
        disclosed: tuple[str, ...] = (),
    ) -> Event:
        return Event(
            subtype="search-type" if decision.subtype == "search" else decision.subtype,
            action="R" if decision.subtype == "read" else "E",
            outcome=outcome,
            reason=reason,
            decision=decision.id,
            requester=grant.requester,
            holder=self._ura,
            holder_name=self._name,
            user=grant.user,
            purpose=grant.purpose,
            treatment_relation=grant.treatment_relation,
            patient=decision.patient,
            query=decision.query,
            request_id=call.caller.request_id,
            token=grant.jti,
            ground=decision.ground,
            rule=decision.rule,
            checks=tuple(decision.checks),
            network_address=call.caller.network_address,
            holder_address=decision.base,
            resources=disclosed,
        )


class _Refused(Exception):
    """A refusal whose reason goes to the log only."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _with_decision(given: Answer, decision: Decision) -> Answer:
    """The answer with the id that leads to the token, the rule, the ground and the data versions behind it."""
    return Answer(given.status, given.body, {**given.headers, DECISION: decision.id})


def _request_line(request: Request) -> str:
    """The request as it was made; the form of a search is shown as the query it stands for."""
    form = request.body.decode("utf-8", "replace") if request.path.endswith("/_search") else ""
    text = "&".join(part for part in (request.query, form) if part)
    line = f"{request.method} {request.path}?{text}" if text else f"{request.method} {request.path}"
    return line if len(line) <= _MOST_LOGGED else f"{line[:_MOST_LOGGED]}..."


def _only(found: Found, kept: Minimised) -> Found:
    """`found` with only what is released; a total only when that is all there is, as it could tell how much was
    held back."""
    keys = {i.key for i in kept.released}
    matches = tuple(s for s in found.matches if _key(s) in keys)
    included = tuple(i for i in found.included if _key(i.stored) in keys)
    total = found.total if found.total == len(matches) and not kept.dropped else None
    return replace(found, matches=matches, included=included, total=total)


def _key(stored: Stored) -> str:
    return f"{stored.type}/{stored.id}"
