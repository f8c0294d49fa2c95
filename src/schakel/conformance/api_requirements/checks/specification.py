"""SD003, SD008, SD011, SD012, LM008, DR007: the specification that a machine reads, and what stands in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urljoin

from schakel.conformance.api_requirements.interface import Interface, interface
from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import (
    JSON,
    Check,
    Probe,
    Unseen,
    broken,
    holds,
    outside,
    unknown,
    unpacked,
)
from schakel.fhir import json
from schakel.kernel.outcomes import Invalid

_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
"""SemVer 2.0.0: three numbers, then perhaps what comes before a release and what names a build."""

_STANDARD = ("http://hl7.org/fhir/", "https://hl7.org/fhir/")


async def machine_readable(probe: Probe) -> Sequence[Finding]:
    """SD008.001: an OpenAPI 3 document with operations, or a CapabilityStatement that names resources."""
    statement = await probe.statement()
    document = await probe.openapi()
    if document is not None and document["paths"]:
        return [
            holds(
                "SD008.001",
                f"OpenAPI {document['openapi']}, met {len(document['paths'])} paden",
                f"OpenAPI {document['openapi']}, with {len(document['paths'])} paths",
                probe.options.openapi,
            )
        ]
    if statement is not None:
        types = Interface((), {}, statement, "").types
        if types and statement.get("fhirVersion"):
            return [
                holds(
                    "SD008.001",
                    f"CapabilityStatement van FHIR {statement['fhirVersion']}, met {len(types)} resources",
                    f"CapabilityStatement of FHIR {statement['fhirVersion']}, with {len(types)} resources",
                    probe.metadata,
                )
            ]
        return [
            broken(
                "SD008.001",
                "het CapabilityStatement noemt geen FHIR-versie of geen resources",
                "the CapabilityStatement names no FHIR version or no resources",
                probe.metadata,
            )
        ]
    return [
        broken(
            "SD008.001",
            "er is geen CapabilityStatement en geen OpenAPI-document genoemd (--openapi)",
            "there is no CapabilityStatement, and no OpenAPI document was named (--openapi)",
            probe.metadata,
        )
    ]


async def relations(probe: Probe) -> Sequence[Finding]:
    """SD011: per resource which others it refers to: by search parameters of type reference, includes or a profile."""
    found = await interface(probe)
    if not found.resources:
        raise Unseen(
            "alleen een CapabilityStatement beschrijft samenhang zo dat een machine die leest",
            "only a CapabilityStatement describes relations in a way that a machine reads",
            found.evidence,
        )
    silent = [str(one.get("type")) for one in found.resources if not _related(one)]
    if len(silent) == len(found.resources):
        return [
            broken(
                "SD011",
                "geen enkele resource noemt een verwijzing, een include of een profiel",
                "no resource names a reference, an include or a profile",
                probe.metadata,
            )
        ]
    if silent:
        names = ", ".join(silent[:5])
        return [
            unknown(
                "SD011",
                f"zonder verwijzing, include of profiel: {names}; of die er horen, zegt een mens",
                f"without a reference, an include or a profile: {names}; a person says whether they should have one",
                probe.metadata,
            )
        ]
    return [
        holds(
            "SD011",
            f"alle {len(found.resources)} resources noemen hun verwijzingen, includes of profiel",
            f"all {len(found.resources)} resources name their references, includes or profile",
            probe.metadata,
        )
    ]


def _related(resource: Mapping[str, Any]) -> bool:
    parameters = resource.get("searchParam") or ()
    return bool(
        resource.get("profile")
        or resource.get("supportedProfile")
        or resource.get("searchInclude")
        or resource.get("searchRevInclude")
        or any(isinstance(one, Mapping) and one.get("type") == "reference" for one in parameters)
    )


async def operations(probe: Probe) -> Sequence[Finding]:
    """SD012: every FHIR operation has a definition, of the standard itself or to be read at the endpoint."""
    found = await interface(probe)
    if not found.fhir_operations:
        if found.operations and not found.statement:
            bare = [f"{o.method} {o.path}" for o in found.operations if not (o.body.keys() & _TOLD)]
            if bare:
                return [
                    broken(
                        "SD012", f"niet beschreven: {bare[0]}", f"not described: {bare[0]}", found.evidence
                    )
                ]
            return [holds("SD012", "elke aanroep is beschreven", "every call is described", found.evidence)]
        return [outside("SD012", "er zijn geen operaties", "there are no operations", found.evidence)]
    for name, definition in found.fhir_operations:
        if not definition:
            return [
                broken(
                    "SD012",
                    f"de operatie {name} heeft geen definitie",
                    f"the operation {name} has no definition",
                    probe.metadata,
                )
            ]
        if not definition.startswith(_STANDARD) and (wrong := await _undefined(probe, name, definition)):
            return [wrong]
    number = len(found.fhir_operations)
    return [
        holds(
            "SD012",
            f"alle {number} operaties hebben een definitie",
            f"all {number} operations have a definition",
            probe.metadata,
        )
    ]


_TOLD = {"summary", "description"}


async def _undefined(probe: Probe, name: str, definition: str) -> Finding | None:
    """What is wrong with the definition of an operation, which is the endpoint's own when it lies below its base and is
    looked for there by its address when not."""
    at = urljoin(f"{probe.base}/", definition)
    own = at.startswith(f"{probe.base}/")
    url = at if own else f"{probe.base}/OperationDefinition?url={quote(definition, safe='')}"
    answer = await probe.get(url, JSON)
    probe.refuse_closed(answer, url)
    try:
        resource = json.parse(unpacked(answer)) if answer.status == 200 else {}
    except Invalid:
        resource = {}
    if resource.get("resourceType") == "Bundle" and resource.get("entry"):
        resource = resource["entry"][0].get("resource", {})
    if resource.get("resourceType") == "OperationDefinition":
        return None
    if not own:
        raise Unseen(
            f"de definitie van {name} staat hier niet: {definition}",
            f"the definition of {name} is not here: {definition}",
            url,
        )
    return broken(
        "SD012",
        f"op het adres van de definitie van {name} staat geen OperationDefinition",
        f"there is no OperationDefinition at the address of the definition of {name}",
        url,
    )


async def examples(probe: Probe) -> Sequence[Finding]:
    """SD003.001: every operation of the OpenAPI document has an example of what goes in and what comes out."""
    document = await probe.openapi()
    if document is None:
        raise Unseen(
            "zonder OpenAPI-document zijn voorbeelden niet te tellen; geef --openapi",
            "examples cannot be counted without an OpenAPI document; give --openapi",
            probe.base,
        )
    found = await interface(probe)
    bare = [f"{o.method} {o.path}" for o in found.operations if not _exemplary(o.body, document)]
    url = probe.options.openapi
    if bare:
        return [
            broken(
                "SD003.001",
                f"{len(bare)} van {len(found.operations)} aanroepen zonder voorbeeld, zoals {bare[0]}",
                f"{len(bare)} of {len(found.operations)} operations without an example, such as {bare[0]}",
                url,
            )
        ]
    return [
        holds(
            "SD003.001",
            f"alle {len(found.operations)} aanroepen hebben voorbeelden",
            f"all {len(found.operations)} operations have examples",
            url,
        )
    ]


def _exemplary(operation: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether the body that goes in, and one of the answers that succeed, have examples. What has no content needs
    none."""
    answers = [
        _resolved(answer, document)
        for status, answer in (operation.get("responses") or {}).items()
        if str(status).startswith("2")
    ]
    sides = [_resolved(operation.get("requestBody"), document), *answers]
    contents = [content for one in sides if (content := one.get("content"))]
    return all(any(_shown(media, document) for media in content.values()) for content in contents)


