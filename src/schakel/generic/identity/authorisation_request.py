"""The authorisation request of a client in MedMij: read, checked, and what goes back to the client.

    ClientUnverified       client_id or redirect_uri is not right: nothing goes back to that address, the person
                           gets an error page
    AuthorisationRefused   all else: the browser goes back to the client with an error

Source: RFC 6749 sections 4.1.1 and 4.1.2.1; MedMij framework 2.2.x, authorization interface. What a client is
told stands in one table (`DESCRIPTIONS`), and never says whether this person is known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urlsplit

from schakel.generic.identity.patient import CORRELATION_ID, REQUEST_ID, Holder, Lists, check_uuid
from schakel.kernel.outcomes import Invalid

DESCRIPTIONS: dict[str, tuple[str, str]] = {
    "parameter-repeated": ("invalid_request", "A parameter of the request is given more than once."),
    "parameter-malformed": ("invalid_request", "A parameter of the request is not percent-encoded UTF-8."),
    "state": ("invalid_request", "The parameter state is missing."),
    "response-type": ("unsupported_response_type", "The parameter response_type must be code."),
    "request-id": ("invalid_request", "MedMij-Request-ID is missing or is not a UUID."),
    "correlation-id": ("invalid_request", "X-Correlation-ID is missing or is not a UUID."),
    "scope": ("invalid_scope", "The parameter scope does not name this provider or a service that it takes."),
    "representation": ("invalid_scope", "Acting on behalf of another person is not supported."),
    "ended": ("access_denied", "The authorisation ended without permission."),
    "login": ("temporarily_unavailable", "The login service is not available."),
    "fault": ("server_error", "The authorisation could not be completed."),
}
"""The OAuth word and the text for the client, by the code of what was wrong. A person who refuses, who cancels
the login and who is not known here are all `ended`: the client cannot tell them apart."""

NUMBERS = {
    "invalid_request": "400",
    "unauthorized_client": "401",
    "access_denied": "401",
    "unsupported_response_type": "400",
    "invalid_scope": "400",
    "server_error": "500",
    "temporarily_unavailable": "503",
}
"""What stands in `error` for clients that take numbers only (setting `medmij.numeric_errors`)."""

_NAME = re.compile(r"(?P<name>[a-z0-9.-]+?)(@medmij)?(~(?P<service>[0-9]{1,30}))?")
_REPRESENTATION = {"onbehalfof", "onbehalfofchild"}
_LOOPBACK = {"127.0.0.1", "localhost"}
_MAX_QUERY = 32_768


class ClientUnverified(Invalid):
    """Who asks, or where the answer would go, is not right."""


class AuthorisationRefused(Invalid):
    """A request of a known client that cannot be granted. `state` is as it stood in the request."""

    def __init__(self, code: str, redirect_uri: str, state: str) -> None:
        self.error, description = DESCRIPTIONS[code]
        super().__init__(description, code=code)
        self.redirect_uri = redirect_uri
        self.state = state


@dataclass(frozen=True, slots=True)
class AuthorisationRequest:
    """A request that may go on. `state` is as it stood in the address, still encoded, so that it goes back to the
    letter; `share` is the id of the one service to share, '' to collect."""

    client: str
    redirect_uri: str
    state: str
    share: str
    request_id: str
    correlation_id: str


def read(
    query: str,
    headers: Mapping[str, str],
    lists: Lists,
    holder: Holder,
    *,
    http_on_loopback: bool = False,
) -> AuthorisationRequest:
    """The request in the query of an address (as it was sent, without the question mark).

    Parameters that are not known are ignored; one of ours that is repeated is refused. The two ids may also be
    given as headers. Raises `ClientUnverified` and `AuthorisationRefused`.
    """
    if len(query) > _MAX_QUERY:
        raise ClientUnverified(
            f"the address has more than {_MAX_QUERY} characters", code="request-too-long", expression="query"
        )
    raw = _split(query)
    client = _client(_single(raw, "client_id"), lists)
    redirect_uri = _redirect_uri(_single(raw, "redirect_uri"), client, http_on_loopback)
    states = raw.get("state", [])
    state = _printable(states[0]) if len(states) == 1 else ""

    def refused(code: str) -> AuthorisationRefused:
        return AuthorisationRefused(code, redirect_uri, state)

    known = ("response_type", "scope", "state", REQUEST_ID, CORRELATION_ID)
    if any(len(raw.get(name, [])) > 1 for name in known):
        raise refused("parameter-repeated")
    try:
        value = {name: _decoded(raw[name][0]) for name in known if name in raw}
    except UnicodeDecodeError:
        raise refused("parameter-malformed") from None
    if not state:
        raise refused("state")
    if value.get("response_type") != "code":
        raise refused("response-type")
    ids = {}
    for name, code in ((REQUEST_ID, "request-id"), (CORRELATION_ID, "correlation-id")):
        given = {one.lower() for one in (value.get(name), headers.get(name)) if one}
        try:
            ids[name] = check_uuid(given.pop() if len(given) == 1 else None, name)
        except Invalid:
            raise refused(code) from None
    words = value.get("scope", "").split(" ")
    if _REPRESENTATION & set(words):
        raise refused("representation")
    found = _NAME.fullmatch(words[0])
    service = (found["service"] or "") if found else ""
    if (
        found is None
        or len(words) > 1
        or found["name"] != holder.name
        or not lists.offers(holder.name)
        or (service not in holder.share if service else not holder.collect)
    ):
        raise refused("scope")
    return AuthorisationRequest(client, redirect_uri, state, service, ids[REQUEST_ID], ids[CORRELATION_ID])


def with_code(redirect_uri: str, code: str, state: str) -> str:
    """Where the browser goes with a code."""
    return _appended(redirect_uri, [f"code={quote(code, safe='')}", f"state={state}"])


def with_error(refusal: AuthorisationRefused, *, numeric: bool = False) -> str:
    """Where the browser goes with an error; `numeric` is for clients that take a number only."""
    error = NUMBERS[refusal.error] if numeric else refusal.error
    parts = [f"error={error}", f"error_description={quote(refusal.message, safe='')}"]
    return _appended(refusal.redirect_uri, parts + ([f"state={refusal.state}"] if refusal.state else []))


def _appended(address: str, parts: Sequence[str]) -> str:
    """`address` with these parts behind the query it may have."""
    return address + ("&" if "?" in address else "?") + "&".join(parts)


def _split(query: str) -> dict[str, list[str]]:
    """The values of each parameter as they stand in a query, still encoded."""
    raw: dict[str, list[str]] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        try:
            raw.setdefault(_decoded(name), []).append(value)
        except UnicodeDecodeError:
            continue  # It is none of ours: those are ASCII.
    return raw


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")


def _printable(text: str) -> str:
    """`text` of an address with what may not stand in one encoded; all else to the letter."""
    return quote(text, safe="!$%'()*+,-./:;=?@[]_~|")


def _single(raw: Mapping[str, list[str]], name: str) -> str:
    """The one value of a parameter on which all else rests."""
    values = raw.get(name, [])
    try:
        value = _decoded(values[0]) if len(values) == 1 else ""
    except UnicodeDecodeError:
        value = ""
    if not value:
        raise ClientUnverified(
            f"the parameter {name} is missing, malformed or given more than once",
            code=f"{name.replace('_', '-')}-missing",
            expression=name,
        )
    return value


def _client(host: str, lists: Lists) -> str:
    if lists.client_name(host) is None:
        raise ClientUnverified(
            "the program that sent you here is not on the list of clients",
            code="client-unknown",
            expression="client_id",
        )
    return host


def _redirect_uri(address: str, client: str, http_on_loopback: bool) -> str:
    """`address` when it is on the host of the client, over https."""
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        parts, port, host = urlsplit(""), None, ""
    plain = address.isascii() and address.isprintable() and not set(address) & set(' "<>\\^`{|}#')
    good = parts.scheme == "https" and host == client and port in (None, 443)
    local = http_on_loopback and parts.scheme == "http" and host in _LOOPBACK
    if not plain or parts.username is not None or not (good or local):
        raise ClientUnverified(
            "the address to go back to is not one of the program that sent you here: it must begin with "
            f"https://{client}/",
            code="redirect-uri",
            expression="redirect_uri",
        )
    return address
