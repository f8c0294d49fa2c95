"""Answers in steps: server-sent events (WHATWG HTML, section 9.2), for screens that need not wait for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from schakel.fhir.json import dump
from schakel.http.errors import problem
from schakel.http.negotiation import accepted, ranges

EVENTS = "text/event-stream"
_ALIVE_SECONDS = 10.0
"""After so long without an event a comment is sent, so that nobody in between takes the connection for dead."""


def wants_events(request: Request) -> bool:
    """Whether the caller asks for events by name, and likes them as much as JSON."""
    liked = {one.media: one.weight for one in ranges(accepted(request))}
    return liked.get(EVENTS, 0) > 0 and liked[EVENTS] >= liked.get("application/json", 0)


async def as_events(steps: AsyncGenerator[tuple[str, object], None]) -> Response:
    """The steps (name and content) as events, numbered from 1. What goes wrong before the first is raised; later it is
    an event `error` with the problem document, and the last one."""
    first = await anext(steps)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(first, steps), headers=headers, media_type=EVENTS)


async def _events(
    first: tuple[str, object], steps: AsyncGenerator[tuple[str, object], None]
) -> AsyncIterator[bytes]:
    number = 1
    async with aclosing(steps):
        yield _event(number, *first)
        following = asyncio.ensure_future(anext(steps))
        try:
            while True:
                done, _ = await asyncio.wait([following], timeout=_ALIVE_SECONDS)
                if not done:
                    yield b": alive\n\n"
                    continue
                number += 1
                yield _event(number, *following.result())
                following = asyncio.ensure_future(anext(steps))
        except StopAsyncIteration:
            return
        except Exception as error:
            number += 1
            yield b"event: error\nid: %d\ndata: %s\n\n" % (number, bytes(problem(error).body))
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def _event(number: int, name: str, content: object) -> bytes:
    return b"event: %s\nid: %d\ndata: %s\n\n" % (name.encode(), number, dump(content))
