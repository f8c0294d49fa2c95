"""The 27 requests of a BgZ, made from the rows that the answering side accepts.

Source: BgZ-MSZ 2.0, request list. Asking and answering read the same table, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from schakel.fhir.search import encode
from schakel.generic.authorisation import ROWS, Row
from schakel.kernel.values import BSN_SYSTEM

_LAST = frozenset({20})
"""Rows asked as `$lastn`; such a request takes no Provenance."""


_UNDER: Mapping[str, tuple[int, ...]] = {
    "Patient": (1, 2, 5, 27),
    "Consent": (3,),
    "AdvanceDirective": (4,),
    "ObservationSurvey": (6,),
    "Condition": (7,),
    "ObservationSocialHistory": (8, 9, 10, 11),
    "Nutrition": (12,),
    "Alert": (13,),
    "AllergyIntolerance": (14,),
    "MedicationUse": (15, 17, 19),
    "MedicationRequest": (16,),
    "Device": (18,),
    "ObservationVitalSigns": (20, 21, 22),
    "ObservationLaboratory": (23,),
    "Encounter": (24,),
    "Procedure": (25,),
    "Request": (26,),
}
_CATEGORIES = MappingProxyType({number: name for name, numbers in _UNDER.items() for number in numbers})


def _first_rows() -> list[Row]:
    rows: dict[int, Row] = {}
    for row in ROWS:
        if row.number <= 27:
            rows.setdefault(row.number, row)
    return [rows[number] for number in sorted(rows)]


_ASKED = _first_rows()
_TITLES = MappingProxyType({row.number: row.title for row in _ASKED})


def requests_for(bsn: str) -> list[str]:
    """The 27 relative searches for the patient with this BSN, in the order of the list."""
    return [_request(row, bsn) for row in _ASKED]


def titles() -> Mapping[int, str]:
    """The zib of each request, by its number in the list."""
    return _TITLES


def categories() -> Mapping[int, str]:
    """The data category of each request, by its number in the list: what an endpoint must have for it.

    Source: code system nl-gf-data-categories-cs, the FHIR query scope of each code. It has no place for the payer
    (Coverage), which is asked where personal details are, and does not say which observations functional or mental
    status is of: it is taken for the outcome of an assessment. Both are ours.
    """
    return _CATEGORIES


def _request(row: Row, bsn: str) -> str:
    own = row.type == "Patient"
    pairs = [(row.patient if own else f"{row.patient}.identifier", f"{BSN_SYSTEM}|{bsn}")]
    pairs += [(name, ",".join(sorted(values))) for name, values in row.parameters.items()]
    pairs += [("_include", include) for include in sorted(row.includes)]
    if row.number in _LAST:
        return f"{row.type}/$lastn?{encode(pairs)}"
    return f"{row.type}?{encode([*pairs, ('_revinclude', 'Provenance:target')])}"
