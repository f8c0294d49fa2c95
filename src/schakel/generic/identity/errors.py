"""Errors of the token endpoint.

    OAuthError
    ├── InvalidRequestError        400  a field, or a claim about the user, is missing or malformed
    ├── InvalidClientError         401  the requester did not prove who it is
    ├── InvalidGrantError          400  the code or refresh token is not known, used, expired or another's
    ├── InvalidScopeError          400  a scope is not offered
    ├── InvalidTargetError         400  the resource that the token is asked for is not one of ours
    ├── InvalidDpopProofError      400  the proof of possession is missing, wrong or used before
    │   └── UseDpopNonceError      400  it lacks the nonce that we ask for, or has another or an old one
    ├── UnsupportedGrantTypeError  400
    └── NotCheckedError            503  something that must be looked up elsewhere could not be: nothing was found wrong

Source: RFC 6749, section 5.2 (for 503 its word of section 4.1.2.1: the token endpoint has none of its own); RFC 9449,
section 5; RFC 8707, section 2. `message` becomes `error_description`.
"""

from __future__ import annotations

from typing import ClassVar

from schakel.generic.identity.model import Grant
from schakel.kernel.outcomes import Invalid, Unauthenticated

NONCE_HEADER = "DPoP-Nonce"
"""Where an answer says which nonce the next proof must have."""


class OAuthError(Invalid):
    """A refusal of the token endpoint.

    `error` is its OAuth word, and `requester` the URA of the caller when its signature was verified, else ''.
    """

    error: ClassVar[str] = "invalid_request"

    def __init__(self, message: str, *, code: str, expression: str = "", requester: str = "") -> None:
        super().__init__(message, code=code, expression=expression)
        self.requester = requester


class InvalidRequestError(OAuthError):
    error = "invalid_request"


class InvalidClientError(OAuthError):
    status, issue = 401, "login"
    error = "invalid_client"


class InvalidGrantError(OAuthError):
    error = "invalid_grant"


class InvalidScopeError(OAuthError):
    error = "invalid_scope"


class InvalidTargetError(OAuthError):
    error = "invalid_target"


class InvalidDpopProofError(OAuthError):
    error = "invalid_dpop_proof"


class UseDpopNonceError(InvalidDpopProofError):
    """Refused before anything was done; `nonce` is the one to come back with, which the answer says in a header."""

    error = "use_dpop_nonce"

    def __init__(self, message: str, nonce: str) -> None:
        super().__init__(message, code="dpop-nonce", expression="nonce")
        self.headers = {NONCE_HEADER: nonce}


class UnsupportedGrantTypeError(OAuthError):
    error = "unsupported_grant_type"


class NotCheckedError(OAuthError):
    status, issue = 503, "transient"
    error = "temporarily_unavailable"


class TokenElsewhereError(Unauthenticated):
    """A `refusal` at a resource of a token that is valid, from somebody who did not prove that it is theirs: with
    another key or certificate, without one, or with a proof that was used before. `grant` is what the token says."""

    def __init__(self, grant: Grant, refusal: Unauthenticated) -> None:
        super().__init__(
            refusal.message, code=refusal.kind, expression=refusal.expression, headers=refusal.headers
        )
        self.grant = grant
