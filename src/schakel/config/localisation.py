"""Settings of pseudonyms (PRS) and localisation (NVI), and of the tokens that both ask for."""

from __future__ import annotations

from schakel.config.base import Section


class Localisation(Section):
    """How this node asks the index who has data of a patient."""
