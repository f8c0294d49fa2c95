"""The reasons of refusals as they stand in the log, in plain English."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "no-ground": "no ground is recorded for this requester, this patient and this exchange",
    "ground-ended": "the ground for this requester and patient was withdrawn before this request",
    "ground-expired": "the ground for this requester and patient had run out",
    "patient-unknown": "no patient with this id and a BSN is known here",
    "patient-not-named": "the request does not name one patient, once, by BSN or id",
    "bsn-invalid": "the request names a BSN that cannot exist",
    "token-other-patient": "the token is for another patient",
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
    "requester-unknown": "the directory does not know the organisation that asked for a token",
    "assertion-replayed": "the assertion was used before",
    "assertion-signature": "the assertion is not signed with a key that the directory has for this organisation",
    "assertion-key": "the directory has no key for the assertion",
    "assertion-aud": "the assertion is for another authorisation server",
    "assertion-iss": "the assertion does not name the organisation that made it by URA",
    "assertion-sub": "the assertion was made by one organisation for another",
    "assertion-exp": "the assertion had run out, or is valid for longer than is allowed",
    "assertion-iat": "the assertion does not say when it was made, or says a moment in the future",
    "assertion-nbf": "the assertion is not valid yet",
    "assertion-jti": "the assertion has no usable id",
    "assertion-algorithm": "the assertion is signed in a way that is not accepted",
    "assertion-header": "the assertion has a header that is not accepted",
    "assertion-malformed": "the assertion is not a signed JWT",
    "assertion-type": "the proof of identity is of a kind that is not accepted",
    "claim-missing": "the assertion lacks a claim about the user, the purpose or the treatment relation",
    "claim-invalid": "a claim about the user, the purpose or the treatment relation is malformed",
    "client-id": "client_id is not the organisation that made the assertion",
    "field-missing": "a field of the token request is missing",
    "grant-type": "another grant was asked than client_credentials",
    "scope": "a scope was asked that is not offered",
    "incomplete": "some of what was asked came, some did not",
    "refused": "the holder refused",
    "failed": "the holder gave no usable answer",
}


def explained(code: str) -> str:
    """The reason in words, with its code; a code without words stands for itself."""
    return f"{REASONS[code]} ({code})" if code in REASONS else code
