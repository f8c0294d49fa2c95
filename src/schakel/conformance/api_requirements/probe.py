"""What the checks ask an endpoint with: one client, every plain question asked once, and the shared documents.

Whatever gets no answer raises `Unseen`: that could not be checked, and says nothing about the endpoint.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from yarl import URL

from schakel.conformance.api_requirements.model import Finding, Verdict
from schakel.conformance.api_requirements.options import ApiOptions
from schakel.conformance.client import Client, Door, Headers, Request, Response, with_headers
from schakel.fhir import json
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, Upstream
from schakel.kernel.texts import Text

JSON, XML = "application/fhir+json", "application/fhir+xml"
_JSON_WANTED = f"{JSON}, application/json;q=0.9"
_SILENT = 2
_REDIRECTS = 5
_STRANGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading an answer ends in that has another form than any of its kind."""


class Unseen(Exception):
    """Something could not be looked at; `reason` says why and `evidence` where."""

    def __init__(self, nl: str, en: str, evidence: str) -> None:
        super().__init__(en)
        self.reason, self.evidence = Text(nl, en), evidence


def found(key: str, verdict: Verdict, nl: str, en: str, evidence: str) -> Finding:
    """A finding of this moment."""
    return Finding(key, verdict, Text(nl, en), evidence, now())


def holds(key: str, nl: str, en: str, evidence: str) -> Finding:
    """It was looked at, and it is so."""
    return found(key, Verdict.PASSED, nl, en, evidence)


def broken(key: str, nl: str, en: str, evidence: str) -> Finding:
    """It was looked at, and it is not so."""
    return found(key, Verdict.FAILED, nl, en, evidence)


def unknown(key: str, nl: str, en: str, evidence: str) -> Finding:
    """It could not be looked at, or not far enough to say."""
    return found(key, Verdict.UNKNOWN, nl, en, evidence)


def outside(key: str, nl: str, en: str, evidence: str) -> Finding:
    """There is nothing here that it is about."""
    return found(key, Verdict.NOT_APPLICABLE, nl, en, evidence)


