"""How a token is shown at a resource, and what it is told that shows it wrongly.

Source: RFC 6750 sections 2.1 and 3 (Bearer), RFC 9449 sections 7.1 and 7.2 (DPoP), RFC 8705 section 3 (certificates).
"""

from __future__ import annotations

from dataclasses import dataclass

from schakel.generic.identity.dpop import ALGORITHMS, Proof, proved
from schakel.generic.identity.errors import InvalidDpopProofError, OAuthError
from schakel.generic.identity.model import Caller, Grant
from schakel.generic.identity.nonces import Nonces
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, Unauthenticated

_BEARER = 'Bearer realm="schakel"'
_DPOP = f'DPoP realm="schakel", algs="{" ".join(ALGORITHMS)}"'


@dataclass(frozen=True, slots=True)
class Shown:
    """A token as it came, with the proof beside it; `proof` is None when it came as a bearer token."""

    token: str
    proof: Proof | None


def shown(caller: Caller, *, bearer: bool, dpop: bool, nonces: Nonces | None = None) -> Shown:
    """The token in a request; `bearer` and `dpop` say which schemes are taken here, `nonces` what proofs must have.

    Raises `Unauthenticated`, and `Invalid` for two tokens in one request.
    """
    schemes = {"bearer": _BEARER} if bearer else {}
    schemes |= {"dpop": _DPOP} if dpop else {}
    challenges = {"WWW-Authenticate": ", ".join(schemes.values())}
    names = " or ".join(f"Authorization: {challenge.split()[0]} TOKEN" for challenge in schemes.values())
    if len(caller.authorization) > 1:
        raise Invalid(
            "the header Authorization stands more than once: one token is needed",
            code="token-several",
            expression="Authorization",
            headers={"WWW-Authenticate": _challenge("bearer", "invalid_request", "more than one token")},
        )
    if not caller.authorization or not caller.authorization[0]:
        raise Unauthenticated(f"a token is needed: {names}", code="token-missing", headers=challenges)
    scheme, _, token = caller.authorization[0].partition(" ")
    scheme, token = scheme.lower(), token.strip()
    if scheme not in schemes:
        raise Unauthenticated(
            f"Authorization has a scheme that is not taken here: {names}",
            code="token-scheme",
            headers=challenges,
        )
    if scheme == "bearer":
        return Shown(token, None)
    try:
        proof = proved(caller.dpop, caller.method, caller.url, now().timestamp(), token, nonces)
        return Shown(token, proof)
    except InvalidDpopProofError as error:
        raise bad_proof(error) from None


def check_binding(grant: Grant, shown: Shown, caller: Caller, *, certificates: bool) -> None:
    """Refuse a token that was stolen from the key or the certificate it is bound to, and where `certificates` bind
    tokens, one that is bound to nothing from who shows a certificate. Raises `Unauthenticated`."""
    if shown.proof is None and grant.jkt:
        raise bad_token(
            "dpop",
            "the token is bound to a key: it must come as Authorization: DPoP with a proof",
            "token-bound",
        )
    if shown.proof is not None and not grant.jkt:
        raise bad_token(
            "dpop",
            "the token is not bound to a key: it must come as Authorization: Bearer",
            "token-unbound",
        )
    if shown.proof is not None and shown.proof.jkt != grant.jkt:
        raise bad_token("dpop", "the token is bound to another key than that of the proof", "token-key")
    if certificates and caller.certificate is not None and not (grant.x5t or grant.jkt):
        raise bad_token(
            _scheme(shown),
            "the token was asked without a client certificate or a key, so it is bound to nothing and not taken from "
            "who shows a certificate: ask one on this connection, or with a DPoP proof",
            "token-unbound",
        )
    if grant.x5t and caller.certificate is None:
        raise bad_token(
            _scheme(shown),
            "the token is bound to a client certificate, and this connection has none",
            "token-certificate",
        )
    if grant.x5t and caller.certificate is not None and caller.certificate.thumbprint != grant.x5t:
        raise bad_token(
            _scheme(shown),
            "the token is bound to another client certificate than that of this connection",
            "token-certificate",
        )


def unknown_token(shown: Shown) -> Unauthenticated:
    """For text that is no token of ours, or no longer."""
    message = "the token is not known here, has expired or was withdrawn: get a new one"
    return bad_token(_scheme(shown), message, "token-invalid")


def bad_token(scheme: str, message: str, code: str) -> Unauthenticated:
    """A refusal of the token, with the word of RFC 6750."""
    return Unauthenticated(
        message, code=code, headers={"WWW-Authenticate": _challenge(scheme, "invalid_token", message)}
    )


def bad_proof(error: OAuthError) -> Unauthenticated:
    """A refusal of the proof, with the word of RFC 9449."""
    return Unauthenticated(
        error.message,
        code=error.kind,
        expression=error.expression,
        headers={"WWW-Authenticate": _challenge("dpop", error.error, error.message), **error.headers},
    )


def _scheme(shown: Shown) -> str:
    return "bearer" if shown.proof is None else "dpop"


def _challenge(scheme: str, error: str, description: str) -> str:
    """A challenge of one scheme; what may not stand in a description (RFC 6750, section 3) is left out."""
    text = "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in description)
    told = f'error="{error}", error_description="{text}"'
    return f"{_DPOP if scheme == 'dpop' else _BEARER}, {told}"
