"""The working definition of hybrid care, computed: at least one block of basic functions and at least one of care and
treatment is digitised.

Source: Zilveren Kruis, vision on hybrid care (policy 2025). It is provisional: a start, not full hybrid care.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from schakel.roadmap.hybrid.model import Blocks, Group, Pathway
from schakel.roadmap.model import Text

WORDS = Text(
    "Een zorgpad is hybride als er minstens één bouwsteen van de basisfuncties is gedigitaliseerd, en minstens één "
    "bouwsteen van zorg en behandeling.",
    "A pathway is hybrid when at least one building block of the basic functions is digitised, and at least one of "
    "care and treatment.",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a pathway is hybrid, by which blocks of each group, and why in words. `unlisted` are codes that it names
    and the list of blocks does not have: those do not count."""

    hybrid: bool
    basic: tuple[str, ...]
    care: tuple[str, ...]
    unlisted: tuple[str, ...]
    reason: Text


def verdict(pathway: Pathway, blocks: Blocks, on: date) -> Verdict:
    """How the definition judges a pathway on a day, by the blocks that are digitised by then."""
    known = blocks.by_code
    codes = {d.code for d in pathway.digitised if d.since is None or d.since <= on}

    def of(group: Group) -> tuple[str, ...]:
        return tuple(b.code for b in blocks.blocks if b.group == group and b.code in codes)

    basic, care = of("basic"), of("care")
    unlisted = tuple(sorted(codes - set(known)))
    return Verdict(bool(basic and care), basic, care, unlisted, _reason(basic, care))


def is_hybrid(pathway: Pathway, blocks: Blocks, on: date) -> bool:
    """Whether a pathway is hybrid on a day."""
    return verdict(pathway, blocks, on).hybrid


def _reason(basic: tuple[str, ...], care: tuple[str, ...]) -> Text:
    b, c = ", ".join(basic), ", ".join(care)
    if basic and care:
        return Text(
            f"Hybride: basisfuncties {b}; zorg en behandeling {c}.",
            f"Hybrid: basic functions {b}; care and treatment {c}.",
        )
    if basic:
        return Text(
            f"Niet hybride: alleen basisfuncties ({b}), geen bouwsteen van zorg en behandeling.",
            f"Not hybrid: only basic functions ({b}), no block of care and treatment.",
        )
    if care:
        return Text(
            f"Niet hybride: alleen zorg en behandeling ({c}), geen bouwsteen van de basisfuncties.",
            f"Not hybrid: only care and treatment ({c}), no block of the basic functions.",
        )
    return Text("Niet hybride: geen bouwsteen is gedigitaliseerd.", "Not hybrid: no block is digitised.")
