"""The reasons of refusals as they stand in the log, in plain English."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "no-ground": "no ground is recorded for this requester, this patient and this exchange",
    "ground-ended": "the ground for this requester and patient was withdrawn before this request",
    "ground-expired": "the ground for this requester and patient had run out",
    "patient-unknown": "no patient with this id and a BSN is known here",
    "patient-not-named": "the request does not name one patient, once, by BSN or id",
    "bsn-invalid": "the request names a BSN that cannot exist",
    "not-here": "the resource that was asked for does not exist here",
    "not-referred-to": "the resource names no patient, and nothing that may be released refers to it",
    "form-not-allowed": "the request is none of the forms that the exchange allows",
    "interaction-not-allowed": "this door gives out data by read and search; something else was asked",
    "scope-missing": "the token's scope does not include this exchange",
    "search-parameter-unknown": "the request has a search parameter that does not exist",
    "search-parameter-unsupported": "the request has a search parameter that is not supported",
    "search-modifier-unsupported": "the request has a search modifier that is not supported",
    "method-not-allowed": "the request's HTTP method does not exist at this address",
    "not-supported": "the request asks for a part of FHIR that is not supported",
    "not-found": "there is nothing at the address that was asked",
    "gone": "what was asked for was deleted, or the page of a search is no longer remembered",
    "invalid": "the request cannot be understood",
    "too-costly": "the request is larger than a limit allows",
    "busy": "the node could not do it at that moment",
    "incomplete": "some of what was asked came, some did not",
    "refused": "the holder refused",
    "failed": "the holder gave no usable answer",
}


def explained(code: str) -> str:
    """The reason in words, with its code; a code without words stands for itself."""
    return f"{REASONS[code]} ({code})" if code in REASONS else code
