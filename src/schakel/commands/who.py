"""The professional on whose behalf a command asks: as given, or a person of the demo."""

from __future__ import annotations

from schakel.commands.doors import Door, Places
from schakel.generic.identity import User
from schakel.kernel.outcomes import Invalid


def user(
    places: Places,
    door: Door,
    *,
    id: str | None,
    name: str | None,
    role: str | None,
    responsible: str | None,
    responsible_role: str | None,
) -> User:
    """The user with these members; what is not given comes from one person of `door` in the demo.

    That is the person with `id`, or the first who acts in his or her own name. The role of who gave the mandate,
    where it is not given, is that of the person of the demo with this number. Raises `Invalid` when a member is missing
    or wrong.
    """
    here = [one for one in places.people if one.organisation == door.slug]
    own = [one for one in here if (one.id == id if id else not one.responsible)]
    if own and not (id and name and role):
        known = own[0]
        id, name, role = id or known.id, name or known.name, role or known.role
        responsible = responsible if responsible is not None else known.responsible
    missing = [o for o, v in (("--user-id", id), ("--user-name", name), ("--role", role)) if not v]
    if not (id and name and role):
        raise Invalid(f"who asks? give {', '.join(missing)}")
    if responsible_role is None:
        responsible_role = next((one.role for one in here if responsible and one.id == responsible), "")
    return User(id, name, role, responsible or "", responsible_role)
