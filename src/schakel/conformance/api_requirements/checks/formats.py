"""DR011, DR-R004, DR-R007, DR-R008: JSON and XML, and the headers by which they are chosen and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lxml import etree

from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import (
    JSON,
    XML,
    Check,
    Probe,
    Unseen,
    broken,
    holds,
    unknown,
    unpacked,
)
from schakel.conformance.client import Response
from schakel.fhir import json, xml
from schakel.fhir.definitions import Version, definitions
from schakel.kernel.outcomes import Invalid

_ANYTHING = "application/x-no-such-format"


async def _asked(probe: Probe, accept: str) -> Response:
    answer = await probe.get(probe.metadata, accept)
    probe.refuse_closed(answer, probe.metadata)
    if answer.status == 404:
        raise Unseen(
            "er is geen CapabilityStatement om op te vragen",
            "there is no CapabilityStatement to ask for",
            probe.metadata,
        )
    return answer


async def strict_json(probe: Probe) -> Sequence[Finding]:
    """DR011: one JSON value in UTF-8, no byte order mark before it, no name twice, no NaN, no half characters."""
    answer = await _asked(probe, JSON)
    if answer.status != 200 or "json" not in _media(answer):
        raise Unseen(
            f"er kwam geen JSON (antwoord {answer.status})",
            f"no JSON came (answer {answer.status})",
            probe.metadata,
        )
    body = _opened(probe, answer)
    wrong = "a byte order mark before it" if body.startswith(b"\xef\xbb\xbf") else ""
    charset = (answer.header("Content-Type") or "").lower().partition("charset=")[2].strip('" ')
    if charset and charset not in ("utf-8", "utf8"):
        wrong = f"charset {charset[:20]}"
    if not wrong:
        try:
            json.parse(body, max_depth=json.STORED_DEPTH)
        except Invalid as error:
            wrong = error.message
    if wrong:
        return [
            broken(
                "DR011",
                f"geen JSON volgens RFC 8259: {wrong}",
                f"no JSON by RFC 8259: {wrong}",
                probe.metadata,
            )
        ]
    return [
        holds(
            "DR011",
            f"{len(body)} bytes JSON in UTF-8, streng gelezen",
            f"{len(body)} bytes of JSON in UTF-8, read strictly",
            probe.metadata,
        )
    ]


async def both_formats(probe: Probe) -> Sequence[Finding]:
    """DR-R004: the same thing as JSON and as XML. They are compared after the XML is read as JSON and written again;
    what a server makes anew for each answer (`date`) and its narrative for people are left out."""
    as_json, as_xml = await _asked(probe, JSON), await _asked(probe, XML)
    key = "DR-R004"
    for name, answer in (("JSON", as_json), ("XML", as_xml)):
        if answer.status != 200 or name.lower() not in _media(answer):
            return [
                broken(
                    key,
                    f"{name} wordt niet gegeven (antwoord {answer.status}, {_media(answer) or 'zonder soort'})",
                    f"{name} is not given (answer {answer.status}, {_media(answer) or 'no type'})",
                    probe.metadata,
                )
            ]
    both = holds(key, "JSON en XML worden allebei gegeven", "both JSON and XML are given", probe.metadata)
    return [both, _round_trip(_opened(probe, as_json), _opened(probe, as_xml), probe.metadata)]


def _round_trip(as_json: bytes, as_xml: bytes, url: str) -> Finding:
    key = "DR-R004.001"
    try:
        one = json.parse(as_json, max_depth=json.STORED_DEPTH)
    except Invalid as error:
        return unknown(
            key,
            f"de JSON is niet te lezen: {error.message}",
            f"the JSON cannot be read: {error.message}",
            url,
        )
    version = _version(one)
    if version is None:
        told = str(one.get("fhirVersion"))[:20]
        return unknown(key, f"FHIR {told} wordt hier niet gelezen", f"FHIR {told} is not read here", url)
    known = definitions(version)
    try:
        other = xml.parse(as_xml, known)
        again = xml.parse(xml.dump(other, known), known)
    except (Invalid, etree.XMLSyntaxError) as error:
        return broken(key, f"de XML is niet te lezen: {error}", f"the XML cannot be read: {error}", url)
    if where := _difference(_lasting(one), _lasting(again)):
        return broken(key, f"JSON en XML verschillen in {where}", f"JSON and XML differ in {where}", url)
    return holds(key, "JSON en XML zeggen precies hetzelfde", "JSON and XML say exactly the same", url)


def _lasting(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in ("date", "text", "meta", "id")}


def _difference(one: Any, other: Any, where: str = "") -> str:
    """The place of the first difference; '' when they are the same, decimals to their last digit."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            at = f"{where}.{name}".lstrip(".")
            if name not in one or name not in other:
                return at
            if found := _difference(one[name], other[name], at):
                return found
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            if found := _difference(left, right, f"{where}[{number}]"):
                return found
        return ""
    return "" if type(one) is type(other) and str(one) == str(other) else where or "the whole"


