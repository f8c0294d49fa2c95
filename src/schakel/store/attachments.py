"""The Binaries to which attachments of a resource lead: `Attachment.url`, and a `url` among the content of a document.

An address is no Reference and has, but for DocumentReference, no search parameter; here it is made a row of the
reference index all the same, so that what a record leads to is found in one way.

Source: FHIR datatypes, Attachment (STU3 2.24.0.3, R4 2.24.0.2); Binary.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from schakel.fhir import Definitions, definitions
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.store.index_values import parse_literal

CODE = "attachment:binary"
"""Under which these rows stand; no search parameter can have this name."""


def binaries(version: Version, resource: Resource, own_bases: tuple[str, ...]) -> Iterator[str]:
    """The ids of the Binaries of this server that attachments of `resource` name."""
    for member in _members(version, str(resource["resourceType"])) & resource.keys():
        for address in _addresses(resource[member]):
            kind, logical_id = parse_literal(address, own_bases)
            if kind == "Binary":
                yield logical_id


def _addresses(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for member in value:
            yield from _addresses(member)
    elif isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, str):
                if name == "url":
                    yield member
            elif name not in ("extension", "modifierExtension"):
                yield from _addresses(member)


@cache
def _members(version: Version, kind: str) -> frozenset[str]:
    """The JSON members of a type in which an attachment can stand."""
    table = definitions(version)
    elements = table.types[kind].by_json_name.items()
    return frozenset(name for name, (_, type_) in elements if type_ == "Attachment" or _holds(table, type_))


def _holds(table: Definitions, kind: str) -> bool:
    """Whether a backbone element has an attachment somewhere below it, as its definition says."""
    definition = table.types.get(kind)
    if definition is None or definition.kind != "backbone":
        return False
    types = {type_ for _, type_ in definition.by_json_name.values()} - {kind}
    below = {type_ for type_ in types if type_.startswith(f"{kind}.")}
    return "Attachment" in types or any(_holds(table, type_) for type_ in below)
