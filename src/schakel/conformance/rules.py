"""The named rules of the suites, by the name of the program file that a script refers to.

The files themselves are not used: each rule is written here from what it is said to do. An unknown rule,
and one of which only the name is known, is left unchecked by the caller.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from schakel.conformance.client import Request
from schakel.conformance.scope import Document, Message, NeedsTesterError, Scope, UnsupportedError
from schakel.conformance.script import RuleCall
from schakel.fhir import json as fhir_json
from schakel.fhir import xml as fhir_xml
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Outcome

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9:]+))?")
_REFERENCE = re.compile(r"(?:.*/)?[A-Z][A-Za-z]+/([A-Za-z0-9.\-]{1,64})")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found; `held` says whether the peer did what it asks."""

    held: bool
    expected: str
    found: str = ""


def self_link_repeats_the_query(call: RuleCall, scope: Scope) -> Finding:
    """Every parameter of the request stands in the self link of the returned Bundle.

    Values are compared after URL decoding; a reference may be written with its type or without.
    """
    expected = "every request parameter comes back in Bundle.link[self]"
    asked = (
        _query(scope.request.http.url) if scope.request and isinstance(scope.request.http, Request) else []
    )
    bundle = _received(scope, None)
    if isinstance(bundle, str):
        return Finding(False, expected, bundle)
    links = [link.get("url", "") for link in bundle.get("link", []) if link.get("relation") == "self"]
    if not links:
        return Finding(False, expected, "the Bundle has no self link")
    answered = [(name, _bare(value)) for name, value in _query(links[0])]
    missing = [f"{name}={value}" for name, value in asked if (name, _bare(value)) not in answered]
    return Finding(
        not missing, expected, f"missing from the self link: {', '.join(missing)}" if missing else ""
    )


def rewrite_task_status(call: RuleCall, scope: Scope) -> Finding:
    """A copy of the received Task with status `newStatus` and without narrative becomes fixture `fixtureId`.

    The Task is the response itself (or `responseId`), or the only Task in a Bundle. The copy keeps the
    format of the response.
    """
    status = call.param("newStatus")
    if not status:
        raise NeedsTesterError(f"rule {call.name} needs the parameter newStatus")
    return _rewritten_task(call, scope, scope.text(status))


def rewrite_task_with_other_date(call: RuleCall, scope: Scope) -> Finding:
    """As `rewrite_task_status`, and the copy proposes another date in its output; status `on-hold` if none is told.

    The date is the one parameter whose value is a date. Source: the eOverdracht negotiation up to 3.x, in which
    the receiver answers with an alternative date (SNOMED CT 146851000146105).
    """
    dates = [text for text in (scope.text(value) for _, value in call.params) if _DATE.fullmatch(text)]
    if len(dates) != 1:
        raise UnsupportedError(f"rule {call.name} is known with one date among its parameters only")
    output = {
        "type": {"coding": [{"system": "http://snomed.info/sct", "code": "146851000146105"}]},
        "valueDateTime": dates[0],
    }
    status = call.param("newStatus")
    return _rewritten_task(call, scope, scope.text(status) if status else "on-hold", output)


def _rewritten_task(
    call: RuleCall, scope: Scope, status: str, output: dict[str, Any] | None = None
) -> Finding:
    target, source = call.param("fixtureId"), call.param("responseId")
    if not target:
        raise NeedsTesterError(f"rule {call.name} needs the parameter fixtureId")
    expected = f"one Task is received, to be sent back with status '{status}'"
    resource = _received(scope, source)
    if isinstance(resource, str):
        return Finding(False, expected, resource)
    tasks = [r for r in (resource, *_entries(resource)) if r.get("resourceType") == "Task"]
    if len(tasks) != 1:
        return Finding(False, expected, f"{len(tasks)} Tasks in the {resource['resourceType']}")
    task = copy.deepcopy(tasks[0])
    task.pop("text", None)
    task["status"] = status
    if output:
        task["output"] = [*task.get("output", []), output]
    form = (scope.document(source) if source else _last(scope).body).format
    raw = fhir_xml.dump(task, scope.known) if form == "xml" else fhir_json.dump(task)
    scope.made[target] = Document(raw, f"application/fhir+{form}", scope.known)
    return Finding(True, expected)


def request_url_contains(call: RuleCall, scope: Scope) -> Finding:
    """Every parameter value of the rule stands, URL-decoded, in the address of the request."""
    if scope.request is None or not isinstance(scope.request.http, Request):
        raise NeedsTesterError("the rule comes before any request")
    parts = urlsplit(scope.request.http.url)
    decoded = parts.path + "?" + "&".join(f"{n}={v}" for n, v in _query(scope.request.http.url))
    wanted = [scope.text(value) for _, value in call.params]
    missing = [value for value in wanted if value not in decoded]
    return Finding(not missing, f"the address contains {', '.join(wanted)}", decoded)


RULES: dict[str, Callable[[RuleCall, Scope], Finding]] = {
    "assert_response_queryParamsInSelfLink": self_link_repeats_the_query,
    "assert-response-queryParamsInSelfLink": self_link_repeats_the_query,
    "rewrite-response-taskStatus": rewrite_task_status,
    "rewrite-response-taskWithAlternativeDate": rewrite_task_with_other_date,
    "assertRequestURLContains": request_url_contains,
}


def _last(scope: Scope) -> Message:
    if scope.response is None:
        raise NeedsTesterError("the rule comes before any response")
    return scope.response


def _received(scope: Scope, name: str | None) -> Resource | str:
    """The resource of the response `name`, or of the last one; a sentence when there is none in it."""
    document = scope.document(name) if name else _last(scope).body
    try:
        return document.resource
    except Outcome as error:
        return error.message


def _entries(resource: Resource) -> list[Resource]:
    if resource.get("resourceType") != "Bundle":
        return []
    return [e["resource"] for e in resource.get("entry", []) if isinstance(e, dict) and "resource" in e]


def _query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _bare(value: str) -> str:
    """A reference without its type and base; any other value as it is."""
    match = _REFERENCE.fullmatch(value)
    return match[1] if match else value
