"""Places in a resource, kept as linked steps and written out only for an issue."""

from __future__ import annotations

from typing import Any

At = tuple[Any, str, int | None]
"""A place: the place of the parent (or None), the element's name, its index in an array."""


def path_of(at: At) -> str:
    """The place as FHIRPath, such as `Patient.name[0].given`."""
    steps: list[str] = []
    place: At | None = at
    while place is not None:
        place, name, index = place
        steps.append(name if index is None else f"{name}[{index}]")
    return ".".join(reversed(steps))


def definition_path(at: At, resource: At, type_name: str) -> str:
    """The place below the resource at `resource`, of this type, as a path of definitions: `Patient.name.given`."""
    steps: list[str] = []
    place: At = at
    while place is not resource:
        steps.append(place[1])
        place = place[0]
    return ".".join([type_name, *reversed(steps)])
