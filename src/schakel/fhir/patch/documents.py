"""JSON values as trees: copying and measuring."""

from __future__ import annotations

from typing import Any


def copy_of(value: Any) -> Any:
    """A copy that shares no object or array with `value`; what cannot change (text, numbers) is shared."""
    if isinstance(value, dict):
        return {name: copy_of(member) for name, member in value.items()}
    if isinstance(value, list):
        return [copy_of(item) for item in value]
    return value


def measure(value: object) -> tuple[int, int]:
    """How many JSON values `value` consists of, and how many levels of objects and arrays it nests."""
    count, depth = 0, 0
    level: list[object] = [value]
    while level:
        count += len(level)
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if inner or any(isinstance(item, dict | list) for item in level):
            depth += 1
        level = inner
    return count, depth
