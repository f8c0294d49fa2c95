"""Whom a request names by BSN, whatever else is wrong with it.

The log needs it: who is named in a request that is refused before it is judged may read of that too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from schakel.kernel.outcomes import Outcome
from schakel.kernel.values import BSN_OID, BSN_SYSTEM, Bsn
from schakel.server import Interaction, Request
from schakel.server.bodies import read_body

_SYSTEMS = (BSN_SYSTEM, BSN_OID)
_NUMBER = re.compile(rf"(?:{'|'.join(map(re.escape, _SYSTEMS))})\|([0-9]{{9}})(?![0-9])")
_ABOUT = ("patient", "subject", "for", "beneficiary")
"""Elements in which a resource says whom it is about."""

_NINE = re.compile(r"(?<![0-9])[0-9]{9}(?![0-9])")


def parameters(request: Request) -> str:
    """The parameters of a request: its query and, of a search by POST, its form."""
    form = request.body.decode("utf-8", "replace") if request.path.endswith("/_search") else ""
    return "&".join(part for part in (request.query, form) if part)


def only_bsn(request: Request, judged: Interaction | None) -> str:
    """The one BSN that stands in the parameters of a request, in the search whose page it asks (`judged`), or in what
    it brings: a Patient, alone or in a Bundle, or a resource that says by BSN whom it is about; '' when none or several
    do.

    A number counts with its system only: nine digits that are something else may pass the 11-proef too. But when any
    others beside it may be a BSN, nobody is named: the request is logged as it was made, and would show one patient
    the number of another.
    """
    texts = [unquote_plus(parameters(request))]
    if judged is not None and judged.query is not None:
        texts += [value for _, value in judged.query.raw]
    found = {number for text in texts for number in _NUMBER.findall(text)}
    found |= set(_brought(_resource(request)))
    numbers = {number for number in found if Bsn.fits(number)}
    perhaps = {
        number for text in (*texts, request.path) for number in _NINE.findall(text) if Bsn.fits(number)
    }
    return next(iter(numbers)) if len(numbers | perhaps) == 1 and numbers else ""


def _resource(request: Request) -> object:
    """The resource that a request brings, None when it brings none that can be read."""
    if request.resource is None and (not request.body or request.path.endswith("/_search")):
        return None
    try:
        return read_body(request)
    except Outcome:
        return None


def _brought(resource: object) -> Iterator[str]:
    """The values of BSN identifiers of a Patient, of the Patients in a Bundle, or of whom another resource is about.
    Nothing was checked of it yet."""
    patients = [resource, *(entry.get("resource") for entry in _objects(resource, "entry"))]
    identifiers = [
        one
        for patient in patients
        if isinstance(patient, dict) and patient.get("resourceType") == "Patient"
        for one in _objects(patient, "identifier")
    ]
    if isinstance(resource, dict):
        about = [resource.get(name) for name in _ABOUT]
        identifiers += [one["identifier"] for one in about if isinstance(one, dict) and "identifier" in one]
    for identifier in identifiers:
        value = identifier.get("value") if isinstance(identifier, dict) else None
        if isinstance(value, str) and identifier.get("system") in _SYSTEMS:
            yield value


def _objects(resource: object, member: str) -> list[dict[str, Any]]:
    """The objects in a list that is a member of `resource`."""
    listed = resource.get(member) if isinstance(resource, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
