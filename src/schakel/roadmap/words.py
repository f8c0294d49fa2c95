"""How people are told: of each state a word, what it means, and a sign whose shape alone tells it from the others; the
words for on what ground a date stands and how sure it is.

One table of each for pages and reports alike, in the order in which they are told. What fails, what could not be
checked and what nobody checked are three things, and look like three things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schakel.roadmap.model import Certainty, Legal, Text
from schakel.roadmap.standing import Cell, State


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown. `sign` is one character; the class of its style is `state-` and the name of the state.
    `settled` says that nothing more is asked of the organisation as long as it stays so."""

    state: State
    word: Text
    meaning: Text
    sign: str
    settled: bool = False


STATES: Final[Mapping[State, Look]] = {
    look.state: look
    for look in (
        Look(
            "proved",
            Text("aangetoond", "proved"),
            Text(
                "Gemeten, en het was zo. De meting is nog niet verouderd.",
                "Measured, and it was so. The measurement has not grown old yet.",
            ),
            "✓",
            settled=True,
        ),
        Look(
            "declared",
            Text("verklaard", "declared"),
            Text(
                "De organisatie verklaart het met een document, en een tweede lezer heeft dat gezien.",
                "The organisation declares it with a document, and a second reader has seen that.",
            ),
            "◆",
            settled=True,
        ),
        Look(
            "partly",
            Text("deels", "partly"),
            Text(
                "Een deel is aangetoond of verklaard, een ander deel niet.",
                "A part is proved or declared, another part is not.",
            ),
            "◐",
        ),
        Look(
            "self-measured",
            Text("zelf gemeten", "measured by itself"),
            Text(
                "De organisatie heeft het zelf gemeten. Wie het bord bijhoudt heeft dat niet gedaan, of te lang "
                "geleden.",
                "The organisation measured it itself. Who keeps the board did not, or too long ago.",
            ),
            "△",
        ),
        Look(
            "stale",
            Text("verouderd", "stale"),
            Text(
                "Het was zo toen het voor het laatst is bekeken, maar dat is te lang geleden.",
                "It was so when it was last looked at, but that is too long ago.",
            ),
            "↻",
        ),
        Look(
            "unconfirmed",
            Text("niet bevestigd", "unconfirmed"),
            Text(
                "De organisatie verklaart het, maar er is nog geen tweede lezer.",
                "The organisation declares it, but there is no second reader yet.",
            ),
            "◇",
        ),
        Look(
            "unknown",
            Text("niet te controleren", "could not be checked"),
            Text(
                "De meting kon niet worden gedaan. Dat zegt niets over de organisatie.",
                "The measurement could not be done. That says nothing about the organisation.",
            ),
            "?",
        ),
        Look(
            "not-checked",
            Text("niet gemeten", "not checked"),
            Text(
                "Dit is te meten, maar dat is hier nog nooit gedaan.",
                "This can be measured, but that was never done here.",
            ),
            "○",
        ),
        Look(
            "not-declared",
            Text("niet verklaard", "not declared"),
            Text(
                "Alleen een verklaring kan dit vertellen, en die is er niet.",
                "Only a declaration can tell this, and there is none.",
            ),
            "□",
        ),
        Look(
            "fails",
            Text("niet in orde", "fails"),
            Text(
                "Gemeten of verklaard, en het is niet zo. De reden staat erbij.",
                "Measured or declared, and it is not so. The reason is given.",
            ),
            "✕",
        ),
        Look(
            "not-named",
            Text("niet genoemd", "not named"),
            Text(
                "De bronnen noemen dit voor andere sectoren. Of het hier geldt staat er niet, en er is hier niets over "
                "bekend.",
                "The sources name this for other sectors. Whether it holds here they do not say, and nothing is known "
                "of it here.",
            ),
            "…",
            settled=True,
        ),
        Look(
            "not-applicable",
            Text("niet van toepassing", "not applicable"),
            Text(
                "Dit is niet voor deze organisatie. De reden staat erbij.",
                "This is not for this organisation. The reason is given.",
            ),
            "–",
            settled=True,
        ),
    )
}


def settled(cell: Cell) -> bool:
    """Whether nothing more is asked of an organisation on an item, as long as it stays so: neither of the item as a
    whole nor of any of its steps."""
    return STATES[cell.state].settled or (
        bool(cell.steps) and all(STATES[one.state].settled for one in cell.steps)
    )


LEGALS: Final[Mapping[Legal, Text]] = {
    "law": Text("wet", "law"),
    "expected-law": Text("wet in voorbereiding", "law in preparation"),
    "agreement": Text("afspraak", "agreement"),
    "insurer-policy": Text("beleid van zorgverzekeraars", "policy of health insurers"),
    "advice": Text("advies, geen plicht", "advice, no duty"),
}

CERTAINTIES: Final[Mapping[Certainty, Text]] = {
    "in-force": Text("van kracht", "in force"),
    "done": Text("gebeurd", "done"),
    "expected": Text("verwacht", "expected"),
    "planned": Text("gepland", "planned"),
    "open": Text("niet bekend", "not known"),
}
