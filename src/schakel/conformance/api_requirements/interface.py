"""What an API offers, as its OpenAPI document and its CapabilityStatement say together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from schakel.conformance.api_requirements.probe import Probe, Unseen

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")

_TEMPLATE = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one path below the base: `steps` are the parts of that path, `body` the members that OpenAPI has
    for it."""

    method: str
    path: str
    steps: tuple[str, ...]
    body: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of the path that are names: no parameters, and nothing that FHIR begins with `$` or `_`."""
        return tuple(one for one in self.steps if not one.startswith(("{", "$", "_")))

    @property
    def fhir_call(self) -> bool:
        """Whether FHIR says by the path that this is a search, a history or an operation."""
        return any(one.startswith(("$", "_")) for one in self.steps)


@dataclass(frozen=True, slots=True)
class Interface:
    """The `operations` that OpenAPI names at or below the base under test, the CapabilityStatement and where both were
    found. `document` is the whole OpenAPI document, {} without one; `statement` the same."""

    operations: tuple[Operation, ...]
    document: Mapping[str, Any]
    statement: Mapping[str, Any]
    evidence: str

    @property
    def resources(self) -> tuple[Mapping[str, Any], ...]:
        """What the CapabilityStatement says of each resource type, for its server side."""
        return tuple(one for rest in self.rest for one in _objects(rest, "resource"))

    @property
    def rest(self) -> tuple[Mapping[str, Any], ...]:
        """The REST parts of the CapabilityStatement that are about a server."""
        return tuple(one for one in _objects(self.statement, "rest") if one.get("mode", "server") == "server")

    @property
    def types(self) -> tuple[str, ...]:
        """The resource types of the CapabilityStatement."""
        return tuple(str(one.get("type", "")) for one in self.resources)

    @property
    def fhir_operations(self) -> tuple[tuple[str, str], ...]:
        """Name and definition of each FHIR operation, once; '' where the statement gives no definition."""
        named = [one for rest in self.rest for one in _objects(rest, "operation")]
        named += [one for resource in self.resources for one in _objects(resource, "operation")]
        return tuple(
            dict.fromkeys((str(one.get("name", "")), _address(one.get("definition"))) for one in named)
        )

    def supports(self, interaction: str, type_: str) -> bool:
        """Whether the CapabilityStatement has that interaction for a resource type."""
        return any(
            one.get("code") == interaction
            for resource in self.resources
            if resource.get("type") == type_
            for one in _objects(resource, "interaction")
        )


async def interface(probe: Probe) -> Interface:
    """What the API under test offers. Raises `Unseen` when neither of the two documents says so."""
    statement = await probe.statement() or {}
    document = await probe.openapi() or {}
    if not statement and not document:
        raise Unseen(
            "er is geen CapabilityStatement en geen OpenAPI-document om in te lezen; geef --openapi",
            "there is no CapabilityStatement and no OpenAPI document to read; give --openapi",
            probe.metadata,
        )
    operations = tuple(_below(probe.base, document)) if document else ()
    evidence = " ".join([probe.options.openapi] * bool(document) + [probe.metadata] * bool(statement))
    return Interface(operations, document, statement, evidence)


def _below(base: str, document: Mapping[str, Any]) -> Iterator[Operation]:
    """The operations at or below `base`; all of them when the document knows no such path."""
    every = list(_operations(document))
    wanted = [one for one in urlsplit(base).path.split("/") if one]
    inside = [one for one in every if _leads(wanted, one.steps)]
    for one in inside or every:
        yield Operation(one.method, one.path, one.steps[len(wanted) :], one.body) if inside else one


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    servers = document.get("servers")
    first = servers[0].get("url", "") if isinstance(servers, list) and servers else ""
    prefix = urlsplit(str(first)).path.rstrip("/")
    for path, methods in document["paths"].items():
        if isinstance(methods, Mapping):
            steps = tuple(one for one in f"{prefix}{path}".split("/") if one)
            for method, body in methods.items():
                if method in METHODS and isinstance(body, Mapping):
                    yield Operation(method, path, steps, body)


def _leads(wanted: Sequence[str], steps: Sequence[str]) -> bool:
    """Whether a path with these steps lies at or below `wanted`; a parameter is whatever stands there."""
    return len(steps) >= len(wanted) and all(
        _TEMPLATE.fullmatch(step) or step == one for one, step in zip(wanted, steps, strict=False)
    )


def _objects(parent: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    """The objects in the array `name`; nothing of what is none."""
    values = parent.get(name)
    return tuple(one for one in values if isinstance(one, Mapping)) if isinstance(values, list) else ()


def _address(definition: object) -> str:
    """The address of a definition: a canonical (R4) or a Reference (STU3)."""
    if isinstance(definition, Mapping):
        definition = definition.get("reference", "")
    return str(definition or "").partition("|")[0]
