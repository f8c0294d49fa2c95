"""What every answer says to browsers and proxies: guess no content, show it in no frame, and over TLS nothing else.

Source: the NCSC guidelines for web applications, which the Dutch API requirements SC002 and SC003 point at. A page that
says so itself, with a policy of its own, is left as it is. Behind a proxy that ends TLS, that proxy says
Strict-Transport-Security.
"""

from __future__ import annotations

from collections.abc import Iterable

Header = tuple[bytes, bytes]

_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_OVER_TLS: tuple[Header, ...] = (*_ALWAYS, (b"strict-transport-security", b"max-age=31536000"))
_NAMES = frozenset(name for name, _ in _OVER_TLS)


def closed(headers: Iterable[Header], scheme: str) -> list[Header]:
    """The headers of an answer, names in lower case as ASGI has them, with those of these that it lacks. Every answer
    comes by here, and few have one already: the common way is one pass that finds none."""
    wanted = _OVER_TLS if scheme == "https" else _ALWAYS
    for name, _ in headers:
        if name in _NAMES:
            there = {name for name, _ in headers}
            return [*headers, *(pair for pair in wanted if pair[0] not in there)]
    return [*headers, *wanted]
