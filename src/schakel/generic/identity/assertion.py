"""The client assertion: what a requester signs to prove who it is and on whose behalf it asks.

Source: RFC 7523 section 3, RFC 7519, RFC 8725 (one algorithm, decided here and never by the token). Each
check names what is wrong: no patient is known yet, and a peer must be able to mend its request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from schakel.generic.identity.errors import InvalidClientError, InvalidRequestError
from schakel.generic.identity.jws import Signed, made_with, opened, registry
from schakel.generic.identity.keys import verifying_keys
from schakel.generic.identity.model import User, check_code
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura

MAX_SECONDS = 60
"""Longest life of an assertion, in seconds."""

LEEWAY_SECONDS = 5
"""How far the clocks of two organisations on NTP may differ; added on both sides."""

MAX_CHARACTERS = 8192
MAX_JTI = 128
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_REGISTRY = registry("ES256", longest=MAX_CHARACTERS)


class RequesterKeys(Protocol):
    """What this holder knows of other organisations by itself."""

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        """The JWK Set of the organisation with this URA, or None when it is not known."""

    async def name(self, ura: str) -> str:
        """The name of the organisation with this URA, '' when it is not known."""

    async def facility_type(self, ura: str) -> str:
        """The type of the organisation with this URA, '' when it is not known."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A verified assertion. `expires` is in seconds since 1970."""

    requester: str
    jti: str
    expires: int
    user: User
    purpose: str
    treatment_relation: str


async def verify(text: str, issuer: str, keys: RequesterKeys, moment: float) -> Assertion:
    """The assertion in `text`, checked for the authorisation server `issuer` at `moment` (seconds since
    1970).

    Raises `InvalidClientError` when it does not prove who asks, and `InvalidRequestError` when what the
    requester says about the user or the purpose is missing or malformed. Replay is not checked here.
    """
    signed = _read(text)
    claims = signed.claims
    requester = _requester(claims)
    await _verify_signature(signed, requester, keys)
    _check_audience(claims, issuer, requester)
    expires = _check_times(claims, moment, requester)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI or not jti.isprintable():
        raise InvalidClientError(
            f"the claim jti of the assertion is missing or is not text of 1 to {MAX_JTI} characters",
            code="assertion-jti",
            expression="jti",
            requester=requester,
        )
    try:
        return Assertion(
            requester,
            jti,
            expires,
            User.parse(claims.get("user")),
            check_code(claims.get("purpose_of_use"), "purpose_of_use"),
            check_code(claims.get("treatment_relation"), "treatment_relation"),
        )
    except Invalid as error:
        raise InvalidRequestError(
            f"in the assertion, {error.message}",
            code=error.kind,
            expression=error.expression,
            requester=requester,
        ) from None


def _read(text: str) -> Signed:
    """The parts of a JWS; nothing in them is trusted yet."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidClientError(
            f"the assertion is longer than {MAX_CHARACTERS} characters", code="assertion-malformed"
        )
    try:
        signed = opened(text, _REGISTRY)
    except ValueError:
        raise InvalidClientError(
            "the assertion is not a signed JWT: three parts in base64url with JSON objects are needed",
            code="assertion-malformed",
        ) from None
    if signed.header.get("alg") != "ES256":
        raise InvalidClientError("the assertion is not signed with ES256", code="assertion-algorithm")
    if "crit" in signed.header:
        raise InvalidClientError(
            "the header of the assertion has crit, which is not supported", code="assertion-header"
        )
    if not isinstance(signed.header.get("kid", ""), str):
        raise InvalidClientError(
            "the kid in the header of the assertion is not text", code="assertion-header"
        )
    return signed


def _requester(claims: Mapping[str, Any]) -> str:
    """The URA the assertion speaks for; not verified yet."""
    issued_by = claims.get("iss")
    try:
        is_ura = isinstance(issued_by, str) and Ura(issued_by) == issued_by
    except Invalid:
        is_ura = False
    if not isinstance(issued_by, str) or not is_ura:
        raise InvalidClientError(
            "the claim iss of the assertion is missing or is not the requester's URA in eight digits",
            code="assertion-iss",
            expression="iss",
        )
    if claims.get("sub") != issued_by:
        raise InvalidClientError(
            "the claim sub of the assertion is not equal to iss", code="assertion-sub", expression="sub"
        )
    return issued_by


async def _verify_signature(signed: Signed, requester: str, keys: RequesterKeys) -> None:
    """Refuse unless a key of the requester in the directory made the signature."""
    jwks = await keys.jwks(requester)
    if jwks is None:
        raise InvalidClientError(
            f"no organisation with URA {requester} is in this holder's directory", code="requester-unknown"
        )
    kid = signed.header.get("kid")
    found = list(verifying_keys(jwks, kid))
    if not found:
        which = "no ES256 key" if kid is None else f"no ES256 key with kid {kid[:64]!r}"
        raise InvalidClientError(
            f"the directory has {which} for URA {requester}", code="assertion-key", expression="kid"
        )
    if any(made_with(signed, key, _REGISTRY) for key in found):
        return
    raise InvalidClientError(
        f"the signature of the assertion was not made with a key of URA {requester} in the directory",
        code="assertion-signature",
    )


def _check_audience(claims: Mapping[str, Any], issuer: str, requester: str) -> None:
    """Refuse an assertion for another authorisation server: it could have been passed on."""
    if claims.get("aud") != issuer:
        raise InvalidClientError(
            f"the claim aud of the assertion is not the issuer of this authorisation server, {issuer}",
            code="assertion-aud",
            expression="aud",
            requester=requester,
        )


def _check_times(claims: Mapping[str, Any], moment: float, requester: str) -> int:
    """The time of expiry, when the assertion is short-lived and valid at `moment`."""
    issued, expires = (_seconds(claims, name, requester) for name in ("iat", "exp"))
    wrong = None
    if issued > moment + LEEWAY_SECONDS:
        wrong = "iat", "lies in the future: check the clock of the requester"
    elif expires <= moment - LEEWAY_SECONDS:
        wrong = "exp", "lies in the past: make a new assertion for each request, and check the clock"
    elif not 0 < expires - issued <= MAX_SECONDS:
        wrong = "exp", f"is not 1 to {MAX_SECONDS} seconds after iat"
    elif "nbf" in claims and _seconds(claims, "nbf", requester) > moment + LEEWAY_SECONDS:
        wrong = "nbf", "lies in the future"
    if wrong:
        name, what = wrong
        raise InvalidClientError(
            f"the claim {name} of the assertion {what}",
            code=f"assertion-{name}",
            expression=name,
            requester=requester,
        )
    return expires


def _seconds(claims: Mapping[str, Any], name: str, requester: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidClientError(
            f"the claim {name} of the assertion is missing or is not a whole number of seconds",
            code=f"assertion-{name}",
            expression=name,
            requester=requester,
        )
    return value
