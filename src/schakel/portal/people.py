"""Who may do what in the portal: the people that the operator named, with their roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Role: TypeAlias = Literal["programme", "declarer", "reader", "viewer"]

ROLES: tuple[Role, ...] = get_args(Role)
"""`programme` runs the programme of the region: the work agenda, imports, and second reader everywhere. `declarer`
states for organisations how things stand, `reader` is the second who looks at that. `viewer` only reads."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Someone who is logged in: `subject` is what the identity provider calls this person, `organisations` are the URA
    numbers for which the roles `declarer` and `reader` hold."""

    subject: str
    name: str
    roles: frozenset[str]
    organisations: frozenset[str]

    def may(self, role: Role, ura: str = "") -> bool:
        """Whether this person has the role for the organisation `ura`; without one, for any organisation at all."""
        if role == "viewer":
            return bool(self.roles)
        if role == "programme" or (role == "reader" and "programme" in self.roles):
            return "programme" in self.roles
        return role in self.roles and (ura in self.organisations if ura else bool(self.organisations))

    def sees_details(self, ura: str) -> bool:
        """Whether this person is told what a check saw on the wire at the organisation `ura`: addresses and errors are
        for who works on them, and tell a stranger where to try."""
        return self.may("declarer", ura) or self.may("reader", ura) or self.may("programme")
