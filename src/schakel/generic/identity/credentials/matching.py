"""Holds what was presented against a definition, with the presenter's submission or by trying.

Source: DIF Presentation Exchange 2.0, section 6 (presentation_submission).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schakel.generic.identity.credentials import jsonpath
from schakel.generic.identity.credentials.definition import Definition, Descriptor
from schakel.generic.identity.credentials.model import Credential
from schakel.generic.identity.credentials.refusals import Refused, shown
from schakel.kernel.outcomes import Invalid

_MAX_NESTED = 4


def matched(
    definition: Definition, credentials: Sequence[Credential], submission: Mapping[str, Any] | None
) -> dict[str, str]:
    """The values by field id, when every descriptor has a credential that fits.

    Raises `Refused` that says which descriptor has none, and what each candidate lacks.
    """
    named = _submitted(definition, credentials, submission) if submission is not None else {}
    values: dict[str, str] = {}
    for descriptor in definition.descriptors:
        if submission is None:
            values |= _tried(descriptor, credentials)
        else:
            values |= _named(descriptor, named.get(descriptor.id), credentials)
    return values


def _tried(descriptor: Descriptor, credentials: Sequence[Credential]) -> dict[str, str]:
    """The values of the first credential that fits."""
    reasons = []
    for place, credential in enumerate(credentials):
        values, missing = descriptor.values(credential)
        if not missing:
            return values
        if descriptor.type in ("", credential.type):
            reasons.append(f"credential {place + 1} ({credential.type}): {missing[0]}")
    why = "; ".join(reasons) or "it was not presented"
    raise Refused(
        f"no credential fits the descriptor {descriptor.told()}: {why}",
        code="presentation-incomplete",
        expression=f"input_descriptors[{descriptor.id}]",
    )


def _named(descriptor: Descriptor, place: int | None, credentials: Sequence[Credential]) -> dict[str, str]:
    """The values of the credential that the submission names."""
    if place is None:
        raise Refused(
            f"presentation_submission names no credential for the descriptor {descriptor.told()}",
            code="presentation-incomplete",
            expression="presentation_submission.descriptor_map",
        )
    values, missing = descriptor.values(credentials[place])
    if missing:
        raise Refused(
            f"credential {place + 1} ({credentials[place].type}) does not fit the descriptor {descriptor.told()}: "
            f"{missing[0]}",
            code="presentation-incomplete",
            expression=f"input_descriptors[{descriptor.id}]",
        )
    return values


def _submitted(
    definition: Definition, credentials: Sequence[Credential], submission: Mapping[str, Any]
) -> dict[str, int]:
    """Which credential the submission names, by descriptor."""
    if submission.get("definition_id") != definition.id:
        raise _wrong(
            f"definition_id is {shown(submission.get('definition_id'))}, and {definition.id!r} was asked",
            "definition_id",
        )
    listed = submission.get("descriptor_map")
    if not isinstance(listed, list):
        raise _wrong("descriptor_map is not a list", "descriptor_map")
    known = {descriptor.id for descriptor in definition.descriptors}
    found: dict[str, int] = {}
    for number, entry in enumerate(listed[:100]):
        where = f"descriptor_map[{number}]"
        name = entry.get("id") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(name, str) or name not in known:
            raise _wrong(f"{where} is not of a descriptor of the definition", where)
        if name in found:
            raise _wrong(f"{where} names {name} a second time", where)
        found[name] = _place(entry, credentials, where)
    return found


def _place(entry: Mapping[str, Any], credentials: Sequence[Credential], where: str) -> int:
    """The place of the credential to which `path` and `path_nested` lead."""
    places = list(range(len(credentials)))
    listed: Any = {"verifiableCredential": places}
    here: Any = {"vp": listed, **listed}
    step: Any = entry
    for _ in range(_MAX_NESTED):
        path, form = step.get("path"), step.get("format")
        if not isinstance(path, str):
            raise _wrong(f"{where} has no path", where)
        try:
            # One presentation may be written as the whole of what was sent, or as the first of a list.
            found = [here] if path in ("$", "$[0]") else jsonpath.values(here, path)
        except Invalid as error:
            raise _wrong(f"{where}: {error.message}", where) from None
        if len(found) == 1 and found[0] == places and len(places) == 1:
            found = places  # a list of one, named as a whole
        if len(found) != 1:
            raise _wrong(f"{where}: the path {shown(path)} does not lead to one credential", where)
        here = found[0]
        if not isinstance(step := step.get("path_nested"), Mapping):
            break
    if isinstance(here, bool) or not isinstance(here, int):
        raise _wrong(f"{where} does not lead to a credential", where)
    own = credentials[here].format
    if form not in (None, own, "jwt_vp", "ldp_vp"):
        raise _wrong(f"{where} says format {shown(form)}, and the credential is {own}", where)
    return here


def _wrong(what: str, where: str) -> Refused:
    return Refused(
        f"presentation_submission: {what}",
        code="submission-invalid",
        expression=f"presentation_submission.{where}",
    )
