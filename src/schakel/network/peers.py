"""HTTP to other organisations: pooled connections, time-outs, size limits, typed errors.

Every answer is read as FHIR JSON of the version that was asked; another version is refused, not guessed at.
"""

from __future__ import annotations

import json as plain_json
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
from yarl import URL

from schakel.facilities import origin
from schakel.facilities.reach import OutOfReachError, Reach
from schakel.fhir import definitions, json, structure
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.kernel import trace
from schakel.kernel.outcomes import Forbidden, Invalid, Upstream
from schakel.kernel.tls import client as system_tls
from schakel.network.proving import AccessToken, AnotherServerError, OfHolder, Proofs, ServerUras, wants_nonce

MAX_PAGE_BYTES = 10_000_000
MAX_RESOURCES = 50_000
"""Resources that one holder may send during one exchange."""

_MAX_ERROR_BYTES = 65_536
_RELEASES = {"stu3": "3.0", "r4": "4.0"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a holder that is FHIR JSON of the right version by its headers; `searchset` reads it.

    `decision` is the holder's id of its decision, if it gave one.
    """

    body: bytes
    decision: str = ""


@dataclass(slots=True)
class Allowance:
    """The bytes and the resources that one holder may still send during one exchange, over all its answers."""

    left: int
    resources: int = MAX_RESOURCES

    def spend(self, size: int) -> None:
        """Raises `Upstream` when that is more bytes than were left."""
        self.left -= size
        if self.left < 0:
            raise Upstream("the holder sends more than one exchange may bring")

    def take(self, number: int) -> None:
        """Raises `Upstream` when that is more resources than were left."""
        self.resources -= number
        if self.resources < 0:
            raise Upstream(f"the holder sends more resources than one exchange may bring: {MAX_RESOURCES}")


class PeerRefused(Forbidden):
    """The holder refused: `decision` is the id it gave."""

    def __init__(self, message: str, decision: str = "") -> None:
        super().__init__(message, code="peer-refused")
        self.decision = decision


class NonceWantedError(PeerRefused):
    """The token endpoint refused a proof for its nonce alone: the next proof will have the one that it gave."""


class PeerLate(Upstream):
    """No answer came within the time that there was."""


class Peers:
    """Connections to other organisations, kept open between requests. Close with `close`.

    Each holder has connections of its own, also where several share an address: a slow one takes none of
    another's. `tls` has our certificate and the authorities that we trust; with it every address must be https, as
    our certificate proves us nowhere else. None for the system's authorities, and no certificate.
    `shows_certificate` is whether there is one in it.

    Addresses come from directories and from the metadata of holders, so they lead no further than `reach` says. Those
    at the same scheme, host and port as one of `entered`, which the operator chose, lead where they lead; where `reach`
    has http on this machine, a document may be read so even with `tls`.

    With `proofs` tokens can be asked that are bound to our key. With `uras` nothing is sent to a server whose
    certificate is of another holder.
    """

    def __init__(
        self,
        *,
        timeout: float,
        per_holder: int = 30,
        tls: ssl.SSLContext | None = None,
        shows_certificate: bool = False,
        reach: Reach | None = None,
        entered: Iterable[str] = (),
        proofs: Proofs | None = None,
        uras: ServerUras | None = None,
    ) -> None:
        self.shows_certificate = shows_certificate
        self._tls = tls
        self._proofs = proofs
        self._uras = uras
        # Given with each request: the connector has the check of who answers, in the place of a context.
        self._context: ssl.SSLContext | bool = tls or (True if uras is None else system_tls(setting=""))
        self._reach = reach or Reach()
        self._entered = frozenset(origin(one) for one in entered)
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=min(timeout, 5))
        self._per_holder = per_holder
        self._sessions: dict[tuple[str, bool], aiohttp.ClientSession] = {}

    @property
    def proves(self) -> bool:
        """Whether tokens can be asked that are bound to our key."""
        return self._proofs is not None

    async def close(self) -> None:
        """Closes all connections."""
        for session in self._sessions.values():
            await session.close()

    def _client(self, ura: str, address: str, *, document: bool = False) -> aiohttp.ClientSession:
        """The connections to holder `ura` by which `address` may be asked. Raises `Upstream` when it may not."""
        entered = origin(address) in self._entered
        try:
            url = URL(address)
            local = self._reach.plain(url.host or "")
            open_to_http = (entered or local) if self._tls is None else (document and local)
            if url.scheme != "https" and not (url.scheme == "http" and open_to_http):
                raise Upstream("its address in the directory is not https", code="peer-not-https")
            if url.user is not None or url.password is not None:
                raise Upstream("its address has a name or a password in it", code="peer-address")
            if not entered:
                self._reach.check(url)
        except OutOfReachError as error:
            raise _out_of_reach(error) from None
        except ValueError:
            raise Upstream("its address cannot be read", code="peer-address") from None
        if (session := self._sessions.get((ura, entered))) is None:
            session = self._sessions[ura, entered] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._per_holder,
                    keepalive_timeout=30,
                    ssl=True if self._uras is None else OfHolder(self._uras, ura),
                    resolver=None if entered else self._reach.resolver(),
                    use_dns_cache=entered,
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        return session

    async def token(
        self, ura: str, endpoint: str, form: Mapping[str, str], *, prove: bool = False
    ) -> AccessToken:
        """An access token of holder `ura` for a token request; with `prove` (needs `proofs`) one that is bound to our
        key, when the server wants that too. Raises `NonceWantedError`, `PeerRefused` and `Upstream`."""
        proofs = self._proofs if prove else None
        headers = trace.outgoing() | (
            {"DPoP": proofs.proof(ura, "POST", endpoint)} if proofs is not None else {}
        )
        try:
            async with self._client(ura, endpoint).post(
                endpoint, data=form, headers=headers, allow_redirects=False, ssl=self._context
            ) as response:
                body = await _limited(response, _MAX_ERROR_BYTES, Allowance(_MAX_ERROR_BYTES))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _silent("the token endpoint gave no answer ", error) from error
        table = _object(body)
        learned = proofs is not None and proofs.learn(ura, endpoint, response.headers)
        if response.status in (400, 401, 403):
            word, text = table.get("error", ""), table.get("error_description", "")
            refused = NonceWantedError if learned and word == "use_dpop_nonce" else PeerRefused
            raise refused(_shown(f"no token: {word} {text}".strip(), 300))
        if response.status != 200:
            raise Upstream(f"the token endpoint answered {response.status}")
        token = table.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[A-Za-z0-9\-._~+/=]{1,4096}", token):
            raise Upstream("the token endpoint gave no usable token")
        kind = str(table.get("token_type", "")).lower()
        if kind == "dpop" and proofs is not None:
            return AccessToken(token, bound=True)
        if kind != "bearer":
            raise Upstream("the token endpoint gave a token that is no bearer token")
        return AccessToken(token)

    async def document(self, ura: str, url: str) -> dict[str, Any]:
        """The JSON object that holder `ura` publishes at `url`. Raises `Upstream`."""
        try:
            async with self._client(ura, url, document=True).get(
                url, headers=trace.outgoing(), allow_redirects=False, ssl=self._context
            ) as response:
                body = await _limited(response, _MAX_ERROR_BYTES, Allowance(_MAX_ERROR_BYTES))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _silent("its authorisation server gave no answer ", error) from error
        if response.status != 200:
            raise Upstream(f"its authorisation server answered {response.status}")
        return _object(body)

    async def get(
        self,
        ura: str,
        url: str,
        token: AccessToken,
        version: Version,
        request_id: str,
        allowance: Allowance,
        more: Mapping[str, str] | None = None,
    ) -> Reply:
        """One searchset page of holder `ura`, asked once more when the proof of a bound token lacked the holder's
        nonce; `more` are headers beside those of every question. Raises `PeerRefused`, `Invalid` (not what was asked)
        and `Upstream`."""
        headers = {
            **(more or {}),
            "Accept": "application/fhir+json",
            "X-Request-ID": request_id,
            **trace.outgoing(),
        }
        reply = await self._page(ura, url, token, version, headers, allowance)
        if reply is None:
            reply = await self._page(ura, url, token, version, headers, allowance)
        if reply is None:
            raise PeerRefused("refused with 401: it asks for a nonce again and again")
        return reply

    async def _page(
        self,
        ura: str,
        url: str,
        token: AccessToken,
        version: Version,
        headers: Mapping[str, str],
        allowance: Allowance,
    ) -> Reply | None:
        """As `get`, asked once; None when the holder wants a nonce, which the next proof will have."""
        headers = {**headers, **self._authorised(ura, url, token)}
        try:
            async with self._client(ura, url).get(
                url, headers=headers, allow_redirects=False, ssl=self._context
            ) as response:
                good = response.status == 200
                if good:
                    _check_media(response.headers.get("Content-Type", ""), version)
                body = await _limited(response, MAX_PAGE_BYTES if good else _MAX_ERROR_BYTES, allowance)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _silent("no answer ", error) from error
        if token.bound and self._proofs is not None:
            learned = self._proofs.learn(ura, url, response.headers)
            wanted = response.status == 401 and wants_nonce(response.headers.getall("WWW-Authenticate", ()))
            if learned and wanted:
                return None
        decision = _shown(response.headers.get("X-Decision-ID", ""), 64)
        if response.status in (401, 403):
            raise PeerRefused(f"refused with {response.status}: {_diagnostics(body)}", decision)
        if not good:
            raise Upstream(f"answered {response.status}: {_diagnostics(body)}")
        return Reply(body, decision)

    def _authorised(self, ura: str, url: str, token: AccessToken) -> dict[str, str]:
        """The headers that show a token, for a GET of `url`."""
        if not token.bound or self._proofs is None:
            return {"Authorization": f"Bearer {token.value}"}
        proof = self._proofs.proof(ura, "GET", url, token.value)
        return {"Authorization": f"DPoP {token.value}", "DPoP": proof}


def same_base(url: str, base: str) -> bool:
    """Whether `url` is below the FHIR base `base`: same scheme, host and port, path under it."""
    try:
        one, other = urlsplit(url), urlsplit(base)
    except ValueError:
        return False
    path = unquote(one.path)
    below = path.startswith(f"{other.path.rstrip('/')}/") and not {".", ".."} & set(re.split(r"[/\\]", path))
    return below and (one.scheme, one.netloc) == (other.scheme, other.netloc)


def searchset(body: bytes, version: Version, allowance: Allowance | None = None) -> Resource:
    """The searchset Bundle in an answer. Raises `Invalid`, and `Upstream` when it has more than `allowance` has left.

    The resources may be as lenient as the published test data need; the Bundle around them may not.
    """
    bundle = json.parse(body, max_depth=json.MAX_DEPTH + 8)  # The Bundle stands around the resources.
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "searchset":
        raise Invalid("the answer is no searchset Bundle")
    if allowance is not None and isinstance(entries := bundle.get("entry"), list):
        allowance.take(len(entries))  # Before the checks, which cost more than reading.
    known = definitions(version)
    issues = structure.check(bundle, known, lenient=True)
    errors = [issue for issue in issues if issue.severity == "error"]
    if not errors and issues:
        bare = [
            {k: v for k, v in e.items() if k != "resource"} or {"id": "e"} for e in bundle.get("entry", ())
        ]
        errors = structure.check({**bundle, "entry": bare} if bare else bundle, known)
    if errors:
        first = errors[0]
        raise Invalid(
            f"the answer does not follow FHIR {version.upper()}: {first.expression}: {first.message}",
            code="wrong-version",
        )
    return bundle


def _check_media(content_type: str, version: Version) -> None:
    media, *parameters = (p.strip().lower() for p in content_type.split(";"))
    if media not in ("application/fhir+json", "application/json", "application/json+fhir"):
        raise Invalid(f"the answer is {media[:60]!r}, not FHIR JSON")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "fhirversion" and value.strip('"').split(".")[:2] != _RELEASES[version].split("."):
            raise Invalid(
                f"the answer is FHIR {value[:20]}, asked was {_RELEASES[version]}", code="wrong-version"
            )


async def _limited(response: aiohttp.ClientResponse, most: int, allowance: Allowance) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(65_536):
        size += len(chunk)
        if size > most:
            raise Upstream(f"the answer is larger than {most} bytes")
        allowance.spend(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = plain_json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _diagnostics(body: bytes) -> str:
    issues = _object(body).get("issue")
    if isinstance(issues, list) and issues and isinstance(issues[0], dict):
        return _shown(str(issues[0].get("diagnostics", "")), 200)
    return ""


def _shown(text: str, most: int) -> str:
    """The start of a text of another party, without what cannot be printed."""
    return "".join(one for one in text[:most] if one.isprintable())


def _silent(what: str, error: Exception) -> Upstream:
    """What is raised when no answer came: `what`, and why in a word."""
    if isinstance(error, AnotherServerError):
        return Upstream(f"it is not asked: {error.why}", code="peer-another")
    if isinstance(error, TimeoutError):
        return PeerLate(f"{what}(time-out)")
    if isinstance(cause := error.__cause__, OutOfReachError):
        return _out_of_reach(cause)
    return Upstream(f"{what}({type(error).__name__})")


def _out_of_reach(error: OutOfReachError) -> Upstream:
    return Upstream(
        f"it may not be asked at its address: {error.why} (setting trust.private_networks names networks inside that "
        "may be)",
        code="peer-out-of-reach",
    )
