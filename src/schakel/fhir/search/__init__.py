"""The search grammar: from a query string to a `Query` that says exactly what will run.

Entry point: `QueryParser`. Standard: FHIR search of STU3 and R4. Nothing is dropped in silence.
"""

from __future__ import annotations

from schakel.fhir.search.conditions import (
    KINDS,
    SearchLimits,
    component_parameters,
    implied_systems,
    supported,
)
from schakel.fhir.search.model import WILDCARD, Condition, During, Include, Pairs, Query, Sort, encode
from schakel.fhir.search.parser import Handling, QueryParser
from schakel.fhir.search.unions import parts_of
from schakel.fhir.search.values import (
    Amount,
    approximately,
    fold,
    in_base_units,
    number,
    pairs_of,
    quantity,
    split,
    split_or,
    split_prefix,
    token_parts,
    unescape,
)

__all__ = [
    "KINDS",
    "WILDCARD",
    "Amount",
    "Condition",
    "During",
    "Handling",
    "Include",
    "Pairs",
    "Query",
    "QueryParser",
    "SearchLimits",
    "Sort",
    "approximately",
    "component_parameters",
    "encode",
    "fold",
    "implied_systems",
    "in_base_units",
    "number",
    "pairs_of",
    "parts_of",
    "quantity",
    "split",
    "split_or",
    "split_prefix",
    "supported",
    "token_parts",
    "unescape",
]
