"""SC008, SC-R001, SC-R002, SC-R003: how a client proves itself at the OAuth server, as its metadata says (RFC 8414),
and what it does with assertions that nobody signed or that a shared secret signed."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import Check, Probe, Unseen, broken, holds, unpacked
from schakel.conformance.client import Response
from schakel.fhir import json
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Invalid

_ASYMMETRIC = frozenset(
    [f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)]
    + ["EdDSA", "Ed25519", "Ed448"]
)
"""Algorithms of RFC 7518 that need two keys, and those that were added to its registry."""

_SYMMETRIC = frozenset(["HS256", "HS384", "HS512"])
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def _metadata(probe: Probe) -> tuple[str, Mapping[str, Any]]:
    """Where the metadata of the issuer are (RFC 8414, section 3), and what they say."""
    issuer = probe.options.oauth.rstrip("/")
    if not issuer:
        raise Unseen(
            "geen adres van de OAuth-server; geef --oauth", "no OAuth issuer; give --oauth", probe.base
        )
    parts = urlsplit(issuer)
    url = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
    answer = await probe.get(url, "application/json")
    probe.refuse_closed(answer, url)
    metadata = _object(answer)
    if metadata is None:
        raise Unseen(
            f"hier staan geen metadata van RFC 8414 (antwoord {answer.status})",
            f"there are no metadata of RFC 8414 here (answer {answer.status})",
            url,
        )
    return url, metadata


def _object(answer: Response) -> Mapping[str, Any] | None:
    if answer.status != 200:
        return None
    try:
        return json.parse(unpacked(answer))
    except Invalid:
        return None


def _listed(metadata: Mapping[str, Any], name: str) -> list[str]:
    values = metadata.get(name)
    return [str(one) for one in values] if isinstance(values, list) else []


def _algorithms(metadata: Mapping[str, Any]) -> list[str]:
    return _listed(metadata, "token_endpoint_auth_signing_alg_values_supported")


async def client_authentication(probe: Probe) -> Sequence[Finding]:
    """SC-R001: the issuer is who it says, and takes a JWT that the client signed (`private_key_jwt`)."""
    url, metadata = await _metadata(probe)
    issuer, methods = metadata.get("issuer"), _listed(metadata, "token_endpoint_auth_methods_supported")
    if issuer != probe.options.oauth.rstrip("/") and issuer != probe.options.oauth:
        told = str(issuer)[:120]
        return [broken("SC-R001", f"de uitgever noemt zich {told}", f"the issuer calls itself {told}", url)]
    if "private_key_jwt" not in methods:
        told = ", ".join(methods) or "client_secret_basic (RFC 8414)"
        return [
            broken("SC-R001", f"geen private_key_jwt, wel {told}", f"no private_key_jwt, but {told}", url)
        ]
    return [holds("SC-R001", "private_key_jwt wordt aangeboden", "private_key_jwt is offered", url)]


async def asymmetric(probe: Probe) -> Sequence[Finding]:
    """SC008: only algorithms with two keys, and no token for what has no signature or one of a shared secret."""
    url, metadata = await _metadata(probe)
    algorithms, methods = _algorithms(metadata), _listed(metadata, "token_endpoint_auth_methods_supported")
    if shared := sorted(({*algorithms} - _ASYMMETRIC) | ({"client_secret_jwt"} & {*methods})):
        told = ", ".join(shared)
        return [broken("SC008", f"ook niet asymmetrisch: {told}", f"not asymmetric as well: {told}", url)]
    if not algorithms:
        raise Unseen("de metadata noemen geen algoritmen", "the metadata name no algorithms", url)
    endpoint = str(metadata.get("token_endpoint", ""))
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise Unseen("de metadata noemen geen token_endpoint", "the metadata name no token_endpoint", url)
    for algorithm in ("none", "HS256"):
        answer = await probe.send(
            "POST",
            endpoint,
            (("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")),
            _request(endpoint, algorithm),
        )
        if answer.status < 300:
            return [
                broken(
                    "SC008",
                    f"een bewering met {algorithm} krijgt antwoord {answer.status}",
                    f"an assertion with {algorithm} gets answer {answer.status}",
                    endpoint,
                )
            ]
        if answer.status >= 500:
            raise Unseen(
                f"de server kon niet antwoorden ({answer.status})",
                f"the server could not answer ({answer.status})",
                endpoint,
            )
    told = ", ".join(algorithms)
    return [
        holds(
            "SC008",
            f"alleen {told}; none en HS256 worden geweigerd",
            f"only {told}; none and HS256 are refused",
            url,
        )
    ]


def _request(endpoint: str, algorithm: str) -> bytes:
    """A request for a token by nobody, with an assertion that nobody may believe."""
    moment = int(now().timestamp())
    claims = {
        "iss": "schakel-check",
        "sub": "schakel-check",
        "aud": endpoint,
        "jti": new_id(),
        "iat": moment,
        "exp": moment + 60,
    }
    signature = "" if algorithm == "none" else _packed(b"\0" * 32)
    parts = (
        _packed(orjson.dumps({"alg": algorithm, "typ": "JWT"})),
        _packed(orjson.dumps(claims)),
        signature,
    )
    return urlencode(
        {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION,
            "client_assertion": ".".join(parts),
        }
    ).encode()


def _packed(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


async def signatures(probe: Probe) -> Sequence[Finding]:
    """SC-R003: algorithms that RFC 7518 and its registry know, and published keys without their secret part."""
    url, metadata = await _metadata(probe)
    strange = sorted({*_algorithms(metadata)} - _ASYMMETRIC - _SYMMETRIC)
    if strange:
        told = ", ".join(strange)
        return [broken("SC-R003", f"onbekend in RFC 7518: {told}", f"not in RFC 7518: {told}", url)]
    where = str(metadata.get("jwks_uri", ""))
    if urlsplit(where).scheme in ("http", "https"):
        answer = await probe.get(where, "application/json")
        probe.refuse_closed(answer, where)
        keys = (_object(answer) or {}).get("keys")
        if not isinstance(keys, list):
            return [broken("SC-R003", "jwks_uri heeft geen sleutels", "jwks_uri has no keys", where)]
        if any(isinstance(one, dict) and (one.get("kty") == "oct" or "d" in one) for one in keys):
            return [broken("SC-R003", "een geheime sleutel is openbaar", "a secret key is public", where)]
        if not _algorithms(metadata) and not keys:
            raise Unseen(
                "er zijn geen algoritmen of sleutels te zien", "no algorithms or keys can be seen", where
            )
    elif not _algorithms(metadata):
        raise Unseen("er zijn geen algoritmen of sleutels te zien", "no algorithms or keys can be seen", url)
    return [
        holds("SC-R003", "algoritmen en sleutels zoals RFC 7518", "algorithms and keys as in RFC 7518", url)
    ]


async def single_sign_on(probe: Probe) -> Sequence[Finding]:
    """SC-R002: the issuer is one of OpenID Connect too."""
    issuer = probe.options.oauth.rstrip("/")
    if not issuer:
        await _metadata(probe)
    url = f"{issuer}/.well-known/openid-configuration"
    answer = await probe.get(url, "application/json")
    configuration = _object(answer)
    if configuration is None or "authorization_endpoint" not in configuration:
        raise Unseen(
            f"hier staat geen OpenID Connect (antwoord {answer.status}); waar men inlogt, zegt een mens",
            f"there is no OpenID Connect here (answer {answer.status}); a person says where one logs in",
            url,
        )
    return [holds("SC-R002", "OpenID Connect wordt aangeboden", "OpenID Connect is offered", url)]


CHECKS = (
    Check(("SC-R001",), client_authentication),
    Check(("SC008",), asymmetric),
    Check(("SC-R003",), signatures),
    Check(("SC-R002",), single_sign_on),
)
