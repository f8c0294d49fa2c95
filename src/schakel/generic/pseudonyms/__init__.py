"""Pseudonyms: a BSN made into what another organisation may know a patient by, with the help of the PRS that never
sees it (OPRF, RFC 9497).

`Pseudonyms` asks, `Recipient` says for whom, `PseudonymToken` is what the recipient gets; `oprf` is the arithmetic.
"""

from schakel.generic.pseudonyms.client import NoPseudonym, Pseudonyms, Style
from schakel.generic.pseudonyms.model import RECIPIENT, SCOPE, Person, PseudonymToken, Recipient

__all__ = [
    "RECIPIENT",
    "SCOPE",
    "NoPseudonym",
    "Person",
    "PseudonymToken",
    "Pseudonyms",
    "Recipient",
    "Style",
]
