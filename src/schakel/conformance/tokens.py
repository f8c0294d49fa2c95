"""The tokens a tester brings: which bearer token opens which patient's data.

The file is a JSON array of `{"accessToken": "Bearer ...", "resourceId": "...", "familyName": "...", "bsn": "..."}` as
published with the qualification scripts; more members may be there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schakel.kernel.outcomes import Invalid

PREFIX = "patient-token-"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens by Patient id, and by family name where the scripts use that instead."""

    by_id: dict[str, str]
    families: tuple[tuple[str, str], ...] = ()
    by_bsn: Mapping[str, str] = field(default_factory=dict)

    def value(self, variable: str, bsn: str = "") -> str | None:
        """The token for a variable `patient-token-<id or family name>`, or for `auth-token`: that of the patient
        with the BSN that the tester chose, in scripts that are for a patient of the tester's own.

        A family name counts only when it is the end of the name of one token's patient, for a token of
        somebody else would silently test something else.
        """
        if variable == "auth-token":
            return self.by_bsn.get(bsn)
        if not variable.startswith(PREFIX):
            return None
        wanted = variable.removeprefix(PREFIX)
        if wanted in self.by_id:
            return self.by_id[wanted]
        named = {token for name, token in self.families if name == wanted or name.endswith(f" {wanted}")}
        return named.pop() if len(named) == 1 else None


def read_tokens(path: Path) -> Tokens:
    """The tokens in `path`; a bare token gets the scheme Bearer. Raises `Invalid` for another form."""
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Invalid(f"the tokens file {path} cannot be read: {error}", expression="tokens") from None
    if not isinstance(entries, list):
        raise Invalid(f"the tokens file {path} must be a JSON array", expression="tokens")
    by_id: dict[str, str] = {}
    by_bsn: dict[str, str] = {}
    families: list[tuple[str, str]] = []
    for number, entry in enumerate(entries, 1):
        token = entry.get("accessToken") if isinstance(entry, dict) else None
        patient = entry.get("resourceId") if isinstance(entry, dict) else None
        if not isinstance(token, str) or not isinstance(patient, str) or not token.strip():
            raise Invalid(
                f"entry {number} of the tokens file {path} needs 'accessToken' and 'resourceId'",
                expression="tokens",
            )
        token = token.strip()
        value = token if " " in token else f"Bearer {token}"
        by_id[patient] = value
        if isinstance(entry.get("bsn"), str):
            by_bsn[entry["bsn"]] = value
        if isinstance(entry.get("familyName"), str):
            families.append((entry["familyName"], value))
    return Tokens(by_id, tuple(families), by_bsn)
