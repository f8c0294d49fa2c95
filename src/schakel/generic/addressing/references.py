"""References in a resource, written otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def renamed(value: Any, rename: Callable[[str], str]) -> Any:
    """`value` with each reference in it as `rename` gives it; the same object when that changes none."""
    if isinstance(value, list):
        items = [renamed(one, rename) for one in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not isinstance(value, dict):
        return value
    members = {
        name: rename(member) if name == "reference" and isinstance(member, str) else renamed(member, rename)
        for name, member in value.items()
    }
    return members if any(members[name] is not value[name] for name in value) else value
