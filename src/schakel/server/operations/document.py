"""`Composition/$document`: a document of a composition and everything it refers to.

Source: OperationDefinition Composition-document, and documents.html (STU3, R4). All that the composition refers to is
in the document, as the standard asks; and, as it allows, what those resources refer to in turn by elements of the
standard (by extensions they lead to more and more of the record). Other compositions that it replaces or appends are
no part of it. A reference that leads nowhere stays as it is, and is named in the `Warning` of the answer: a document
holds nothing but what its composition speaks of. It is kept only when that is asked (`persist`); each document is
another one, with an identifier of its own. Documents by a GraphDefinition (`graph`, R4) are not supported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from schakel.fhir import json
from schakel.fhir.definitions import Version
from schakel.kernel.clock import instant, new_id, now
from schakel.kernel.outcomes import Invalid, Issue, NotSupported
from schakel.server.answer import Answer, validators
from schakel.server.operations.parameters import given
from schakel.server.operations.registry import Call, Parameter
from schakel.server.reach import Reached, Target, Wanted, reach
from schakel.server.references import linked
from schakel.server.writing import warning_header
from schakel.sources import Stored, Write
from schakel.store.index_values import parse_literal

if TYPE_CHECKING:
    from schakel.server.service import FhirService

TAKES = (Parameter("id", "uri"), Parameter("persist", "boolean"))


async def run(service: FhirService, call: Call) -> Answer:
    """Raises `NotFound` and `Gone` for the composition, `Invalid`, `NotSupported` and `TooCostly`."""
    asked = call.interaction
    parameters = given(service, call, TAKES)
    logical_id = _composition(service, asked.id, parameters.one("id"))
    composition = await service.source.read(asked.version, "Composition", logical_id)
    reached = await gathered(service, asked.version, composition)
    made = document(asked.version, call.base, composition, reached)
    if not parameters.one("persist"):
        return made
    bundle = json.parse(made.body, max_depth=json.STORED_DEPTH)
    [written] = await service.source.write(asked.version, [Write("POST", "Bundle", new_id(), bundle)])
    stored = written.stored
    location = {"Location": f"{call.base}/Bundle/{stored.id}/_history/{stored.version}"}
    headers = {**validators(stored), **made.headers, **location}
    return Answer(200, stored.body, headers, stored, issues=made.issues)


async def gathered(
    service: FhirService,
    version: Version,
    composition: Stored,
    wanted: Wanted = lambda stored, targets: True,
    *,
    near: bool = False,
) -> Reached:
    """What a document of this composition holds beside it: of all it leads to, or `near` it, what is `wanted`.

    Raises `TooCostly`.
    """
    most = service.reach.document
    return await reach(
        service.source,
        version,
        [composition],
        service.own_bases,
        most,
        f"the document would hold more than {most} resources (setting limits.document)",
        wanted=wanted,
        extensions=False,
        near=near,
    )


def document(version: Version, base: str, composition: Stored, reached: Reached) -> Answer:
    """The document of a composition and what was gathered for it, below the base of a door."""
    entries = [
        _entry(base, stored, held)
        for stored, held in zip((composition, *reached.resources), reached.links, strict=True)
    ]
    issues = tuple(_missing(target) for target in reached.missing)
    headers = {"Warning": warning_header(issues)} if issues else {}
    return Answer(200, _bundle(version, entries), headers, issues=issues)


def _composition(service: FhirService, in_path: str, given_id: str | None) -> str:
    """The id of the composition, from the path or from the parameter `id`: an id or the address of one."""
    if in_path:
        if given_id is not None:
            raise Invalid("the composition is named once: by its address or by id", expression="id")
        return in_path
    if given_id is None:
        raise Invalid("id is needed: of which composition?", expression="id")
    kind, name = parse_literal(
        f"Composition/{given_id}" if "/" not in given_id else given_id, service.own_bases
    )
    if kind != "Composition":
        raise NotSupported("id is the id of a Composition here; others are not fetched", expression="id")
    return name


def _missing(target: Target) -> Issue:
    key = f"{target.type}/{target.id}"
    return Issue("warning", "not-found", f"{key} is referred to, and is not here", target.type)


def _bundle(version: Version, entries: list[bytes]) -> bytes:
    """The document. In STU3 its date is that of the last change, R4 has a timestamp for it."""
    moment = instant(now())
    head: dict[str, Any] = {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": moment},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{new_id()}"},
        "type": "document",
    }
    if version != "stu3":
        head["timestamp"] = moment
    return b'%b,"entry":[%b]}' % (orjson.dumps(head)[:-1], b",".join(entries))


def _entry(base: str, stored: Stored, held: Mapping[str, Target]) -> bytes:
    """An entry. A reference to one of our other addresses is written below the base of this door, so that it leads
    to its entry."""
    elsewhere = {
        text: f"{base}/{text[text.index(f'{target.type}/{target.id}') :]}"
        for text, target in held.items()
        if "://" in text and not text.startswith(f"{base}/")
    }
    body = stored.body
    if elsewhere:
        body = json.dump(linked(json.parse(body, max_depth=json.STORED_DEPTH), elsewhere))
    url = orjson.dumps(f"{base}/{stored.type}/{stored.id}")
    return b'{"fullUrl":%b,"resource":%b}' % (url, body)
