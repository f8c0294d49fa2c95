"""Minimise: of what was found, only what is about this patient, or what a released match refers to.

* a resource that names a patient must name this one and no other;
* another Patient is never released;
* a resource that names no patient passes only when a released match refers to it by an accepted include;
* a Provenance passes only when all its targets are released, here or under another row of the same exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.kernel.values import BSN_OID, BSN_SYSTEM
from schakel.store.indexing import IndexRows, TypeIndexer, indexer, patient_codes

_WHOSE = frozenset({"patient", "beneficiary"})
"""Parameters that say whose a resource is: what they refer to is a patient, wherever it may be."""

_OWNERS = frozenset({"subject", "patient", "beneficiary"})
"""Members that say whose a resource is."""

_REFERENCES = frozenset({"reference"})
_NONE: frozenset[str] = frozenset()
_IDENTIFIER = frozenset({"identifier"})


@dataclass(frozen=True, slots=True)
class Item:
    """A resource of an answer with the index rows of its references, of a Patient also of its identifiers;
    `match` is False for what an include brought. `patients` and `numbers` are the logical ids and the BSNs of the
    patients it is about (see `patients_named`)."""

    resource: Resource
    rows: IndexRows
    match: bool
    patients: frozenset[str]
    numbers: frozenset[str]

    @property
    def type(self) -> str:
        return str(self.resource["resourceType"])

    @property
    def key(self) -> str:
        """`Type/id`."""
        return f"{self.type}/{self.resource.get('id', '')}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was held back and why (a stable word)."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Minimised:
    """What may go out, and what was held back."""

    released: tuple[Item, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """The patient of a request: the BSN, and the logical ids under which this source knows it."""

    bsn: str
    ids: frozenset[str]


def item(version: Version, resource: Resource, match: bool, own_bases: tuple[str, ...] = ()) -> Item:
    """An `Item` of a parsed resource."""
    kind = str(resource["resourceType"])
    rows = _indexer(version, kind).rows(resource, own_bases)
    ids, numbers = patients_named(version, kind, resource, rows, own_bases)
    return Item(resource, rows, match, frozenset(ids), frozenset(numbers))


def _indexer(version: Version, kind: str) -> TypeIndexer:
    return indexer(version, kind, _REFERENCES, _IDENTIFIER if kind == "Patient" else _NONE)


def prepare(version: Version, kinds: Iterable[str]) -> None:
    """Compiles what items of these types need, so that the first is made as fast as the next."""
    for kind in kinds:
        _indexer(version, kind)


def tokens(version: Version, found: Item, parameters: frozenset[str]) -> set[tuple[str, str, str]]:
    """The tokens of a resource under these search parameters: (parameter, code, system)."""
    return indexer(version, found.type, _NONE, parameters).rows(found.resource).token


def bsns(rows: IndexRows, parameter: str) -> set[str]:
    """The BSNs among the index tokens of an identifier parameter."""
    return {c for p, c, s in rows.token if p == parameter and s in (BSN_SYSTEM, BSN_OID)}


def patients_named(
    version: Version, resource_type: str, resource: Resource, rows: IndexRows, own_bases: tuple[str, ...]
) -> tuple[set[str], set[str]]:
    """The patients a resource is about: logical ids (a reference that leads elsewhere as it stands) and BSNs.

    Those whom a contained resource is about count as well; a contained Patient without a BSN is nobody, which the empty
    BSN says. A subject that cannot be recognised as a patient counts as the empty id, so that nothing passes as being
    about nobody.
    """
    ids, numbers = set[str](), set[str]()
    for inner in resource.get("contained", ()):
        kind = inner.get("resourceType")
        if kind in definitions(version).resource_types:
            inner_rows = _indexer(version, kind).rows(inner, own_bases)
            inner_ids, inner_numbers = _referred(version, kind, inner_rows)
            ids |= inner_ids
            numbers |= (bsns(inner_rows, "identifier") or {""}) if kind == "Patient" else inner_numbers
    if resource_type == "Patient":
        return ids | {str(resource.get("id", ""))}, numbers | bsns(rows, "identifier")
    own_ids, own_numbers = _referred(version, resource_type, rows)
    numbers |= own_numbers
    if not own_ids and not numbers and not _OWNERS.isdisjoint(resource):
        own_ids = {""}
    return ids | own_ids, numbers


def _referred(version: Version, resource_type: str, rows: IndexRows) -> tuple[set[str], set[str]]:
    """The patients to whom the references of a resource lead that say whose it is."""
    codes = patient_codes(version, resource_type)
    ids = {
        target
        for code, kind, target in rows.reference
        if code in codes and (kind == "Patient" or (not kind and _may_be_patient(version, code, target)))
    }
    return ids, set[str]().union(*(bsns(rows, f"{code}:identifier") for code in codes))


def _may_be_patient(version: Version, code: str, target: str) -> bool:
    """Whether a reference that leads elsewhere may lead to a patient: it says so, or says nothing else."""
    parts = target.partition("/_history/")[0].split("/")
    kind = parts[-2] if len(parts) > 1 else ""
    return kind == "Patient" or (code in _WHOSE and kind not in definitions(version).resource_types)


def about(found: Item, subject: Subject) -> bool | None:
    """Whether a resource is about this patient and no other; None when it names no patient at all."""
    if not found.patients and not found.numbers:
        return None
    return found.patients <= subject.ids and found.numbers <= {subject.bsn}


def foreign(found: Item, subject: Subject) -> bool:
    """Whether a resource that something leads to is about another patient, or is a Patient that is not this one."""
    named = about(found, subject)
    return named is False or (found.type == "Patient" and named is not True)


def minimise(
    version: Version,
    items: Sequence[Item],
    subject: Subject,
    includes: Iterable[str],
    elsewhere: Callable[[str], bool],
    iterated: Iterable[str] = (),
) -> Minimised:
    """Divides the items of one answer. `includes` are the accepted `Type:parameter[:Target]`, `iterated` those that
    hold for what was included as well; `elsewhere` says of a `Type/id` whether it may be released under another row."""
    accepted = [tuple(i.split(":")) for i in includes]
    again = [tuple(i.split(":")) for i in iterated]
    released: list[Item] = []
    dropped: list[Dropped] = []
    linked: set[str] = set()
    for found in (i for i in items if i.match):
        if about(found, subject) is not True:
            dropped.append(Dropped(found.key, "other-patient"))
            continue
        released.append(found)
        linked |= _links(found, [*accepted, *again])
    provenances = [i for i in items if not i.match and i.type == "Provenance"]
    waiting = []
    for found in (i for i in items if not i.match and i.type != "Provenance"):
        if foreign(found, subject):
            dropped.append(Dropped(found.key, "other-patient"))
        else:
            waiting.append(found)
    while taken := [found for found in waiting if found.key in linked]:
        released += taken
        waiting = [found for found in waiting if found.key not in linked]
        linked = set().union(*(_links(found, again) for found in taken))
    dropped += (Dropped(found.key, "not-referred-to") for found in waiting)
    keys = {i.key for i in released}
    for found in provenances:
        targets = provenance_targets(found)
        if about(found, subject) is False:
            dropped.append(Dropped(found.key, "other-patient"))
        elif targets and all(t in keys or elsewhere(t) for t in targets):
            released.append(found)
        else:
            dropped.append(Dropped(found.key, "target-not-released"))
    return Minimised(tuple(released), tuple(dropped))


def _links(found: Item, includes: Sequence[tuple[str, ...]]) -> set[str]:
    """`Type/id` of what these includes bring from a resource."""
    return {
        f"{kind}/{target}"
        for code, kind, target in found.rows.reference
        if any((found.type, code) == i[:2] and (len(i) < 3 or i[2] == kind) for i in includes)
    }


def provenance_targets(found: Item) -> set[str]:
    """`Type/id` of everything a Provenance is about; a target that is no literal reference counts as itself."""
    targets = {f"{kind}/{target}" for code, kind, target in found.rows.reference if code == "target"}
    declared = found.resource.get("target") or []
    if len(declared) > len(targets):
        targets.add("unresolved")
    return targets
