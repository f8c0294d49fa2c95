"""Reading another FHIR server a page at a time: searches and histories as it gives them.

    ask -> 200 and a Bundle -> its entries -> `next` at the same origin -> ask

One request after the other; the next page is fetched while the one before it is used. What is not a usable answer is a
`SourceTrouble` that says what it was, and when it may be tried again. Sources: FHIR R4 http.html (paging, history),
Care Services of the generic functions (the moment of the first page is where the next reading begins).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from schakel.facilities import Answer, Facility, origin, send_with_token
from schakel.facilities.tokens import TokenSource
from schakel.fhir.json import Resource, parse
from schakel.generic.addressing.copying import is_id, shown
from schakel.generic.addressing.replica import Change
from schakel.generic.addressing.sync.salvage import salvage
from schakel.kernel.clock import instant, now
from schakel.kernel.outcomes import Invalid, Upstream

_MARGIN = timedelta(seconds=2)
"""What is taken off a moment that is not the one of the Bundle itself."""
_AHEAD = timedelta(hours=1)
"""A version that is further ahead of our clock than this tells no time: nothing that follows could be newer."""
_LONGEST_WAIT = 86_400
_ABSENT = frozenset({404, 405, 501})
_ACCEPT = "application/fhir+json"
_LONGEST_ADDRESS = 8000
"""Characters of the address of a page: each that was asked is remembered until a reading ends."""


class SourceTrouble(Upstream):
    """A directory gave no usable answer. `wait` is the number of seconds it asked us to wait, 0 when it said nothing;
    `status` is that of its answer, 0 when that is not what is wrong."""

    def __init__(self, message: str, *, code: str, status: int = 0, wait: float = 0) -> None:
        super().__init__(message, code=code, cause=code)
        self.source_status = status
        self.wait = wait

    @property
    def absent(self) -> bool:
        """Whether the server says that it does not have what was asked for."""
        return self.source_status in _ABSENT


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """`page_size` is sent as `_count`, and 0 leaves it to the server. `pages` is the most of one reading, `held` the
    most resources of one history, which are held until it is whole."""

    page_size: int = 0
    pages: int = 50_000
    held: int = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page: what stands in it in its order, the moment that is the server's time for it, and the address of what
    follows, '' when nothing does."""

    changes: tuple[Change, ...]
    moment: str
    next: str


