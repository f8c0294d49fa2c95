"""A transaction that is none: every entry is done by itself, and what was done stays when a later one fails.

Each entry has an answer of its own in a Bundle of type searchset. A conditional delete whose token does not decode is
the exception: it ends the whole request, after what came before it.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from schakel_national.nvi.caller import Caller
from schakel_national.nvi.lists import Lists, searchset, written
from schakel_national.nvi.model import BundleResource, Entry, ListResource, Parameters
from schakel_national.nvi.outcomes import Malformed, Refused, Unauthorised, issue, outcome

_URL = re.compile(r"/?([A-Za-z]+)(?:/([0-9a-fA-F-]{36}))?")


class _Failed(Exception):
    """An entry that was not done: the status of its answer, the code of its issue, and what follows its place."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


def processed(lists: Lists, caller: Caller, bundle: BundleResource) -> dict[str, Any]:
    """The answers to the entries, in their order. Raises `Refused` and `Broken`."""
    if not bundle.entry:
        raise Refused(400, "invalid", "Bundle.entry is invalid")
    entries = []
    for place, entry in enumerate(bundle.entry):
        try:
            entries.append(_done(lists, caller, entry))
        except _Failed as error:
            entries.append(_answer(error.status, error.code, f"Bundle.entry.{place}{error}"))
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


def _done(lists: Lists, caller: Caller, entry: Entry) -> dict[str, Any]:
    request = entry.request
    if request is None:
        raise _Failed(422, "required", ".request is required")
    try:
        parts = urlsplit(request.url)
    except ValueError as error:
        raise _Failed(422, "required", ".request.url is malformed") from error
    read = _URL.fullmatch(parts.path)
    if parts.scheme or parts.netloc or read is None:
        raise _Failed(422, "required", ".request.url is malformed")
    if read[1] != "List":
        raise _Failed(422, "required", f".request.url unsupported {read[1]} resource")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = pairs if len(pairs) > 1 else None  # the real one loses a parameter that stands alone
    identifier = read[2]
    if request.method == "PUT":
        raise _Failed(403, "forbidden", ".request.method PUT not supported")
    if identifier and (kept or request.method == "POST"):
        raise _Failed(422, "required", ".request.url:  unsupported url for requested transaction")
    try:
        if request.method == "POST":
            return _created(lists, caller, entry.resource)
        if request.method == "GET":
            return _found(lists, caller, identifier, kept)
        return _deleted(lists, caller, identifier, kept)
    except Unauthorised as error:
        # A registration for another URA is no lack of a scope, and told as any other error.
        linked = error.text.startswith("Registration")
        raise _Failed(403, "error" if linked else "forbidden", f": {error.text}") from error


def _created(lists: Lists, caller: Caller, resource: ListResource | None) -> dict[str, Any]:
    if resource is None:
        raise _Failed(422, "required", ": resource cannot be empty")
    try:
        lists.create(caller, resource)
    except Unauthorised:
        raise
    except Refused as error:
        raise _Failed(403 if error.status == 409 else error.status, "error", f": {error.text}") from error
    answer = _answer(200, "informational", "Resource has been created successfully")
    return {**answer, "resource": resource.written()}


def _found(
    lists: Lists, caller: Caller, identifier: str | None, kept: list[tuple[str, str]] | None
) -> dict[str, Any]:
    try:
        if identifier:
            answer = _answer(200, "informational", "Resource has been retrieved successfully")
            return {**answer, "resource": written(lists.read(caller, identifier))}
        found = lists.search(caller, _parameters(kept))
    except Unauthorised:
        raise
    except Refused as error:
        raise _Failed(error.status, "error", f": {error.text}") from error
    answer = _answer(200, "informational", "Resource has been modified successfully")
    return {**answer, "resource": searchset(found)}


def _deleted(
    lists: Lists, caller: Caller, identifier: str | None, kept: list[tuple[str, str]] | None
) -> dict[str, Any]:
    if not identifier:
        lists.delete_where(caller, _parameters(kept))
        return _answer(201, "informational", "Resources have been deleted successfully")
    try:
        lists.delete(caller, identifier)
    except Unauthorised:
        raise
    except Refused as error:
        raise _Failed(500, "error", f": {error.text}") from error
    return _answer(201, "informational", f"Resource {identifier} has been deleted successfully")


def _parameters(kept: list[tuple[str, str]] | None) -> Parameters:
    try:
        if kept is not None:
            return Parameters.parse(kept)
    except Malformed as error:
        text = "; ".join(str(one["details"]["text"]) for one in error.issues())
        raise _Failed(422, "required", f".request: invalid url parameter: {text}") from error
    raise _Failed(422, "required", ".request: invalid url parameter")


def _answer(status: int, code: str, text: str) -> dict[str, Any]:
    return {"response": {"status": str(status), "outcome": outcome(issue(code, text))}}
