"""What a token request proved, before there is a token."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from schakel.generic.identity.dpop import FRESH_SECONDS, Proof
from schakel.generic.identity.errors import InvalidDpopProofError, OAuthError
from schakel.generic.identity.model import User

_PROOF_KEPT = timedelta(seconds=FRESH_SECONDS + 300)
"""How long after its making a proof is remembered: as long as it is taken, and more than clocks of nodes differ."""

ASSERTION, PRESENTATION, NONCE, DPOP = "assertion", "presentation", "nonce", "dpop"
"""The kinds of ids that may be used once."""


@dataclass(frozen=True, slots=True)
class OnceOnly:
    """An id that may be used once among those of this `kind` by this `issuer`; remembered until `until`, and
    `refusal` for who comes with it again."""

    kind: str
    issuer: str
    id: str
    until: datetime
    refusal: OAuthError

    @property
    def digest(self) -> bytes:
        """By what it is remembered."""
        text = f"{self.kind}:{len(self.issuer)}:{self.issuer}:{self.id}"
        return hashlib.sha256(text.encode(errors="replace")).digest()

    @classmethod
    def of(cls, proof: Proof) -> OnceOnly:
        """The one use of a proof of possession, at a token endpoint or a resource."""
        refusal = InvalidDpopProofError(
            "the proof was used before: make a new one, with a new jti, for each request",
            code="dpop-replayed",
            expression="jti",
        )
        until = datetime.fromtimestamp(proof.issued, UTC) + _PROOF_KEPT
        return cls(DPOP, proof.jkt, proof.jti, until, refusal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """Who asks for a token and what was proved of them; members as in `Grant`.

    `once` is what is used up by the token, `origins` who said each claim and when, as introspection tells it, and
    `longest` how many seconds the token may live at most.
    """

    requester: str
    grant_type: str
    client_id: str
    once: tuple[OnceOnly, ...]
    user: User | None = None
    purpose: str = ""
    treatment_relation: str = ""
    requester_name: str = ""
    facility_type: str = ""
    assurance: str = ""
    patient: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, Any] = field(default_factory=dict)
    longest: int = 3600
