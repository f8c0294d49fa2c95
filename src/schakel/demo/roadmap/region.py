"""REGION.toml of the demo: its organisations with their doors, as a programme team would write it.

Beside it stands what the organisations declare about the API requirements that no machine can see. They say no more
than is so: what nobody saw or declared stays open, and the check says which requirements those are. What the demo does
not have is left out, and so not measured: a domain that mail is sent from, a site with documentation, test suites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from schakel.demo import cast, certificates, toml
from schakel.demo.doors import Doors, stand_in_address
from schakel.demo.folder import DemoFolder
from schakel.demo.patients import NamedPatient

NAME = "Regio Aa en Meer (demo)"
BY = "Programmabureau Aa en Meer"
FILE = "region.toml"
DECLARATION = "api-declaration.toml"

SECTORS: Mapping[cast.Sector, str] = {
    "hospital": "MSZ",
    "general-practice": "HA",
    "out-of-hours": "HA",
    "nursing-and-home-care": "VVT",
    "mental-health": "GGZ",
    "pharmacy": "FAR",
    "ambulance": "AMB",
}
"""The sector of the roadmap by that of the cast."""

_PATIENT = 1
"""The named patient (from 1) for whom the exchanges are tried."""

_ASKS = {
    cast.HOSPITAL_NORTH.slug: cast.HOSPITAL_SOUTH,
    cast.HOSPITAL_SOUTH.slug: cast.HOSPITAL_NORTH,
}
"""Who asks whom for the BgZ of that patient."""


_YOUNG = "No version of this API is old enough for it: each one that was made is still recommended."
DECLARED: Mapping[str, Mapping[str, str]] = {
    **{
        code: {"conformity": "not-applicable", "remark": _YOUNG}
        for code in ("LM001", "LM002", "LM003", "LM004", "LM005", "LM006")
    },
    "SC005": {
        "conformity": "conformant",
        "evidence": "docs/explanation/logging.md",
        "remark": "Every question, answer and refusal is in a sealed log; the check log-seals looks at it.",
    },
    "AG004": {
        "conformity": "not-applicable",
        "remark": "The organisation was made up for a demo, and nobody pays for its API.",
    },
}
"""What each organisation declares, by code of the API requirements."""


def path(folder: DemoFolder) -> Path:
    """Where the file stands."""
    return folder.path / FILE


def write(folder: DemoFolder, doors: Sequence[Doors], named: Sequence[NamedPatient]) -> Path:
    """Writes the file, and gives its path."""
    pair = certificates.organisation_pair(folder, cast.HOSPITAL_NORTH)
    table: dict[str, toml.Value] = {
        "name": NAME,
        "by": BY,
        "defaults": {
            "ca": [certificates.anchors(folder)],
            "certificate": pair.certificate,
            "key": pair.key,
            "private": ["127.0.0.0/8"],
            "http_on_loopback": True,
        },
        "organisations": [_organisation(folder, doors, one, named) for one in cast.ORGANISATIONS],
    }
    heading = (
        "# The region of the demo, written anew at each start. To measure it and show that in the portal:\n"
        f"#   schakel roadmap run {path(folder)} --board --data {folder.path}\n"
    )
    told = "# What the demo declares about the Dutch API requirements (`schakel check --answers`).\n"
    folder.write(folder.path / DECLARATION, (told + toml.document(DECLARED)).encode())
    folder.write(path(folder), (heading + toml.document(table)).encode())
    return path(folder)


def _organisation(
    folder: DemoFolder,
    doors: Sequence[Doors],
    one: cast.Organisation,
    named: Sequence[NamedPatient],
) -> dict[str, toml.Value]:
    at = next(each for each in doors if each.operator == one.operator)
    front, internal = f"{at.front}/{one.slug}", f"{at.internal}/{one.slug}"
    back = f"{at.back}/{one.slug}"
    table: dict[str, toml.Value] = {
        "ura": one.ura,
        "name": one.name,
        "sector": SECTORS[one.sector],
        "kind": one.type_name,
        "front": front,
        "back": back,
        "fhir": {version: f"{back}/fhir/{version}" for version in ("stu3", "r4")},
        "issuer": front,
        "openapi": f"{at.back}/openapi.json",
        "api_declaration": DECLARATION,
        "internal": internal,
        "internal_key": folder.internal_keys[one.slug],
        "directory": f"{internal}/directory/fhir/r4",
        "medmij": {
            "lists": stand_in_address(doors, "medmij-lists"),
            "name": f"{one.medmij_name}@medmij",
        },
    }
    if (holder := _ASKS.get(one.slug)) is not None and len(named) >= _PATIENT:
        who = one.professionals[0]
        table["exchange"] = {
            "patient": named[_PATIENT - 1].bsn,
            "holders": [holder.ura],
            "user": {"id": who.number, "name": who.name, "role": who.role_code},
        }
    return table
