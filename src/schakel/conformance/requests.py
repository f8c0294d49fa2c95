"""From an operation of a script to the HTTP request it stands for (FHIR TestScript
`setup.action.operation`).
"""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin

from schakel.conformance.client import Door, Request, with_headers
from schakel.conformance.scope import NeedsTesterError, Scope
from schakel.conformance.script import Operation
from schakel.kernel.outcomes import Outcome

_METHODS = {
    **dict.fromkeys(("read", "vread", "search", "history", "capabilities", "conforms", "get"), "GET"),
    **dict.fromkeys(("create", "createUpdate", "batch", "transaction", "purge", "post"), "POST"),
    **dict.fromkeys(("update", "updateCreate", "put"), "PUT"),
    **dict.fromkeys(("delete", "deleteCondSingle", "deleteCondMultiple"), "DELETE"),
    "patch": "PATCH",
    "head": "HEAD",
    "options": "OPTIONS",
}
_MEDIA = {"json": "application/fhir+json", "xml": "application/fhir+xml"}
READS = frozenset({"GET", "HEAD", "OPTIONS"})


def method(operation: Operation) -> str:
    """The HTTP method: the script's own, or the interaction's; another operation posts a body, else gets."""
    if operation.method:
        return operation.method.upper()
    return _METHODS.get(operation.code) or ("POST" if operation.source else "GET")


def build(operation: Operation, scope: Scope, door: Door) -> Request:
    """The request of `operation` through `door`. Raises a `ScopeError` when a text or body cannot be
    completed.
    """
    verb = method(operation)
    url = _url(operation, scope, door)
    headers: list[tuple[str, str]] = []
    body: bytes | None = None
    if operation.source:
        document = scope.document(operation.source)
        form = operation.content_type or document.format or ""
        try:
            body = document.written_as(form)
        except Outcome as error:
            raise NeedsTesterError(
                f"'{operation.source}' cannot be sent as {form}: {error.message}"
            ) from None
        if form != "none" and form:
            headers.append(("Content-Type", media_type(form)))
    elif operation.content_type and operation.content_type != "none" and verb not in READS:
        headers.append(("Content-Type", media_type(operation.content_type)))
    if operation.accept and operation.accept != "none":
        headers.append(("Accept", media_type(operation.accept)))
    for name, value in operation.headers:
        if door.overrides(name, url):
            continue  # Its value may be one that nobody gave.
        headers = [h for h in headers if h[0].lower() != name.lower()]
        headers.append((name, scope.text(value)))
    merged, secret = with_headers(headers, door, url)
    return Request(verb, url, merged, body, secret)


def media_type(form: str) -> str:
    """The media type behind the shorthands `json` and `xml`; anything else is one already."""
    return _MEDIA.get(form, form)


def encoded(text: str, *, query: bool = True) -> str:
    """A URL written without encoding, made fit to send; what is encoded already stays.

    With `query`, `+` and `#` are characters of the text, as in a time zone, not a space or a fragment.
    """
    kept = "/:?@!$&'()*,;=~-._%[]" + ("" if query else "+#")
    return re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", quote(text, safe=kept))


def _url(operation: Operation, scope: Scope, door: Door) -> str:
    if operation.url:
        url = urljoin(door.root + "/", scope.text(operation.url))
        if not url.startswith(("http://", "https://")):
            raise NeedsTesterError(f"'{url}' is not an address this program can call")
        return encoded(url, query=False)
    parts = [door.root]
    resource = scope.text(operation.resource) if operation.resource else ""
    if resource and resource != "Resource":
        parts.append("/" + resource)
    if operation.params is not None:
        params = scope.text(operation.params)
        if operation.encode:
            params = encoded(params)
        parts.append(params if params.startswith(("/", "?")) or not params else "/" + params)
    elif operation.target or (operation.source and method(operation) == "PUT"):
        parts.append("/" + _id(operation.target or operation.source or "", scope))
    if operation.code == "capabilities" and operation.params is None:
        parts.append("/metadata")
    return encoded("".join(parts), query=False)


def _id(name: str, scope: Scope) -> str:
    try:
        found = scope.document(name).resource.get("id")
    except Outcome as error:
        raise NeedsTesterError(f"the id of '{name}' is needed: {error.message}") from None
    if not isinstance(found, str):
        raise NeedsTesterError(f"'{name}' has no id")
    return found
