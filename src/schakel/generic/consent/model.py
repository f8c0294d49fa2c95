"""A question of consent, its answer, and its refusal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schakel.kernel.outcomes import Forbidden

GroundKind = Literal["recorded", "referral", "handover", "patient", "mitz", "acute", "break-glass"]
"""Why a patient's data may be given: a ground that the organisation recorded (in general, for a referral, for a
handover, at the patient's own request), the patient's choice in Mitz, an opt-out regime for acute care, or an
emergency (break-glass)."""

RecordedKind = Literal["recorded", "referral", "handover", "patient"]
RECORDED: tuple[RecordedKind, ...] = ("recorded", "referral", "handover", "patient")
"""The kinds of ground that the organisation writes down itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentQuestion:
    """May `requester` (URA) have this of `patient` (BSN)?

    `accepted` are the kinds of ground (`GroundKind`) that could suffice; no other is tried. `token` is the id (jti) of
    the access token, `exchange` the exchange and `form` the search in normal form, '' for a read. `requester_type` is
    the asking organisation's type (2.16.840.1.113883.2.4.15.1060), '' when not proved. The user is the person at the
    keyboard: `user_id` a Dezi or UZI number, `user_role` a role code; `responsible` and `responsible_role` are those of
    the professional who gave the mandate, or empty. `assurance` is the level at which the user proved who they are.
    `emergency` is the reason that the user gave for access in an emergency, '' when that is not asked. `task` is an
    open Task of the holder that the caller found to cover this request, of the kind `task_kind`; '' for none.
    """

    patient: str
    requester: str
    accepted: frozenset[str]
    token: str
    exchange: str
    form: str = ""
    requester_type: str = ""
    user_id: str = ""
    user_name: str = ""
    user_role: str = ""
    responsible: str = ""
    responsible_role: str = ""
    purpose: str = ""
    assurance: str = ""
    emergency: str = ""
    task: str = ""
    task_kind: Literal["", "referral", "handover"] = ""


@dataclass(frozen=True, slots=True)
class Permission:
    """Why it may be given. `id` leads to it: of the ground, of the question to Mitz, of the emergency access.

    `source` says where it was found (`grounds`, `mitz`, `policy`), `explanation` is a sentence for people without
    anything personal, `recorded` when it was written down or answered, `link` where the rule can be read, or ''.
    """

    kind: GroundKind
    id: str
    source: str
    explanation: str
    recorded: datetime
    link: str = ""


class ConsentRefused(Forbidden):
    """Nothing permits it. `reason` is a stable word; the message is for the log of the holder, not for who asks."""

    def __init__(self, reason: str, explanation: str) -> None:
        super().__init__(explanation, code=reason)
        self.reason = reason
