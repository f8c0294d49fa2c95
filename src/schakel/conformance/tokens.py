"""Which bearer token opens which patient's data: those that a tester brings, and those that are got for the run.

The file is a JSON array of `{"accessToken": "Bearer ...", "resourceId": "...", "familyName": "...", "bsn": "..."}` as
published with the qualification scripts; more members may be there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from schakel.kernel.outcomes import Invalid

PREFIX = "patient-token-"


@dataclass(frozen=True, slots=True)
class Owner:
    """A patient of the suite: logical id, family name, BSN and token (with its scheme); each but the id may be empty.
    `published` is the token in the tester's file, by which a script's default can name the patient.
    """

    id: str
    family: str = ""
    bsn: str = ""
    token: str = ""
    published: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The patients of a suite, one for each id."""

    owners: tuple[Owner, ...] = ()

    def value(self, variable: str, bsn: str = "", default: str = "") -> str | None:
        """The token for a variable of a script; None when there is none."""
        owner = self.owner(variable, bsn, default)
        return owner.token or None if owner else None

    def owner(self, variable: str, bsn: str = "", default: str = "") -> Owner | None:
        """Whose token a variable means: `patient-token-<id or family name>`, `auth-token` that of the patient with the
        BSN that the tester chose (scripts for a patient of the tester's own), any other the patient of its default.

        A family name counts only when it is the end of the name of one patient, for a token of somebody else would
        silently test something else.
        """
        if variable == "auth-token":
            return next((o for o in reversed(self.owners) if bsn and o.bsn == bsn), None)
        if variable.startswith(PREFIX):
            wanted = variable.removeprefix(PREFIX)
            if found := self.by_id(wanted):
                return found
            ended = (o for o in self.owners if o.family == wanted or o.family.endswith(f" {wanted}"))
            named = {o.token or o.id: o for o in ended}
            if len(named) == 1:
                return next(iter(named.values()))
        return next((o for o in self.owners if default and o.published == default), None)

    def by_id(self, id: str) -> Owner | None:
        """The patient with this logical id."""
        return next((o for o in self.owners if o.id == id), None)

    def holding(self, owners: Iterable[Owner]) -> Tokens:
        """The same with these patients, each in the place of the one with its id."""
        return Tokens(tuple(({o.id: o for o in self.owners} | {o.id: o for o in owners}).values()))

    def numbered(self, bsns: Mapping[str, str]) -> Tokens:
        """The same, with BSNs by logical id over those of the file."""
        return self.holding(replace(self.by_id(id) or Owner(id), bsn=bsn) for id, bsn in bsns.items())


def read_tokens(path: Path) -> Tokens:
    """The tokens in `path`; a bare token gets the scheme Bearer. Raises `Invalid` for another form."""
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Invalid(f"the tokens file {path} cannot be read: {error}", expression="tokens") from None
    if not isinstance(entries, list):
        raise Invalid(f"the tokens file {path} must be a JSON array", expression="tokens")
    owners = []
    for number, entry in enumerate(entries, 1):
        token = entry.get("accessToken") if isinstance(entry, dict) else None
        patient = entry.get("resourceId") if isinstance(entry, dict) else None
        if not isinstance(token, str) or not isinstance(patient, str) or not token.strip():
            raise Invalid(
                f"entry {number} of the tokens file {path} needs 'accessToken' and 'resourceId'",
                expression="tokens",
            )
        token = token.strip()
        token = token if " " in token else f"Bearer {token}"
        family, bsn = (
            one if isinstance(one := entry.get(name), str) else "" for name in ("familyName", "bsn")
        )
        owners.append(Owner(patient, family, bsn, token, published=token))
    return Tokens().holding(owners)
