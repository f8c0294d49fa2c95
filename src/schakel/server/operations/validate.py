"""`$validate`: what is wrong with a resource, or with what a caller wants to do with it.

Source: OperationDefinition Resource-validate (STU3, R4). The answer is an OperationOutcome with status 200, whatever is
found; only a body that cannot be read as a resource at all is refused. Resources that are needed beside it (a
Questionnaire, a value set, the definition of an extension) are looked for in this organisation's own source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from schakel.fhir import definitions, json
from schakel.fhir.json import Resource
from schakel.fhir.search import pairs_of
from schakel.fhir.validation import Options, validate
from schakel.kernel.outcomes import Gone, Invalid, Issue, NotFound, Outcome
from schakel.server.answer import Answer, outcome_body
from schakel.server.bodies import read_body
from schakel.server.operations.registry import Call, Parameter

if TYPE_CHECKING:
    from schakel.server.service import FhirService

TAKES = (
    Parameter("resource", "Resource"),
    Parameter("mode", "code"),
    Parameter("profile", "uri", repeats=True),
)
MODES = ("create", "update", "delete", "profile")
_LOOKED_FOR = ("Questionnaire", "ValueSet", "CodeSystem", "StructureDefinition", "Measure")
_MOST_LOOKED_FOR = 50
"""How many resources are looked for beside the one that is validated."""


async def run(service: FhirService, call: Call) -> Answer:
    """Validates. Raises `Invalid` for a call that has no sense, and `UnsupportedMedia`."""
    asked = call.interaction
    resource, mode, profiles = _asked(service, call)
    if mode not in ("", *MODES):
        raise Invalid(f"mode must be one of {', '.join(MODES)}, not {mode[:40]!r}", expression="mode")
    if mode == "delete":
        return Answer(200, outcome_body(asked.version, await _deletion(service, call)))
    if resource is None:
        if not asked.id:
            raise Invalid("$validate needs a resource in the body", expression="resource")
        stored = await service.source.read(asked.version, asked.type, asked.id)
        resource = json.parse(stored.body, max_depth=json.STORED_DEPTH)
    issues = _about_the_place(call, resource, mode) + await _findings(service, call, resource, profiles)
    if not any(issue.severity != "information" for issue in issues):
        issues = [Issue("information", "informational", _ALL_OK), *issues]
    return Answer(200, outcome_body(asked.version, issues))


_ALL_OK = "all OK: nothing is wrong with the resource against the base specification"


def _asked(service: FhirService, call: Call) -> tuple[Resource | None, str, list[str]]:
    """The resource, the mode and the profiles, from the body and the query."""
    body = read_body(call.request, service.rules.max_depth) if _has_body(call) else None
    mode = ""
    profiles: list[str] = []
    if (
        body is not None
        and body.get("resourceType") == "Parameters"
        and call.interaction.type != "Parameters"
    ):
        resource = None
        parameters = body.get("parameter", [])
        for parameter in parameters if isinstance(parameters, list) else ():
            match parameter:
                case {"name": "resource", "resource": dict(held)}:
                    resource = held
                case {"name": "mode", "valueCode": str(value)} | {"name": "mode", "valueString": str(value)}:
                    mode = value
                case (
                    {"name": "profile", "valueUri": str(value)}
                    | {"name": "profile", "valueCanonical": str(value)}
                    | {"name": "profile", "valueString": str(value)}
                ):
                    profiles.append(value)
                case {"name": str(name)} if name not in _OWN:
                    raise Invalid(f"$validate has no parameter {name[:40]!r}", expression=name[:40])
                case _:
                    raise Invalid(
                        "a parameter of $validate has no value of its type", expression="Parameters"
                    )
        body = resource
    for name, value in pairs_of(call.request.query):
        if name == "mode":
            mode = value
        elif name == "profile":
            profiles.append(value)
        elif name != "_format":
            raise Invalid(f"$validate has no parameter {name[:40]!r}", expression=name[:40])
    return body, mode, profiles


_OWN = frozenset(parameter.name for parameter in TAKES)


def _has_body(call: Call) -> bool:
    return bool(call.request.body) or call.request.resource is not None


def _about_the_place(call: Call, resource: Resource, mode: str) -> list[Issue]:
    """Whether the resource belongs where it was sent."""
    asked, issues = call.interaction, []
    kind = str(resource.get("resourceType"))
    if asked.type and kind != asked.type:
        issues.append(
            Issue("error", "invalid", f"the address says {asked.type}, the resource is a {kind}", kind)
        )
    given = resource.get("id")
    if asked.id and given is not None and given != asked.id:
        issues.append(Issue("error", "invalid", "the id is another than that in the address", f"{kind}.id"))
    if mode == "update" and given is None and not asked.id:
        issues.append(Issue("error", "required", "an update needs an id", f"{kind}.id"))
    return issues


async def _deletion(service: FhirService, call: Call) -> list[Issue]:
    """Whether the resource in the address could be deleted: it can when it is there."""
    asked = call.interaction
    if not asked.id:
        raise Invalid("mode delete is for one resource: Type/id/$validate", expression="mode")
    try:
        await service.source.read(asked.version, asked.type, asked.id)
    except (NotFound, Gone) as outcome:
        return list(outcome.issues)
    return [Issue("information", "informational", "all OK: the resource can be deleted")]


async def _findings(
    service: FhirService, call: Call, resource: Resource, profiles: Sequence[str]
) -> list[Issue]:
    """The findings. What validation asks for and is not at hand is fetched, and it is asked again."""
    known = definitions(call.interaction.version)
    options = Options(expression_steps=service.rules.patch.steps)
    held: dict[str, Resource | None] = {}
    while True:
        wanted: set[str] = set()

        def find(address: str, wanted: set[str] = wanted) -> Resource | None:
            if address not in held:
                wanted.add(address)
            return held.get(address)

        issues = await asyncio.to_thread(
            validate, resource, known, profiles=profiles, find=find, options=options
        )
        wanted = set(sorted(wanted)[: _MOST_LOOKED_FOR - len(held)])
        if not wanted:
            return issues
        for address in wanted:
            held[address] = await _fetched(service, call, address)
        if not any(held[address] is not None for address in wanted):
            return issues


async def _fetched(service: FhirService, call: Call, address: str) -> Resource | None:
    """A resource of this organisation by `Type/id` or canonical URL."""
    version = call.interaction.version
    kind, _, name = address.partition("/")
    try:
        if kind in definitions(version).resource_types and name and "/" not in name:
            return json.parse((await service.source.read(version, kind, name)).body)
        url, _, release = address.partition("|")
        criteria = (("url", url), *((("version", release),) if release else ()), ("_count", "1"))
        for kind in _LOOKED_FOR:
            query = service.parser(version).parse(kind, criteria)
            found = await service.source.search(version, query, None)
            if found.matches:
                return json.parse(found.matches[0].body)
    except Outcome:
        return None
    return None
