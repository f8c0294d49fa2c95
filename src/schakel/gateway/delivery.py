"""What another organisation brings: a transaction Bundle of new resources about one patient.

It is taken in as a whole or not at all. Whoever brings it can only add: every entry creates, refers within the Bundle
or to somewhere else, and never to what we have. The Patient in it says by BSN who it is about; one that we know stays
as it is, and the answer does not tell which of the two it was.

The ids follow from the sender and the Bundle, so that the same Bundle again is the one that is here already, whatever
became of it since: what it gives is what was brought.

Source: FHIR http.html, transaction; MP9 3.0, sending and receiving (`POST [base]`, POST entries).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from schakel.fhir import definitions, json
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.search import QueryParser
from schakel.gateway.minimise import Item, Subject, about, bsns, item, tokens
from schakel.generic.authorisation import Brought
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Conflict, Gone, NotFound, Outcome, PreconditionFailed, Unprocessable
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM, Bsn
from schakel.server import Answer, FhirService, answer
from schakel.server.bundles import check_frame
from schakel.server.entries import entry_of
from schakel.server.model import Return
from schakel.server.references import linked
from schakel.server.transaction import entry_at, located
from schakel.server.writing import Planned, answered
from schakel.sources import Linker, Stored, Write, Written
from schakel.store.index_values import parse_literal
from schakel.store.indexing import patient_codes

_FULL_URL = re.compile(r"urn:uuid:[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ELSEWHERE = re.compile(r"https?://[^\s]+")
_ATTEMPTS = 50
_WHOLE = ("", "representation")


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource with the address it has inside the Bundle."""

    full_url: str
    resource: Resource

    @property
    def type(self) -> str:
        """The resource type."""
        return str(self.resource["resourceType"])


