"""What is known about an organisation: what a check found, and what a person declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from schakel.roadmap.model import Text

Verdict = Literal["holds", "fails", "unknown", "not-applicable"]
"""What a check found. `unknown` is that it could not be checked: that says nothing about the organisation."""

Claim = Literal["done", "not-applicable", "not-done"]


@dataclass(frozen=True, slots=True)
class Member:
    """An organisation of the region. `sector` is a code of the roadmap, `kind` its type as people call it."""

    ura: str
    name: str
    sector: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found at one organisation.

    `reason` is for people, in both languages, and names what was seen; `detail` is for the engineer (an address, an
    error as it was), never anything personal. `facts` are figures by name. `until` is the moment at which it is known
    to stop being so, such as the end of a certificate.
    """

    check: str
    verdict: Verdict
    reason: Text
    detail: str = ""
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A finding about the organisation `ura`, with when it was found, in which run and by whom. `last_true` is the last
    time this check held there, this time included; None when it never did.

    `own` says that the organisation said it of itself. `beside` is what was found otherwise and does not count: by
    the organisation itself when a keeper of the board found this, and the other way round (`weighing`).
    """

    id: str
    ura: str
    finding: Finding
    at: datetime
    run: str
    by: str
    last_true: datetime | None
    own: bool = False
    beside: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """What someone declared about one step at one organisation.

    `document` names what shows it, `link` where that lies ('' when it is not to be read here). It counts when a second
    reader has seen it (`seen_by` another than `declared_by`), until `until`. `owner` answers for the step. `account` is
    what the identity provider calls who declared it, '' when it came without a login.
    """

    id: str
    ura: str
    step: str
    claim: Claim
    reason: str
    document: str
    link: str
    owner: str
    on: date
    declared_by: str
    declared_at: datetime
    until: date
    seen_by: str = ""
    seen_at: datetime | None = None
    withdrawn_at: datetime | None = None
    withdrawn_by: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A finding at the organisation `ura`, and when it was found."""

    ura: str
    finding: Finding
    at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """One time that a region was measured: who are in it, and what was found. `by` names who ran it, `roadmap` is the
    version of the roadmap that said what to check."""

    id: str
    region: str
    roadmap: str
    by: str
    started: datetime
    finished: datetime
    members: tuple[Member, ...]
    measured: tuple[Measured, ...]
