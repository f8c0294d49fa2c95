"""One assertion against what was sent and received: a verdict, what was expected and what was found.

Kinds are those of FHIR TestScript `setup.action.assert`. Anything that cannot be looked at, such as a
profile as long as no validator is there, is unchecked with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from schakel.conformance import evaluation
from schakel.conformance.client import Request, Response
from schakel.conformance.operators import OPERATORS, compare
from schakel.conformance.requests import media_type
from schakel.conformance.results import Verdict, mask
from schakel.conformance.rules import RULES
from schakel.conformance.scope import (
    Document,
    EmptyAnswerError,
    Message,
    NeedsTesterError,
    NoAnswerError,
    Scope,
    UnsupportedError,
)
from schakel.conformance.script import Assertion
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Outcome

_RESPONSE_WORDS = {
    "continue": 100, "switchingProtocols": 101, "okay": 200, "created": 201, "accepted": 202,
    "nonAuthoritativeInformation": 203, "noContent": 204, "resetContent": 205, "partialContent": 206,
    "multipleChoices": 300, "movedPermanently": 301, "found": 302, "seeOther": 303, "notModified": 304,
    "useProxy": 305, "temporaryRedirect": 307, "permanentRedirect": 308, "bad": 400, "badRequest": 400,
    "unauthorized": 401, "paymentRequired": 402, "forbidden": 403, "notFound": 404, "methodNotAllowed": 405,
    "notAcceptable": 406, "proxyAuthenticationRequired": 407, "requestTimeout": 408, "conflict": 409,
    "gone": 410, "lengthRequired": 411, "preconditionFailed": 412, "contentTooLarge": 413, "uriTooLong": 414,
    "unsupportedMediaType": 415, "rangeNotSatisfiable": 416, "expectationFailed": 417,
    "misdirectedRequest": 421, "unprocessable": 422, "unprocessableContent": 422, "upgradeRequired": 426,
    "internalServerError": 500, "notImplemented": 501, "badGateway": 502, "serviceUnavailable": 503,
    "gatewayTimeout": 504, "httpVersionNotSupported": 505,
}  # fmt: skip
_BESIDES = frozenset({"extension", "label", "description", "direction", "operator", "value", "sourceId",
                      "stopTestOnFail", "warningOnly", "defaultManualCompletion", "requirement"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of one assertion, before it is tied to a test and an exchange."""

    verdict: Verdict
    expected: str
    found: str = ""


def check(assertion: Assertion, scope: Scope) -> Checked:
    """Look at one assertion. Never raises for what a script or a peer may hold."""
    checked = _guarded(assertion, scope)
    if not assertion.warning_only:
        return checked
    softer = {Verdict.FAILED: Verdict.WARNING, Verdict.ERROR: Verdict.UNCHECKED}
    verdict = softer.get(checked.verdict, checked.verdict)
    return Checked(verdict, checked.expected, checked.found)


def _guarded(assertion: Assertion, scope: Scope) -> Checked:
    said = _said(assertion)
    try:
        return _dispatch(assertion, scope)
    except (UnsupportedError, evaluation.BeyondEngineError) as error:
        return Checked(Verdict.UNCHECKED, said, str(error))
    except EmptyAnswerError as error:
        return Checked(Verdict.FAILED, said, error.message)
    except NoAnswerError as error:
        return Checked(Verdict.SKIPPED, said, error.message)
    except (NeedsTesterError, evaluation.CannotEvaluateError) as error:
        return Checked(Verdict.ERROR, said, str(error))
    except _UnreadableError as error:
        return Checked(Verdict.FAILED, said, str(error))
    except Outcome as error:
        return Checked(Verdict.ERROR, said, error.message)


class _UnreadableError(Exception):
    """The peer's message holds no resource to look at."""


