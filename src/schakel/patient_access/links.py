"""Addresses in what goes out: those of this organisation lead below the door at which was asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource

_BINARY = re.compile(r"Binary/[A-Za-z0-9\-.]{1,64}(?:/_history/[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Links:
    """Rewrites the FHIR bases of one organisation (`own_bases`, those of `version`) to `base`, so that a token for
    `base` opens them. An attachment with a relative address of a Binary gets the whole one, as a reader of an
    attachment has no FHIR base."""

    base: str
    version: Version
    own_bases: Sequence[str]

    def rewritten(self, resource: Resource) -> Resource:
        """The resource with its addresses rewritten; the argument itself is not changed."""
        bases = tuple(f"{b}/" for b in self.own_bases if b.endswith(f"/{self.version}"))
        changed: Resource = self._value(resource, bases, "")
        return changed

    def _value(self, value: Any, bases: tuple[str, ...], name: str) -> Any:
        if isinstance(value, str):
            if name == "url" and _BINARY.fullmatch(value):
                return f"{self.base}/{value}"
            if value.startswith(bases):
                start = next(b for b in bases if value.startswith(b))
                return f"{self.base}/{value.removeprefix(start)}"
            return value
        if isinstance(value, dict):
            return {key: self._value(member, bases, key) for key, member in value.items()}
        if isinstance(value, list):
            return [self._value(member, bases, name) for member in value]
        return value
