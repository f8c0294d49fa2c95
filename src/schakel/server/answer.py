"""Answers of the FHIR API as bytes: resources, searchset Bundles, OperationOutcomes.

Stored bodies are put into a Bundle as they are; nothing is parsed on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime

import orjson

from schakel.fhir.json import dump
from schakel.fhir.search import encode
from schakel.kernel.outcomes import Issue, Outcome
from schakel.sources import Found, Stored


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, FHIR JSON and headers; the listener turns the JSON into what the caller takes."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def resource(stored: Stored, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A stored resource, with ETag and Last-Modified."""
    return Answer(
        status,
        stored.body,
        {
            "ETag": f'W/"{stored.version}"',
            "Last-Modified": format_datetime(stored.updated, usegmt=True),
            **(headers or {}),
        },
    )


CODES = "urn:schakel:outcome"
"""The system of our own codes in an OperationOutcome, such as `form-not-allowed`."""


def outcome_body(issues: Iterable[Issue], code: str = "") -> bytes:
    """An OperationOutcome; its narrative is left out, the texts stand in `diagnostics`, our own code for the whole
    in `details`."""
    out = []
    for issue in issues:
        entry: dict[str, object] = {
            "severity": issue.severity,
            "code": issue.issue,
            "diagnostics": issue.message,
        }
        if code:
            entry["details"] = {"coding": [{"system": CODES, "code": code, "display": code}]}
        if issue.expression:
            entry["expression"] = [issue.expression]
        out.append(entry)
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": out})


def refusal(outcome: Outcome) -> Answer:
    """The answer to a request that has no ordinary one."""
    return Answer(outcome.status, outcome_body(outcome.issues, outcome.kind), outcome.headers)


def page_link(base: str, found: Found) -> str:
    """The address of the next page; it names the type, so that a door knows what it is about."""
    assert found.next_page is not None
    key, offset = found.next_page
    name = "/$lastn" if found.query.last is not None else ""
    pairs = [("_page", f"{key}.{offset}")]
    if found.query.format:
        pairs.append(("_format", found.query.format))
    return f"{base}/{found.query.type}{name}?{encode(pairs)}"


def searchset(base: str, self_path: str, found: Found) -> bytes:
    """A searchset Bundle. `base` is the FHIR base of the door, `self_path` what was asked below it."""
    links = [{"relation": "self", "url": f"{base}/{self_path}"}]
    if found.next_page is not None:
        links.append({"relation": "next", "url": page_link(base, found)})
    head: dict[str, object] = {"resourceType": "Bundle", "type": "searchset"}
    if found.total is not None:
        head["total"] = found.total
    head["link"] = links
    entries = [_entry(base, stored, b"match") for stored in found.matches]
    entries += [_entry(base, item.stored, b"include") for item in found.included]
    opening = orjson.dumps(head)[:-1]
    if not entries:
        return opening + b"}"
    return b'%b,"entry":[%b]}' % (opening, b",".join(entries))


def _entry(base: str, stored: Stored, mode: bytes) -> bytes:
    url = orjson.dumps(f"{base}/{stored.type}/{stored.id}")
    return b'{"fullUrl":%b,"resource":%b,"search":{"mode":"%b"}}' % (url, stored.body, mode)


def bundle(kind: str, entries: list[dict[str, object]], base: str) -> bytes:
    """A Bundle of type `kind` with ready entries (transaction-response)."""
    return dump(
        {
            "resourceType": "Bundle",
            "type": kind,
            "link": [{"relation": "self", "url": base}],
            "entry": entries,
        }
    )
