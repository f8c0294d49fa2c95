"""Which searches a patient may ask, and the narrowing of each to that patient.

Whatever is asked of the types of a service is allowed: the search sees only this patient's records and what belongs
to no patient, also behind chains and `_has` (`Query.limited_to`). Refused is what names a patient, since the token
does that.

Source: MedMij framework, resource interface (core.rscint): no identifying data in the address, no `patient=`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote_plus

from schakel.fhir.search import Condition, Query
from schakel.kernel.outcomes import Invalid, NotFound, NotSupported
from schakel.kernel.values import BSN_OID, BSN_SYSTEM
from schakel.patient_access.services import Service
from schakel.store.index_values import parse_literal

_WHOSE = frozenset({"patient", "subject", "beneficiary"})


def check_address(query: str, bsn: str) -> None:
    """Refuses a query string that holds the patient's BSN or speaks of BSNs. Raises `Invalid`."""
    text = unquote_plus(query, errors="replace")
    if BSN_SYSTEM in text or BSN_OID in text or re.search(rf"(?<![0-9]){bsn}(?![0-9])", text):
        raise Invalid(
            "a BSN may not stand in the address: the token says who the patient is", code="bsn-in-address"
        )


def narrowed(query: Query, service: Service, patients: frozenset[str]) -> Query:
    """`query` limited to the patient with these logical ids.

    Raises `NotFound` for a type that the service does not have, `Invalid` for a query that names a patient, and
    `NotSupported` for a search over several types or in a compartment.
    """
    if query.compartment is not None or query.types:
        raise NotSupported("here one resource type is searched, without a patient in the path")
    if query.type not in service.gives:
        raise NotFound(
            f"service {service.id} has no {query.type}; see its CapabilityStatement", code="type-not-served"
        )
    for condition in query.conditions:
        _check(condition)
    return replace(query, limited_to=patients)


def _check(condition: Condition) -> None:
    name = condition.name[:60]
    if not condition.reverse and condition.parameter.type == "reference" and _names_patient(condition):
        raise Invalid(
            f"{name} names a patient, which a request here may not do: the token says who it is",
            code="patient-named",
            expression=name,
        )
    if condition.inner is not None:
        _check(condition.inner)


def _names_patient(condition: Condition) -> bool:
    """Whether a reference condition says whose record it is, or leads to a Patient."""
    if condition.parameter.code in _WHOSE or condition.targets == ("Patient",):
        return True
    return any(parse_literal(value)[0] == "Patient" for value in condition.values)
