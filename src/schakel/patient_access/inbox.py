"""The inbox: what patients send, kept apart from the organisation's own data until its EHR has looked at it.

An inbox is a tenant of its own with its own `FhirService`; the EHR reads, searches and deletes in it on the
internal door. What comes in is executed in full, after this:

* it must be about the patient of the token: a Patient in it has this BSN or none, and gets it; every other
  resource that names a patient names this one. A subject that is missing, or that is the patient as known in the
  organisation's own data, becomes the Patient in the inbox;
* new resources get ids that follow from the consent (one patient, one client), the request id and the body, so that
  a request that is sent again after a lost answer writes nothing twice;
* references to what is not in the Bundle lead to the organisation's own data, by whole address; one by condition is
  refused, as it would be a question about what others sent;
* what a person updates (a Task of a questionnaire) must be the patient's own; its current version is put in the
  inbox first, so that its history there shows what changed.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schakel.fhir import definitions, json
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.search import QueryParser
from schakel.gateway.minimise import Subject, about, item
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import (
    Gone,
    Invalid,
    NotAllowed,
    NotFound,
    NotSupported,
    TooCostly,
    Unprocessable,
)
from schakel.kernel.values import BSN_OID, BSN_SYSTEM
from schakel.patient_access.mask import ALIAS
from schakel.patient_access.services import Service
from schakel.patient_access.whose import MOST_DEPTH
from schakel.server import Answer, FhirService, Request
from schakel.server.bodies import read_body
from schakel.server.references import conditional_references
from schakel.sources import Write
from schakel.store.index_values import parse_literal
from schakel.store.indexing import patient_codes

_NAMES = uuid.UUID("6f2c1c0e-3f43-5c1e-9d4e-0b8a5d6f7a10")
"""The name space of ids in an inbox (RFC 9562, version 5)."""

_OWNERS = ("subject", "patient", "for", "beneficiary")
_CONDITIONS = ("ifNoneExist", "ifNoneMatch", "ifModifiedSince", "ifMatch")


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a request: the answer, and the versions written (Type/id/_history/n)."""

    answer: Answer
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One request under way. `base` is the FHIR base of the door, `key` what makes the request recognisable."""

    service: Service
    subject: Subject
    base: str
    key: str

    def id(self, place: int) -> str:
        """The id of what is new at this place of the Bundle."""
        return str(uuid.uuid5(_NAMES, f"{self.key} {place}"))


class Inbox:
    """The inbox of one organisation. `own` are its own data, `own_base` the address of these for its EHR (without
    the version), `service` the inbox itself."""

    def __init__(self, own: FhirService, own_base: str, service: FhirService) -> None:
        self.service = service
        self._own = own
        self._own_base = own_base

    async def receive(
        self, request: Request, service: Service, subject: Subject, base: str, sender: str
    ) -> Received:
        """Puts what a patient sends in the inbox. `sender` is the consent and the id of the request.

        Raises `Unprocessable` for what is about somebody else, `NotFound` for an update of what is not this
        patient's, and what `FhirService.answer` raises.
        """
        if not subject.ids:
            raise NotFound("there is nothing here that can take this", code="patient-unknown")
        body = hashlib.sha256(request.body).hexdigest()
        delivery = _Delivery(service, subject, base, f"{sender} {body}")
        resource = read_body(request, self.service.rules.max_depth)
        if request.method == "POST" and not request.path:
            return await self._bundle(request, delivery, resource)
        kind, _, logical_id = request.path.partition("/")
        if request.method != "PUT" or kind not in service.updates:
            raise NotAllowed(
                "what is shared goes as a Bundle to the FHIR base, by POST", headers={"Allow": "POST"}
            )
        return await self._update(request, delivery, kind, logical_id, resource)

    async def _bundle(self, request: Request, delivery: _Delivery, bundle: Resource) -> Received:
        if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in ("transaction", "batch"):
            raise Invalid(
                "the FHIR base takes a Bundle of type transaction or batch", expression="Bundle.type"
            )
        entries = bundle.get("entry")
        if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
            raise Unprocessable("Bundle.entry must be a list of entries", expression="Bundle.entry")
        if len(entries) > self.service.rules.max_entries:
            raise TooCostly(f"a Bundle may have {self.service.rules.max_entries} entries")
        targets = [_target(delivery, place, entry) for place, entry in enumerate(entries)]
        for place, (method, kind, logical_id) in enumerate(targets):
            if method == "PUT":
                await self._seed(delivery, kind, logical_id, f"Bundle.entry[{place}]")
        ids = {
            entry["fullUrl"]: f"{kind}/{logical_id}"
            for entry, (_, kind, logical_id) in zip(entries, targets, strict=True)
            if isinstance(entry.get("fullUrl"), str)
        }
        patient = await self._patient(delivery, [t for t in targets if t[1] == "Patient"])
        changed = []
        for place, (entry, (_, kind, logical_id)) in enumerate(zip(entries, targets, strict=True)):
            resource = self._directed(delivery, entry["resource"], ids, patient, f"Bundle.entry[{place}]")
            request_to = {"method": "PUT", "url": f"{kind}/{logical_id}"}
            changed.append({**entry, "resource": {**resource, "id": logical_id}, "request": request_to})
        sent = _as_json(request, {**bundle, "entry": changed})
        answer = await self.service.answer(sent, delivery.base, "inbox")
        return _told(answer, delivery.service, [method == "POST" for method, _, _ in targets])

    async def _update(
        self, request: Request, delivery: _Delivery, kind: str, logical_id: str, resource: Resource
    ) -> Received:
        logical_id = logical_id.replace(ALIAS, delivery.subject.bsn)
        await self._seed(delivery, kind, logical_id, kind)
        patient = await self._patient(delivery, [])
        directed = self._directed(delivery, resource, {}, patient, kind)
        if isinstance(directed.get("id"), str):
            directed["id"] = directed["id"].replace(ALIAS, delivery.subject.bsn)
        sent = replace(_as_json(request, directed), path=f"{kind}/{logical_id}")
        answer = await self.service.answer(sent, delivery.base, "inbox")
        number = answer.headers.get("ETag", "").strip('W/"')
        return Received(answer, (f"{kind}/{logical_id}/_history/{number}",))

    async def _seed(self, delivery: _Delivery, kind: str, logical_id: str, where: str) -> None:
        """Puts the patient's own resource, as it is now, in the inbox, unless it is there. Raises `NotFound`."""
        version, absent = delivery.service.version, NotFound(f"{where}: {kind}/{logical_id} is not here")
        try:
            stored = await self._own.source.read(version, kind, logical_id)
            resource = json.parse(stored.body, max_depth=MOST_DEPTH)
        except (NotFound, Gone):
            raise absent from None
        if about(item(version, resource, True), delivery.subject) is not True:
            raise absent
        try:
            await self.service.source.read(version, kind, logical_id)
        except (NotFound, Gone):
            await self.service.source.write(version, [Write("PUT", kind, logical_id, resource)])

    async def _patient(self, delivery: _Delivery, sent: Sequence[tuple[str, str, str]]) -> str:
        """`Patient/id` of the patient in the inbox: the one that is sent, the one that is there, or a new one."""
        if len(sent) > 1:
            raise Unprocessable("a Bundle may hold one Patient", expression="Bundle.entry")
        if sent:
            return f"Patient/{sent[0][2]}"
        version, bsn = delivery.service.version, delivery.subject.bsn
        query = QueryParser(definitions(version)).parse("Patient", (("identifier", f"{BSN_SYSTEM}|{bsn}"),))
        found = await self.service.source.search(version, query, None)
        if found.matches:
            return f"Patient/{found.matches[0].id}"
        logical_id = new_id()
        resource = {"resourceType": "Patient", "id": logical_id, "identifier": [_number(bsn)]}
        await self.service.source.write(version, [Write("POST", "Patient", logical_id, resource)])
        return f"Patient/{logical_id}"

    def _directed(
        self, delivery: _Delivery, resource: Resource, ids: Mapping[str, str], patient: str, where: str
    ) -> Resource:
        """The resource as it goes into the inbox: about this patient, with references that lead somewhere.

        Raises `Unprocessable` when it is about somebody else.
        """
        kind, version, subject = str(resource.get("resourceType")), delivery.service.version, delivery.subject
        if kind == "Patient":
            _check_unconditional(resource, where)
            return _with_bsn(resource, subject.bsn, where)
        links = _References(delivery, ids, patient, f"{self._own_base}/{version}")
        directed: Resource = links.directed(resource)
        _check_unconditional(directed, where)
        if patient_codes(version, kind):
            _owned(version, kind, directed, patient)
        inbox_ids = frozenset({patient.partition("/")[2]})
        if about(item(version, directed, True), Subject(subject.bsn, inbox_ids)) is False:
            raise Unprocessable(
                f"{where}: this {kind} names another patient than the one of the token",
                code="other-patient",
                expression=where,
            )
        return directed


