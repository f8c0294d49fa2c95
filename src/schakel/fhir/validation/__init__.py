"""Validation against the base specification: `validate` for a resource, `validate_bytes` for what was sent.

Checked, in both FHIR versions: structure (`schakel.fhir.structure`, the same check that every write passes), all
invariants, required bindings as far as their codes are enumerated, references and contained resources, rules
for Bundles and documents, extensions of the specification, and a QuestionnaireResponse against its
Questionnaire. Profiles are not: what names one is answered with "could not check", which is never an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from schakel.fhir import json, structure, xml
from schakel.fhir.definitions import Definitions
from schakel.fhir.json import Resource
from schakel.fhir.validation.derived import check_derived
from schakel.fhir.validation.responses import check_response
from schakel.fhir.validation.run import EnoughError, Find, Options, Run
from schakel.fhir.validation.walk import walk
from schakel.kernel.outcomes import Invalid, Issue, TooLarge

__all__ = ["Find", "Options", "validate", "validate_bytes"]

_DEFAULT = Options()


def validate(
    resource: Resource,
    definitions: Definitions,
    *,
    profiles: Sequence[str] = (),
    find: Find | None = None,
    options: Options = _DEFAULT,
) -> list[Issue]:
    """The findings on `resource`, at most `options.max_issues`; empty when there is nothing to say.

    `find` gives the resources that are needed beside it. `profiles` are those that the caller asks for.
    Severity is `error`, `warning` or `information`; the place is a FHIRPath with indexes.
    """
    run = Run(definitions, resource, options, find)
    with suppress(EnoughError):
        for url in profiles:
            kind = str(resource.get("resourceType"))
            if url.partition("|")[0] != f"http://hl7.org/fhir/StructureDefinition/{kind}":
                run.could_not_check(f"the profile {url[:300]}", kind, "warning")
        for issue in structure.check(
            resource, definitions, lenient=options.lenient, max_issues=options.max_issues
        ):
            run.take(issue)
        walk(run)
        check_response(run)
        check_derived(run)
    return run.issues


def validate_bytes(
    data: bytes,
    media: Literal["json", "xml"],
    definitions: Definitions,
    *,
    profiles: Sequence[str] = (),
    find: Find | None = None,
    options: Options = _DEFAULT,
) -> list[Issue]:
    """As `validate` for a resource as it was sent; what cannot be read is an issue, not an exception."""
    try:
        resource = json.parse(data) if media == "json" else xml.parse(data, definitions)
    except (Invalid, TooLarge) as outcome:
        return list(outcome.issues)
    return validate(resource, definitions, profiles=profiles, find=find, options=options)
