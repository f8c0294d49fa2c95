"""What the gateway needs of the generic functions and of its surroundings, as it needs it. `compose` supplies it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from schakel.fhir.definitions import Version
from schakel.generic.authorisation import (
    Delivery,
    Exchange,
    Facts,
    GroundKind,
    Judgement,
    Matrix,
    Row,
    Verdict,
)
from schakel.generic.consent import ConsentQuestion, Permission
from schakel.generic.identity import Caller, Grant
from schakel.generic.logging import Event
from schakel.server import Interaction, Possible, Request

DECISION = "X-Decision-ID"
"""The header with the id of the decision behind an answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request at a door, with what the listener knows of the caller."""

    request: Request
    caller: Caller = field(default_factory=lambda: Caller("GET", ""))


class Identification(Protocol):
    """Who asks: the authorisation server."""

    async def identify(self, caller: Caller) -> Grant:
        """What the caller's token says. Raises `Unauthenticated`; `TokenElsewhereError` when it is somebody else's."""
        ...


class Authorisation(Protocol):
    """May they: the compiled matrix. The same for every request; it asks nobody."""

    @property
    def digest(self) -> str:
        """The digest of its text."""
        ...

    @property
    def matrix(self) -> Matrix:
        """The matrix it was compiled from."""
        ...

    def exchange(self, exchange_id: str) -> Exchange:
        """The exchange that a row names."""
        ...

    def searches(self, exchange: str = "", version: Version | None = None) -> tuple[Row, ...]:
        """The rows of searches of an exchange."""
        ...

    def possible(self, version: Version) -> tuple[Possible, ...]:
        """What may at most be done with each resource type."""
        ...

    def judge(
        self, scopes: Collection[str], interaction: Interaction, delivery: Delivery | None = None
    ) -> Judgement:
        """The row that accepts a request, of a transaction with what it brings. Raises `Forbidden`, `NotAllowed` and
        `Invalid`, which name what is wrong."""
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


class Candidates(Protocol):
    """Among whose data a resource that names no patient is looked for. To be among them permits nothing."""

    async def given(self, token: str, patient: str, expires: datetime) -> None:
        """Keeps that data of this patient (BSN) is given under this token. Raises `Busy`."""
        ...

    async def of(self, requester: str, exchange: str, token: str) -> list[str]:
        """The BSNs, those of this token first. Raises `Busy`."""
        ...


class Log(Protocol):
    """The log: what cannot be written down is not done."""

    async def write(self, event: Event, decision: bytes = b"") -> str:
        """The id of the event, once it is durable together with its decision. Raises `Busy`."""
        ...


class Addresses(Protocol):
    """Where the data of other organisations are."""

    async def fhir_base(self, ura: str, version: Version) -> str:
        """The FHIR base of an organisation; '' when the directory does not say."""
        ...
