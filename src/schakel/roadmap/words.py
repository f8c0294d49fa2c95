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
from schakel.roadmap.standing import State


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
                "Een deel van de stappen is aangetoond of verklaard, een ander deel niet.",
                "Some of the steps are proved or declared, others are not.",
            ),
            "◐",
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
