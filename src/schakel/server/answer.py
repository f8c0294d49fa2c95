"""Answers of the FHIR API as bytes: resources, searchset Bundles, OperationOutcomes.

Stored bodies are put into a Bundle as they are; nothing is parsed on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import blake2b

import orjson

from schakel.fhir.definitions import Version
from schakel.fhir.json import dump
from schakel.fhir.search import Pairs, Query, encode
from schakel.fhir.xml import writable
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Issue, Outcome
from schakel.sources import Found, Stored


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, FHIR JSON and headers; the listener turns the JSON into what the caller takes.

    `stored` is the resource that was read or written. `outcome` says that the body is an OperationOutcome about the
    request, not what was asked; `issues` are warnings beside another body.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stored: Stored | None = None
    outcome: bool = False
    issues: tuple[Issue, ...] = ()


def resource(stored: Stored, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A stored resource, with ETag and Last-Modified."""
    return Answer(status, stored.body, {**validators(stored), **(headers or {})}, stored)


def capabilities(body: bytes) -> Answer:
    """A CapabilityStatement, with an ETag that changes when it does (R4 http.html, capabilities)."""
    return Answer(200, body, {"ETag": f'W/"{blake2b(body, digest_size=8).hexdigest()}"'})


def validators(stored: Stored) -> dict[str, str]:
    """ETag and Last-Modified; none for what never was there."""
    if not stored.version:
        return {}
    return {
        "ETag": f'W/"{stored.version}"',
        "Last-Modified": format_datetime(stored.updated.astimezone(UTC), usegmt=True),
    }


CODES = "urn:schakel:outcome"
"""The system of our own codes in an OperationOutcome, such as `form-not-allowed`."""


_BROADER = {"deleted": "not-found", "multiple-matches": "processing"}
"""Issue types that R4 added, and the broader ones that STU3 has."""


def outcome_body(version: Version, issues: Iterable[Issue], code: str = "") -> bytes:
    """An OperationOutcome; its narrative is left out, the texts stand in `diagnostics`, our own code for the whole
    in `details`. What it quotes of a caller is without the characters that FHIR and XML do not have."""
    out = []
    for issue in issues:
        entry: dict[str, object] = {
            "severity": issue.severity,
            "code": _BROADER.get(issue.issue, issue.issue) if version == "stu3" else issue.issue,
            "diagnostics": writable(issue.message),
        }
        if code:
            entry["details"] = {"coding": [{"system": CODES, "code": code, "display": code}]}
        if issue.expression:
            entry["expression"] = [writable(issue.expression)]
        out.append(entry)
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": out})


def refusal(outcome: Outcome, version: Version) -> Answer:
    """The answer to a request that has no ordinary one."""
    return Answer(
        outcome.status, outcome_body(version, outcome.issues, outcome.kind), outcome.headers, outcome=True
    )


def search_path(query: Query) -> str:
    """Where a search is asked, below the base: it names the type, so that a door knows what it is about."""
    if query.compartment is not None:
        return "/".join((*query.compartment, query.type or "*"))
    return f"{query.type}/$lastn" if query.last is not None else query.type


def searchset(
    version: Version,
    base: str,
    found: Found,
    asked: Query,
    path: str = "",
    also: Pairs = (),
    moment: datetime | None = None,
) -> bytes:
    """A searchset Bundle; `base` is the FHIR base of the door, `asked` the query as it came in (for a page the link),
    `path` where an operation was called that answers with one, `also` what the links to its other pages say beside,
    `moment` the time of the answer where that is told.

    Parameters that were left out are named in an OperationOutcome.
    """
    links = [{"relation": "self", "url": _address(base, path or search_path(asked), asked.raw)}]
    if found.next_page is not None:
        key, offset = found.next_page
        pairs = [("_page", f"{key}.{offset}"), *also]
        if found.query.format:
            pairs.append(("_format", found.query.format))
        links.append({"relation": "next", "url": _address(base, path or search_path(found.query), pairs)})
    head: dict[str, object] = {"resourceType": "Bundle"}
    if moment is not None:
        head["meta"] = {"lastUpdated": instant(moment)}
    head["type"] = "searchset"
    if found.total is not None:
        head["total"] = found.total
    head["link"] = links
    entries = [_entry(base, stored, b"match") for stored in found.matches]
    entries += [_entry(base, item.stored, b"include") for item in found.included]
    if asked.ignored:
        told = outcome_body(version, [_ignored(name) for name in asked.ignored])
        entries.append(b'{"resource":%b,"search":{"mode":"outcome"}}' % told)
    opening = orjson.dumps(head)[:-1]
    if not entries:
        return opening + b"}"
    return b'%b,"entry":[%b]}' % (opening, b",".join(entries))


def _ignored(name: str) -> Issue:
    text = f"search parameter {name[:60]!r} is not known or not supported here, and was left out"
    return Issue("warning", "not-supported", text, name[:60])


def _address(base: str, path: str, pairs: Iterable[tuple[str, str]]) -> str:
    text = encode(pairs)
    address = f"{base}/{path}" if path else base
    return f"{address}?{text}" if text else address


def _entry(base: str, stored: Stored, mode: bytes) -> bytes:
    url = orjson.dumps(f"{base}/{stored.type}/{stored.id}")
    return b'{"fullUrl":%b,"resource":%b,"search":{"mode":"%b"}}' % (url, stored.body, mode)


def bundle(kind: str, entries: list[dict[str, object]], base: str) -> bytes:
    """A Bundle of type `kind` with ready entries (transaction-response); without any it has no such member."""
    return dump(
        {
            "resourceType": "Bundle",
            "type": kind,
            "link": [{"relation": "self", "url": base}],
            **({"entry": entries} if entries else {}),
        }
    )