def _said(assertion: Assertion) -> str:
    """What the assertion asks, in a line, as the script writes it."""
    a = assertion
    subject = (
        a.expression or a.path or (a.header and f"header {a.header}") or (a.rule and f"rule {a.rule.name}")
        or (a.validate_profile and f"profile {a.validate_profile}") or ""
    )  # fmt: skip
    wanted = a.value or a.response_code or a.response or a.resource or a.url or a.method or a.content_type
    return " ".join(word for word in (subject, a.operator, wanted) if word)


def _dispatch(a: Assertion, scope: Scope) -> Checked:
    if a.rule is not None:
        return _rule(a, scope)
    if (a.operator is not None and a.operator not in OPERATORS) or a.operator == "manualEval":
        raise UnsupportedError(f"the operator '{a.operator}' cannot be applied by a program")
    if a.validate_profile is not None:
        raise UnsupportedError("validation against a profile is not available yet")
    if a.response_code is not None:
        code = str(_response(scope).status)
        return _compared(a, "response code", [code], scope.text(a.response_code))
    if a.response is not None:
        return _response_word(a, _response(scope))
    if a.header is not None:
        return _header(a, scope)
    if a.content_type is not None:
        return _content_type(a, scope)
    if a.method is not None:
        return _compared(a, "request method", [_request(scope).method], scope.text(a.method).upper())
    if a.url is not None:
        return _compared(a, "request URL", [unquote(_request(scope).url)], scope.text(a.url))
    if a.resource is not None:
        return _compared(a, "resource type", [_resource(a, scope)["resourceType"]], scope.text(a.resource))
    if a.expression is not None or a.path is not None:
        return _selected(a, scope)
    if a.minimum is not None:
        return _minimum(a.minimum, a, scope)
    if a.navigation_links:
        return _navigation(_resource(a, scope))
    unknown = ", ".join(sorted(a.elements - _BESIDES)) or "nothing"
    raise UnsupportedError(f"this assertion asks {unknown}, which is not supported")


def _compared(
    a: Assertion, subject: str, found: Sequence[str], wanted: str, shown: str | None = None
) -> Checked:
    operator = a.operator or "equals"
    if operator == "eval":
        raise UnsupportedError(f"the operator 'eval' applies to an expression, not to the {subject}")
    held = compare(operator, found, wanted)
    seen = shown if shown is not None else ", ".join(found) or "nothing"
    return Checked(Verdict.PASSED if held else Verdict.FAILED, f"{subject} {operator} {wanted}".strip(), seen)


def _truth(held: bool, expected: str, found: str = "") -> Checked:
    return Checked(Verdict.PASSED if held else Verdict.FAILED, expected, found)


def _rule(a: Assertion, scope: Scope) -> Checked:
    if a.rule is None or a.rule.name not in RULES:
        raise UnsupportedError(f"the rule '{a.rule.name if a.rule else ''}' is not known to this program")
    finding = RULES[a.rule.name](a.rule, scope)
    return _truth(finding.held, finding.expected, finding.found)


def _response_word(a: Assertion, response: Response) -> Checked:
    code = _RESPONSE_WORDS.get(a.response or "")
    if code is None:
        raise UnsupportedError(f"the response word '{a.response}' is not known")
    return _compared(a, f"response {a.response}:", [str(response.status)], str(code))


def _header(a: Assertion, scope: Scope) -> Checked:
    name = a.header or ""
    value = _message(a, scope).http.header(name)
    wanted = scope.text(a.value or "")
    operator = a.operator or ("equals" if a.value is not None else "notEmpty")
    secret = name.lower() in ("authorization", "cookie", "x-api-key")
    found = [] if value is None else [value]
    checked = Checked(
        Verdict.PASSED if compare(operator, found, wanted) else Verdict.FAILED,
        f"header {name} {operator} {mask(wanted) if secret and wanted else wanted}".strip(),
        "the header is absent" if value is None else mask(value) if secret else value,
    )
    return checked


def _content_type(a: Assertion, scope: Scope) -> Checked:
    value = (_message(a, scope).http.header("Content-Type") or "").split(";")[0].strip().lower()
    return _compared(
        a, "content type", [value] if value else [], media_type(scope.text(a.content_type or ""))
    )


