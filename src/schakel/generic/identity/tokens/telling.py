"""What an authorisation server tells of itself and of its tokens: metadata (RFC 8414) and introspection (RFC 7662)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schakel.generic.identity.dpop import ALGORITHMS
from schakel.generic.identity.tokens.rows import Told

_PRESENTATIONS = ["ES256"]
_CREDENTIALS = ["ES256", "RS256", "PS256"]
_DID_METHODS = ["web", "x509"]
"""Of who presents (web), and of who issues: an organisation's own credential is of a certificate (x509). A Nuts node
presents only from identities, and only credentials of issuers, whose method stands here."""

_FORMATS = {
    name: {"alg_values_supported": algorithms}
    for name, algorithms in (
        ("jwt_vp_json", _PRESENTATIONS),
        ("jwt_vp", _PRESENTATIONS),
        ("jwt_vc_json", _CREDENTIALS),
        ("jwt_vc", _CREDENTIALS),
    )
}


def metadata(
    issuer: str,
    *,
    grants: list[str],
    scopes: frozenset[str],
    presentations: bool,
    dpop: bool,
    certificates: bool,
    resources: Sequence[str] = (),
) -> dict[str, Any]:
    """What the server `issuer` offers and where; `certificates` is whether a token is bound to the certificate of who
    got it, `resources` are the addresses that tokens open (RFC 9728, section 4). The addresses of the listener that
    asks for certificates are added by who knows them.

    `vp_formats` is the name that running nodes use, `vp_formats_supported` the one of OpenID4VP;
    `did_methods_supported` is theirs alone.
    """
    told: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth2/token",
        "jwks_uri": f"{issuer}/oauth2/jwks",
        "response_types_supported": [],
        "grant_types_supported": grants,
        "scopes_supported": sorted(scopes),
        "token_endpoint_auth_methods_supported": ["private_key_jwt", *(["none"] if presentations else [])],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "tls_client_certificate_bound_access_tokens": certificates,
    }
    if presentations:
        told["presentation_definition_endpoint"] = f"{issuer}/oauth2/presentation_definition"
        told["vp_formats"] = told["vp_formats_supported"] = _FORMATS
        told["did_methods_supported"] = _DID_METHODS
    if resources:
        told["protected_resources"] = list(resources)
    if dpop:
        told["dpop_signing_alg_values_supported"] = list(ALGORITHMS)
    return told


def introspection(issuer: str, told: Told) -> dict[str, Any]:
    """What a valid token says. Proved values stand at the top by their field id, but never in the place of another
    member; `assertions` and `client_assertions` say who vouched for each (GFI-006)."""
    grant = told.grant
    members: dict[str, Any] = {
        "active": True,
        "iss": issuer,
        "client_id": grant.client_id,
        "sub": grant.requester,
        "scope": grant.scope,
        "token_type": "DPoP" if grant.jkt else "Bearer",
        "jti": grant.jti,
        "iat": int(told.issued.timestamp()),
        "exp": int(grant.expires.timestamp()),
        "user": grant.user.json() if grant.user else None,
        "purpose_of_use": grant.purpose or None,
        "treatment_relation": grant.treatment_relation or None,
        "assurance": grant.assurance or None,
    }
    bound = {"jkt": grant.jkt, "x5t#S256": grant.x5t}
    if any(bound.values()):
        members["cnf"] = {name: thumbprint for name, thumbprint in bound.items() if thumbprint}
    present = {name: value for name, value in members.items() if value is not None}
    return {**grant.claims, **told.origins, **present}
