"""The trace of the request that is being answered: kept while it is answered, written in the log, given on.

Source: W3C Trace Context (`traceparent`, version 00). The correlation id is what the caller gave in `X-Correlation-ID`,
and else the trace id, so that what several organisations write of one question can be laid side by side.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from dataclasses import dataclass

TRACEPARENT = "traceparent"
CORRELATION = "X-Correlation-ID"

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
_CORRELATION = re.compile(r"[A-Za-z0-9._~:\-]{1,64}")


@dataclass(frozen=True, slots=True)
class Trace:
    """One request: `parent` is the caller's traceparent (or ours where it gave none)."""

    trace_id: str
    parent: str
    correlation: str

    def headers(self) -> dict[str, str]:
        """What a request of ours to another organisation carries; each has a span id of its own."""
        flags = self.parent[53:55]
        return {
            TRACEPARENT: f"00-{self.trace_id}-{os.urandom(8).hex()}-{flags}",
            CORRELATION: self.correlation,
        }


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def received(traceparent: str = "", correlation: str = "") -> Trace:
    """The trace of a request with these headers. What does not follow the standard is as if it were not there: the
    trace begins here."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or (traceparent.startswith("00-") and match[3]):
        trace_id = os.urandom(16).hex()
        parent = f"00-{trace_id}-{os.urandom(8).hex()}-00"
    else:
        trace_id, parent = match[1], traceparent[:55]
    return Trace(trace_id, parent, correlation if _CORRELATION.fullmatch(correlation) else trace_id)


def enter(trace: Trace) -> None:
    """From now on `trace` is that of this task and of those it starts."""
    _current.set(trace)


def current() -> Trace | None:
    """The trace of the request that is being answered, if one is."""
    return _current.get()


def outgoing() -> dict[str, str]:
    """The headers that a request of ours to another organisation carries on: none outside a request."""
    trace = _current.get()
    return trace.headers() if trace else {}