def _version(resource: Mapping[str, Any]) -> Version | None:
    told = str(resource.get("fhirVersion", ""))
    return "stu3" if told.startswith("3.0") else "r4" if told.startswith("4.0") else None


async def accept_decides(probe: Probe) -> Sequence[Finding]:
    """DR-R007.002: what Accept asks is what comes, and 406 where nothing of it can."""
    key = "DR-R007.002"
    as_json, as_xml = await _asked(probe, JSON), await _asked(probe, XML)
    nothing = await _asked(probe, _ANYTHING)
    for wanted, answer in (("json", as_json), ("xml", as_xml)):
        if answer.status == 200 and wanted not in _media(answer):
            return [
                broken(
                    key,
                    f"gevraagd om {wanted}, gekregen {_media(answer) or 'niets genoemds'}",
                    f"asked for {wanted}, given {_media(answer) or 'nothing named'}",
                    probe.metadata,
                )
            ]
    if nothing.status != 406:
        return [
            broken(
                key,
                f"een formaat dat er niet is, geeft {nothing.status} in plaats van 406",
                f"a format that does not exist gives {nothing.status} instead of 406",
                probe.metadata,
            )
        ]
    return [
        holds(
            key,
            "JSON en XML zoals gevraagd, 406 voor een formaat dat er niet is",
            "JSON and XML as asked, 406 for a format that does not exist",
            probe.metadata,
        )
    ]


async def content_type(probe: Probe) -> Sequence[Finding]:
    """DR-R008.001: answers say what they are, and a body of an unknown kind is refused with 415. That body goes to a
    search of FHIR, which changes nothing."""
    key = "DR-R008.001"
    answer = await _asked(probe, JSON)
    if not _media(answer):
        return [
            broken(key, "een antwoord zonder Content-Type", "an answer without Content-Type", probe.metadata)
        ]
    body = unpacked_start(probe, answer)
    if ("json" in _media(answer)) != body.startswith(b"{"):
        return [
            broken(
                key,
                f"Content-Type zegt {_media(answer)}, de inhoud is iets anders",
                f"Content-Type says {_media(answer)}, the content is something else",
                probe.metadata,
            )
        ]
    told = f"Content-Type {_media(answer)}"
    types = await _searched(probe)
    if not types:
        return [holds(key, told, told, probe.metadata)]
    url = f"{probe.base}/{types}/_search"
    other = await probe.send("POST", url, (("Content-Type", _ANYTHING), ("Accept", JSON)), b"x")
    if other.status in (404, 405):
        return [holds(key, told, told, probe.metadata)]
    probe.refuse_closed(other, url)
    if other.status != 415:
        return [
            broken(
                key,
                f"een inhoud van een onbekende soort geeft {other.status} in plaats van 415",
                f"a body of an unknown kind gives {other.status} instead of 415",
                url,
            )
        ]
    return [
        holds(
            key,
            f"{told}; 415 voor een inhoud van een onbekende soort",
            f"{told}; 415 for a body of an unknown kind",
            url,
        )
    ]


async def _searched(probe: Probe) -> str:
    """A resource type that can be searched; '' when the statement names none."""
    statement = await probe.statement() or {}
    for rest in statement.get("rest") or ():
        for resource in rest.get("resource") or ():
            if any(one.get("code") == "search-type" for one in resource.get("interaction") or ()):
                return str(resource.get("type", ""))
    return ""


def unpacked_start(probe: Probe, answer: Response) -> bytes:
    """The first bytes of a body, without what may stand before JSON."""
    return _opened(probe, answer).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]


def _opened(probe: Probe, answer: Response) -> bytes:
    try:
        return unpacked(answer)
    except Invalid as error:
        raise Unseen(f"het antwoord gaat niet open: {error.message}", error.message, probe.metadata) from None


def _media(answer: Response) -> str:
    return (answer.header("Content-Type") or "").partition(";")[0].strip().lower()


CHECKS = (
    Check(("DR011",), strict_json),
    Check(("DR-R004", "DR-R004.001"), both_formats),
    Check(("DR-R007.002",), accept_decides),
    Check(("DR-R008.001",), content_type),
)
