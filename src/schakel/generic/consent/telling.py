"""Who is told of a change in its own transaction, so that the change and what is told of it are both there or neither.

The log is told so: a ground that permits without a line in the log, and a line about nothing, are impossible.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from schakel.store.connection import Connection

T = TypeVar("T")

Told: TypeAlias = Callable[[Connection, T], Awaitable[object]]


async def told_of(connection: Connection, changed: T, told: Told[T] | None) -> T:
    """What was changed, after `told` was told of it."""
    if told is not None:
        await told(connection, changed)
    return changed