def _shown(media: object, document: Mapping[str, Any]) -> bool:
    if not isinstance(media, Mapping):
        return False
    schema = _resolved(media.get("schema"), document)
    return any(member in one for one in (media, schema) for member in ("example", "examples"))


def _resolved(value: object, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """`value`, or what its `$ref` in the same document points at; {} for what is not there."""
    for _ in range(10):
        if not isinstance(value, Mapping):
            return {}
        pointer = value.get("$ref")
        if not isinstance(pointer, str):
            return value
        target: Any = document if pointer.startswith("#/") else {}
        for step in pointer[2:].split("/"):
            target = (
                target.get(step.replace("~1", "/").replace("~0", "~"), {})
                if isinstance(target, Mapping)
                else {}
            )
        value = target
    return {}


def _versions(found: Interface, probe: Probe) -> list[tuple[str, str]]:
    """The versions of the API that it says itself, and where; the first is that of the specification."""
    software = found.statement.get("software") or {}
    stated = (
        ((found.document.get("info") or {}).get("version"), probe.options.openapi),
        (found.statement.get("version"), probe.metadata),
        (software.get("version") if isinstance(software, Mapping) else None, probe.metadata),
    )
    return [(str(version), where) for version, where in stated if version]


async def semantic_version(probe: Probe) -> Sequence[Finding]:
    """LM008: the version of the specification is one of SemVer 2.0.0."""
    found = await interface(probe)
    versions = _versions(found, probe)
    if not versions:
        raise Unseen(
            "de documenten noemen geen versie van de API",
            "the documents name no version of the API",
            found.evidence,
        )
    version, where = versions[0]
    if _SEMVER.fullmatch(version):
        return [holds("LM008", f"versie {version}", f"version {version}", where)]
    return [
        broken(
            "LM008",
            f"{version[:40]} is geen versie volgens SemVer 2.0.0",
            f"{version[:40]} is no version by SemVer 2.0.0",
            where,
        )
    ]


async def version_told(probe: Probe) -> Sequence[Finding]:
    """DR007: the API says its version: in its path, in a header, or in a document of its own."""
    answer = await probe.get(probe.metadata, JSON)
    in_path = re.search(r"/(v\d+(?:\.\d+)*|stu3|dstu2|r4b?|r5)(?=/|$)", probe.base, re.IGNORECASE)
    media = answer.header("Content-Type") or ""
    header = answer.header("API-Version") or (
        media if re.search(r"fhirVersion=|version=", media, re.IGNORECASE) else ""
    )
    ways = [
        ("DR007.001", in_path[1] if in_path else "", probe.base),
        ("DR007.002", header, probe.metadata),
    ]
    try:
        versions = _versions(await interface(probe), probe)
    except Unseen:
        if not any(value for _, value, _ in ways):
            raise
        versions = []
    ways += [("DR007.003", version, where) for version, where in versions[:1]]
    told = [holds(key, f"gevonden: {value}", f"found: {value}", where) for key, value, where in ways if value]
    if told:
        return [holds("DR007", told[0].reason.nl, told[0].reason.en, told[0].evidence), *told]
    return [
        broken(
            "DR007",
            "geen versie in het pad, in een kopregel of in een document",
            "no version in the path, in a header or in a document",
            probe.metadata,
        )
    ]


CHECKS = (
    Check(("SD008.001",), machine_readable),
    Check(("SD011",), relations),
    Check(("SD012",), operations),
    Check(("SD003.001",), examples),
    Check(("LM008",), semantic_version),
    Check(("DR007",), version_told),
)
