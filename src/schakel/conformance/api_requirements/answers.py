"""What a person declares about requirements that no machine can check, from a file (TOML or JSON).

[SD002]
conformity = "conformant"          # conformant, not-conformant or not-applicable
evidence = "https://ehr.example/docs/examples"
remark = "Every use case has one."

["SD001.006"]                      # a part of a requirement; what it does not name follows the whole
conformity = "not-applicable"
remark = "There is one address, which is in the documentation."
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from schakel.conformance.api_requirements.catalogue import keys
from schakel.fhir import json
from schakel.kernel.outcomes import Invalid

Conformity = Literal["conformant", "not-conformant", "not-applicable"]

_MEMBERS = ("conformity", "remark", "evidence")
_CONFORMITY: Mapping[str, Conformity] = {
    "conformant": "conformant",
    "not-conformant": "not-conformant",
    "not-applicable": "not-applicable",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """What a person declares about a key: `evidence` is where it can be seen, `remark` why it is so."""

    conformity: Conformity
    remark: str = ""
    evidence: str = ""


def read_answers(path: Path) -> Mapping[str, Declared]:
    """The declarations in a file, by key. Raises `Invalid` naming the file and the place."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
    try:
        table = json.parse(body) if path.suffix == ".json" else tomllib.loads(body.decode())
    except (ValueError, Invalid) as error:
        raise Invalid(f"{path} is no {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from None
    try:
        return {key: _declared(key, entry) for key, entry in _entries(table)}
    except Invalid as error:
        raise Invalid(f"{path}: {error.message}") from None


def _entries(table: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Keys and their entries. `[SD001.006]` without quotes is a table in a table, and means the same."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for key, entry in table.items():
        if not isinstance(entry, dict):
            raise Invalid(f"{key} is no table: it needs conformity, and evidence or a remark")
        parts = {name: value for name, value in entry.items() if name.isdigit() and isinstance(value, dict)}
        found += [(f"{key}.{name}", value) for name, value in parts.items()]
        if rest := {name: value for name, value in entry.items() if name not in parts}:
            found.append((key, rest))
    for key, _ in found:
        if key not in keys():
            raise Invalid(f"{key} is no requirement of this version")
    return found


def _declared(key: str, entry: Mapping[str, Any]) -> Declared:
    for name, value in entry.items():
        if name not in _MEMBERS or not isinstance(value, str):
            raise Invalid(f"{key} has {name}: its members are the texts {', '.join(_MEMBERS)}")
    conformity = _CONFORMITY.get(str(entry.get("conformity", "")))
    if conformity is None:
        raise Invalid(f"{key}: conformity is one of {', '.join(_CONFORMITY)}")
    declared = Declared(conformity, entry.get("remark", "").strip(), entry.get("evidence", "").strip())
    if conformity == "conformant" and not declared.evidence:
        raise Invalid(f"{key}: what is conformant needs evidence, an address or the name of a document")
    if conformity == "not-applicable" and not declared.remark:
        raise Invalid(f"{key}: what is not applicable needs a remark that says why")
    return declared
