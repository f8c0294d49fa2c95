"""The pipeline of the MedMij door, one step after the other.

identify -> header rules -> FHIR version -> does the token open this service -> whose it is (the token says) ->
narrow to that patient -> execute -> minimise -> mask -> log -> answer. The ground is the patient's own request.
What is not there, what was deleted and what is somebody else's get the same answer.

Read `MedMijDoor.answer` from top to bottom: it is the rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol
from urllib.parse import urlsplit

import structlog
from prometheus_client import Counter

from schakel.fhir import json
from schakel.fhir.json import Resource
from schakel.gateway import Call
from schakel.gateway.minimise import Item, Subject, about, provenance_targets
from schakel.generic.identity import Caller, PatientGrant
from schakel.generic.logging import AuditLog, ChainEvent, ChainLog, Event
from schakel.generic.logging.events import Outcome as LogOutcome
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Forbidden, Gone, NotAllowed, NotFound, NotSupported, Outcome
from schakel.patient_access.headers import check_ids, check_version, said, session, word
from schakel.patient_access.inbox import Inbox
from schakel.patient_access.links import Links
from schakel.patient_access.mask import ALIAS, Masked, mask
from schakel.patient_access.narrowing import check_address, narrowed
from schakel.patient_access.releasing import released
from schakel.patient_access.services import Service
from schakel.patient_access.whose import MOST_DEPTH, Whose
from schakel.server import Answer, FhirService, Interaction, answer, capabilities
from schakel.sources import Stored

DECISION = "X-Decision-ID"
GROUND = "patient-request"
PURPOSE = "PATRQT"
"""Purpose of use: the patient asks (HL7 v3 ActReason)."""

_LARGE = 100_000
"""Bytes of a resource from which on masking is done beside the event loop: it may hold documents."""

_MOST_LOGGED = 4000

_log = structlog.get_logger("schakel.patient_access")
_exposed = Counter(
    "schakel_medmij_documents_reported",
    "Documents at the MedMij door whose text holds a BSN (found) or cannot be read (unreadable)",
    ["finding"],
)


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of the door. `documents` says what becomes of a document whose text holds a BSN or cannot be read:
    it goes out and is reported to the holder, or it is withheld and reported."""

    correlation_id_optional: bool = False
    documents: Literal["deliver", "withhold"] = "deliver"


@dataclass(slots=True)
class Access:
    """One request under way; it becomes one event in the log."""

    call: Call
    service: Service
    grant: PatientGrant
    base: str
    request_id: str = ""
    subtype: str = "search-type"
    id: str = field(default_factory=new_id)
    checks: list[str] = field(default_factory=list)


class Identification(Protocol):
    """Whose patient's program asks: the tokens of patients."""

    async def identify(self, caller: Caller) -> PatientGrant:
        """What the caller's token says. Raises `Unauthenticated`."""
        ...