def _selected(a: Assertion, scope: Scope) -> Checked:
    document = _document(a, scope)
    resource = _read(document)
    if a.expression is not None:
        expression = scope.text(a.expression)
        plain = a.value is None and a.compare_source is None and a.operator in (None, "eval")
        if plain or a.operator == "eval":
            held = evaluation.holds(expression, resource, scope.known)
            return _truth(held, f"{expression} is true", "" if held else _seen(expression, resource, scope))
        found = evaluation.values(expression, resource, scope.known)
        subject = expression
    else:
        subject = scope.text(a.path or "")
        found = evaluation.path_values(subject, document.written_as("xml"))
        if a.value is None and a.compare_source is None and a.operator is None:
            return _truth(bool(found), f"{subject} is there", ", ".join(found))
    if a.compare_source is not None:
        return _compared(a, subject, found, ",".join(_other_side(a, scope)))
    return _compared(a, subject, found, scope.text(a.value or ""))


def _seen(expression: str, resource: Resource, scope: Scope) -> str:
    found = evaluation.values(expression, resource, scope.known)
    return ", ".join(found)[:300] or "nothing"


def _other_side(a: Assertion, scope: Scope) -> list[str]:
    document = scope.document(a.compare_source or "")
    if a.compare_path is not None or (a.compare_expression is None and a.path is not None):
        return evaluation.path_values(scope.text(a.compare_path or a.path or ""), document.written_as("xml"))
    expression = scope.text(a.compare_expression or a.expression or "")
    return evaluation.values(expression, document.resource, scope.known)


def _minimum(name: str, a: Assertion, scope: Scope) -> Checked:
    lacking = _lack(scope.document(name).resource, _resource(a, scope), "")
    return _truth(lacking is None, f"at least the content of '{name}'", f"missing or different: {lacking}")


def _lack(wanted: object, found: object, where: str) -> str | None:
    """Where `found` has less than `wanted`; order in arrays does not matter. None when nothing lacks."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return where or "the resource"
        for name, value in wanted.items():
            lack = _lack(value, found.get(name), f"{where}.{name}".lstrip("."))
            if lack:
                return lack
        return None
    if isinstance(wanted, list):
        rest = list(found) if isinstance(found, list) else []
        for number, value in enumerate(wanted):
            match = next((one for one in rest if _lack(value, one, "x") is None), None)
            if match is None:
                return f"{where}[{number}]"
            rest.remove(match)
        return None
    return None if wanted == found else where or "the resource"


def _navigation(resource: Resource) -> Checked:
    links = resource.get("link")
    there = (
        {link.get("relation") for link in links if isinstance(link, dict)}
        if isinstance(links, list)
        else set()
    )
    missing = [word for word in ("first", "last", "next") if word not in there]
    return _truth(not missing, "the Bundle links to first, last and next", f"missing: {', '.join(missing)}")


def _message(a: Assertion, scope: Scope) -> Message:
    """The request or response an assertion is about."""
    if a.source is not None and a.source in scope.messages:
        return scope.messages[a.source]
    message = scope.request if a.direction == "request" else scope.response
    if message is None:
        raise NeedsTesterError(f"the script asserts a {a.direction} before there is one")
    return message


def _document(a: Assertion, scope: Scope) -> Document:
    return scope.document(a.source) if a.source is not None else _message(a, scope).body


def _resource(a: Assertion, scope: Scope) -> Resource:
    return _read(_document(a, scope))


def _read(document: Document) -> Resource:
    try:
        return document.resource
    except Outcome as error:
        raise _UnreadableError(error.message) from None


def _response(scope: Scope) -> Response:
    if scope.response is None or not isinstance(scope.response.http, Response):
        raise NeedsTesterError("the script asserts a response before there is one")
    return scope.response.http


def _request(scope: Scope) -> Request:
    if scope.request is None or not isinstance(scope.request.http, Request):
        raise NeedsTesterError("the script asserts a request before there is one")
    return scope.request.http