class Remote:
    """The FHIR server of a directory, for one run. `tokens` gives what is shown there with the `scopes`; none is ever
    sent to another origin."""

    def __init__(
        self,
        facility: Facility,
        rules: ReadingRules | None = None,
        tokens: TokenSource | None = None,
        scopes: str = "",
    ) -> None:
        self._facility = facility
        self.rules = rules or ReadingRules()
        self._tokens = tokens
        self._scopes = scopes

    @property
    def base(self) -> str:
        """Its FHIR base, without a slash at the end."""
        return self._facility.base

    def search(self, kind: str) -> str:
        """The address of all resources of a type."""
        return self._address(kind, {})

    def history(self, kind: str, since: str) -> str:
        """The address of the history of a type, from that moment on; of all of it when `since` is ''."""
        return self._address(f"{kind}/_history", {"_since": since} if since else {})

    def _address(self, path: str, parameters: dict[str, str]) -> str:
        if self.rules.page_size:
            parameters = {"_count": str(self.rules.page_size), **parameters}
        query = urlencode(parameters, quote_via=quote)
        return f"{self.base}/{path}{'?' if query else ''}{query}"

    @asynccontextmanager
    async def pages(self, kind: str, address: str) -> AsyncIterator[AsyncIterator[Page]]:
        """The pages of a reading that begins at `address`, of resources of one type. Raises `SourceTrouble`, and
        `FacilityAway` when no answer came."""
        reading = self._pages(kind, address)
        try:
            yield reading
        finally:
            await reading.aclose()

    async def _pages(self, kind: str, address: str) -> AsyncGenerator[Page, None]:
        asked: set[str] = set()
        contents: set[bytes] = set()
        coming: asyncio.Task[Page] | None = None
        try:
            page = await self._page(kind, address, asked, contents)
            while True:
                if page.next:
                    coming = asyncio.create_task(self._page(kind, page.next, asked, contents))
                yield page
                if coming is None:
                    return
                page, coming = await coming, None
        finally:
            if coming is not None:
                coming.cancel()
                with suppress(asyncio.CancelledError, Upstream):
                    await coming

    async def _page(self, kind: str, address: str, asked: set[str], contents: set[bytes]) -> Page:
        if address in asked:
            raise SourceTrouble(
                f"the page {shown(address)} is given as the next one a second time: it would never end",
                code="page-repeats",
            )
        if len(asked) >= self.rules.pages:
            raise SourceTrouble(
                f"there are more than {self.rules.pages} pages of {kind} (setting pages of this source)",
                code="too-many-pages",
            )
        asked.add(address)
        before = now()
        answer = await self._answer(address)
        bundle = _bundle(answer, address)
        changes = tuple(_changes(bundle, kind))
        if changes:
            content = hashlib.sha256(
                repr([(one.id, one.version, one.resource is None) for one in changes]).encode()
            ).digest()
            if content in contents:
                raise SourceTrouble(
                    f"the page {shown(address)} has what a page before it had: it would never end",
                    code="page-repeats",
                )
            contents.add(content)
        return Page(changes, _moment(bundle, answer, before), next_page(self.base, bundle, address))

    async def _answer(self, address: str) -> Answer:
        """Raises `SourceTrouble` for any other answer than a good one."""
        answer = await send_with_token(
            self._facility, self._tokens, self._scopes, "GET", address, headers={"Accept": _ACCEPT}
        )
        if answer.status == 200:
            return answer
        raise SourceTrouble(
            f"{shown(address)} was answered with status {answer.status}{_said(answer)}",
            code="source-away" if answer.status >= 500 or answer.status == 429 else "source-refuses",
            status=answer.status,
            wait=_wait(answer),
        )


def next_page(base: str, bundle: Resource, address: str) -> str:
    """The address of the page after the one that was read at `address`, '' when it was the last. Raises `SourceTrouble`
    for one at another origin than `base`, which would get who we are, and for one that is too long to be kept.

    A server behind a proxy that ends TLS may say http in its links. With the same host name that is the address of
    `base` itself, and is asked as that is.
    """
    links = bundle.get("link")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            following = _as_https(base, _joined(address, link["url"]))
            if len(following) > _LONGEST_ADDRESS:
                raise SourceTrouble(
                    f"the address of the page after {shown(address)} has more than {_LONGEST_ADDRESS} characters",
                    code="page-address-long",
                )
            if origin(following) != origin(base) or not following.isprintable():
                raise SourceTrouble(
                    f"the page after {shown(address)} is at {shown(following)}, which is not the address of this "
                    "directory",
                    code="page-elsewhere",
                )
            return following
    return ""


def _joined(address: str, link: str) -> str:
    """Where a link leads that stands at `address`; `link` itself when it can be no address."""
    try:
        return urljoin(address, link)
    except ValueError:
        return link


def _as_https(base: str, address: str) -> str:
    """`address` where `base` is, when that is https on the host that `address` names with http."""
    (scheme, host, _), (said, named, _) = origin(base), origin(address)
    if (scheme, said) != ("https", "http") or not host or named != host:
        return address
    return urlsplit(address)._replace(scheme=scheme, netloc=urlsplit(base).netloc).geturl()


