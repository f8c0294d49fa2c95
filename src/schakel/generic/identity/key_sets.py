"""Public keys as others publish them (JWK Sets, RFC 7517): fetched when needed, kept for a while, renewed for a name
that is not among them. Which addresses may be asked is decided by who asks."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schakel.facilities import Facilities
from schakel.fhir.json import parse
from schakel.generic.identity.credentials.jwts import PublicKey, from_jwk
from schakel.kernel.outcomes import Invalid, Upstream

_MOST_KEYS = 100


class KeysWrong(Upstream):
    """What was published is no JWK Set, or the request for it was refused: nothing could be checked."""


@dataclass(frozen=True, slots=True)
class _Known:
    keys: tuple[tuple[str | None, PublicKey], ...]
    fetched: float

    def named(self, kid: str | None) -> tuple[PublicKey, ...]:
        return tuple(key for name, key in self.keys if kid is None or name == kid)


class KeySets:
    """JWK Sets by address. One is used for `seconds`, and fetched again before that at most once in `pause` seconds."""

    def __init__(self, wires: Facilities, seconds: float = 600.0, pause: float = 30.0) -> None:
        self._wires = wires
        self._seconds = seconds
        self._pause = pause
        self._known: dict[str, _Known] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def find(self, address: str, kid: str | None) -> tuple[PublicKey, ...]:
        """The keys at `address` with the name `kid`, or all when it is None; () when there is none.

        Raises `FacilityAway`, and `KeysWrong` for what is no JWK Set.
        """
        if (known := self._fresh(address, kid)) is None:
            async with self._asking[address]:
                if (known := self._fresh(address, kid)) is None:
                    known = self._known[address] = await self._fetched(address)
        return known.named(kid)

    def _fresh(self, address: str, kid: str | None) -> _Known | None:
        """What is known, when there is no need or no leave to fetch it again."""
        known = self._known.get(address)
        if known is None:
            return None
        age = time.monotonic() - known.fetched
        return (
            known if age < (self._seconds if known.named(kid) else min(self._pause, self._seconds)) else None
        )

    async def _fetched(self, address: str) -> _Known:
        answer = await self._wires.send("GET", address, headers={"Accept": "application/json"})
        if answer.status != 200:
            raise KeysWrong(
                f"the keys of {self._wires.name} could not be fetched",
                code="keys-wrong",
                cause=f"status {answer.status}",
            )
        try:
            members = parse(answer.body, max_depth=8).get("keys")
        except Invalid:
            members = None
        if not isinstance(members, list) or len(members) > _MOST_KEYS:
            raise KeysWrong(f"what {self._wires.name} publishes as its keys is no JWK Set", code="keys-wrong")
        keys = [(_name(jwk), key) for jwk in members if (key := from_jwk(jwk)) is not None]
        return _Known(tuple(keys), time.monotonic())


def _name(jwk: Mapping[str, Any]) -> str | None:
    kid = jwk.get("kid")
    return kid if isinstance(kid, str) else None
