"""One facility at more than one address: keys on another host than the service, an issuer whose endpoints lie apart."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from schakel.facilities.client import Answer, Facility, FacilityAway, FacilityRules, origin

_MOST = 8
"""Origins; who asks decides where, and no facility lies at more."""


class Facilities:
    """A `Facility` for each origin of the facility `name` that is asked, each with its own breaker. Made by `open`.

    Which addresses may be asked at all is decided by who asks.
    """

    def __init__(
        self, name: str, stack: AsyncExitStack, tls: ssl.SSLContext | None, rules: FacilityRules
    ) -> None:
        self.name = name
        self._stack = stack
        self._tls = tls
        self._rules = rules
        self._opened: dict[tuple[str, str, int | None], Facility] = {}
        self._opening = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, name: str, tls: ssl.SSLContext | None = None, rules: FacilityRules | None = None
    ) -> AsyncIterator[Facilities]:
        """The clients, with their connections until the end of the block; `tls` as for `Facility.open`."""
        async with AsyncExitStack() as stack:
            yield cls(name, stack, tls, rules or FacilityRules())

    async def send(
        self, method: str, address: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to one request, as `Facility.send`. Raises `FacilityAway`."""
        facility = await self._at(address)
        return await facility.send(method, address, body=body, headers=headers)

    async def _at(self, address: str) -> Facility:
        where = origin(address)
        if (known := self._opened.get(where)) is not None:
            return known
        scheme, host, port = where
        if scheme not in ("http", "https") or not host:
            raise FacilityAway(self.name, "an address that is none")
        async with self._opening:
            if where not in self._opened:
                if len(self._opened) >= _MOST:
                    raise FacilityAway(self.name, "too many addresses")
                base = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
                opened = Facility.open(self.name, base, self._tls, self._rules)
                self._opened[where] = await self._stack.enter_async_context(opened)
            return self._opened[where]