def _bundle(answer: Answer, address: str) -> Resource:
    try:
        bundle = parse(answer.body)
    except Invalid as error:
        salvaged = salvage(answer.body)  # What is wrong with one of its resources is not that of the others.
        if salvaged is None:
            media = answer.headers.get("content-type", "no Content-Type")
            raise SourceTrouble(
                f"the answer to {shown(address)} ({shown(media)}) is no FHIR JSON: {error.message}",
                code="source-unclear",
            ) from None
        bundle = salvaged
    if bundle.get("resourceType") != "Bundle":
        kind = str(bundle.get("resourceType"))[:64]
        raise SourceTrouble(f"the answer to {shown(address)} is no Bundle but {kind}", code="source-unclear")
    return bundle


def _changes(bundle: Resource, kind: str) -> list[Change]:
    """What the entries say. What was not asked for (an OperationOutcome, an include) is left out."""
    entries = bundle.get("entry")
    found = []
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        mode = _member(entry, "search", "mode")
        if mode not in ("outcome", "include"):
            change = _change(entry, kind)
            if change is not None:
                found.append(change)
    return found


def _change(entry: dict[str, Any], kind: str) -> Change | None:
    """An entry of a page of that type; None when it says nothing about it."""
    resource = entry.get("resource")
    deleted = _member(entry, "request", "method") == "DELETE"
    version, updated = (
        _etag(_member(entry, "response", "etag")),
        _past(_member(entry, "response", "lastModified")),
    )
    if isinstance(resource, dict) and not deleted:
        if resource.get("resourceType") == "OperationOutcome":
            return None
        meta = resource.get("meta")
        if isinstance(meta, dict):
            version = shown(meta["versionId"], 64) if isinstance(meta.get("versionId"), str) else version
            updated = _past(meta.get("lastUpdated")) or updated
        return Change(
            str(resource.get("resourceType")), str(resource.get("id", "")), resource, version, updated
        )
    if not deleted:
        return None
    for address in (entry.get("fullUrl"), _member(entry, "request", "url")):
        path = str(address or "").partition("?")[0].partition("/_history")[0].split("/")
        if len(path) >= 2 and path[-2] == kind and is_id(path[-1]):
            return Change(kind, path[-1], None, version, updated)
    return None


def _member(value: dict[str, Any], *names: str) -> Any:
    found: Any = value
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _etag(value: Any) -> str:
    return shown(value.strip().removeprefix("W/").strip('"'), 64) if isinstance(value, str) else ""


def _time(value: Any) -> datetime | None:
    """The moment in a FHIR instant; None when it is none, or has no place in the calendar of UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _past(value: Any) -> datetime | None:
    """As `_time`, for when a version came; None when that is still to come."""
    found = _time(value)
    return found if found is not None and found <= now() + _AHEAD else None


def _moment(bundle: Resource, answer: Answer, before: datetime) -> str:
    """The server's time of a page as it wrote it: of the Bundle, else a little before that of the answer, else a little
    before we asked. That last one too when its clock is ahead of ours: were it set right, what came meanwhile would
    never be asked for."""
    said = _member(bundle, "meta", "lastUpdated")
    moment = _time(said)
    if moment is not None and moment <= now():
        return str(said)
    if moment is None:
        with suppress(ValueError, TypeError, KeyError):
            before = min(before, parsedate_to_datetime(answer.headers["date"]))
    return instant(before - _MARGIN)


def _wait(answer: Answer) -> float:
    """Seconds in Retry-After, which may be a number or a date; 0 without one."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), _LONGEST_WAIT))
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(value)
        return min(
            max((until.replace(tzinfo=until.tzinfo or UTC) - now()).total_seconds(), 0.0), _LONGEST_WAIT
        )
    return 0.0


def _said(answer: Answer) -> str:
    """What the OperationOutcome of an answer says, for who runs the node."""
    with suppress(Invalid):
        issues = parse(answer.body).get("issue")
        for issue in issues if isinstance(issues, list) else ():
            text = _member(issue, "diagnostics") or _member(issue, "details", "text")
            if isinstance(text, str):
                return f" ({shown(text)})"
    return ""
