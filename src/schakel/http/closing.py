"""What every answer says to browsers and proxies: guess no content, show it in no frame, and over TLS nothing else.

Source: the NCSC guidelines for web applications, which the Dutch API requirements SC002 and SC003 point at. A page that
says so itself, with a policy of its own, is left as it is. Behind a proxy that ends TLS, that proxy says
Strict-Transport-Security.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_OVER_TLS = (*_ALWAYS, (b"strict-transport-security", b"max-age=31536000"))


def closed(app: ASGIApp) -> ASGIApp:
    """`app` with these headers on each of its answers."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        wanted = _OVER_TLS if scope.get("scheme") == "https" else _ALWAYS

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                there = {name.lower() for name, _ in headers}
                added = [pair for pair in wanted if pair[0] not in there]
                message = {**message, "headers": [*headers, *added]}
            await send(message)

        await app(scope, receive, sent)

    return answer
