"""The national index and what goes with it, as stand-ins: the token server, the pseudonym service and the index; how a
node asks them, and under which rule each organisation registers."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from schakel.demo import cast, certificates, toml
from schakel.demo.doors import HOST, Doors, stand_in_address
from schakel.demo.folder import DemoFolder

INDEX = "00000099000000001000"
"""OIN of the index."""

SCOPE = "nvi"
GROUND = "demo"
"""The ground of every registration: what the region invents has no law behind it."""

_MANAGE = ("nvi:create", "nvi:read", "nvi:delete", "nvi:localize")
_PSEUDONYMS = "prs:read"
_CARE = ("Condition", "Encounter", "ObservationVitalSigns", "Patient")
_CATEGORIES: Mapping[cast.Sector, tuple[str, ...]] = {
    "hospital": (
        *_CARE,
        "AdvanceDirective",
        "Alert",
        "AllergyIntolerance",
        "Device",
        "MedicationRequest",
        "MedicationUse",
        "Nutrition",
        "ObservationLaboratory",
        "ObservationSocialHistory",
        "ObservationSurvey",
        "Procedure",
        "Request",
    ),
    "general-practice": (
        *_CARE,
        "AllergyIntolerance",
        "MedicationRequest",
        "MedicationUse",
        "ObservationLaboratory",
        "ObservationSocialHistory",
    ),
    "out-of-hours": _CARE,
    "nursing-and-home-care": (*_CARE, "ObservationSocialHistory", "ObservationSurvey", "Procedure"),
    "mental-health": (*_CARE, "MedicationRequest", "ObservationSocialHistory", "ObservationSurvey"),
    "pharmacy": ("Patient", "AllergyIntolerance", "MedicationUse"),
    "ambulance": _CARE,
}
"""What an organisation of a sector says that it has."""


def write(folder: DemoFolder, home: str, doors: Sequence[Doors]) -> None:
    """Writes what the three stand-ins are told into `home`, below the folder."""
    told: Mapping[str, Mapping[str, toml.Value]] = {
        "minvws-oauth": {
            "targets": [
                {"audience": stand_in_address(doors, "prs"), "subject": "oin", "scopes": [_PSEUDONYMS]},
                {"audience": stand_in_address(doors, "nvi"), "subject": "ura", "scopes": _MANAGE},
            ],
            "clients": [
                {
                    "oin": certificates.operator_number(operator),
                    "common_name": HOST,
                    "organisations": list(_registered(operator)),
                }
                for operator in cast.OPERATORS
            ],
        },
        "prs": {"organisations": [{"oin": INDEX, "keys": [{"scopes": [SCOPE], "of": "nvi"}]}]},
        "nvi": {"recipient": f"oin:{INDEX}", "scope": SCOPE},
    }
    for name, table in told.items():
        folder.write(folder.path / home / f"{name}.toml", toml.document(table).encode())


def _registered(operator: cast.Operator) -> Iterable[dict[str, toml.Value]]:
    """The organisations for which an operator asks tokens."""
    for one in cast.ORGANISATIONS:
        if one.operator == operator:
            yield {
                "ura": one.ura,
                "name": one.name,
                "source_id": _source(operator),
                "scopes": [*_MANAGE, _PSEUDONYMS],
            }


def _source(operator: cast.Operator) -> str:
    """What names the software of an operator in registrations."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_DNS, f'{operator}.schakel.example')}"


def settings(
    folder: DemoFolder, doors: Sequence[Doors], operator: cast.Operator
) -> dict[str, Mapping[str, toml.Value]]:
    """The parts `prs` and `nvi` of the settings of an operator's node."""
    shown = certificates.shown_by(folder, operator)
    endpoint = f"{stand_in_address(doors, 'minvws-oauth')}/oauth/token"
    return {
        "prs": {
            "base": stand_in_address(doors, "prs"),
            **shown,
            "recipient": f"oin:{INDEX}",
            "scope": SCOPE,
            "oauth": {"endpoint": endpoint, "organisation": certificates.operator_number(operator)},
        },
        "nvi": {
            "base": f"{stand_in_address(doors, 'nvi')}/fhir",
            **shown,
            "source": _source(operator),
            "parallel": 1,
            "oauth": {"endpoint": endpoint, "source": _source(operator)},
        },
    }


def registrations(organisation: cast.Organisation, start: date) -> list[toml.Value]:
    """The one rule under which an organisation registers."""
    categories = sorted(_CATEGORIES[organisation.sector])
    return [{"ground": GROUND, "categories": categories, "start": start.isoformat()}]