@dataclass(frozen=True, slots=True)
class _References:
    """Directs references: to the Patient in the inbox, to another entry, or to the organisation's own data."""

    delivery: _Delivery
    ids: Mapping[str, str]
    patient: str
    own_base: str

    def directed(self, value: Any) -> Any:
        """`value` with its references directed; the argument itself is not changed."""
        if isinstance(value, list):
            return [self.directed(member) for member in value]
        if not isinstance(value, dict):
            return value
        out = {name: self.directed(member) for name, member in value.items()}
        reference, identifier = out.get("reference"), out.get("identifier")
        if isinstance(reference, str):
            out["reference"] = self._target(reference)
        elif isinstance(identifier, dict) and _says_bsn(identifier):
            number = identifier.get("value", self.delivery.subject.bsn)
            if number == self.delivery.subject.bsn:
                out["reference"], out["identifier"] = self.patient, _number(number)
        return out

    def _target(self, reference: str) -> str:
        if reference in self.ids:
            return self.ids[reference]
        if reference.startswith("#"):
            return reference
        base, bsn = f"{self.delivery.base}/", self.delivery.subject.bsn
        reference = reference.removeprefix(base).replace(ALIAS, bsn)
        kind, logical_id = parse_literal(reference)
        if kind == "Patient" and logical_id in self.delivery.subject.ids:
            return self.patient
        ending = [
            target for full, target in self.ids.items() if kind and full.endswith(f"/{kind}/{logical_id}")
        ]
        if len(ending) == 1:
            return ending[0]
        return f"{self.own_base}/{reference}" if kind else reference


