"""Localisation for the organisation's own EHR: List resources as the ministry's guide describes them, with the BSN.

The EHR names patients by their BSN; the index is asked with a pseudonym in its place, and what it gives gets the BSN
back. The index keeps no categories: those of our own records are answered from our own register, and a record of
another whose category nobody tells is given for every category that is asked. Registering through this door needs a
rule of the organisation, as everywhere.

Source: the ministry's guide on generic functions, localisation, profile nl-gf-localization-list; the facade of a Nuts
knooppunt (June 2026).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeAlias

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schakel.fhir.json import Resource, dump
from schakel.fhir.search import pairs_of
from schakel.generic.localisation import Registration
from schakel.generic.logging import Event
from schakel.http.errors import as_outcome, fhir_error
from schakel.http.fhir import Fhir
from schakel.http.lists import SEARCHED, own, read_list, read_search, searchset, shown
from schakel.http.node import OrganisationServices
from schakel.kernel.outcomes import Invalid, NotFound, NotSupported, Outcome, TooCostly, Upstream, naming
from schakel.kernel.values import URA_SYSTEM, Bsn, Ura
from schakel.server import Answer, Request, capabilities
from schakel.server.answer import bundle, refusal
from schakel.server.bodies import read_body
from schakel.server.entries import entry_of, request_of
from schakel.server.offer import Offer, Searches
from schakel.server.transaction import entry_at, located

OFFER = Offer(
    types=frozenset({"List"}),
    interactions=frozenset({"create", "read", "delete", "search-type"}),
    system=frozenset({"transaction", "batch"}),
    searches=(Searches("List", SEARCHED),),
    versioned=False,
)
"""What the door does, as its CapabilityStatement says it."""

_Handler: TypeAlias = Callable[[OrganisationServices, Request], Awaitable[Answer]]


class Localisation(Fhir):
    """Handlers of the door for localisation."""

    any_source = False
    """Whether the EHR may name a software of its own, in whose place that of the node is registered."""

    async def metadata(self, request: HttpRequest) -> Response:
        """What the door for localisation does (CapabilityStatement)."""
        return await self._answered(request, self._capabilities)

    async def lists(self, request: HttpRequest) -> Response:
        """Records of localisation: who has data of a patient (GET), registering that we have (POST), and withdrawing
        what the EHR registered of a patient (DELETE).

        A search, and what is withdrawn, names one patient by BSN (patient:identifier or subject:identifier), and may
        name categories (code) and software (source:identifier).
        """
        return await self._answered(request, self._asked_of, "List")

    async def search(self, request: HttpRequest) -> Response:
        """The same search, with its parameters in a form."""
        return await self._answered(request, self._search_by_form)

    async def one(self, request: HttpRequest) -> Response:
        """One of our own records: read (GET), or withdrawn (DELETE)."""
        return await self._answered(request, self._asked_of, f"List/{request.path_params['id']}")

    async def bundle(self, request: HttpRequest) -> Response:
        """Several records at once: a transaction registers all of them or none, a batch may do all that the door does,
        each on its own."""
        return await self._answered(request, self._bundle)

    def _organisation(self, request: HttpRequest) -> OrganisationServices:
        return self._node.own(request)

    async def _answered(self, request: HttpRequest, handler: _Handler, path: str = "") -> Response:
        try:
            organisation = self._organisation(request)
            if organisation.localiser is None or organisation.registrations is None:
                raise NotFound("this node does not ask the national index (setting nvi.base)")
            asked, form = await self._asked(request, "r4", self._node.max_body, "limits.body")
            answer = await handler(organisation, replace(asked, path=path))
            return self._given(answer, form, "r4")
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def _capabilities(self, organisation: OrganisationServices, _asked: Request) -> Answer:
        return Answer(200, capabilities.statement("r4", self._base(organisation), OFFER))

    def _base(self, organisation: OrganisationServices) -> str:
        return f"{self._url}/{organisation.slug}/localisation/fhir/r4"

    async def _asked_of(self, organisation: OrganisationServices, asked: Request) -> Answer:
        """The answer to one request, its path below the base."""
        match (asked.method, *asked.path.split("/")):
            case ("GET", "List"):
                return await self._search(organisation, asked.query)
            case ("GET", "List", name):
                return await self._read(organisation, name)
            case ("POST", "List"):
                return await self._create(organisation, read_body(asked))
            case ("DELETE", "List"):
                return await self._delete_of(organisation, asked.query)
            case ("DELETE", "List", name):
                return await self._delete(organisation, name)
        raise NotSupported(
            f"{asked.method[:10]} {asked.path[:40]} is not done here: GET, POST and DELETE of List are",
            code="interaction-not-offered",
            expression="request",
        )

    # -- asking --------------------------------------------------------------------------------------------

    async def _search_by_form(self, organisation: OrganisationServices, asked: Request) -> Answer:
        form = asked.body.decode("latin-1")
        return await self._search(organisation, "&".join(part for part in (asked.query, form) if part))

    def _read_search(
        self, organisation: OrganisationServices, query: str
    ) -> tuple[Bsn, frozenset[str], frozenset[str]]:
        """As `read_search`; what was registered in the place of any software is asked by the name of any."""
        patient, categories, sources = read_search(pairs_of(query))
        if self.any_source and sources:
            assert organisation.registrations is not None
            sources |= {organisation.registrations.source[1]}
        return patient, categories, sources

    async def _search(self, organisation: OrganisationServices, query: str) -> Answer:
        patient, categories, sources = self._read_search(organisation, query)
        localiser, registrations = organisation.localiser, organisation.registrations
        assert localiser is not None and registrations is not None
        try:
            found = await localiser.search(patient)
        except Outcome as outcome:
            await organisation.log.write(_localised(organisation, patient, "8", outcome.kind))
            raise
        rows = await registrations.of(patient)
        await organisation.log.write(_localised(organisation, patient, "0", f"{len(found.records)} records"))
        lists = [
            (name, resource)
            for name, category, source, resource in shown(organisation, found, rows, patient)
            if (not categories or not category or category in categories)
            and (not sources or source in sources)
        ]
        return Answer(200, searchset(self._base(organisation), query, lists, found.unreadable))

    async def _read(self, organisation: OrganisationServices, name: str) -> Answer:
        found = await self._found(organisation, name)
        await organisation.log.write(
            _localised(organisation, Bsn.kept(found.patient), "0", f"own record {found.id}")
        )
        return Answer(200, dump(own(organisation, found)))

    async def _found(self, organisation: OrganisationServices, name: str) -> Registration:
        assert organisation.registrations is not None
        if (found := await organisation.registrations.get(name)) is None:
            raise NotFound("there is no record of ours with this id", code="record-unknown")
        return found

    # -- registering ---------------------------------------------------------------------------------------

    async def _create(self, organisation: OrganisationServices, resource: Resource) -> Answer:
        patient, category = read_list(organisation, resource, any_source=self.any_source)
        assert organisation.registrations is not None
        return self._made(organisation, *await organisation.registrations.register(patient, category))

    def _made(self, organisation: OrganisationServices, made: Registration, fresh: bool) -> Answer:
        where = f"{self._base(organisation)}/List/{made.id}"
        return Answer(201 if fresh else 200, dump(own(organisation, made)), {"Location": where})

    async def _delete(self, organisation: OrganisationServices, name: str) -> Answer:
        assert organisation.registrations is not None
        await organisation.registrations.withdraw(await self._found(organisation, name))
        return Answer(204)

    async def _delete_of(self, organisation: OrganisationServices, query: str) -> Answer:
        """Withdraws what the EHR registered of a patient: of each record by its id, never by what the index makes of
        parameters. Raises the first refusal, after all were tried."""
        patient, categories, sources = self._read_search(organisation, query)
        registrations = organisation.registrations
        assert registrations is not None
        refused: Outcome | None = None
        for row in await registrations.of(patient, asked=True):
            source = row.source or registrations.source[1]
            if (categories and row.category not in categories) or (sources and source not in sources):
                continue
            try:
                await registrations.withdraw(row)
            except Outcome as outcome:
                refused = refused or outcome
        if refused is not None:
            raise refused
        return Answer(204)

    # -- several at once -----------------------------------------------------------------------------------

    async def _bundle(self, organisation: OrganisationServices, asked: Request) -> Answer:
        kind, entries = _entries(read_body(asked), organisation.service.rules.max_entries)
        base = self._base(organisation)
        answers = await (self._transaction if kind == "transaction" else self._batch)(organisation, entries)
        told = [
            entry_of("r4", base, _method(entry), given) for entry, given in zip(entries, answers, strict=True)
        ]
        for one, given in zip(told, answers, strict=True):
            if where := given.headers.get("Location"):
                one["response"]["location"] = one["fullUrl"] = where
        return Answer(200, bundle(f"{kind}-response", told, base))

    async def _transaction(
        self, organisation: OrganisationServices, entries: list[dict[str, Any]]
    ) -> list[Answer]:
        """Registers all, or none: what was new is withdrawn again when one fails, as long as that takes. All are looked
        at before the first is told."""
        registrations = organisation.registrations
        assert registrations is not None
        asked: list[tuple[Bsn, str]] = []
        for place, entry in enumerate(entries):
            with _located(place):
                request = request_of("r4", self._base(organisation), entry, "")
                if (request.method, request.path) != ("POST", "List"):
                    raise NotSupported(
                        "a transaction here registers: POST List; for all else send a batch",
                        code="interaction-not-offered",
                        expression="request",
                    )
                asked.append(read_list(organisation, read_body(request), any_source=self.any_source))
                await registrations.check(*asked[-1])
        made: list[tuple[Registration, bool]] = []
        for place, (patient, category) in enumerate(asked):
            try:
                with _located(place):
                    made.append(await registrations.register(patient, category))
            except Outcome:
                for row, fresh in made:
                    if fresh:
                        with suppress(Outcome):  # The work goes on with it until it is done.
                            await registrations.withdraw(row)
                raise
        return [self._made(organisation, row, fresh) for row, fresh in made]

    async def _batch(self, organisation: OrganisationServices, entries: list[dict[str, Any]]) -> list[Answer]:
        answers = []
        for entry in entries:
            try:
                request = request_of("r4", self._base(organisation), entry, "")
                answers.append(await self._asked_of(organisation, request))
            except Exception as error:
                answers.append(refusal(as_outcome(error), "r4"))
        return answers


class ForKnooppunt(Localisation):
    """The same door at `/nvi`, for an EHR that was made for a Nuts knooppunt: the organisation is named by the header
    X-Tenant-ID, and the software that the EHR names gives way to that of the node."""

    any_source = True

    def _organisation(self, request: HttpRequest) -> OrganisationServices:
        system, _, number = request.headers.get("x-tenant-id", "").strip().rpartition("|")
        with naming("X-Tenant-ID"):
            if system != URA_SYSTEM:
                raise Invalid(f"the header X-Tenant-ID names an organisation: {URA_SYSTEM}|<URA>")
            ura = Ura(number)
        known = (one.slug for one in self._node.organisations.values() if one.ura == ura)
        request.path_params["organisation"] = next(known, "")
        return super()._organisation(request)


def _entries(bundle: Resource, most: int) -> tuple[str, list[dict[str, Any]]]:
    """Type and entries of a Bundle of requests. Raises `Invalid` and `TooCostly`."""
    kind, entries = bundle.get("type"), bundle.get("entry", [])
    if bundle.get("resourceType") != "Bundle" or kind not in ("batch", "transaction"):
        raise Invalid("a Bundle of type transaction or batch is needed here", expression="Bundle.type")
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise Invalid("Bundle.entry is a list of entries", expression="Bundle.entry")
    if len(entries) > most:
        raise TooCostly(
            f"the Bundle has {len(entries)} entries; {most} may stand in one (setting limits.entries)",
            expression="Bundle.entry",
        )
    return kind, entries


def _method(entry: dict[str, Any]) -> str:
    request = entry.get("request")
    return str(request.get("method", "")) if isinstance(request, dict) else ""


@contextmanager
def _located(place: int) -> Iterator[None]:
    """Says of a refusal which entry it is about; what another party did not answer is about none."""
    try:
        yield
    except Upstream:
        raise
    except Outcome as outcome:
        raise located(outcome, entry_at(place)) from outcome


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
