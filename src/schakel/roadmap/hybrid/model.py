"""The values of the inventory: building blocks, care pathways of organisations, and the people in them.

Sources: the working definition of hybrid care of Zilveren Kruis (2025), the purchasing ambitions of the insurers (1a to
1d), and Nictiz's model of layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Literal

from schakel.roadmap.model import Text

Group = Literal["basic", "care"]
"""Basic functions (information, self-management, logistics), or functions of care and treatment."""

Suitability = Literal["yes", "no", "undecided"]
LayerState = Literal["done", "started", "not-started", "not-told"]
Choice = Literal["apply", "explain", ""]

SUITABILITIES: Mapping[Suitability, Text] = {
    "yes": Text("Geschikt", "Suitable"),
    "no": Text("Niet geschikt", "Not suitable"),
    "undecided": Text("Nog niet besloten", "Not decided yet"),
}
LAYERS: Mapping[str, Text] = {
    "policy": Text(
        "Beleid: wie beslist, welk contract, welke fysieke zorg minder wordt",
        "Policy: who decides, which contract, which physical care becomes less",
    ),
    "process": Text(
        "Zorgproces: protocol, rollen, bereikbaarheid, wie wel en wie niet",
        "Care process: protocol, roles, hours, who is in and who is not",
    ),
    "information": Text(
        "Informatie: zibs, vragenlijsten, codes, wat terugkomt in welk dossier",
        "Information: zibs, questionnaires, codes, what returns to which record",
    ),
    "application": Text(
        "Applicatie: welke app, één keer inloggen, PGO", "Application: which app, single sign-on, PGO"
    ),
    "infrastructure": Text(
        "IT-infrastructuur: aansluitingen, apparaten, capaciteit",
        "IT infrastructure: connections, devices, capacity",
    ),
    "security": Text("Beveiliging: NEN 7510, 7512 en 7513, DPIA", "Security: NEN 7510, 7512 and 7513, DPIA"),
    "law": Text(
        "Wet: WGBO, toestemming, medisch hulpmiddel (MDR), AI-verordening, bekostiging",
        "Law: WGBO, consent, medical device (MDR), AI Act, funding",
    ),
}
"""The seven layers on which a pathway is made hybrid (item HYB-1, step S3)."""

LAYER_STATES: Mapping[LayerState, Text] = {
    "done": Text("Geregeld", "Done"),
    "started": Text("Begonnen", "Started"),
    "not-started": Text("Niet begonnen", "Not started"),
    "not-told": Text("Niet bekend", "Not known"),
}
EXCLUSIONS: Mapping[str, Text] = {
    "frailty": Text("Kwetsbaarheid", "Frailty"),
    "no-device": Text("Geen geschikt apparaat of internet", "No suitable device or internet"),
    "language": Text("Taal of digitale vaardigheid", "Language or digital skill"),
    "own-choice": Text("Eigen keuze", "Own choice"),
    "other": Text("Andere reden", "Another reason"),
}
"""Why someone gets physical care instead. That care stays available (ambitions 1b and 1c), and the reason is kept."""

ENDINGS: Mapping[str, Text] = {
    "completed": Text("Klaar", "Completed"),
    "dropped-out": Text("Gestopt met de digitale zorg", "Stopped with the digital care"),
    "to-physical": Text("Over naar fysieke zorg", "Went over to physical care"),
    "other": Text("Andere reden", "Another reason"),
}
"""Why someone's part in a pathway ended."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a pathway that can be digitised. `monitoring` says that people are followed from a distance by it."""

    code: str
    group: Group
    title: Text
    about: Text
    monitoring: bool = False


@dataclass(frozen=True)
class Blocks:
    """A list of building blocks; a region may replace it. `open` is what the sources leave open about it."""

    version: str
    title: Text
    blocks: tuple[Block, ...]
    open: tuple[Text, ...] = ()

    @cached_property
    def by_code(self) -> Mapping[str, Block]:
        """The blocks by code."""
        return {block.code: block for block in self.blocks}


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a pathway suits hybrid care. When it is undecided, `by` names with whom that lies, and `on` is since
    when; otherwise who decided, and when."""

    suitability: Suitability
    by: str
    on: date
    reason: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it was written down: when, and by which account."""

    decision: Decision
    at: datetime
    account: str


@dataclass(frozen=True, slots=True)
class Digitised:
    """A block that a pathway has digitised: since when (None when that is not told), and what shows it."""

    code: str
    since: date | None
    source: str


@dataclass(frozen=True, slots=True)
class Digizo:
    """The entry of the national list 'Pas toe of leg uit' for a pathway, and whether it is applied, or why not."""

    reference: str = ""
    choice: Choice = ""
    reason: str = ""


@dataclass(frozen=True)
class Pathway:
    """A care pathway of the organisation `ura`.

    `excludes` are the reasons (of `EXCLUSIONS`) for which the pathway does not count people as eligible; with other
    reasons they stay in the count. `zmsc` names the medical service centre that it goes through, '' for none.

    By two rules people are counted from the record of the organisation: `indication` has the codes of a Condition that
    makes someone eligible (`system|code`), `plan` what a CarePlan of the pathway follows (the canonical of a
    PlanDefinition, or a category as `system|code`). Without both it cannot be counted so.
    """

    id: str
    ura: str
    name: str
    sector: str
    specialism: str
    condition: str
    decision: Decision
    digitised: tuple[Digitised, ...]
    layers: Mapping[str, LayerState]
    digizo: Digizo
    intramural: bool
    zmsc: str
    excludes: frozenset[str]
    indication: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What names it in the region."""
        return self.ura, self.id


@dataclass(frozen=True, slots=True)
class Person:
    """Someone with an indication for a pathway (from, and until when: None for still), known by a pseudonym of the
    region alone. Until is inclusive everywhere.

    `exclusion` is why physical care is given instead, '' for no reason; `enrolled_from` is None for who does not take
    part; `last_event` is the day of the last digital event: a questionnaire, a measurement, a message, a video call;
    `earlier_events` has the last such day of each quarter before. `counted` is the year for which the record of the
    organisation was counted, '' for a row that somebody sent.
    """

    ura: str
    pathway: str
    pseudonym: str
    eligible_from: date
    eligible_until: date | None = None
    exclusion: str = ""
    enrolled_from: date | None = None
    enrolled_until: date | None = None
    last_event: date | None = None
    ended_reason: str = ""
    earlier_events: tuple[date, ...] = ()
    counted: str = ""

    @property
    def of(self) -> tuple[str, str]:
        """The key of the pathway."""
        return self.ura, self.pathway


@dataclass(frozen=True, slots=True)
class BlockList:
    """A list of building blocks with when it was in force: from `since`, None for from the start, to `until`, None for
    still. `account` brought it; the one that comes with the program has the number 0 and nobody who brought it."""

    number: int
    blocks: Blocks
    since: datetime | None
    until: datetime | None
    account: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded of a pathway at a moment: the blocks digitised, read by the list of the version `list`, and the
    rules by which people are counted. `account` is '' when it is not known."""

    at: datetime
    account: str
    list: str
    digitised: tuple[Digitised, ...]
    indication: tuple[str, ...]
    plan: tuple[str, ...]
    excludes: frozenset[str]


@dataclass(frozen=True, slots=True)
class CountMade:
    """The last count of the record for a pathway and a year; `older` says that its rules were changed since."""

    year: str
    people: int
    at: datetime
    account: str
    older: bool
