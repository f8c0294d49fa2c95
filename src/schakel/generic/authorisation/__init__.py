"""Authorisation: which requests an exchange accepts and who may have what, as data that is compiled and asked.

Entry point: `Policy`: `judge` (which row accepts a parsed request), `grounds` (which kinds of ground could suffice) and
`decide` (may it be, on this ground). The matrix stands in `matrix/*.toml`. What is not in a row is refused.
"""

from pathlib import Path

from schakel.generic.authorisation.deliveries import Brought, Delivery
from schakel.generic.authorisation.forms import fits, judge, listed_form
from schakel.generic.authorisation.loading import bundled, with_own
from schakel.generic.authorisation.model import (
    ANY,
    Exchange,
    Facts,
    GroundKind,
    Judgement,
    Matrix,
    PatientNamed,
    Permit,
    Row,
    Verdict,
)
from schakel.generic.authorisation.policy import Policy
from schakel.generic.authorisation.possible import possible
from schakel.generic.authorisation.reasons import REASONS

__all__ = [
    "ANY",
    "REASONS",
    "ROWS",
    "Brought",
    "Delivery",
    "Exchange",
    "Facts",
    "GroundKind",
    "Judgement",
    "Matrix",
    "PatientNamed",
    "Permit",
    "Policy",
    "Row",
    "Verdict",
    "bundled",
    "fits",
    "judge",
    "listed_form",
    "policy_with",
    "possible",
]

ROWS: tuple[Row, ...] = tuple(r for r in bundled().rows if r.exchange == "bgz" and r.interaction == "search")
"""The accepted searches of the BgZ."""


def policy_with(own: Path | None) -> Policy:
    """The policy of an organisation, with its own file or without one. Raises `Invalid` naming file, row and member."""
    return Policy(bundled() if own is None else with_own(bundled(), own))
