"""The client of the central directory (LRZa): find, read, create, update, in the words of its transactions.

Source: the ministry's guide on generic functions, ITI-90-NL (search and read) and ITI-130-NL (create, update with
`If-Match`, errors as OperationOutcome, no delete).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlencode

import orjson

from schakel.facilities import Answer, Facility, FacilityAway
from schakel.facilities.tokens import TokenRefused, TokenSource, send_with_token
from schakel.fhir import json
from schakel.fhir.json import Resource
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid

Trouble = Literal[
    "away", "busy", "refused", "no-mandate", "token-refused", "missing", "changed", "answer-broken"
]
"""Why something was not done: `away` and `busy` (429) pass by themselves; `refused` is the content (400, 422),
`changed` another version there (412), `missing` no such entry (404)."""

_LONGEST = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class There:
    """An entry as it is there; `resource` is empty when the answer did not show it."""

    id: str
    version: str
    resource: Resource


class CentralError(Exception):
    """It was not done. `detail` says what the central directory said, `wait` how long it wants us to wait."""

    def __init__(self, trouble: Trouble, detail: str, wait: timedelta | None = None) -> None:
        super().__init__(detail)
        self.trouble = trouble
        self.detail = detail
        self.wait = wait


class Central:
    """The central directory behind `facility`, whose base is its FHIR base. `tokens` give tokens for `scopes`."""

    def __init__(self, facility: Facility, tokens: TokenSource | None = None, scopes: str = "") -> None:
        self._facility = facility
        self._tokens = tokens
        self._scopes = scopes

    async def find(self, kind: str, system: str, value: str) -> There | None:
        """The entry with this identifier; None when there is none. Raises `CentralError`, also for several. What came
        with it and does not have the identifier was not asked for."""
        answer = await self._asked("GET", f"/{kind}?{urlencode({'identifier': f'{system}|{value}'})}")
        entries = _bundle(answer).get("entry", [])
        found = [
            entry["resource"]
            for entry in entries
            if isinstance(entry, dict)
            and isinstance(entry.get("resource"), dict)
            and entry["resource"].get("resourceType") == kind
            and _has(entry["resource"], system, value)
        ]
        if len(found) > 1:
            raise CentralError("refused", f"{len(found)} entries of type {kind} have the identifier {value}")
        return _there(kind, answer, found[0]) if found else None

    async def read(self, kind: str, logical_id: str) -> There:
        """The entry with this id there. Raises `CentralError`."""
        answer = await self._asked("GET", f"/{kind}/{logical_id}")
        return _there(kind, answer, _resource(answer), logical_id)

    async def create(self, resource: Resource) -> There:
        """The new entry. Raises `CentralError`."""
        kind = resource["resourceType"]
        answer = await self._asked("POST", f"/{kind}", resource)
        return _there(kind, answer, _resource(answer))

    async def update(self, logical_id: str, version: str, resource: Resource) -> There:
        """The entry in its next version, when `version` is the one that is there. Raises `CentralError`."""
        kind = resource["resourceType"]
        body = {**resource, "id": logical_id}
        answer = await self._asked("PUT", f"/{kind}/{logical_id}", body, {"If-Match": f'W/"{version}"'})
        return _there(kind, answer, _resource(answer), logical_id)

    async def _asked(
        self,
        method: str,
        path: str,
        resource: Resource | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {"Accept": "application/fhir+json", **(headers or {})}
        if resource is not None:
            sent |= {"Content-Type": "application/fhir+json", "Prefer": "return=representation"}
        body = json.dump(resource) if resource is not None else b""
        try:
            answer = await send_with_token(
                self._facility, self._tokens, self._scopes, method, path, body=body, headers=sent
            )
        except TokenRefused as refused:
            raise CentralError("token-refused", refused.why) from refused
        except FacilityAway as away:
            raise CentralError("away", away.why) from away
        if answer.status in (200, 201):
            return answer
        raise _trouble(answer)


def _trouble(answer: Answer) -> CentralError:
    said = f"status {answer.status}"
    if text := _diagnostics(answer.body):
        said = f"{said}: {text}"
    match answer.status:
        case 401 | 403:
            return CentralError("no-mandate", said)
        case 404 | 410:
            return CentralError("missing", said)
        case 412:
            return CentralError("changed", said)
        case 429:
            return CentralError("busy", said, _wait(answer))
        case status if status >= 500 or status == 408:
            return CentralError("away", said, _wait(answer))
        case _:
            return CentralError("refused", said)


def _wait(answer: Answer) -> timedelta | None:
    """`Retry-After`: seconds or a date (RFC 9110, section 10.2.3); None without one that can be read."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:6])), _LONGEST)
    try:
        return min(max(parsedate_to_datetime(text) - now(), timedelta()), _LONGEST)
    except (TypeError, ValueError):
        return None


def _has(resource: Resource, system: str, value: str) -> bool:
    identifiers = resource.get("identifier")
    found = identifiers if isinstance(identifiers, list) else ()
    return any(
        isinstance(one, dict) and (one.get("system"), one.get("value")) == (system, value) for one in found
    )


def _there(kind: str, answer: Answer, resource: Resource, known: str = "") -> There:
    """`known` is the id that was asked for. Raises `CentralError` for an answer that does not say which entry it is, or
    in which version, and for another entry."""
    meta = resource.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    where = answer.headers.get("location", "").split("?")[0].rstrip("/").split("/")
    parts = where[where.index(kind) + 1 :] if kind in where else []
    logical_id = resource.get("id") or known or (parts[0] if parts else "")
    tag = answer.headers.get("etag", "").removeprefix("W/").strip('"')
    version = version or tag or (parts[2] if parts[1:2] == ["_history"] and len(parts) > 2 else "")
    if not isinstance(logical_id, str) or not logical_id or not isinstance(version, str) or not version:
        raise CentralError("answer-broken", "an answer without the id or the version of the entry")
    if known and logical_id != known:
        raise CentralError("answer-broken", f"another entry than the one that was asked for ({kind}/{known})")
    return There(logical_id, version, resource)


def _resource(answer: Answer) -> Resource:
    """The resource in an answer; empty when there is none, or something about the request."""
    found = _parsed(answer.body) if answer.body else {}
    return {} if found.get("resourceType") == "OperationOutcome" else found


def _bundle(answer: Answer) -> dict[str, Any]:
    found = _parsed(answer.body)
    if found.get("resourceType") != "Bundle" or not isinstance(found.get("entry", []), list):
        raise CentralError("answer-broken", "an answer to a search that is no Bundle")
    return found


def _parsed(body: bytes) -> Resource:
    try:
        return json.parse(body)
    except Invalid as error:
        raise CentralError("answer-broken", "an answer that is no FHIR JSON") from error


def _diagnostics(body: bytes) -> str:
    """What an OperationOutcome says, shortened; '' when it is none."""
    try:
        issues = orjson.loads(body).get("issue", [])
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    texts = [_text(one) for one in issues if isinstance(one, dict)] if isinstance(issues, list) else []
    told = "; ".join(text for text in texts if text)
    return "".join(letter if letter.isprintable() else " " for letter in told)[:500]


def _text(issue: dict[str, Any]) -> str:
    details = issue.get("details")
    text = issue.get("diagnostics") or (details.get("text") if isinstance(details, dict) else "")
    places = issue.get("expression")
    where = str(places[0]) if isinstance(places, list) and places else ""
    return f"{where}: {text}" if where and text else str(text or where)
