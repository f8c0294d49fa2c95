"""What a login service holds for a while: requests under way, codes, tokens. In memory; a restart forgets it."""

from __future__ import annotations

import secrets
import time
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Values under a random name, for a time, each taken once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held: dict[str, tuple[float, T]] = {}

    def put(self, value: T) -> str:
        moment = time.monotonic()
        for name in [name for name, (until, _) in self._held.items() if until < moment]:
            del self._held[name]
        name = secrets.token_urlsafe(32)
        self._held[name] = moment + self._seconds, value
        return name

    def see(self, name: str) -> T | None:
        until, value = self._held.get(name, (0.0, None))
        return value if until > time.monotonic() else None

    def take(self, name: str) -> T | None:
        value = self.see(name)
        self._held.pop(name, None)
        return value