class MedMijDoor:
    """The MedMij resource interface of one organisation."""

    def __init__(
        self,
        *,
        ura: str,
        name: str,
        service: FhirService,
        tokens: Identification,
        log: AuditLog,
        chain: ChainLog,
        inbox: Inbox,
        whose: Whose,
        rules: Rules,
    ) -> None:
        self._ura = ura
        self._name = name
        self._service = service
        self._tokens = tokens
        self._log = log
        self._chain = chain
        self._inbox = inbox
        self._whose = whose
        self._rules = rules

    async def answer(self, call: Call, service: Service, base: str) -> Answer:
        """The answer to a request for `service` at the FHIR base `base`. Raises an `Outcome` for every refusal."""
        request = call.request
        if request.path == "metadata" and request.method in ("GET", "HEAD"):
            return Answer(200, capabilities.statement(service.version, base, service.exchanged))
        grant = await self._tokens.identify(call.caller)
        access = Access(call, service, grant, base)
        try:
            async with self._refusals_logged(access):
                given = await self._given(access)
        except Outcome as outcome:
            await self._passed(access, outcome.status, word(outcome) or "other", outcome.kind)
            raise
        await self._passed(access, given.status)
        return given

    async def _given(self, access: Access) -> Answer:
        """The answer of somebody whose token is known: the checks, and what was asked."""
        request, service, grant = access.call.request, access.service, access.grant
        access.request_id = check_ids(
            request.headers, correlation_optional=self._rules.correlation_id_optional
        )
        check_version(request.headers.get("accept", ""), service.version)
        if service.id not in grant.services:
            raise Forbidden("the token does not open this data service", code="service-not-open")
        access.checks.append("token opens the service")
        check_address(f"{request.path}?{request.query}", grant.patient)
        if request.method in ("POST", "PUT") and not request.path.endswith("_search"):
            return await self._receive(access)
        check_address(request.body.decode("utf-8", "replace"), grant.patient)
        subject = await self._whose.subject(service.version, grant.patient)
        interaction = self._parsed(access)
        if interaction.kind == "read":
            return await self._read(access, interaction, subject)
        return await self._search(access, interaction, subject)

    # -- a search ------------------------------------------------------------------------------------------

    async def _search(self, access: Access, interaction: Interaction, subject: Subject) -> Answer:
        service = access.service
        assert interaction.query is not None
        query = narrowed(interaction.query, service, subject.ids)
        caller = f"medmij:{service.id}:{access.grant.jti}"
        found = await self._service.source.search(service.version, query, caller)
        items = [self._whose.item(service.version, s) for s in found.matches]
        items += [self._whose.item(service.version, i.stored, False) for i in found.included]
        kept = released(items, subject, service)
        if kept.dropped:
            held = ", ".join(f"{d.key}: {d.reason}" for d in kept.dropped)
            access.checks.append(f"held back: {held}")
        keys = {i.key for i in kept.released}
        sizes = {_key(s): len(s.body) for s in (*found.matches, *(i.stored for i in found.included))}
        outward = {
            i.key: (await self._masked(access, i.resource, sizes[i.key])).resource for i in kept.released
        }
        matches = tuple(_with(s, outward) for s in found.matches if _key(s) in keys)
        # Another number, or none where something was held back, would tell that it was.
        shown = found.query.count != 0 and found.query.summary != "count"
        whole = shown and found.total == len(found.matches)
        answered = replace(
            found,
            matches=matches,
            included=tuple(
                replace(i, stored=_with(i.stored, outward)) for i in found.included if _key(i.stored) in keys
            ),
            total=len(matches) if whole else None,
        )
        await self._logged(access, [_versioned(i) for i in kept.released])
        return _decided(self._service.render(access.base, interaction, answered), access)

    # -- a read --------------------------------------------------------------------------------------------

    async def _read(self, access: Access, interaction: Interaction, subject: Subject) -> Answer:
        """A resource of this patient, or one that the patient's record leads to."""
        access.subtype = "read"
        kind, service = interaction.type, access.service
        absent = NotFound(f"{kind}/{interaction.id} is not here")
        try:
            stored = await self._service.source.read(
                service.version, kind, interaction.id.replace(ALIAS, subject.bsn)
            )
        except (NotFound, Gone):
            raise absent from None
        found = self._whose.item(service.version, stored)
        if not await self._readable(service, found, subject):
            access.checks.append("not this patient's")
            raise absent
        masked = await self._masked(access, found.resource, len(stored.body))
        if kind == "Binary" and masked.documents and self._rules.documents == "withhold":
            raise NotFound("this document is withheld: it may hold a BSN", code="document-withheld")
        await self._logged(access, [_versioned(found)])
        return _decided(answer.resource(replace(stored, body=json.dump(masked.resource))), access)

    async def _readable(self, service: Service, found: Item, subject: Subject) -> bool:
        named = about(found, subject)
        if named is False or not subject.ids:
            return False
        if found.type == "Patient" or (named is True and found.type in service.gives):
            return named is True
        if found.type == "Provenance":
            return await self._targets_readable(service, found, subject)
        if found.type == "Binary" and _another_patients(found, subject):
            return False
        return await self._service.source.refers(
            service.version, subject.ids, service.gives, (found.type, str(found.resource["id"]))
        )

    async def _targets_readable(self, service: Service, found: Item, subject: Subject) -> bool:
        """Of a Provenance: whether all that it is about is this patient's."""
        targets = sorted(provenance_targets(found))
        for target in targets[:50]:
            kind, _, logical_id = target.partition("/")
            try:
                stored = await self._service.source.read(service.version, kind, logical_id)
            except Outcome:
                return False
            if (
                kind not in service.gives
                or about(self._whose.item(service.version, stored), subject) is not True
            ):
                return False
        return 0 < len(targets) <= 50

    # -- receiving -----------------------------------------------------------------------------------------

    async def _receive(self, access: Access) -> Answer:
        """What the patient sends: into the inbox, never into the organisation's own data."""
        service, request = access.service, access.call.request
        if not service.takes and not service.updates:
            raise NotAllowed(
                f"service {service.id} gives data and takes none", code="read-only", headers={"Allow": "GET"}
            )
        access.subtype = "update" if request.method == "PUT" else "transaction"
        subject = await self._whose.subject(service.version, access.grant.patient)
        received = await self._inbox.receive(
            request, service, subject, access.base, f"{access.grant.consent} {access.request_id}"
        )
        given = received.answer
        if given.body:
            bundle = json.parse(given.body, max_depth=MOST_DEPTH)
            masked = await self._masked(access, bundle, len(given.body))
            given = replace(given, body=json.dump(masked.resource))
        await self._logged(access, received.resources)
        return _decided(given, access)

    # -- what the steps share ------------------------------------------------------------------------------

    async def _masked(self, access: Access, resource: Resource, size: int) -> Masked:
        """A resource of `size` bytes as it goes out: masked, with addresses below this door."""
        links = Links(access.base, access.service.version, self._whose.own_bases)
        withhold = self._rules.documents == "withhold"
        work = (links.rewritten(resource), access.grant.patient)
        if size > _LARGE:
            masked = await asyncio.to_thread(mask, *work, withhold=withhold)
        else:
            masked = mask(*work, withhold=withhold)
        for document in masked.documents:
            where = f"{resource.get('resourceType')}/{resource.get('id')} {document.path}"
            access.checks.append(f"BSN in a document ({document.finding}): {where}")
            _exposed.labels(document.finding).inc()
            _log.warning("bsn-in-document", finding=document.finding, decision=access.id)
        return masked

    def _parsed(self, access: Access) -> Interaction:
        interaction = self._service.parse(access.call.request)
        if interaction.kind not in ("read", "search"):
            access.subtype = interaction.kind
            raise NotAllowed(
                f"{interaction.kind} is not possible with a patient's token: read and search are",
                code="interaction-not-allowed",
                headers={"Allow": "GET"},
            )
        if interaction.subset:
            raise NotSupported("resources are read whole at this door", expression="_summary, _elements")
        return interaction

    async def _passed(self, access: Access, status: int, error: str = "", description: str = "") -> None:
        """Writes in the chain log that this request came and how it was answered, without what was asked."""
        request = access.call.request
        asked = ChainEvent(
            type="receive_resource_request",
            session=session(request.headers),
            request_id=access.request_id,
            method=request.method,
            client=access.grant.client,
            uri=urlsplit(access.base).path,
            service=access.service.id,
        )
        answered = replace(
            asked,
            type="send_resource_request_error" if error else "send_resource_response",
            status=status,
            error=error,
            description=description,
        )
        await self._chain.write(asked, answered)

    async def _logged(self, access: Access, resources: Sequence[str]) -> None:
        """Writes the access to these versions down; returns when it is durable."""
        await self._log.write(self._event(access, "0", "", tuple(resources)))

    @asynccontextmanager
    async def _refusals_logged(self, access: Access) -> AsyncIterator[None]:
        try:
            yield
        except Outcome as outcome:
            await self._log.write(self._event(access, "8" if outcome.status >= 500 else "4", outcome.kind))
            outcome.headers[DECISION] = access.id
            raise said(outcome) from None
        except Exception:
            await self._log.write(self._event(access, "8", "fault"))
            raise

    def _event(
        self, access: Access, outcome: LogOutcome, reason: str, resources: tuple[str, ...] = ()
    ) -> Event:
        request = access.call.request
        line = f"{request.method} {request.path}" + (f"?{request.query}" if request.query else "")
        known = access.subtype in ("read", "search-type", "update", "transaction")
        return Event(
            subtype=access.subtype if known else "operation",
            action={"read": "R", "update": "U", "transaction": "C"}.get(access.subtype, "E"),  # type: ignore[arg-type]
            outcome=outcome,
            reason=reason,
            decision=access.id,
            requester=access.grant.client,
            holder=self._ura,
            holder_name=self._name,
            purpose=PURPOSE,
            patient=access.grant.patient,
            query=line if len(line) <= _MOST_LOGGED else f"{line[:_MOST_LOGGED]}...",
            request_id=access.request_id,
            token=access.grant.jti,
            ground=f"{GROUND} {access.grant.consent}".strip(),
            rule=f"medmij-{access.service.id}",
            checks=tuple(access.checks),
            network_address=access.call.caller.network_address,
            holder_address=access.base,
            resources=resources,
        )


def _another_patients(binary: Item, subject: Subject) -> bool:
    """Whether a Binary says itself whose it is, and it is another patient."""
    context = binary.resource.get("securityContext")
    named = context.get("reference", "") if isinstance(context, dict) else ""
    return named.startswith("Patient/") and named.removeprefix("Patient/") not in subject.ids


def _versioned(found: Item) -> str:
    return f"{found.key}/_history/{found.resource.get('meta', {}).get('versionId', '')}"


def _decided(given: Answer, access: Access) -> Answer:
    return replace(given, headers={**given.headers, DECISION: access.id})


def _with(stored: Stored, outward: Mapping[str, Resource]) -> Stored:
    """The resource as it goes out, under the id that it goes out with."""
    resource = outward[_key(stored)]
    return replace(stored, id=str(resource["id"]), body=json.dump(resource))


def _key(stored: Stored) -> str:
    return f"{stored.type}/{stored.id}"
