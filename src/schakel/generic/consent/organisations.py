"""Kinds of care organisation, as the table that decides the data category of Mitz knows them.

Source: organisation types (code system 2.16.840.1.113883.2.4.15.1060) in the groups of the Mitz code annex; the
categories of data (gegevenscategorie) and of consulting providers (raadplegende zorgaanbiedercategorie) of Mitz.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schakel.generic.consent.model import ConsentRefused
from schakel.kernel.outcomes import Invalid

GROUPS: Mapping[str, frozenset[str]] = {
    group: frozenset(codes.split())
    for group, codes in {
        "gp": "H1 K3 N6 Z3",
        "pharmacy": "A1 J8 K9",
        "hospital": "AMB B3 BRA DIA G3 GC JZ P4 PM13 PM14 PM15 R8 SC TD V4 V5 V6 V7 Z4 Z6 Z7 Z8 Z9 Z10 Z12 Z14 Z15 "
        "Z16 Z17 Z18 Z19 Z20 Z21 Z22 Z23 Z25 Z26",
        "nursing": "G6 H2 IN2 IN3 IN5 IN7 IN9 IN10 IN11 IN13 IN15 K4 M1 R5 T2 X3",
        "laboratory": "B1 B2 L1 Z5",
        "mental": "G5 G7 G8",
        "other": "B4 C3 F1 G1 G9 JGZ P6 PM3 PM4 PM6 PM7 PM8 PM9 PM10 PM11 PM12 TA1 TA2 TA3 TA4 TA5 TA6 Z27 ZG",
    }.items()
}
"""The types of organisation by group."""

TREATMENT = "GGC002"
"""Treatment data; a choice for it covers the other categories."""

_CATEGORY_OF_GROUP = {"gp": TREATMENT, "hospital": TREATMENT, "laboratory": "GGC012", "pharmacy": "GGC013"}
_SOURCE = "Mitz code annex: data categories by kind of holder"

_PROVIDER_CATEGORY_OF_GROUP = {
    "gp": "RPZAC001",
    "mental": "RPZAC003",
    "nursing": "RPZAC004",
    "pharmacy": "RPZAC005",
    "other": "RPZAC103",
    "hospital": "RPZAC104",
    "laboratory": "RPZAC104",
}

_TYPE = re.compile(r"[A-Z][A-Z0-9]{0,7}")
CATEGORY = re.compile(r"GGC[0-9]{3}")
PROVIDER_CATEGORY = re.compile(r"RPZAC[0-9]{3}")


def group_of(type_code: str) -> str:
    """The group of an organisation type, '' when it has none."""
    return next((group for group, codes in GROUPS.items() if type_code in codes), "")


def provider_category(type_code: str) -> str:
    """The category of consulting providers of an organisation type, '' when it has none."""
    return _PROVIDER_CATEGORY_OF_GROUP.get(group_of(type_code), "")


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A holder of this type keeps data of this category; `source` says who decided that."""

    type_code: str
    category: str
    source: str


class Categories:
    """Which categories of data a holder keeps, by its type: the public table and what the operator added."""

    def __init__(self, added: Iterable[CategoryRow] = ()) -> None:
        rows = [
            CategoryRow(code, category, _SOURCE)
            for group, category in _CATEGORY_OF_GROUP.items()
            for code in sorted(GROUPS[group])
        ]
        public = {row.type_code for row in rows}
        for row in added:
            _check(row, public)
            rows.append(row)
        self.rows = tuple(rows)

    def of(self, type_code: str) -> tuple[str, ...]:
        """The categories of a holder of this type, at least one. Raises `ConsentRefused` for a type without a row:
        there is no default."""
        found = tuple(sorted({row.category for row in self.rows if row.type_code == type_code}))
        if not found:
            raise ConsentRefused(
                "mitz-category-unknown",
                f"no data category of Mitz is known for a holder of type {type_code or '(none)'}: "
                "give the organisation its type_code, or add a row with its source (setting mitz.categories)",
            )
        return found


def _check(row: CategoryRow, public: set[str]) -> None:
    if not _TYPE.fullmatch(row.type_code):
        raise Invalid(f"mitz.categories: {row.type_code[:20]!r} is not an organisation type such as G5")
    if row.type_code in public:
        raise Invalid(f"mitz.categories: type {row.type_code} has a row in the public table, which stands")
    if not CATEGORY.fullmatch(row.category):
        raise Invalid(f"mitz.categories: {row.category[:20]!r} is not a data category such as GGC002")
    if not row.source.strip():
        raise Invalid(f"mitz.categories: the row of {row.type_code} does not say its source")
