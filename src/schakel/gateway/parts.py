"""What the gateway needs of the generic functions and of its surroundings, as it needs it. `compose` supplies it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schakel.fhir.definitions import Version
from schakel.generic.authorisation import Facts, GroundKind, Judgement, Row, Verdict
from schakel.generic.consent import ConsentQuestion, Permission
from schakel.generic.identity import Caller, Grant
from schakel.generic.logging import Event
from schakel.server import Interaction, Request


@dataclass(frozen=True, slots=True)
class Call:
    """A request at a door, with what the listener knows of the caller."""

    request: Request
    caller: Caller = field(default_factory=lambda: Caller("GET", ""))


class Identification(Protocol):
    """Who asks: the authorisation server."""

    async def identify(self, caller: Caller) -> Grant:
        """What the caller's token says. Raises `Unauthenticated`."""
        ...


class Authorisation(Protocol):
    """May they: the compiled matrix. The same for every request; it asks nobody."""

    @property
    def digest(self) -> str: ...
    @property
    def rows(self) -> Mapping[str, Row]: ...

    def judge(self, scopes: Iterable[str], interaction: Interaction) -> Judgement:
        """The row that accepts a request. Raises `Forbidden` and `Invalid`, which name what is wrong."""
        ...

    def grounds(self, facts: Facts) -> frozenset[GroundKind]:
        """The kinds of ground that could suffice; none refuses."""
        ...

    def decide(self, facts: Facts, ground: GroundKind | None) -> Verdict:
        """The verdict on what is known, with the ground that was found, if one was."""
        ...


class Consent(Protocol):
    """Did the patient allow it, or is there another ground."""

    async def permit(self, question: ConsentQuestion) -> Permission:
        """Why it may be given. Raises `ConsentRefused`, and `FacilityAway` when nobody could say."""
        ...

    async def patients(self, requester: str, exchange: str) -> list[str]:
        """The BSNs of which this requester may have this exchange by a ground that was written down."""
        ...


class Log(Protocol):
    """The log: what cannot be written down is not done."""

    async def write(self, event: Event, decision: bytes = b"") -> str:
        """The id of the event, once it is durable together with its decision. Raises `Busy`."""
        ...


class Addresses(Protocol):
    """Where the data of other organisations are."""

    def fhir_base(self, ura: str, version: Version) -> str:
        """The FHIR base of an organisation; '' when the directory does not say."""
        ...
