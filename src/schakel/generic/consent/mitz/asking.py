"""Who asks Mitz and why, as both questions say it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schakel.kernel.outcomes import Invalid

PURPOSES = {"TREAT": "TREAT", "COC": "COC", "ETREAT": "TREAT"}
"""Purposes of use as Mitz knows them: it has TREAT and COC. ETREAT (emergency treatment) is a kind of TREAT in
v3-ActReason."""

_NUMBER = re.compile(r"[0-9]{9}")
_ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}")


class Lacking(Invalid):
    """Mitz cannot be asked without `what`; `part` is a stable word for it."""

    def __init__(self, part: str, what: str) -> None:
        super().__init__(f"Mitz cannot be asked without {what}", code=f"mitz-{part}-missing")
        self.part = part
        self.what = what


@dataclass(frozen=True, slots=True)
class Asking:
    """`provider` is the professional who is responsible, with the role code `role`; `mandated` the one at the keyboard
    when that is another, else ''. `purpose` is TREAT or COC."""

    provider: str
    role: str
    mandated: str
    purpose: str


def asking(
    user: str, role: str, responsible: str, responsible_role: str, purpose: str, requester_type: str
) -> Asking:
    """Who asks, for a professional `user` who may act for `responsible`. Raises `Lacking`."""
    provider, mandated = user, ""
    if responsible and responsible != user:
        provider, role, mandated = responsible, responsible_role, user
    if purpose not in PURPOSES:
        raise Lacking("purpose", f"a purpose of use among {', '.join(sorted(PURPOSES))}")
    if not requester_type:
        raise Lacking("requester-type", "the type of the asking organisation")
    if not _NUMBER.fullmatch(provider) or (mandated and not _NUMBER.fullmatch(mandated)):
        raise Lacking("user", "the Dezi or UZI number of the professional")
    if not _ROLE.fullmatch(role):
        raise Lacking("role", "the role code of the professional who is responsible")
    return Asking(provider, role, mandated, PURPOSES[purpose])