def _target(delivery: _Delivery, place: int, entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """What an entry asks: the method, the type and the id. Raises an `Outcome` naming the entry."""
    where = f"Bundle.entry[{place}]"
    request, resource = entry.get("request"), entry.get("resource")
    if not isinstance(request, dict) or not isinstance(resource, dict):
        raise Invalid(f"{where}: a request and a resource are needed", expression=where)
    for name in _CONDITIONS:
        if name in request:
            raise NotSupported(f"{where}: {name} is not supported here", expression=f"{where}.request.{name}")
    method, url = request.get("method"), str(request.get("url", "")).strip("/")
    kind, _, logical_id = url.partition("/")
    if kind != resource.get("resourceType"):
        raise Invalid(
            f"{where}: request.url and the resource differ in type", expression=f"{where}.request.url"
        )
    service = delivery.service
    if method == "POST" and not logical_id and kind in service.takes:
        return "POST", kind, delivery.id(place)
    if (
        method == "PUT"
        and logical_id
        and "/" not in logical_id
        and "?" not in url
        and kind in service.updates
    ):
        return "PUT", kind, logical_id.replace(ALIAS, delivery.subject.bsn)
    taken = ", ".join(sorted(service.takes))
    raise NotSupported(
        f"{where}: service {service.id} does not take {str(method)[:10]} {url[:60]}; it takes new {taken}",
        code="not-taken",
        expression=f"{where}.request",
    )


def _owned(version: Version, kind: str, resource: Resource, patient: str) -> None:
    """Gives the resource its patient when it names nobody."""
    found = item(version, resource, True)
    if found.patients or found.numbers:
        return
    elements = definitions(version).types[kind].elements
    owner = next((name for name in _OWNERS if name in elements), None)
    if owner is not None:
        resource[owner] = {"reference": patient}


def _check_unconditional(resource: Resource, where: str) -> None:
    """Refuses references by condition: what they find tells of what others sent. Raises `NotSupported`."""
    if conditional_references(resource):
        raise NotSupported(
            f"{where}: a reference by condition is not supported here",
            code="reference-conditional",
            expression=where,
        )


def _with_bsn(resource: Resource, bsn: str, where: str) -> Resource:
    """A Patient with this BSN. Raises `Unprocessable` when it has another."""
    identifiers = resource.get("identifier", [])
    others = []
    for identifier in identifiers if isinstance(identifiers, list) else []:
        if not isinstance(identifier, dict) or not _says_bsn(identifier):
            others.append(identifier)
        elif identifier.get("value", bsn) != bsn:
            raise Unprocessable(
                f"{where}: this Patient is not the one of the token", code="other-patient", expression=where
            )
    return {**resource, "identifier": [*others, _number(bsn)]}


def _says_bsn(identifier: Mapping[str, Any]) -> bool:
    return identifier.get("system") in (BSN_SYSTEM, BSN_OID)


def _number(bsn: str) -> dict[str, str]:
    return {"system": BSN_SYSTEM, "value": bsn}


def _as_json(request: Request, resource: Resource) -> Request:
    headers = {n: v for n, v in request.headers.items() if not n.startswith("content-")}
    return replace(
        request, headers={**headers, "content-type": "application/fhir+json"}, body=json.dump(resource)
    )


def _told(answer: Answer, service: Service, made: Iterable[bool]) -> Received:
    """The answer to a Bundle: what was sent as new is said to be created, also when the request came twice; with
    the notice of the service."""
    bundle = json.parse(answer.body, max_depth=MOST_DEPTH)
    entries = bundle.get("entry", [])
    written = []
    for entry, new in zip(entries, made, strict=True):
        response = entry.get("response", {})
        if new and str(response.get("status", "")).startswith("200"):
            response["status"] = "201 Created"
        if isinstance(response.get("location"), str):
            written.append("/".join(response["location"].split("/")[-4:]))
    if service.notice:
        issue = {"severity": "information", "code": "informational", "details": {"text": service.notice}}
        notice = {"resourceType": "OperationOutcome", "issue": [issue]}
        entries.append({"resource": notice, "response": {"status": "200 OK"}})
    return Received(replace(answer, body=json.dump(bundle)), tuple(written))
