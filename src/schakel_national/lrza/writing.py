"""Writing in the directory: ITI-130-NL (create, update, transaction; create of Provenance).

Whatever is sent is stored first and then judged, in one transaction of the register that is undone when a rule is
broken, so that what refers to each other may be sent together.

Source: the guide of the generic functions, Care Services (ITI-130-NL, no deletes, version-aware updates); FHIR R4
transaction (3.1.0.11).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from schakel.fhir.json import Resource
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import (
    Invalid,
    NotAllowed,
    NotFound,
    NotSupported,
    Outcome,
    PreconditionFailed,
    Unprocessable,
    at,
)
from schakel_national.lrza import rules
from schakel_national.lrza.clients import Caller
from schakel_national.lrza.parties import check_may_write
from schakel_national.lrza.register import Change, Register, Stored
from schakel_national.lrza.resources import HELD, PROVENANCE, TYPES, values
from schakel_national.lrza.settings import referring
from schakel_national.lrza.signatures import check_signature

_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"')
_NO_DELETE = "nothing is deleted here: set active to false, or status to off, inactive or entered-in-error"
_CONDITIONAL = ("ifNoneMatch", "ifModifiedSince", "ifNoneExist")


@dataclass(frozen=True, slots=True)
class Wish:
    """A resource that was sent, with its id: to create, or to update the version `match` (an entity tag)."""

    resource: Resource
    update: bool = False
    match: str = ""

    @property
    def kind(self) -> str:
        """The type."""
        return str(self.resource["resourceType"])


class Writing:
    """Writes into `register` at the address `base`; with `signed` every Provenance must be signed. `anchors` are PEM
    files of authorities whose certificates may sign."""

    def __init__(self, register: Register, base: str, anchors: tuple[Path, ...], signed: bool) -> None:
        self._register = register
        self._base = base
        self._anchors = anchors
        self._signed = signed

    def write(self, caller: Caller, wishes: Sequence[Wish]) -> list[Stored]:
        """All of them, or none. Raises the outcomes of section 2.7 of the facts, with the `place` of the wish."""
        caller.check_writes()
        for place, wish in enumerate(wishes):
            with at(place):
                caller.check(wish.kind, "u" if wish.update else "c")
                rules.check_structure(wish.resource)
        with self._register.writing() as change:
            for place, wish in enumerate(wishes):
                with at(place):
                    self._check_before(change, caller, wish)
            stored = [change.put(wish.resource, "PUT" if wish.update else "POST") for wish in wishes]
            for place, one in enumerate(stored):
                with at(place):
                    self._check_after(change, caller, one.resource())
        return stored

    @staticmethod
    def _check_before(change: Change, caller: Caller, wish: Wish) -> None:
        """An update: of what is there, in the version that is expected, by who may."""
        if not wish.update:
            return
        before = change.newest(wish.kind, wish.resource["id"])
        if before is None:
            name = f"{wish.kind}/{wish.resource['id']}"
            raise NotFound(f"{name} is not known: ids are given here, by a create")
        check_may_write(change, caller.parties, before.resource())
        match = _ETAG.fullmatch(wish.match)
        if match is None or int(match[1]) != before.version:
            given = f"is {wish.match[:40]}" if wish.match else "is missing"
            raise PreconditionFailed(
                f"If-Match {given}, and {before.name} is at version {before.etag}: read it and try again",
                code="version-conflict",
                expression="If-Match",
            )

    def _check_after(self, change: Change, caller: Caller, resource: Resource) -> None:
        """The state that was written: complete, by who may, and by the rules."""
        rules.check_complete(change, resource)
        if resource["resourceType"] == PROVENANCE:
            self._check_provenance(change, caller, resource)
            return
        check_may_write(change, caller.parties, resource)
        rules.check_rules(change, resource)

    def _check_provenance(self, change: Change, caller: Caller, provenance: Resource) -> None:
        targets = [self._target(change, str(name)) for name in values(provenance, "target.reference")]
        if not targets:
            raise _refused("target", "target must be a reference to what was written")
        for one in targets:
            check_may_write(change, caller.parties, one.resource())
        signatures = values(provenance, "signature")
        if self._signed and not signatures:
            raise _refused("signature", "a signature is required in this directory")
        if signatures and len(targets) != 1:
            raise _refused("target", "a signature is over one resource, so there is one target")
        for signature in signatures:
            who = check_signature(signature, targets[0].resource(), self._anchors)
            check_may_write(change, frozenset((who,)), targets[0].resource())

    @staticmethod
    def _target(change: Change, name: str) -> Stored:
        kind, logical_id, *rest = name.split("/")
        if kind not in TYPES:
            raise _refused("target", f"target {name[:80]!r} is none of {', '.join(TYPES)}")
        if rest:
            [found] = change.stored(
                "version v WHERE v.type = ? AND v.id = ? AND v.version = ?", (kind, logical_id, int(rest[1]))
            )
            return found
        newest = change.newest(kind, logical_id)
        assert newest is not None, "rules were checked"
        return newest

    # -- what was sent ---------------------------------------------------------------------------------------

    def create(self, caller: Caller, kind: str, resource: Resource) -> Stored:
        """A new resource; an id that it has is not kept."""
        _check_type(kind, resource)
        return self._one(caller, Wish(self._local({**resource, "id": new_id()})))

    def update(self, caller: Caller, kind: str, logical_id: str, resource: Resource, match: str) -> Stored:
        """A new version of a resource."""
        if kind == PROVENANCE:
            raise NotAllowed("a Provenance is created and never changed", headers={"Allow": "GET, POST"})
        _check_type(kind, resource)
        if resource.get("id") != logical_id:
            raise Invalid(
                f"id of the {kind} must be {logical_id}, as in the address", expression=f"{kind}.id"
            )
        return self._one(caller, Wish(self._local(resource), True, match))

    def _one(self, caller: Caller, wish: Wish) -> Stored:
        try:
            return self.write(caller, [wish])[0]
        except Outcome as outcome:
            outcome.place = None  # there is no Bundle that it has a place in
            raise

    def transaction(self, caller: Caller, bundle: Resource) -> list[Stored]:
        """All entries of a transaction, or none."""
        entries = bundle.get("entry", [])
        if not isinstance(entries, list):
            raise Invalid("Bundle.entry must be a list of entries", expression="Bundle.entry")
        wishes: list[Wish] = []
        names: dict[str, str] = {}
        for place, entry in enumerate(entries):
            with at(place):
                wish = self._wish(entry)
                name = f"{wish.kind}/{wish.resource['id']}"
                if name in names.values():
                    raise Invalid(f"{name} stands twice in one transaction", expression="Bundle.entry")
                address = str(entry.get("fullUrl") or f"entry {place}")
                if address in names:
                    raise Invalid("two entries have this fullUrl", expression="Bundle.entry.fullUrl")
                names[address] = name
                wishes.append(wish)
        local = (referring(self._local(wish.resource), names) for wish in wishes)
        return self.write(caller, [replace(w, resource=r) for w, r in zip(wishes, local, strict=True)])

    @staticmethod
    def _wish(entry: Any) -> Wish:
        if not isinstance(entry, dict):
            raise Invalid("an entry must be an object", expression="Bundle.entry")
        request, resource = entry.get("request"), entry.get("resource")
        if not isinstance(request, dict):
            raise Invalid("an entry of a transaction needs a request", expression="Bundle.entry.request")
        method, url = request.get("method"), str(request.get("url", ""))
        if method == "DELETE":
            raise NotAllowed(_NO_DELETE)
        if method not in ("POST", "PUT"):
            raise NotSupported(
                f"a transaction here has POST and PUT, not {str(method)[:20]}",
                expression="Bundle.entry.request.method",
            )
        for name in _CONDITIONAL:
            if name in request:
                raise NotSupported(f"{name} is not supported here", expression=f"Bundle.entry.request.{name}")
        if not isinstance(resource, dict):
            raise Invalid("a POST or PUT needs a resource", expression="Bundle.entry.resource")
        kind, _, logical_id = url.partition("/")
        if kind not in HELD or ("/" in logical_id) or (method == "PUT") != bool(logical_id):
            raise Invalid(
                f"url of a {method} must be {'Type/id' if method == 'PUT' else 'a type'} of {', '.join(HELD)}",
                expression="Bundle.entry.request.url",
            )
        _check_type(kind, resource)
        if method == "POST":
            return Wish({**resource, "id": new_id()})
        if kind == PROVENANCE:
            raise NotAllowed("a Provenance is created and never changed")
        if resource.get("id") != logical_id:
            raise Invalid(f"id of the {kind} must be that of the url", expression="Bundle.entry.resource.id")
        return Wish(resource, True, str(request.get("ifMatch", "")))

    def _local(self, value: Any) -> Any:
        """A copy in which references to this directory by its whole address are relative."""
        if isinstance(value, dict):
            return {
                name: member.removeprefix(f"{self._base}/")
                if name == "reference" and isinstance(member, str)
                else self._local(member)
                for name, member in value.items()
            }
        return [self._local(member) for member in value] if isinstance(value, list) else value


def no_delete() -> NotAllowed:
    """What a DELETE is told."""
    return NotAllowed(_NO_DELETE, headers={"Allow": "GET, PUT"})


def _check_type(kind: str, resource: Resource) -> None:
    if resource.get("resourceType") != kind:
        raise Invalid(f"the resource must be a {kind}, as the address says", expression="resourceType")


def _refused(element: str, message: str) -> Unprocessable:
    return Unprocessable(
        f"Provenance.{element}: {message}", code="rule-broken", expression=f"Provenance.{element}"
    )
