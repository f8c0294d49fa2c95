"""The national directory as a stand-in, how a node follows it, and what each organisation tells of itself there.

The directory knows the organisations themselves, as the real one takes them from the register of the URA; their
departments, places, services and addresses they publish.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

import orjson

from schakel.demo import cast, certificates, toml
from schakel.demo.doors import Doors, stand_in_address
from schakel.demo.folder import DemoFolder
from schakel.fhir.json import Resource
from schakel.kernel.values import URA_SYSTEM

SOURCE = "lrza"
"""What nodes call the directory."""

INTERVAL_SECONDS = 2
STALE_SECONDS = 10
"""Short, so that a person sees both happen."""

ORGANISATION_TYPE = "http://nictiz.nl/fhir/NamingSystem/organization-type"
_SEED = "lrza.ndjson"
_SNOMED = "http://snomed.info/sct"
_PLACES = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
_PLACE: Mapping[cast.Sector, tuple[str, str]] = {
    "hospital": ("HOSP", "Ziekenhuis"),
    "general-practice": ("PC", "Huisartsenpraktijk"),
    "out-of-hours": ("PC", "Huisartsenpost"),
    "nursing-and-home-care": ("NCCF", "Verpleeghuis"),
    "mental-health": ("PSYCHF", "Polikliniek"),
    "pharmacy": ("PHARM", "Apotheek"),
    "ambulance": ("AMB", "Standplaats"),
}
CARDIOLOGY, GERIATRICS = "394579002", "394811001"
_DEPARTMENTS: tuple[tuple[str, str, str], ...] = (
    ("cardiologie", "Cardiologie", CARDIOLOGY),
    ("geriatrie", "Klinische geriatrie", GERIATRICS),
)
"""Of a hospital: key, name, and the kind of care that is given there."""


def write(folder: DemoFolder, home: str) -> None:
    """Writes what the stand-in is told into `home`, below the folder."""
    table: dict[str, toml.Value] = {
        "seed": _SEED,
        "parties": [
            {"certificate": certificates.operator_number(one.operator), "ura": one.ura}
            for one in cast.ORGANISATIONS
        ],
    }
    lines = b"\n".join(orjson.dumps(_known(one)) for one in cast.ORGANISATIONS)
    folder.write(folder.path / home / _SEED, lines + b"\n")
    folder.write(folder.path / home / "lrza.toml", toml.document(table).encode())


def _known(one: cast.Organisation) -> Resource:
    """An organisation as the directory has it before it told anything."""
    kind = {"system": ORGANISATION_TYPE, "code": one.type_code, "display": one.type_name}
    return {
        "resourceType": "Organization",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{one.site}/{one.ura}")),
        "identifier": [{"system": URA_SYSTEM, "value": one.ura}],
        "active": True,
        "type": [{"coding": [kind]}],
        "name": one.name,
    }


def settings(
    folder: DemoFolder, doors: Sequence[Doors], operator: cast.Operator
) -> dict[str, Mapping[str, toml.Value] | Sequence[toml.Value] | float]:
    """The part `addressing` of the settings of an operator's node."""
    there: dict[str, toml.Value] = {
        "base": f"{stand_in_address(doors, 'lrza')}/fhir",
        **certificates.shown_by(folder, operator),
    }
    return {
        "sources": [
            {
                "name": SOURCE,
                "kind": "central",
                **there,
                "interval_seconds": INTERVAL_SECONDS,
                "seconds": 10,
            }
        ],
        "stale_hours": STALE_SECONDS / 3600,
        "publication": {**there, "every_seconds": 1},
        "update_client": {"access": "open"},
    }


def entries(one: cast.Organisation) -> dict[str, toml.Value]:
    """What an organisation tells of itself, and publishes."""
    code, display = _PLACE[one.sector]
    told: dict[str, toml.Value] = {
        "agb": one.agb,
        "publish": True,
        "locations": [
            {
                "key": "main",
                "name": one.name,
                "type": [{"system": _PLACES, "code": code, "display": display}],
                "address": [f"{one.street} {one.house_number}"],
                "postal_code": one.postal_code,
                "city": one.city,
            }
        ],
    }
    if one.sector == "hospital":
        told["departments"] = [{"key": key, "name": name} for key, name, _ in _DEPARTMENTS]
        told["services"] = [
            {
                "key": key,
                "name": f"Polikliniek {name}",
                "type": [{"system": _SNOMED, "code": kind, "display": name}],
                "department": key,
                "locations": ["main"],
            }
            for key, name, kind in _DEPARTMENTS
        ]
    return told
