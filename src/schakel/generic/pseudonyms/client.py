"""The client of the PRS (Pseudoniemendienst): it is sent a blinded point and gives it back evaluated, sealed for the
recipient. It never sees who is meant, and we never see the pseudonym.

What stands in a question or an answer is never logged, shown or put into an error: a refusal of the PRS repeats what it
was asked.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Literal

import orjson

from schakel.facilities import (
    Answer,
    Facility,
    FacilityAway,
    TokenRefused,
    TokenSource,
    once_more,
    send_with_token,
)
from schakel.generic.pseudonyms import oprf
from schakel.generic.pseudonyms.model import PseudonymToken, Recipient
from schakel.kernel.outcomes import Upstream
from schakel.kernel.values import Bsn

Style = Literal["service", "guide"]

ALGORITHMS = frozenset({"RSA-OAEP", "RSA-OAEP-256"})
"""How the key of an answer may be sealed (alg): the PRS changed from the second to the first in August 2026."""

_PART = r"[A-Za-z0-9_-]+"
_COMPACT = re.compile(rf"({_PART})(?:\.{_PART}){{4}}")


class NoPseudonym(Upstream):
    """The PRS refused the question: a setting of ours, or what it knows of the recipient, is not right."""

    code = "pseudonym-refused"


@dataclass(frozen=True, slots=True)
class _Wire:
    """The path, the members of a question (blinded point, recipient, scope) and the member of an answer."""

    path: str
    members: tuple[str, str, str]
    answer: str


_WIRES: dict[Style, _Wire] = {
    "service": _Wire("/oprf/eval", ("encryptedPersonalId", "recipientOrganization", "recipientScope"), "jwe"),
    "guide": _Wire(
        "/evaluate", ("blinded_input", "recipient_organization", "recipient_scope"), "evaluated_output"
    ),
}


class Pseudonyms:
    """Pseudonyms for one recipient, asked of the PRS behind `facility` with tokens of `tokens` for `scopes`; None asks
    without. `style` chooses between the wire of the running service and that of the guide."""

    def __init__(
        self,
        facility: Facility,
        tokens: TokenSource | None,
        recipient: Recipient,
        style: Style = "service",
        scopes: str = "prs:read",
    ) -> None:
        self._facility = facility
        self._tokens = tokens
        self._recipient = recipient
        self._wire = _WIRES[style]
        self._scopes = scopes

    @property
    def recipient(self) -> str:
        """The full name of the recipient. What is registered under another is not found."""
        return self._recipient.name

    @property
    def scope(self) -> str:
        """The scope at the recipient (`Recipient.key`). What is registered under another is not found."""
        return self._recipient.key

    async def token(self, patient: Bsn) -> PseudonymToken:
        """A token by which the recipient knows the patient; each call blinds anew and asks.

        Raises `FacilityAway` when the PRS or the token server gave no usable answer, `TokenRefused` and `NoPseudonym`
        when they will not.
        """
        scalar, point = oprf.blind(self._recipient.input_of(patient))
        values = urlsafe_b64encode(point).decode(), self.recipient, self._recipient.scope
        answer = await once_more(
            lambda: send_with_token(
                self._facility,
                self._tokens,
                self._scopes,
                "POST",
                self._wire.path,
                body=orjson.dumps(dict(zip(self._wire.members, values, strict=True))),
                headers={"Content-Type": "application/json", "Accept": "application/json"},
            )
        )
        if answer.status != 200:
            raise self._refusal(answer)
        return PseudonymToken.of(self._sealed(answer.body), scalar)

    def _sealed(self, body: bytes) -> str:
        """The compact JWE (RFC 7516, section 7.1) in an answer."""
        jwe = _member(body, self._wire.answer)
        found = _COMPACT.fullmatch(jwe) if isinstance(jwe, str) else None
        if found is None or not isinstance(jwe, str):
            raise FacilityAway(self._facility.name, "an answer without a sealed pseudonym")
        try:
            header = orjson.loads(urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)))
        except ValueError:
            header = None
        if not isinstance(header, dict) or header.get("alg") not in ALGORITHMS or "enc" not in header:
            raise FacilityAway(self._facility.name, "an answer that is not sealed as it must be")
        return jwe

    def _refusal(self, answer: Answer) -> Upstream:
        name, status = self._facility.name, answer.status
        if status >= 500 or status in (408, 429):
            return FacilityAway(name, f"it answered {status}")
        if status == 403:
            return TokenRefused(
                name, "it does not know the audience or the organisation of our token (status 403)"
            )
        if status == 404 and _member(answer.body, "error") is not None:
            why = f"it knows no recipient {self.recipient} with a key for the scope {self._recipient.scope}"
        elif status in (404, 405):
            why = f"it has no {self._wire.path}, the address of prs.style"
        elif status == 422:
            why = f"it does not take a recipient of the form of {self.recipient}, or questions of prs.style"
        else:
            why = "it could not evaluate the question"
        return NoPseudonym(f"{name} gave no pseudonym: {why} (status {status})", cause=f"status {status}")


def _member(body: bytes, name: str) -> object:
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return members.get(name) if isinstance(members, dict) else None
