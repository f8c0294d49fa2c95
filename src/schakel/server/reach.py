"""What resources refer to, near and far: gathered step by step, with one question to the source for each step.

Source: FHIR references.html (STU3, R4). Followed are literal references, those in extensions and in contained resources
too, to resources of this server; canonical addresses are names, and are not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import Gone, NotFound, TooCostly
from schakel.sources import Source, Stored
from schakel.store.index_values import parse_literal

_APART: Mapping[str, frozenset[str]] = {"Composition": frozenset({"relatesTo"})}
"""Elements by which a resource names another document, which is no part of what it says."""


_COMPLETING = frozenset(
    {
        "BodySite",
        "BodyStructure",
        "Device",
        "HealthcareService",
        "Location",
        "Medication",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
        "Specimen",
        "Substance",
    }
)
"""Who, with what and where: what a resource is incomplete without, whichever element names it."""

_PARTS: Mapping[str, frozenset[str]] = {
    "Observation": frozenset({"hasMember", "related"}),
    "DiagnosticReport": frozenset({"result"}),
    "CarePlan": frozenset({"goal", "activity"}),
}
"""Elements of which the references are parts of what a resource says, of any type."""


@dataclass(frozen=True, slots=True)
class ReachLimits:
    """The most resources in a document, and that come with a page of `$everything`."""

    document: int = 2000
    includes: int = 1000


class Target(NamedTuple):
    """What a reference leads to; `version` is 0 for whatever is current, -1 for one that never was."""

    type: str
    id: str
    version: int = 0


@dataclass(frozen=True, slots=True)
class Reached:
    """What was gathered, in the order of the references to it; `missing` was referred to, and is not here (any
    more). `links` are the references of each gathered resource, those of the roots first, as they are written."""

    resources: tuple[Stored, ...]
    missing: tuple[Target, ...]
    links: tuple[Mapping[str, Target], ...]


_AT_ONCE = 500
"""Resources that one question asks for."""
_EXTENSIONS = frozenset({"extension", "modifierExtension"})


def references(
    stored: Stored, version: Version, own_bases: tuple[str, ...], *, extensions: bool = True
) -> dict[str, Target]:
    """The references of a resource to others of this server, as they are written; of `extensions` too, or not."""
    apart = _APART.get(stored.type, frozenset())
    kinds = definitions(version).resource_types
    found: dict[str, Target] = {}
    resource = {name: member for name, member in orjson.loads(stored.body).items() if name not in apart}
    for text in _texts(resource, frozenset() if extensions else _EXTENSIONS):
        kind, logical_id = parse_literal(text, own_bases)
        if kind in kinds:
            number = text.rpartition("/_history/")[2] if "/_history/" in text else "0"
            found[text] = Target(
                kind, logical_id, int(number) if len(number) < 10 and number.isdecimal() else -1
            )
    return found


def _texts(value: Mapping[str, Any], skipped: frozenset[str]) -> Iterator[str]:
    """The texts of all references below `value`, but for those in members that are skipped."""
    for name, member in value.items():
        if name in skipped:
            continue
        if type(member) is str:
            if name == "reference":
                yield member
        elif type(member) is dict:
            yield from _texts(member, skipped)
        elif type(member) is list:
            for item in member:
                if type(item) is dict:
                    yield from _texts(item, skipped)


def _completing(stored: Stored, held: Mapping[str, Target]) -> Mapping[str, Target]:
    """Of the references `held` by a resource, those without which it is incomplete."""
    resource = orjson.loads(stored.body)
    parts = {name: resource[name] for name in _PARTS.get(stored.type, ()) if name in resource}
    whole = frozenset(_texts(parts, _EXTENSIONS))
    return {text: target for text, target in held.items() if target.type in _COMPLETING or text in whole}


Wanted = Callable[[Stored, frozenset[Target]], bool]
"""Whether a resource with these references is gathered, and followed in turn."""


async def reach(
    source: Source,
    version: Version,
    roots: Sequence[Stored],
    own_bases: tuple[str, ...],
    most: int,
    too_many: str,
    *,
    wanted: Wanted = lambda stored, targets: True,
    extensions: bool = True,
    near: bool = False,
) -> Reached:
    """Everything that the `roots` refer to, and that refers to in turn, each once. What is referred to by extensions
    of what was gathered, and not of a root, comes only with `extensions`. `near`: only a
    Composition among the roots leads to all it refers to, anything else to what it is incomplete without (the parts
    of what it says; who, with what and where), not to the encounter, reason or evidence that lead on into the record.

    Raises `TooCostly` with the text `too_many` when there is more than `most`, with what is not here.
    """
    links: list[Mapping[str, Target]] = [references(root, version, own_bases) for root in roots]
    frontier = [
        _completing(root, held) if near and root.type != "Composition" else held
        for root, held in zip(roots, links, strict=True)
    ]
    gathered = {Target(root.type, root.id, root.version) for root in roots}
    asked: set[Target] = {Target(root.type, root.id) for root in roots}
    found: list[Stored] = []
    missing: list[Target] = []
    while targets := list(dict.fromkeys(t for held in frontier for t in held.values() if t not in asked)):
        asked.update(targets)
        frontier = []
        came: list[Mapping[str, Target]] = []
        for start in range(0, len(targets), _AT_ONCE):
            part = targets[start : start + _AT_ONCE]
            here = await _fetched(source, version, part)
            missing += (target for target in part if target not in here)
            for stored in (here[target] for target in part if target in here):
                exact = Target(stored.type, stored.id, stored.version)
                if exact in gathered:
                    continue
                gathered.add(exact)
                held = references(stored, version, own_bases, extensions=extensions)
                if wanted(stored, frozenset(held.values())):
                    found.append(stored)
                    came.append(held)
                    frontier.append(_completing(stored, held) if near else held)
            if len(found) + len(missing) > most:
                raise TooCostly(too_many)
        links += came
    return Reached(tuple(found), tuple(missing), tuple(links))


async def _fetched(source: Source, version: Version, targets: Sequence[Target]) -> dict[Target, Stored]:
    """The targets that are here; the current ones all at once."""
    current = await source.read_many(version, [(t.type, t.id) for t in targets])
    found: dict[Target, Stored] = {}
    for target in targets:
        stored = current.get((target.type, target.id))
        if stored is not None and target.version in (0, stored.version):
            found[target] = stored
        elif target.version > 0:
            with suppress(NotFound, Gone):
                found[target] = await source.read_version(version, target.type, target.id, target.version)
    return found
