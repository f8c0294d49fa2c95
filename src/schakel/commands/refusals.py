"""Refusals by door: the status of each, and what the one who asked can do. What a code means stands in `reasons`.

The page docs/reference/refusal-codes.md is made from `DOORS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from schakel.commands.reasons import REASONS


@dataclass(frozen=True, slots=True)
class Group:
    """Codes with one status and one remedy."""

    status: int
    todo: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Door:
    """Where refusals are told, how, and which."""

    title: str
    text: str
    groups: tuple[Group, ...]


def _group(status: int, todo: str, codes: str) -> Group:
    return Group(status, todo, tuple(codes.split()))


_ANEW = "get a new token; it is valid for minutes"
_AS_BOUND = "send the token as it was bound: with a proof by its key, over its certificate"
_READ = "read the OperationOutcome: it names the parameter or the element"
_FORM = "compare the request with the accepted requests of the exchange; one parameter more is too many"
_ASK = "ask the holder, with the id of the decision"
_CREDENTIAL = "have the credential issued anew, or present the one that is asked for"
_NONCE = "make a new proof, with the nonce in the header DPoP-Nonce"
_LATER = "come back after the seconds in Retry-After, or agree on a higher limit with the holder"
_CERTIFICATE = "use a certificate that is valid, of the register, and of the organisation that asks"

DOORS: tuple[Door, ...] = (
    Door(
        "The token endpoint",
        "Told as `error` and `error_description` (RFC 6749). The description names the field, claim or credential at "
        "fault; no patient is involved yet. The codes below stand in the log of the holder.",
        (
            _group(
                400,
                "mend the field or the claim that the description names",
                "field-missing grant-type scope scope-several claim-missing claim-invalid parts-equal "
                "submission-definition submission-invalid",
            ),
            _group(
                401,
                "make a new assertion for this server, signed with a key in the directory",
                "requester-unknown assertion-replayed assertion-signature assertion-key assertion-aud assertion-iss "
                "assertion-sub assertion-exp assertion-iat assertion-nbf assertion-jti assertion-algorithm "
                "assertion-header assertion-malformed assertion-type client-id client-assertion-other",
            ),
            _group(
                401,
                "make a new presentation, for this server and with the credentials that the scope asks",
                "presentation-replayed presentation-ura presentation-ambiguous presentation-aud presentation-format "
                "presentation-holder presentation-incomplete presentation-kid presentation-patient "
                "presentation-signature presentation-too-long presentation-too-many presentation-type "
                "presentation-unbound presentation-user",
            ),
            _group(
                401,
                _CREDENTIAL,
                "credential-expired credential-early credential-signature credential-issuer credential-subject "
                "credential-holder credential-type credential-type-unknown credential-malformed credential-format "
                "credential-context credential-date credential-card credential-kid credential-x5c credential-x5t "
                "credential-before-certificate credential-after-certificate status-malformed status-type "
                "did-malformed did-method did-key did-x509-malformed did-x509-fingerprint did-x509-policy",
            ),
            _group(400, "make a proof of possession for each request", "dpop-replayed"),
            _group(400, _NONCE, "dpop-nonce"),
            _group(400, "ask the metadata for which addresses tokens are given", "resource"),
            _group(400, "give back what stands in the notification, as it stands", "authorization-base"),
            _group(429, _LATER, "rate-limit"),
            _group(
                503,
                "try again later: it could not be checked",
                "did-unresolved status-unknown revocation-unknown",
            ),
        ),
    ),
    Door(
        "The listener for others (back)",
        "Told before anything is read, as problem+json or OperationOutcome.",
        (
            _group(
                401,
                _CERTIFICATE,
                "certificate-missing certificate-expired certificate-not-yet-valid certificate-revoked "
                "certificate-unknown certificate-chain certificate-usage certificate-key certificate-malformed "
                "certificate-card-type certificate-uzi certificate-uzi-missing certificate-other-organisation",
            ),
            _group(400, "have the proxy tell of the certificate as was agreed", "certificate-header"),
            _group(503, "try again later: it could not be checked", "certificate-unchecked"),
        ),
    ),
    Door(
        "The guarded door, before the patient is known",
        "Told as an OperationOutcome with the code and what is at fault.",
        (
            _group(401, _ANEW, "token-missing token-scheme token-several token-invalid"),
            _group(401, _NONCE, "dpop-nonce"),
            _group(429, _LATER, "rate-limit"),
            _group(401, _AS_BOUND, "token-bound token-unbound token-key token-certificate"),
            _group(403, "ask for a token with the scope of the exchange", "scope-missing"),
            _group(403, _FORM, "form-not-allowed patient-not-named"),
            _group(405, "use an interaction that the exchange has", "interaction-not-allowed"),
            _group(
                400,
                _READ,
                "bsn-invalid emergency-reason search-parameter-unknown search-parameter-unsupported "
                "search-modifier-unsupported not-supported invalid too-costly",
            ),
            _group(
                410, "search again: pages are kept for ten minutes, for the token that searched", "page-gone"
            ),
            _group(
                403, "send what is yours to send, to whom it is for", "task-owner-other task-sender-other"
            ),
            _group(
                422,
                "mend the element that is named",
                "delivery-invalid notification-invalid task-change-not-allowed task-status-not-allowed unprocessable",
            ),
            _group(412, "read the Task again and change that version", "precondition-failed"),
            _group(503, "try again later: what cannot be written down is not done", "log-unavailable busy"),
        ),
    ),
    Door(
        "The guarded door, once the patient is known",
        "Told as 403 `refused` with the id of the decision, and nothing else: the difference would tell something "
        "about the patient. The codes below stand in the log of the holder (`schakel explain`).",
        (
            _group(403, _ASK, "patient-unknown not-here not-referred-to token-other-patient other-patient"),
            _group(
                403,
                "have the sender look at its Task: whom it is for, its state and what it lists",
                "task-missing task-several-patients",
            ),
            _group(
                403,
                "nothing in this request: the role, the purpose or what was proved does not suffice",
                "category-not-permitted purpose-not-permitted user-missing user-not-permitted role-not-permitted "
                "facility-type-missing facility-type-not-permitted assurance-too-low token-not-bound "
                "credential-missing credential-other-patient credential-other-role ground-missing "
                "ground-not-sufficient",
            ),
        ),
    ),
    Door(
        "Consent",
        "Told as the door before it: 403 `refused`. What could not be checked is 503 `consent-unavailable`, with the "
        "id of the decision and Retry-After.",
        (
            _group(
                403, _ASK, "no-ground ground-ended ground-expired objection mitz-deny mitz-no-choice mitz-off"
            ),
            _group(
                403,
                "let the token say what Mitz asks for, or have the holder complete its settings",
                "mitz-purpose-missing mitz-requester-type-missing mitz-user-missing mitz-role-missing "
                "mitz-category-unknown",
            ),
            _group(
                403,
                "access in an emergency is for a professional at the high level, with a reason, where the holder's "
                "policy has it",
                "break-glass-reason break-glass-assurance break-glass-user break-glass-rejected",
            ),
            _group(503, "try again later", "consent-unavailable"),
        ),
    ),
    Door(
        "Facilities",
        "What a national facility is asked for may be away. It is never taken for a yes or a no.",
        (
            _group(502, "try again later; the holder sees which facility it is", "facility-away"),
            _group(502, "the operator mends a setting or a registration", "token-refused pseudonym-refused"),
        ),
    ),
)
"""Every door, in the order in which a request passes them."""


def listed() -> frozenset[str]:
    """Every code that stands in the table."""
    return frozenset(code for door in DOORS for group in door.groups for code in group.codes)


def rows(door: Door) -> list[tuple[str, str, str, str]]:
    """The table of a door: code, status, meaning, what to do."""
    return [
        (code, str(group.status), REASONS[code], group.todo) for group in door.groups for code in group.codes
    ]