class Probe:
    """Asks an endpoint; an async context manager. Raises `Invalid` for options that cannot be used."""

    def __init__(self, options: ApiOptions) -> None:
        self.options = options
        self.door = Door(options.url, options.headers)
        for name in ("docs", "openapi", "oauth"):
            given = getattr(options, name)
            if given and (urlsplit(given).scheme not in ("http", "https") or not urlsplit(given).hostname):
                raise Invalid(f"'{given}' is not an http(s) address", expression=name)
        self._client = Client(
            seconds=options.seconds,
            cacerts=options.cacerts,
            cert=options.cert,
            key=options.key,
            unpack=False,
        )
        reach = options.reach
        self._led = Client(
            seconds=options.seconds,
            cacerts=options.cacerts,
            cert=options.cert,
            key=options.key,
            unpack=False,
            resolver=None if reach is None else reach.resolver(),
        )
        self._named = {_host(one) for one in (options.url, options.docs, options.openapi, options.oauth)}
        self._asked: dict[tuple[str, str, Headers], asyncio.Future[Response]] = {}
        self._silent: Counter[str] = Counter()
        self._spoken: set[str] = set()

    async def __aenter__(self) -> Probe:
        await self._client.__aenter__()
        await self._led.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._client.__aexit__(*raised)
        await self._led.__aexit__(*raised)

    @property
    def base(self) -> str:
        """The base under test, without a slash at its end."""
        return self.door.root

    @property
    def metadata(self) -> str:
        """Where a FHIR endpoint has its CapabilityStatement."""
        return f"{self.base}/metadata"

    async def send(self, method: str, url: str, headers: Headers = (), body: bytes | None = None) -> Response:
        """Ask now. Raises `Unseen` when no answer comes; where two questions got none, no third is asked."""
        origin = urlsplit(url).netloc
        if self._silent[origin] >= _SILENT and origin not in self._spoken:
            raise Unseen("er kwam geen antwoord", "no answer came", url)
        if not any(name.lower() == "accept-encoding" for name, _ in headers):
            headers = (*headers, ("Accept-Encoding", "identity"))
        own, secret = with_headers(headers, self.door, url)
        try:
            answer = await self._for(url).send(Request(method, url, own, body, secret))
        except Upstream as error:
            self._silent[origin] += 1
            raise Unseen(
                f"er kwam geen antwoord: {error.message}", f"no answer came: {error.message}", url
            ) from None
        self._spoken.add(origin)
        return answer

    def _for(self, url: str) -> Client:
        """With what an address is asked: another than the tester named came from the peer, and leads no further than
        `reach`. Raises `Unseen`."""
        if _host(url) in self._named:
            return self._client
        if self.options.reach is not None:
            try:
                self.options.reach.check(URL(url))
            except (OSError, ValueError):
                raise Unseen("dit adres mogen wij niet vragen", "we may not ask this address", url) from None
        return self._led

    async def get(self, url: str, accept: str = "", method: str = "GET") -> Response:
        """The answer to a plain question, which is asked once in a run. Raises `Unseen`."""
        headers: Headers = (("Accept", accept),) if accept else ()
        key = (method, url, headers)
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(self.send(method, url, headers))
        return await self._asked[key]

    async def page(self, url: str) -> tuple[str, Response]:
        """The page at `url`, wherever that leads, and its address in the end. Raises `Unseen`."""
        for _ in range(_REDIRECTS):
            answer = await self.get(url, "text/html, */*;q=0.5")
            where = answer.header("Location")
            if answer.status not in (301, 302, 303, 307, 308) or not where:
                return url, answer
            url = urljoin(url, where)
        raise Unseen("het adres leidt steeds verder", "the address leads on and on", url)

    async def statement(self) -> Mapping[str, Any] | None:
        """The CapabilityStatement; None when the endpoint has none. Raises `Unseen`."""
        answer = await self.get(self.metadata, _JSON_WANTED)
        self.refuse_closed(answer, self.metadata)
        if answer.status != 200:
            return None
        try:
            resource = json.parse(unpacked(answer), max_depth=json.STORED_DEPTH)
        except Invalid:
            return None
        return resource if resource.get("resourceType") in ("CapabilityStatement", "Conformance") else None

    async def openapi(self) -> Mapping[str, Any] | None:
        """The OpenAPI document; None when the tester names none. Raises `Unseen`."""
        url = self.options.openapi
        if not url:
            return None
        answer = await self.get(url, "application/json, */*;q=0.1")
        self.refuse_closed(answer, url)
        try:
            document = (
                json.parse(unpacked(answer), max_depth=json.STORED_DEPTH) if answer.status == 200 else {}
            )
        except Invalid:
            document = {}
        if not str(document.get("openapi", "")).startswith("3.") or not isinstance(
            document.get("paths"), dict
        ):
            raise Unseen(
                f"hier staat geen OpenAPI 3 in JSON (antwoord {answer.status})",
                f"there is no OpenAPI 3 document in JSON here (answer {answer.status})",
                url,
            )
        return document

    @staticmethod
    def refuse_closed(answer: Response, url: str) -> None:
        """Raises `Unseen` for an answer that says who is asking may not know, or that the server is not well."""
        if answer.status in (401, 403):
            raise Unseen(
                f"de deur vraagt wie er is (antwoord {answer.status}); geef een token met --header",
                f"the door asks who is there (answer {answer.status}); give a token with --header",
                url,
            )
        if answer.status == 429 or answer.status >= 500:
            raise Unseen(
                f"de server kon nu niet antwoorden ({answer.status})",
                f"the server could not answer now ({answer.status})",
                url,
            )


def _host(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


@dataclass(frozen=True, slots=True)
class Check:
    """A check, and the keys that it says something about. What it cannot look at it says nothing else about."""

    keys: tuple[str, ...]
    run: Callable[[Probe], Awaitable[Sequence[Finding]]]

    async def findings(self, probe: Probe) -> Sequence[Finding]:
        """What was seen; every key is `UNKNOWN` when it could not be looked at."""
        try:
            return await self.run(probe)
        except Unseen as unseen:
            reason, evidence = unseen.reason, unseen.evidence
        except _STRANGE as error:
            told = type(error).__name__
            reason = Text(
                f"een antwoord heeft een vorm die niet te lezen is ({told})",
                f"an answer has a form that cannot be read ({told})",
            )
            evidence = probe.base
        return [Finding(key, Verdict.UNKNOWN, reason, evidence, now()) for key in self.keys]


def unpacked(answer: Response) -> bytes:
    """The body as it was before it was packed. Raises `Invalid` for a packing that does not open."""
    coding = (answer.header("Content-Encoding") or "identity").strip().lower()
    try:
        match coding:
            case "gzip" | "x-gzip":
                return _opened(answer.body, 31)
            case "deflate":
                # RFC 9110 section 8.4.1.2 means the zlib form; servers that send the bare form are read too.
                return _opened(answer.body, 15 if answer.body[:1] == b"\x78" else -15)
            case "identity":
                return answer.body
    except zlib.error as error:
        raise Invalid(f"the body does not open as {coding}: {error}") from None
    raise Invalid(f"the body is packed as {coding}, which was not asked")


_LARGEST = 64 * 1024 * 1024


def _opened(packed: bytes, window: int) -> bytes:
    opener = zlib.decompressobj(window)
    body = opener.decompress(packed, _LARGEST)
    if opener.unconsumed_tail or not opener.eof:
        raise Invalid("the packed body is cut off, or larger than 64 MiB")
    return body
