"""What a door lets through of the FHIR API: `Offer`; what a guarded door may ever let through: `Possible`; and what a
door for the data of one patient gives and takes: `Exchanged`.

A service without one does all that the standard and its source know (the internal door). With one, every interaction
is held against it right after it is parsed, the entries of a Bundle too, and the CapabilityStatement says just that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from schakel.fhir.search import Query, encode, pairs_of
from schakel.kernel.outcomes import NotAllowed, NotFound, NotSupported
from schakel.server.model import Interaction, Request

_WRITES = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Searches:
    """What a search on `type` may ask: `parameters` as a caller writes them, with their modifier (`name:exact`), and
    values of `_include` and `_revinclude`. How much is shown and in which order may be said with each."""

    type: str
    parameters: frozenset[str]
    includes: frozenset[str] = frozenset()
    revincludes: frozenset[str] = frozenset()

    @property
    def codes(self) -> frozenset[str]:
        """The parameters without modifiers."""
        return frozenset(name.partition(":")[0] for name in self.parameters)

    def check(self, query: Query) -> None:
        """Raises `NotSupported` that names the parameter."""
        for condition in query.conditions:
            if condition.name not in self.parameters:
                raise self._refused(f"search parameter {condition.name!r}", condition.name, self.parameters)
        for key in query.sort:
            if key.parameter.code not in self.codes:
                raise self._refused(f"_sort={key.parameter.code}", "_sort", self.codes)
        for name, asked, offered in (
            ("_include", query.includes, self.includes),
            ("_revinclude", query.revincludes, self.revincludes),
        ):
            for one in asked:
                if one.iterate or f"{one.source}:{one.parameter.code}" not in offered:
                    shown = f"{name}{':iterate' if one.iterate else ''}={one}"
                    raise self._refused(shown, name, offered)

    def _refused(self, what: str, expression: str, offered: Collection[str]) -> NotSupported:
        has = _listed(offered) or "none"
        return NotSupported(
            f"{what[:80]} is not offered here: on {self.type} this door has {has}",
            code="search-not-offered",
            expression=expression[:60],
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """`interactions` (on every type in `types`) and `system` are codes of CapabilityStatement.rest: `read`,
    `search-type`, `history-instance`, `batch`. Nothing else is done, operations neither.

    With `hapi_forms` two forms are taken that R4 does not have, which clients made for HAPI send: a search by GET on
    `_search`, and `_cascade=delete` on a delete. No reference keeps a resource here from being deleted, so that the
    latter has nothing to do; what refers to it is deleted by its own request.

    `searches` says what a search of each type may ask; without any, all that the standard knows. What a door gives that
    keeps no versions is not `versioned`.
    """

    types: frozenset[str]
    interactions: frozenset[str]
    system: frozenset[str] = frozenset()
    hapi_forms: bool = False
    searches: tuple[Searches, ...] = ()
    versioned: bool = True

    def searches_on(self, kind: str) -> Searches | None:
        """What a search on a type may ask; None when that is not limited."""
        return next((one for one in self.searches if one.type == kind), None)

    def read(self, request: Request) -> Request:
        """`request` in the words of R4."""
        if not self.hapi_forms:
            return request
        if request.method == "GET" and request.path.endswith("/_search"):
            return replace(request, path=request.path.removesuffix("/_search"))
        if request.method == "DELETE" and "_cascade" in request.query:
            kept = tuple(pair for pair in pairs_of(request.query) if pair != ("_cascade", "delete"))
            return replace(request, query=encode(kept))
        return request

    def check(self, asked: Interaction) -> None:
        """Raises `NotFound` for a type, and `NotAllowed` or `NotSupported` for an interaction, that this door does not
        have."""
        if asked.kind == "capabilities" or (asked.kind == "transaction" and self.system & _BUNDLES):
            return
        if asked.type and asked.type not in self.types:
            raise NotFound(
                f"{asked.type} is not served here: this door has {_listed(self.types)}",
                code="type-not-offered",
            )
        code = _code(asked)
        if code in (self.interactions if asked.type else self.system):
            # A page was made by a search that was checked.
            if (
                asked.query is not None
                and asked.query.page is None
                and (limit := self.searches_on(asked.type))
            ):
                limit.check(asked.query)
            return
        told = f"{code} is not offered here: this door has {_listed(self.interactions | self.system)}"
        if asked.kind in _WRITES:
            raise NotAllowed(told, code="interaction-not-offered", headers={"Allow": "GET"})
        raise NotSupported(told, code="interaction-not-offered")

    def check_bundle(self, kind: str) -> None:
        """Raises `NotSupported` for a Bundle of this type, batch or transaction, when it is not taken."""
        if kind not in self.system:
            taken = _listed(self.system & _BUNDLES)
            raise NotSupported(
                f"a {kind} is not offered here: this door takes {taken}",
                code="interaction-not-offered",
                expression="Bundle.type",
            )


@dataclass(frozen=True, slots=True)
class Possible:
    """What may at most be done with one type at a door that judges every request on its own: codes of interactions as
    in a CapabilityStatement, names of operations, what a search may ask, in any of the forms that are accepted, and
    whether a transaction may bring it."""

    interactions: frozenset[str]
    operations: frozenset[str]
    searches: Searches
    brought: bool = False

    @property
    def type(self) -> str:
        """The resource type."""
        return self.searches.type


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a door does that gives data of one patient, and takes what they send: the types in `gives` are read and
    searched, those in `takes` come new in a Bundle at the base (a batch or a transaction), and those in `updates` are
    changed, there or by themselves."""

    gives: frozenset[str]
    takes: frozenset[str] = frozenset()
    updates: frozenset[str] = frozenset()


_BUNDLES = frozenset({"batch", "transaction"})


def _code(asked: Interaction) -> str:
    if asked.kind == "history":
        return "history-instance" if asked.id else "history-type" if asked.type else "history-system"
    return "search-type" if asked.kind == "search" else asked.kind


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
