"""What an operation is to the server: one row for each, read by the parser and the CapabilityStatement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from schakel.fhir.definitions import VERSIONS, Version
from schakel.server.answer import Answer
from schakel.server.model import Interaction, Request

if TYPE_CHECKING:
    from schakel.server.service import FhirService, WriteRules

Level = Literal["system", "type", "instance"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation: what was asked, the FHIR base of the door, and who asks."""

    request: Request
    interaction: Interaction
    base: str
    caller: str


Run = Callable[["FhirService", Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What an operation takes: `type` is a FHIR data type or `Resource`; one that `repeats` may come more often."""

    name: str
    type: str
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: `name` without the dollar, on which levels and types (empty for all) it is, by which methods.

    `run` carries it out. One without `run` is a search in another form (`$lastn`): it is parsed as such, so that a
    door may judge it. `takes` are its parameters; one without takes `_format` alone in its query. `offered` says
    whether an organisation with these rules has it, for the CapabilityStatement; `run` refuses on its own.
    """

    name: str
    levels: frozenset[Level]
    methods: frozenset[str]
    definition: str
    run: Run | None = None
    types: frozenset[str] = frozenset()
    versions: frozenset[Version] = field(default=frozenset(VERSIONS))
    takes: tuple[Parameter, ...] = ()
    offered: Callable[[WriteRules], bool] = lambda rules: True

    def on(self, level: Level, version: Version, kind: str) -> bool:
        """Whether it is there on this level, for this type ('' for the system) of a version."""
        if level not in self.levels or version not in self.versions:
            return False
        return not self.types or not kind or kind in self.types
