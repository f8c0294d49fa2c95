"""The walk through a resource: everything beyond structure, in one pass."""

from __future__ import annotations

from typing import Any

from schakel.fhir.fhirpath import Node
from schakel.fhir.json import Resource
from schakel.fhir.places import At
from schakel.fhir.validation import bundles, extensions, references, terminology
from schakel.fhir.validation.invariants import hold
from schakel.fhir.validation.plans import Member, Plan, Plans, plans
from schakel.fhir.validation.run import Run, Scope
from schakel.fhir.validation.uris import SCHEME, uri_problem


def walk(run: Run) -> None:
    """Check the resource of `run`, whose structure was looked at before; what has no shape is passed over."""
    _Walk(run).start()


class _Walk:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._plans: Plans = plans(run.known.version)
        self._stu3 = run.known.version == "stu3"
        self._ids: dict[str, At] = {}

    def start(self) -> None:
        root = self._run.root
        kind = root.get("resourceType")
        if isinstance(kind, str) and kind in self._run.known.resource_types:
            at: At = (None, kind, None)
            self._resource(root, at, None, None)
            if kind == "Bundle":
                bundles.check(self._run, at)

    def _resource(self, value: Resource, at: At, around: Scope | None, entry: int | None) -> None:
        """A resource: the root, in an entry or a parameter, or contained in the one of `around`."""
        kind = value.get("resourceType")
        if not isinstance(kind, str) or kind not in self._run.known.resource_types:
            return
        contained = around is not None and at[1] == "contained"
        container = around.container if around is not None and contained else value
        node = Node(value, kind, None, container)
        root = around.root if around is not None and contained else node
        scope = Scope(
            resource=value,
            container=container,
            at=at,
            # In STU3 %resource is the outermost one, and there is no %rootResource.
            variables={"resource": root if self._stu3 else node, "rootResource": root},
            root=root,
            entry=entry,
        )
        outer = self._ids
        if not contained:
            self._ids = {}
        plan = self._plans[kind]
        self._object(value, plan, at, scope, (kind,))
        hold(self._run, plan.checks, node, scope, at)
        url = value.get("url")
        if isinstance(url, str) and "url" in plan.members and not SCHEME(url) and not url.startswith("#"):
            self._run.error("value", "the canonical URL of a resource is absolute", (at, "url", None))
        if "contained" in value:
            references.check_contained(self._run, value, at)
        self._profiles(value, at)
        self._ids = outer

    def _profiles(self, value: Resource, at: At) -> None:
        """`meta.profile` names what is not checked here; a base definition is what was just checked."""
        meta = value.get("meta")
        claimed = meta.get("profile") if isinstance(meta, dict) else None
        base = f"http://hl7.org/fhir/StructureDefinition/{value.get('resourceType')}"
        for index, url in enumerate(claimed if isinstance(claimed, list) else ()):
            if isinstance(url, str) and url.partition("|")[0] != base:
                where: At = ((at, "meta", None), "profile", index)
                self._run.could_not_check(f"the profile {url[:300]}", where, "warning")

    def _object(
        self,
        value: dict[str, Any],
        plan: Plan,
        at: At,
        scope: Scope,
        owner: tuple[str, ...],
        has_value: bool = False,
    ) -> None:
        members = plan.members
        holder = extensions.Holder(value, owner, at)
        for key, held in value.items():
            member = members.get(key)
            if member is None:
                if key[:1] == "_" and key[1:] in members:
                    self._beside(held, value.get(key[1:]), members[key[1:]], scope, holder)
                continue
            if member.form == "primitive":
                if member.checks or member.is_uri:
                    self._primitives(value, held, member, at, scope)
                continue
            if isinstance(held, list):
                for index, item in enumerate(held):
                    if isinstance(item, dict):
                        self._item(item, key, member, (at, member.name, index), scope, holder)
            elif isinstance(held, dict):
                self._item(held, key, member, (at, member.name, None), scope, holder)
        if not plan.resource and isinstance(value.get("id"), str):
            self._id(value["id"], at, scope)
            if len(value) == 1 and not has_value:
                self._run.error("invariant", "an element needs content beside its id (ele-1)", at)

    def _item(
        self,
        value: dict[str, Any],
        key: str,
        member: Member,
        at: At,
        scope: Scope,
        holder: extensions.Holder,
    ) -> None:
        run = self._run
        if member.form == "resource":
            entry = scope.entry
            if scope.resource is run.root and at[1] == "resource" and holder.at[1] == "entry":
                entry = holder.at[2]
            self._resource(value, at, scope, entry)
            return
        plan = self._plans[member.type]
        if member.form == "extension":
            extensions.check(run, value, key == "modifierExtension", holder, scope, at)
        elif member.form == "reference":
            references.check(run, value, member.targets, scope, at)
        elif member.binding:
            terminology.bound(run, value, member.type, member.binding, at)
        if plan.rule is not None:
            plan.rule(run, value, at)
        self._object(value, plan, at, scope, _names(member, holder))
        if plan.checks or member.checks:
            node = Node(value, member.type, None, scope.container)
            hold(run, plan.checks, node, scope, at)
            hold(run, member.checks, node, scope, at)

    def _primitives(self, parent: dict[str, Any], held: object, member: Member, at: At, scope: Scope) -> None:
        several = isinstance(held, list)
        for index, value in enumerate(held if isinstance(held, list) else [held]):
            where: At = (at, member.name, index if several else None)
            if value is None:
                continue
            if member.is_uri and isinstance(value, str):
                problem = uri_problem(value)
                if problem:
                    self._run.error("value", problem, where)
            if member.checks:
                hold(self._run, member.checks, Node(value, member.type, None, scope.container), scope, where)

    def _beside(
        self, held: object, values: object, member: Member, scope: Scope, holder: extensions.Holder
    ) -> None:
        """The id and extensions of a primitive, in its `_name` part."""
        several = isinstance(held, list)
        plan = self._plans["Element"]
        valued = values if isinstance(values, list) else [values]
        for index, item in enumerate(held if isinstance(held, list) else [held]):
            if isinstance(item, dict):
                where: At = (holder.at, member.name, index if several else None)
                has_value = index < len(valued) and valued[index] is not None
                self._object(item, plan, where, scope, _names(member, holder), has_value)

    def _id(self, name: str, at: At, scope: Scope) -> None:
        """Ids of elements are unique within a resource, but for those of the elements of a definition."""
        if scope.resource.get("resourceType") == "StructureDefinition":
            return
        if name in self._ids:
            self._run.error("duplicate", f"another element has the id {name[:64]!r} too", at)
        self._ids[name] = at


def _names(member: Member, holder: extensions.Holder) -> tuple[str, ...]:
    """The type and path of an element, as a place for extensions; within one, with its url."""
    names = (member.type, member.path)
    within = holder.value.get("url") if holder.names[0] == "Extension" else None
    return (*names, f"extension:{within}") if isinstance(within, str) else names
