"""Localisation for the organisation's own EHR: List resources as the ministry's guide describes them, with the BSN.

The EHR names patients by their BSN; the index is asked with a pseudonym in its place, and what it gives gets the BSN
back. The index keeps no categories: those of our own records are answered from our own register, and a record of
another whose category nobody tells is given for every category that is asked. Registering through this door needs a
rule of the organisation, as everywhere.

Source: the ministry's guide on generic functions, localisation, profile nl-gf-localization-list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schakel.fhir.json import dump
from schakel.fhir.search import pairs_of
from schakel.generic.localisation import Found, Record, Registration
from schakel.generic.localisation.categories import CATEGORIES, SYSTEMS
from schakel.generic.localisation.lists import (
    EMPTY_REASON,
    GUIDE,
    category_of,
    coded,
    custodian,
    custodian_of,
)
from schakel.generic.logging import Event
from schakel.http.errors import fhir_error
from schakel.http.fhir import Fhir
from schakel.http.node import OrganisationServices
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Invalid, NotFound, NotSupported, Outcome, naming
from schakel.kernel.values import BSN_SYSTEM, Bsn
from schakel.server import Answer, Request, capabilities
from schakel.server.bodies import read_body
from schakel.server.offer import Offer, Searches

_PROFILE = f"{GUIDE}/StructureDefinition/nl-gf-localization-list"
_PATIENT = ("patient:identifier", "subject:identifier")
_SEARCHED = frozenset({*_PATIENT, "code", "source:identifier"})
_KNOWN = _SEARCHED | {"_format", "_pretty"}
OFFER = Offer(
    types=frozenset({"List"}),
    interactions=frozenset({"create", "read", "delete", "search-type"}),
    searches=(Searches("List", _SEARCHED),),
    versioned=False,
)
"""What the door does, as its CapabilityStatement says it."""
_ABSENT = ("contained", "identifier", "title", "date", "entry", "note", "encounter", "orderedBy")

_Handler: TypeAlias = Callable[[OrganisationServices, HttpRequest, Request], Awaitable[Answer]]


class Localisation(Fhir):
    """Handlers of the door for localisation."""

    async def metadata(self, request: HttpRequest) -> Response:
        """What the door for localisation does (CapabilityStatement)."""
        return await self._answered(request, self._capabilities)

    async def lists(self, request: HttpRequest) -> Response:
        """Records of localisation: who has data of a patient (GET), and registering that we have (POST).

        A search names one patient by BSN (patient:identifier or subject:identifier), and may name categories (code)
        and software (source:identifier).
        """
        return await self._answered(request, self._create if request.method == "POST" else self._search)

    async def search(self, request: HttpRequest) -> Response:
        """The same search, with its parameters in a form."""
        return await self._answered(request, self._search)

    async def one(self, request: HttpRequest) -> Response:
        """One of our own records: read (GET), or withdrawn (DELETE)."""
        return await self._answered(request, self._delete if request.method == "DELETE" else self._read)

    async def _answered(self, request: HttpRequest, handler: _Handler) -> Response:
        try:
            organisation = self._node.own(request)
            if organisation.localiser is None or organisation.registrations is None:
                raise NotFound("this node does not ask the national index (setting nvi.base)")
            asked, form = await self._asked(request, "r4", self._node.max_body, "limits.body")
            answer = await handler(organisation, request, asked)
            return self._given(answer, form, "r4")
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def _capabilities(
        self, organisation: OrganisationServices, _request: HttpRequest, _asked: Request
    ) -> Answer:
        return Answer(200, capabilities.statement("r4", self._base(organisation), OFFER))

    def _base(self, organisation: OrganisationServices) -> str:
        return f"{self._url}/{organisation.slug}/localisation/fhir/r4"

    # -- asking --------------------------------------------------------------------------------------------

    async def _search(
        self, organisation: OrganisationServices, request: HttpRequest, asked: Request
    ) -> Answer:
        form = asked.body.decode("latin-1") if asked.method == "POST" else ""
        text = "&".join(part for part in (asked.query, form) if part)
        patient, categories, sources = _read_search(pairs_of(text))
        localiser, registrations = organisation.localiser, organisation.registrations
        assert localiser is not None and registrations is not None
        try:
            found = await localiser.search(patient)
        except Outcome as outcome:
            await organisation.log.write(_localised(organisation, patient, "8", outcome.kind))
            raise
        own = await registrations.of(patient)
        await organisation.log.write(_localised(organisation, patient, "0", f"{len(found.records)} records"))
        lists = [
            (name, resource)
            for name, category, source, resource in _shown(organisation, found, own, patient)
            if (not categories or not category or category in categories)
            and (not sources or source in sources)
        ]
        return Answer(200, _bundle(self._base(organisation), request.url.query, lists, found.unreadable))

    async def _read(
        self, organisation: OrganisationServices, request: HttpRequest, _asked: Request
    ) -> Answer:
        assert organisation.registrations is not None
        found = await organisation.registrations.get(request.path_params["id"])
        if found is None:
            raise _unknown()
        await organisation.log.write(
            _localised(organisation, Bsn(found.patient), "0", f"own record {found.id}")
        )
        return Answer(200, dump(_own(organisation, found)))

    # -- registering ---------------------------------------------------------------------------------------

    async def _create(
        self, organisation: OrganisationServices, _request: HttpRequest, asked: Request
    ) -> Answer:
        assert organisation.registrations is not None
        patient, category = _read_list(organisation, read_body(asked))
        made, fresh = await organisation.registrations.register(patient, category)
        where = f"{self._base(organisation)}/List/{made.id}"
        return Answer(201 if fresh else 200, dump(_own(organisation, made)), {"Location": where})

    async def _delete(
        self, organisation: OrganisationServices, request: HttpRequest, _asked: Request
    ) -> Answer:
        assert organisation.registrations is not None
        found = await organisation.registrations.get(request.path_params["id"])
        if found is None:
            raise _unknown()
        await organisation.registrations.withdraw(found)
        return Answer(204)


# -- what the EHR asks -------------------------------------------------------------------------------------


def _read_search(pairs: Iterable[tuple[str, str]]) -> tuple[Bsn, frozenset[str], frozenset[str]]:
    """Patient, categories and software of a search; empty sets are all. Raises `Invalid` naming the parameter."""
    patients: list[tuple[str, str]] = []
    categories: set[str] = set()
    sources: set[str] = set()
    for name, value in pairs:
        if name not in _KNOWN:
            raise NotSupported(
                f"the parameter {name[:40]!r} is not possible here; known are {', '.join(sorted(_KNOWN))}",
                expression=name[:40],
            )
        if name in _PATIENT:
            patients.append((name, value))
        elif name == "code":
            categories |= {_category(one) for one in value.split(",")}
        elif name == "source:identifier":
            sources |= {one.rpartition("|")[2] for one in value.split(",")}
    if len(patients) != 1:
        raise Invalid(
            f"a search names one patient: patient:identifier={BSN_SYSTEM}|<BSN>, once",
            code="patient-needed",
            expression=_PATIENT[0],
        )
    [(name, value)] = patients
    system, bar, number = value.rpartition("|")
    if bar and system != BSN_SYSTEM:
        raise Invalid(f"{name} names a patient by BSN: {BSN_SYSTEM}|<BSN>", expression=name)
    with naming(name):
        return Bsn(number), frozenset(categories), frozenset(sources)


def _category(value: str) -> str:
    system, bar, code = value.rpartition("|")
    if (bar and system and system not in SYSTEMS) or code not in CATEGORIES:
        raise Invalid(
            f"code {value[:80]!r} is no category of data: there are {', '.join(CATEGORIES)}",
            expression="code",
        )
    return code


def _read_list(organisation: OrganisationServices, resource: dict[str, Any]) -> tuple[Bsn, str]:
    """Patient and category of a List to register. Raises `Invalid` naming the element."""
    if resource.get("resourceType") != "List":
        raise Invalid("a List is needed here", expression="resourceType")
    for name in _ABSENT:
        if name in resource:
            raise Invalid(f"a record of localisation has no {name}", expression=f"List.{name}")
    for name, only in (("status", "current"), ("mode", "working")):
        if resource.get(name, only) != only:
            raise Invalid(f"{name} of a record of localisation is {only}", expression=f"List.{name}")
    if resource.get("extension") and (named := custodian_of(resource)) != organisation.ura:
        raise Invalid(
            f"the custodian is {named or 'not named by a URA'}, but this is the door of {organisation.ura}: leave the "
            "extension out, or name that one",
            code="custodian-differs",
            expression="List.extension",
        )
    subject = _identifier(resource.get("subject"))
    if subject.get("system") != BSN_SYSTEM or not isinstance(subject.get("value"), str):
        raise Invalid(
            f"subject.identifier names the patient by BSN: system {BSN_SYSTEM}",
            expression="List.subject.identifier",
        )
    source = _identifier(resource.get("source")).get("value")
    if source is not None and source != _source(organisation)["value"]:
        raise Invalid(
            "the source is the software that the node is registered with: leave it out",
            code="source-differs",
            expression="List.source",
        )
    category = category_of(resource)
    if not category:
        raise Invalid(
            f"code names the category of data, with system {sorted(SYSTEMS)[0]}: one of {', '.join(CATEGORIES)}",
            code="category-unknown",
            expression="List.code",
        )
    with naming("List.subject.identifier"):
        return Bsn(subject["value"]), category


def _identifier(reference: object) -> dict[str, Any]:
    found = reference.get("identifier") if isinstance(reference, dict) else None
    return found if isinstance(found, dict) else {}


# -- what it gets ------------------------------------------------------------------------------------------


def _shown(
    organisation: OrganisationServices, found: Found, own: list[Registration], patient: Bsn
) -> Iterable[tuple[str, str, str, dict[str, Any]]]:
    """Id, category, software and List of each record; one of ours stands for each category that we know of it."""
    seen: set[tuple[str, str, str]] = set()
    for record in found.records:
        mine = [row for row in own if row.record == record.id] if record.ura == organisation.ura else []
        for row in mine:
            yield str(row.id), row.category, record.source, _own(organisation, row)
        key = (record.ura, record.source, record.category)
        if not mine and key not in seen:
            seen.add(key)
            yield record.id, record.category, record.source, _other(organisation, record, patient)


def _own(organisation: OrganisationServices, row: Registration) -> dict[str, Any]:
    when = {"date": instant(row.registered)} if row.registered else {}
    return _list(str(row.id), organisation.ura, row.patient, row.category, _source(organisation), when)


def _other(organisation: OrganisationServices, record: Record, patient: Bsn) -> dict[str, Any]:
    source = {"system": _source(organisation)["system"], "value": record.source} if record.source else None
    when = {"date": record.registered} if record.registered else {}
    return _list(record.id, record.ura, patient, record.category, source, when)


def _list(
    name: str, ura: str, patient: str, category: str, source: dict[str, str] | None, when: dict[str, str]
) -> dict[str, Any]:
    return {
        "resourceType": "List",
        "id": name,
        "meta": {"profile": [_PROFILE]},
        "extension": [custodian(ura)],
        "status": "current",
        "mode": "working",
        **({"code": coded(category)} if category else {}),
        "subject": {"identifier": {"system": BSN_SYSTEM, "value": patient}},
        **when,
        **({"source": {"type": "Device", "identifier": source}} if source else {}),
        "emptyReason": {"coding": [{"system": EMPTY_REASON, "code": "withheld"}]},
    }


def _source(organisation: OrganisationServices) -> dict[str, str]:
    assert organisation.registrations is not None
    system, value = organisation.registrations.source
    return {"system": system, "value": value}


def _bundle(
    base: str, query: str, lists: list[tuple[str, dict[str, Any]]], unreadable: tuple[str, ...]
) -> bytes:
    """A searchset, with a warning for each record of the index that could not be read."""
    entries: list[dict[str, Any]] = [
        {"fullUrl": f"{base}/List/{name}", "resource": resource, "search": {"mode": "match"}}
        for name, resource in lists
    ]
    if unreadable:
        issues = [
            {
                "severity": "warning",
                "code": "incomplete",
                "diagnostics": f"the index gave what has no use: {one}",
            }
            for one in unreadable
        ]
        outcome = {"resourceType": "OperationOutcome", "issue": issues}
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(lists),
        "link": [{"relation": "self", "url": f"{base}/List{f'?{query}' if query else ''}"}],
        **({"entry": entries} if entries else {}),
    }
    return orjson.dumps(bundle)


def _localised(organisation: OrganisationServices, patient: Bsn, outcome: Any, what: str) -> Event:
    return Event(
        subtype="localised",
        action="E",
        outcome=outcome,
        reason="" if outcome == "0" else what,
        requester=organisation.ura,
        requester_name=organisation.name,
        holder=organisation.ura,
        holder_name=organisation.name,
        patient=patient,
        query=f"localise; {what}",
    )


def _unknown() -> NotFound:
    return NotFound("there is no record of ours with this id", code="record-unknown")
