"""Who is on the other side of a connection: the one place that believes a certificate, and the one that makes a
`Caller`.

`peers_known` stands before every listener's routes. It takes away all headers in which a proxy might tell of a client
certificate, so that no handler can believe one that its caller wrote itself; on *back* it reads the certificate first
(from TLS, or from the header when the connection comes from a named proxy), has it judged, and lets nobody in without
one. It also settles the id of the request, which the answer carries, and its trace.

Source: RFC 8705 sections 2 and 6, RFC 9440 section 4 (headers taken away), W3C Trace Context.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schakel.generic.identity import Caller, PeerCertificate
from schakel.http.connections import CHAIN
from schakel.http.errors import refused
from schakel.http.judging import Verdicts
from schakel.http.shown import CLIENT_CERT, CLIENT_CERT_CHAIN, Chain, from_headers
from schakel.kernel import trace
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Unauthenticated

CERTIFICATE = "schakel.certificate"
_REQUEST_ID = "schakel.request_id"
_TRACE = "schakel.trace"
_ADDRESS = "schakel.address"
_TOLD = frozenset({CLIENT_CERT, CLIENT_CERT_CHAIN, "x-forwarded-tls-client-cert", "x-forwarded-client-cert"})
"""Headers in which well-known proxies tell of a client certificate."""

_PASSED = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
)
"""Headers that proxies add to what they pass on."""

_ID = re.compile(rb"[!-~]{1,128}")
"""X-Request-ID: one word. What is not gets an id of our own."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The machines that end TLS before us, and the headers (lower case) in which they tell whom they met: `header` has
    the certificate, `address` the address, '' when that is not told."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    header: str
    address: str = ""

    def named(self, address: str) -> bool:
        """Whether a connection from `address` is from one of them."""
        return within(address, self.networks)


def within(address: str, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    """Whether an address lies in one of these networks; one that cannot be read lies in none."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)


def peers_known(
    app: ASGIApp,
    *,
    proxies: Proxies | None = None,
    header: str = "",
    verdicts: Verdicts | None = None,
    before: Proxies | None = None,
) -> ASGIApp:
    """`app` behind the rules of this module.

    `header` is the name that any listener of this node takes such a header by: it is taken away here too. `before` are
    the proxies whose word for an address is taken (the same on every listener). With
    `verdicts` (on back) nobody comes in without a certificate that may be believed, but to ask for health.
    """
    taken = frozenset(name.encode() for name in {*_TOLD, header, proxies.header if proxies else ""} - {""})

    async def known(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        told = [pair for pair in scope["headers"] if pair[0] in taken]
        if told:
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in taken]
        found = dict(scope["headers"])
        asked = found.get(b"x-request-id", b"")
        request_id = scope[_REQUEST_ID] = asked.decode() if _ID.fullmatch(asked) else new_id()
        given = request_id.encode()
        if before is not None and before.address:
            scope[_ADDRESS] = _address(scope, before)
        traced = (found.get(name, b"").decode("latin-1") for name in (b"traceparent", b"x-correlation-id"))
        scope[_TRACE] = trace.received(*traced)
        trace.enter(scope[_TRACE])

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", given)]
            await send(message)

        if verdicts is not None and not scope["path"].startswith("/health/"):
            try:
                scope[CERTIFICATE] = await verdicts.believed(_shown(scope, proxies, told))
            except Exception as error:
                await refused(Request(scope, receive), error)(scope, receive, with_id)
                return
        await app(scope, receive, with_id)

    return known


def certificate(request: Request) -> PeerCertificate | None:
    """The certificate that this request's sender proved to hold; on back always there, elsewhere never."""
    found: PeerCertificate | None = request.scope.get(CERTIFICATE)
    return found


def tls_chain(request: Request) -> Chain:
    """The certificates that TLS verified on this connection, not judged any further; () when there are none."""
    found: Chain = request.scope.get(CHAIN, ())
    return found


def caller(request: Request, url: str) -> Caller:
    """What this listener knows of a request; `url` is its own address as others see it, without the path."""
    scope = request.scope
    return Caller(
        method=request.method,
        url=f"{url}{scope['raw_path'].decode('ascii', 'replace')}",
        authorization=tuple(request.headers.getlist("authorization")),
        dpop=tuple(request.headers.getlist("dpop")),
        certificate=certificate(request),
        network_address=network_address(request),
        request_id=scope.get(_REQUEST_ID, ""),
        traceparent=traced.parent if (traced := scope.get(_TRACE)) else "",
    )


def network_address(request: Request) -> str:
    """Where the request came from, or '' when that is not known; as the proxy says, when it says so."""
    told: str = request.scope.get(_ADDRESS, "")
    return told or (request.client.host if request.client else "")


def sure_address(request: Request) -> str:
    """Where the request came from, when that can be relied on, else '': behind a proxy that is not believed everybody
    has the address of the proxy."""
    if not request.scope.get(_ADDRESS) and _PASSED & set(request.headers.keys()):
        return ""
    return network_address(request)


def _address(scope: Scope, proxies: Proxies) -> str:
    """The address from which a request came to the outermost of our proxies: each adds the one that it saw behind those
    that were there, so the last that is no proxy's counts. '' when the connection is from no proxy, or the header says
    nothing of use."""
    client = scope.get("client")
    if client is None or not proxies.named(client[0]):
        return ""
    name = proxies.address.encode()
    told = b",".join(value for key, value in scope["headers"] if key == name).decode("latin-1")
    for one in reversed([part.strip() for part in told.split(",")]):
        try:
            address = str(ip_address(one))
        except ValueError:
            return ""
        if not proxies.named(address):
            return address
    return ""


def _shown(scope: Scope, proxies: Proxies | None, told: Sequence[tuple[bytes, bytes]]) -> Chain:
    """The certificate of the client: from the header when a named proxy made the connection, whose own certificate
    then says nothing of the client, else from TLS. Raises `Unauthenticated` without one, `Invalid` for a header."""
    client = scope.get("client")
    if proxies is not None and client is not None and proxies.named(client[0]):
        chain = from_headers(
            proxies.header,
            [value for name, value in told if name == proxies.header.encode()],
            [value for name, value in told if name == CLIENT_CERT_CHAIN.encode()],
        )
    else:
        chain = scope.get(CHAIN, ())
    if not chain:
        raise Unauthenticated("a client certificate is needed here", code="certificate-missing")
    return chain
