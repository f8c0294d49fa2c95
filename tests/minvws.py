"""What tests of the ministry's services share: a connection with a certificate, without TLS under it.

app = showing(facility, issued.pem)
async with asking(app, "https://nvi.example.org") as client: ...
"""

from __future__ import annotations

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.certificates import Authority, Issued, new_key

OIN, CN = "00000099000000002000", "ehr.example.org"
"""The client of the recordings."""


def client_certificate(authority: Authority, oin: str = OIN, name: str = CN, bits: int = 0) -> Issued:
    """A certificate in the manner of PKIoverheid: the OIN is the serialNumber of its subject."""
    return authority.issue(name, hosts=(name,), serial_number=oin, key=new_key(bits))


def showing(app: ASGIApp, pem: str | None) -> ASGIApp:
    """The application as a client with this certificate (or with none) finds it."""

    async def shown(scope: Scope, receive: Receive, send: Send) -> None:
        chain = [pem] if pem else []
        extensions = {**scope.get("extensions", {}), "tls": {"client_cert_chain": chain}}
        await app({**scope, "extensions": extensions}, receive, send)

    return shown


def asking(app: ASGIApp, base: str) -> httpx.AsyncClient:
    """A client of the application."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)
