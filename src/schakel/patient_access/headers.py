"""What the headers of a request at the resource interface must say, and how a refusal is said in one.

Source: MedMij framework, resource interface (core.rscint): two UUIDs, the FHIR version in `Accept`; errors as in
RFC 6750, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

from schakel.fhir.definitions import Version
from schakel.generic.identity.patient import CORRELATION_ID, REQUEST_ID, check_uuid
from schakel.kernel.outcomes import Invalid, NotSupported, Outcome
from schakel.server.bodies import RELEASE

_WORDS = {400: "invalid_request", 401: "invalid_token", 403: "insufficient_scope"}
_VERSION_REFUSED = "Requested FHIR version not supported"


def check_ids(headers: Mapping[str, str], *, correlation_optional: bool = False) -> str:
    """The id of the request. Raises `Invalid` when one of the two ids is missing or is no UUID.

    With `correlation_optional` (setting `medmij.correlation_id_optional`) X-Correlation-ID may be missing: some
    clients leave it out when their user's program gave none. The chain of log events of one session is then broken.
    """
    request_id = check_uuid(headers.get(REQUEST_ID.lower()), REQUEST_ID)
    if headers.get(CORRELATION_ID.lower()) or not correlation_optional:
        check_uuid(headers.get(CORRELATION_ID.lower()), CORRELATION_ID)
    return request_id


def check_version(accept: str, version: Version) -> None:
    """Refuses an `Accept` that names FHIR versions, but not that of the service. Raises `NotSupported`."""
    named = {
        value.strip().strip('"')
        for part in accept.lower().split(",")
        for name, _, value in (p.partition("=") for p in part.split(";")[1:])
        if name.strip() == "fhirversion"
    }
    if named and RELEASE[version] not in named:
        raise NotSupported(_VERSION_REFUSED, code="fhir-version", expression="Accept")


def session(headers: Mapping[str, str]) -> str:
    """The session that a request says it belongs to; '' when it says none, or something else."""
    try:
        return check_uuid(headers.get(CORRELATION_ID.lower()), CORRELATION_ID)
    except Invalid:
        return ""


def word(outcome: Outcome) -> str:
    """The word of RFC 6750 for a refusal; '' when it has none."""
    return _WORDS.get(outcome.status, "") or ("invalid_request" if isinstance(outcome, Invalid) else "")


def said(outcome: Outcome) -> Outcome:
    """The outcome with the header WWW-Authenticate that RFC 6750 asks; one that has it stays as it is.

    A request without a token gets the scheme alone (section 3.1).
    """
    error = word(outcome)
    if error and "WWW-Authenticate" not in outcome.headers:
        text = "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in outcome.message)[:300]
        outcome.headers["WWW-Authenticate"] = f'Bearer error="{error}", error_description="{text}"'
    return outcome
