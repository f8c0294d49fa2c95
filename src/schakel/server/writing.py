"""Writes: from an interaction with its content to a `Write`, and from what became of it to an answer.

Source: FHIR http.html, create, update, patch, delete and their conditional forms; `Prefer: return`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.patch import PatchLimits
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Invalid, Issue, Unprocessable
from schakel.server import answer
from schakel.server.answer import Answer
from schakel.server.bodies import Patch, read_body, read_patch
from schakel.server.model import Interaction, Request, Return
from schakel.sources import Write, Written

Check = Callable[[Version, Resource], list[Issue]]
"""The warnings on a resource that may be written; raises `Unprocessable` for one that may not."""

WRITES = frozenset({"create", "update", "patch", "delete"})
"""Kinds of interaction that write."""


@dataclass(slots=True)
class Planned:
    """A write, and the warnings on what it writes; those of a patch are known when it was applied."""

    write: Write
    warnings: list[Issue] = field(default_factory=list)


def planned(
    interaction: Interaction,
    request: Request,
    check: Check,
    *,
    max_depth: int,
    patch_limits: PatchLimits,
    most_deleted: int,
    bare_id: bool,
) -> Planned:
    """The write that an interaction asks with the body of `request`.

    `most_deleted` is what a conditional delete may take beyond one. With `bare_id` the resource of an update may
    lack the id that the address has (in a Bundle). Raises `Invalid`, `Unprocessable` and `UnsupportedMedia`.
    """
    kind, name, criteria = interaction.type, interaction.id, interaction.criteria
    if interaction.kind == "delete":
        return Planned(
            Write(
                "DELETE", kind, name, if_match=interaction.if_match, criteria=criteria, multiple=most_deleted
            )
        )
    if interaction.kind == "patch":
        return _patch(interaction, read_patch(request, patch_limits), check)
    resource = read_body(request, max_depth)
    warnings = check(interaction.version, resource)
    found = resource.get("resourceType")
    if found != kind:
        raise Invalid(f"the body is a {found}, the address says {kind}")
    if interaction.kind == "create":
        return Planned(Write("POST", kind, new_id(), resource, criteria=criteria), warnings)
    given = resource.get("id")
    if criteria is None and given != name and not (bare_id and given is None):
        raise Invalid(f"the id in the body must be the id in the address ({name})", expression=f"{kind}.id")
    write = Write(
        "PUT",
        kind,
        name or given or new_id(),
        resource,
        interaction.if_match,
        interaction.if_absent,
        criteria=criteria,
        own_id=given is not None,
    )
    return Planned(write, warnings)


def _patch(interaction: Interaction, patch: Patch, check: Check) -> Planned:
    """A patch whose result is checked like any write, and keeps its type and id."""
    warnings: list[Issue] = []

    def checked(current: Resource) -> Resource:
        patched = patch(current)
        for member in ("resourceType", "id"):
            if patched.get(member) != current[member]:
                raise Unprocessable(
                    f"a patch may not change the {member} of a resource",
                    expression=f"{interaction.type}.{member}",
                )
        warnings[:] = check(interaction.version, patched)
        return patched

    write = Write(
        "PATCH",
        interaction.type,
        interaction.id,
        if_match=interaction.if_match,
        patch=checked,
        criteria=interaction.criteria,
    )
    return Planned(write, warnings)


def answered(version: Version, base: str, plan: Planned, written: Written, wanted: Return) -> Answer:
    """The answer to a write; a representation unless the caller wants something else."""
    stored = written.stored
    headers = answer.validators(stored)
    told: list[Issue] = []
    if written.job:
        headers["X-Job"] = written.job
        told.append(Issue("information", "informational", f"work on this goes on: see {written.job}"))
    if plan.write.method == "DELETE":
        if wanted != "OperationOutcome":
            return Answer(204, b"", {n: v for n, v in headers.items() if n == "ETag"}, stored)
        text = "deleted" if written.changed else "there was nothing to delete"
        return Answer(200, _told(version, text), headers, stored, outcome=True)
    if written.created or not written.changed:
        headers["Location"] = f"{base}/{stored.type}/{stored.id}/_history/{stored.version}"
    warnings = plan.warnings if written.changed else []
    if warnings:
        headers["Warning"] = warning_header(warnings)
    status = 201 if written.created else 200
    if wanted == "OperationOutcome":
        text = "created" if written.created else "changed" if written.changed else "it was here already"
        body = _told(version, text, [*warnings, *told])
        return Answer(status, body, headers, stored, outcome=True)
    return Answer(
        status, b"" if wanted == "minimal" else stored.body, headers, stored, issues=(*warnings, *told)
    )


def _told(version: Version, text: str, warnings: Sequence[Issue] = ()) -> bytes:
    return answer.outcome_body(version, [Issue("information", "informational", text), *warnings])


def warning_header(warnings: Sequence[Issue]) -> str:
    """The first warnings as the value of a `Warning` header (RFC 7234, section 5.5)."""
    text = "; ".join(f"{w.expression}: {w.message}" for w in warnings[:5])
    ascii_text = "".join(c if " " <= c <= "~" else "?" for c in text).replace('"', "'").replace("\\", "/")
    return f'199 schakel "{ascii_text[:900]}"'