@dataclass
class Delivery:
    """The Bundle in a request, as it was read. It is looked into when `brought` is asked."""

    service: FhirService
    version: Version
    bundle: Resource
    entries: tuple[Entry, ...] = ()
    bsn: str = ""
    _items: list[Item] = field(default_factory=list)

    def brought(self, parameters: Collection[str]) -> Sequence[Brought]:
        """Its resources but for the Patient, with their tokens under these parameters. Raises `Unprocessable` that
        names the entry."""
        if not self.entries:
            self._read()
        names = frozenset(parameters)
        return [
            Brought(one.type, frozenset(tokens(self.version, one, names)))
            for one in self._items
            if one.type != "Patient"
        ]

    def _read(self) -> None:
        given = self.bundle.get("entry", [])
        frame = {name: value for name, value in self.bundle.items() if name not in ("entry", "id")}
        check_frame(self.service, self.version, frame, given)
        entries = []
        for place, one in enumerate(given):
            try:
                entries.append(self._entry(one))
            except Outcome as outcome:
                raise located(outcome, entry_at(place)) from outcome
        here = {one.full_url: f"{one.type}/{place}" for place, one in enumerate(entries)}
        if len(here) < len(entries):
            raise _wrong("Bundle.entry", "two entries have the same fullUrl")
        for place, entry in enumerate(entries):
            self._check_references(entry, here, entry_at(place))
        self._items = [
            item(self.version, linked({**e.resource, "id": str(place)}, here), True, self.service.own_bases)
            for place, e in enumerate(entries)
        ]
        self.bsn = self._patient(entries, set(here.values()))
        self.entries = tuple(entries)

    def _entry(self, one: Mapping[str, Any]) -> Entry:
        """An entry that creates one resource."""
        resource, request = one.get("resource"), one.get("request")
        if not isinstance(resource, dict) or not isinstance(request, dict):
            raise _wrong("resource", "an entry that brings something has a resource and a request")
        if request != {"method": "POST", "url": resource.get("resourceType")}:
            raise _wrong(
                "request", "what is brought is created: method POST, url the resource type, and nothing else"
            )
        full_url = one.get("fullUrl")
        if not isinstance(full_url, str) or not _FULL_URL.fullmatch(full_url):
            raise _wrong("fullUrl", "an entry has a fullUrl of its own, urn:uuid:...")
        if "contained" in resource:
            raise _wrong("resource.contained", "what is brought has an entry of its own")
        self.service.checked(self.version, resource)
        return Entry(full_url, resource)

    def _check_references(self, entry: Entry, here: Mapping[str, str], where: str) -> None:
        for text in _references(entry.resource):
            if text in here or (
                _ELSEWHERE.fullmatch(text) and not parse_literal(text, self.service.own_bases)[0]
            ):
                continue
            raise _wrong(
                where, "a reference leads to an entry of the Bundle (its fullUrl) or to an address elsewhere"
            )

    def _patient(self, entries: Sequence[Entry], here: Collection[str]) -> str:
        """The one patient that everything is about. Raises `Unprocessable` that names the entry."""
        patients = [place for place, one in enumerate(entries) if one.type == "Patient"]
        if len(patients) != 1:
            raise _wrong("Bundle.entry", "one Patient is needed, that says by BSN who this is about")
        [place] = patients
        rows = self._items[place].rows
        numbers = bsns(rows, "identifier")
        if len(numbers) != 1 or not {("identifier", n, BSN_SYSTEM) for n in numbers} <= rows.token:
            raise _wrong(
                f"{entry_at(place)}.resource.identifier", f"one BSN is needed, of system {BSN_SYSTEM}"
            )
        if "link" in entries[place].resource:
            raise _wrong(
                f"{entry_at(place)}.resource.link", "a Patient that is brought is linked to no other"
            )
        [number] = numbers
        subject = Subject(str(Bsn(number)), frozenset({str(place)}))
        linked_to: set[str] = set()
        for at, one in enumerate(self._items):
            own = {f"{kind}/{target}" for _, kind, target in one.rows.reference if kind}
            if not own <= set(here):
                raise _wrong(entry_at(at), "what is brought refers to nothing that is here already")
            named = about(one, subject)
            if named is False or (named is None and patient_codes(self.version, one.type)):
                raise _wrong(entry_at(at), f"{one.type} must be about the Patient of the Bundle and no other")
            if named:
                linked_to |= own
        self._check_reached({f"Patient/{place}"}, linked_to)
        return subject.bsn

    def _check_reached(self, reached: set[str], fresh: set[str]) -> None:
        """Whether what is about nobody is referred to, by what is about the patient or in turn."""
        keys = {one.key: one for one in self._items}
        while fresh - reached:
            new = fresh - reached
            reached |= new
            fresh = {
                f"{kind}/{target}" for key in new for _, kind, target in keys[key].rows.reference if kind
            }
        for at, one in enumerate(self._items):
            if one.key not in reached and not (one.patients or one.numbers):
                raise _wrong(entry_at(at), f"nothing about the patient refers to this {one.type}")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a delivery is taken in: `ids` of its entries in order, `patient` the id of its patient, which is `known` or
    will be made. `earlier` is what was brought by it before, when it was."""

    delivery: Delivery
    ids: tuple[str, ...]
    patient: str
    known: bool
    earlier: tuple[Stored, ...] = ()

    @property
    def written(self) -> tuple[str, ...]:
        """The versions that will be written, as Type/id/_history/n."""
        if self.earlier:
            return ()
        return tuple(
            f"{one.type}/{self.patient if one.type == 'Patient' else name}/_history/1"
            for one, name in zip(self.delivery.entries, self.ids, strict=True)
            if one.type != "Patient" or not self.known
        )

    @property
    def places(self) -> tuple[int, ...]:
        """The places of the entries that are written, in order, but for the Patient."""
        return tuple(place for place, one in enumerate(self.delivery.entries) if one.type != "Patient")


async def planned(delivery: Delivery, sender: str, known: Collection[str]) -> Plan:
    """How what `sender` (URA) brings is taken in. `known` are the ids under which the patient is known here."""
    patient = min(known, default="")
    for attempt in range(_ATTEMPTS):
        ids = _ids(delivery, sender, attempt)
        plan = Plan(delivery, ids, patient or new_id(), bool(patient))
        found = await earlier(plan)
        if any(found) and not all(found):
            # It came in between two of these readings, or some of it was erased since: another look tells which.
            found = await earlier(plan)
        if all(found):
            return replace(plan, earlier=tuple(one for one in found if one))
        if not any(found):
            return plan
    raise Conflict("what was brought was here in part too often; send it as a new Bundle")


async def earlier(plan: Plan) -> list[Stored | None]:
    """The first versions of what this delivery brought before, None for each that is not here."""
    delivery, found = plan.delivery, list[Stored | None]()
    for place in plan.places:
        kind = delivery.entries[place].type
        try:
            found.append(
                await delivery.service.source.read_version(delivery.version, kind, plan.ids[place], 1)
            )
        except (NotFound, Gone):
            found.append(None)
    return found


async def taken(plan: Plan, base: str, wanted: Return) -> Answer:
    """Takes it in, unless it was before, and answers it."""
    delivery = plan.delivery
    results = [Written(stored, False, changed=False) for stored in plan.earlier]
    if not results:
        try:
            results = await _written(plan)
        except PreconditionFailed:
            # The same Bundle came in at the same moment, and was first.
            found = await earlier(plan)
            results = [Written(one, False, changed=False) for one in found if one]
            if len(results) < len(found):
                raise
    out = []
    by_place = dict(zip(plan.places, results, strict=True))
    for place, entry in enumerate(delivery.entries):
        if place in by_place:
            out.append(_answered(plan, by_place[place], base, wanted))
        else:
            bare = {name: value for name, value in entry.resource.items() if name != "id"}
            shown = {"resource": orjson.Fragment(json.dump(bare))} if wanted in _WHOLE else {}
            out.append({"fullUrl": entry.full_url, **shown, "response": {"status": "200"}})
    return Answer(200, answer.bundle("transaction-response", out, base))


async def _written(plan: Plan) -> list[Written]:
    """Writes everything in one transaction: what became of the entries but the Patient."""
    delivery = plan.delivery
    writes, urls = list[Write](), list[str]()
    patient_url = ""
    for place, entry in enumerate(delivery.entries):
        if entry.type != "Patient":
            writes.append(Write("PUT", entry.type, plan.ids[place], {**entry.resource}, if_absent=True))
            urls.append(entry.full_url)
            continue
        patient_url = entry.full_url
        if not plan.known:
            # Another delivery about the same patient may come first: then it is that Patient.
            pairs = (("identifier", f"{BSN_SYSTEM}|{delivery.bsn}"),)
            criteria = QueryParser(definitions(delivery.version)).parse("Patient", pairs)
            writes.append(Write("POST", "Patient", plan.patient, {**entry.resource}, criteria=criteria))
            urls.append(entry.full_url)

    def settle(ids: Sequence[str], versions: Sequence[int], targets: Sequence[str]) -> Linker:
        links = {patient_url: f"Patient/{plan.patient}"}
        links |= {url: f"{write.type}/{name}" for url, write, name in zip(urls, writes, ids, strict=True)}

        def link(number: int, resource: Resource) -> Resource:
            new: Resource = linked(resource, links)
            return new

        return link

    written = await delivery.service.source.write(delivery.version, writes, (), settle)
    return [one for one in written if one.stored.type != "Patient"]


def _answered(plan: Plan, result: Written, base: str, wanted: Return) -> dict[str, Any]:
    """The entry for what was written. Its patient is the one of the Bundle, by the fullUrl that the sender gave: what
    we know the patient by is not told."""
    delivery, stored = plan.delivery, result.stored
    write = Write("PUT", stored.type, stored.id)
    given = answered(delivery.version, base, Planned(write), result, wanted)
    if given.body and not given.outcome:
        [url] = [one.full_url for one in delivery.entries if one.type == "Patient"]
        shown = _patient_as(json.parse(given.body, max_depth=json.STORED_DEPTH), url)
        given = replace(given, body=json.dump(shown))
    return entry_of(delivery.version, base, "POST", given)


def _patient_as(value: Any, url: str) -> Any:
    """`value` in which every reference to a Patient of ours is `url`."""
    if isinstance(value, list):
        return [_patient_as(one, url) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: url
        if name == "reference" and isinstance(one, str) and parse_literal(one)[0] == "Patient"
        else _patient_as(one, url)
        for name, one in value.items()
    }


def _ids(delivery: Delivery, sender: str, attempt: int) -> tuple[str, ...]:
    """The ids of what is made of the entries. They follow from the sender and the content, so that nobody can choose
    one; where what was brought is here in part (some of it was erased) the next ones follow as surely."""
    content = [[one.full_url, one.resource] for one in delivery.entries]
    digest = hashlib.sha256(json.dump(content)).hexdigest()
    text = f"{URA_SYSTEM}|{sender} {delivery.version} {digest} {attempt}"
    return tuple(str(uuid.uuid5(uuid.NAMESPACE_URL, f"{text} {place}")) for place in range(len(content)))


def _references(value: Any) -> Iterator[str]:
    """The literal references in a resource."""
    if isinstance(value, list):
        for one in value:
            yield from _references(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name == "reference" and isinstance(one, str):
                yield one
            else:
                yield from _references(one)


def _wrong(where: str, text: str) -> Unprocessable:
    return Unprocessable(f"{where}: {text}", code="delivery-invalid", expression=where)
