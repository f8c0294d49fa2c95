"""When to stop asking somebody who does not answer.

A breaker is closed (all requests go), open (none goes) or half open (one request tries). It opens after `failures`
without an answer in a row and lets one try again after `pause` seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

_log = structlog.get_logger("schakel.facilities")


class Breaker:
    """The breaker of the party `name`, which stands in technical logs."""

    def __init__(self, name: str, failures: int, pause: float) -> None:
        self._name = name
        self._most = failures
        self._pause = pause
        self._failed = 0
        self._until = 0.0
        self._trying = False

    @property
    def resting(self) -> bool:
        """Whether it is open: nothing is to be sent now."""
        return self._failed >= self._most and (time.monotonic() < self._until or self._trying)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around one request, whose end is told by `failed` or `answered`."""
        probe = self._failed >= self._most
        self._trying = self._trying or probe
        try:
            yield
        finally:
            if probe:
                self._trying = False

    def failed(self, why: str) -> None:
        """No answer came."""
        self._failed += 1
        if self._failed >= self._most:
            self._until = time.monotonic() + self._pause
            _log.warning("facility-resting", facility=self._name, cause=why, seconds=self._pause)

    def answered(self) -> None:
        """An answer came, whatever it said."""
        if self._failed >= self._most:
            _log.info("facility-back", facility=self._name)
        self._failed = 0
