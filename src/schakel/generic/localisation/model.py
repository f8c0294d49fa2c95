"""What the index of localisation says, and what it needs of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schakel.facilities import FacilityAway
from schakel.kernel.outcomes import Upstream
from schakel.kernel.values import Bsn


class SealedPseudonym(Protocol):
    """What the index knows a patient by, once; never to be kept or logged."""

    @property
    def value(self) -> str: ...


class PatientTokens(Protocol):
    """Who makes them, each blinded anew. `recipient` and `scope` are part of the pseudonym: what was registered under
    others is not found."""

    @property
    def recipient(self) -> str: ...
    @property
    def scope(self) -> str: ...

    async def token(self, patient: Bsn) -> SealedPseudonym:
        """Raises `Upstream`, `FacilityAway` when it could not be made now."""
        ...


class NviRefused(Upstream):
    """The index does not take what we ask: asking again does not help. `why` is what it said."""

    def __init__(self, facility: str, why: str) -> None:
        super().__init__(f"{facility} refused: {why}", code="nvi-refused", cause=why)
        self.why = why


class NviUnclear(FacilityAway):
    """The index refused a pseudonym twice. That is what it answers too when a part of itself is away, so that nothing
    is known; asking again later may help."""


@dataclass(frozen=True, slots=True)
class Record:
    """One localisation record: provider `ura` has data of the patient, as its software `source` says. `category` is ''
    when the index does not tell it, and so is `registered` (a FHIR instant)."""

    id: str
    ura: str
    source: str
    category: str = ""
    registered: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The records of an answer, and those that name no provider or have no id: they stand for somebody whom we cannot
    name. `unreadable` says of each which it is and what is missing."""

    records: tuple[Record, ...]
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Located:
    """A care provider that has data of a patient: URA, the software that registered it, and since when ('' when the
    index does not say)."""

    ura: str
    source: str
    registered: str
