"""`$meta`, `$meta-add` and `$meta-delete`: profiles, tags and security labels of resources.

Source: OperationDefinition Resource-meta, -meta-add and -meta-delete (STU3, R4). Adding and deleting makes a new
version, so that the history tells of it. A tag or label is the same when system and code are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from schakel.fhir import json
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Invalid
from schakel.server.answer import Answer
from schakel.server.bodies import read_body
from schakel.server.operations.registry import Call
from schakel.sources import Write

if TYPE_CHECKING:
    from schakel.server.service import FhirService

_LABELS = ("profile", "security", "tag")


async def read(service: FhirService, call: Call) -> Answer:
    """The meta of a resource, or the labels in use on a type or on everything."""
    asked = call.interaction
    if asked.id:
        stored = await service.source.read(asked.version, asked.type, asked.id)
        meta: Resource = json.parse(stored.body, max_depth=json.STORED_DEPTH).get("meta", {})
    else:
        meta = await service.source.labels(asked.version, asked.type)
    return _answer(meta)


async def add(service: FhirService, call: Call) -> Answer:
    """Adds what the meta in the body holds."""
    return await _change(service, call, lambda old, given: [*old, *_without(given, old)])


async def delete(service: FhirService, call: Call) -> Answer:
    """Takes away what the meta in the body holds."""
    return await _change(service, call, _without)


_Combine = Callable[[list[Any], list[Any]], list[Any]]


def _without(labels: list[Any], others: list[Any]) -> list[Any]:
    """The labels that are not among the others, each once."""
    keys = [_key(other) for other in others]
    left = []
    for label in labels:
        if _key(label) not in keys:
            keys.append(_key(label))
            left.append(label)
    return left


def _key(label: Any) -> object:
    """What makes a profile, tag or label the same."""
    return (label.get("system"), label.get("code")) if isinstance(label, dict) else label


async def _change(service: FhirService, call: Call, combine: _Combine) -> Answer:
    asked = call.interaction
    given = _given(service, call)

    def patch(current: Resource) -> Resource:
        meta = dict(current.get("meta", {}))
        for name in _LABELS:
            if labels := combine(meta.pop(name, []), given.get(name, [])):
                meta[name] = labels
        changed = {**current, "meta": meta}
        service.checked(asked.version, changed)
        return changed

    [written] = await service.source.write(asked.version, [Write("PATCH", asked.type, asked.id, patch=patch)])
    return _answer(json.parse(written.stored.body, max_depth=json.STORED_DEPTH)["meta"])


def _given(service: FhirService, call: Call) -> Resource:
    """The Meta in the Parameters of the body. Raises `Invalid`."""
    body = read_body(call.request, service.rules.max_depth)
    service.checked(call.interaction.version, body)
    metas = [p.get("valueMeta") for p in body.get("parameter", []) if p.get("name") == "meta"]
    if body["resourceType"] != "Parameters" or len(metas) != 1 or not isinstance(metas[0], dict):
        raise Invalid("Parameters with one parameter `meta` (valueMeta) are needed", expression="meta")
    meta: Resource = metas[0]
    return meta


def _answer(meta: Resource) -> Answer:
    body = {"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": meta}]}
    return Answer(200, json.dump(body))
