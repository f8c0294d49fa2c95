"""What a Nuts node does with the metadata and definitions of an authorisation server, and with what it is presented:
written from its source (packages auth/client/iam, auth/api/iam, vcr/pe, vcr/credential and vcr/holder), not from ours.

    node = NutsNode(did, key)
    presented = node.presents(metadata, definition, wallet=[...], beside=[...])

Credentials are as it holds them: a JWT, or an object with members.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc.jwk import ECKey
from tests.presenting import V1, Draft, seconds

from schakel.kernel.clock import new_id

Held = str | Mapping[str, Any]
ALGORITHMS = {"PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}


class NodeStopsError(Exception):
    """The node gives up; the text is what it says."""


@dataclass(frozen=True)
class Made:
    """A presentation by a node, and its submission (which jwt-bearer leaves out)."""

    vp: str
    submission: dict[str, Any]


@dataclass(frozen=True)
class NutsNode:
    """A subject of a node, with one identity."""

    did: str
    key: ECKey

    def presents(
        self,
        metadata: Mapping[str, Any],
        definition: Mapping[str, Any],
        wallet: Sequence[Held],
        beside: Sequence[Mapping[str, Any]] = (),
    ) -> Made:
        """What it sends for `definition` to the server with `metadata`; `beside` are credentials that the EHR gives
        along. Raises `NodeStopsError`."""
        methods = metadata.get("did_methods_supported", [])
        if _method(self.did) not in methods:
            raise NodeStopsError(f"did method mismatch, requested: {methods}")
        held = [*(completed(one, self.did) for one in beside), *taken(wallet, methods)]
        if "jwt_vp_json" not in _formats(metadata, definition):
            raise NodeStopsError("no shared VP format")
        chosen = matched(definition, held)
        listed = list(chosen.values())
        claims = {
            "sub": self.did,
            "aud": metadata["issuer"],
            "nbf": seconds(),
            "exp": seconds() + 5,
            "jti": f"{self.did}#{new_id()}",
            "nonce": new_id(),
            "vp": {
                "@context": [V1],
                "type": ["VerifiablePresentation"],
                "holder": self.did,
                "verifiableCredential": listed,
            },
        }
        mapped = [
            {"id": name, "format": _kind(one), "path": f"$.verifiableCredential[{place}]"}
            for place, (name, one) in enumerate(chosen.items())
        ]
        if len(mapped) == 1:
            mapped[0]["path"] = "$.verifiableCredential"
        header = {"alg": "ES256", "typ": "JWT", "kid": f"{self.did}#{self.key.kid}"}
        submission = {"id": new_id(), "definition_id": definition["id"], "descriptor_map": mapped}
        return Made(Draft(header, claims, self.key).sign(), submission)


def taken(wallet: Sequence[Held], methods: Sequence[str]) -> list[Held]:
    """The credentials of which issuer and subject have one of the DID methods, as far as they are DIDs."""
    if not methods:
        return list(wallet)
    kept = []
    for one in wallet:
        members = _members(one)
        named = [members.get("issuer"), *(each.get("id") for each in _listed(members["credentialSubject"]))]
        if all(_method(did) in ("", *methods) for did in named):
            kept.append(one)
    return kept


def completed(credential: Mapping[str, Any], did: str) -> Mapping[str, Any]:
    """A credential that the EHR gave along, with the identity of who presents it as its subject."""
    [subject] = _listed(credential["credentialSubject"])
    return {**credential, "credentialSubject": {"id": did, **subject}}


def _formats(metadata: Mapping[str, Any], definition: Mapping[str, Any]) -> set[str]:
    """The formats of presentations that node, server and definition share."""
    offered = metadata["vp_formats_supported"].get("jwt_vp_json", {}).get("alg_values_supported", [])
    shared = ALGORITHMS & set(offered)
    if "format" in definition:
        shared &= set(definition["format"].get("jwt_vp", {}).get("alg", []))
    return {"jwt_vp_json"} if shared else set()


# -- presentation exchange -------------------------------------------------------------------------------------


def matched(definition: Mapping[str, Any], held: Sequence[Held]) -> dict[str, Held]:
    """The first credential that fits each descriptor. Raises `NodeStopsError` naming those without."""
    found: dict[str, Held] = {}
    lacking = []
    for descriptor in definition["input_descriptors"]:
        fitting = [
            one
            for one in held
            if all(_has(field, _members(one)) for field in descriptor["constraints"]["fields"])
            and _fits(definition.get("format"), one)
            and _fits(descriptor.get("format"), one)
        ]
        if fitting:
            found[descriptor["id"]] = fitting[0]
        else:
            lacking.append(descriptor["id"])
    if lacking:
        raise NodeStopsError(f"no VC for InputDescriptor ({', '.join(lacking)})")
    return found


def _fits(formats: Mapping[str, Any] | None, one: Held) -> bool:
    if not formats:
        return True
    asked = formats.get(_kind(one))
    if asked is None:
        return False
    if isinstance(one, str):
        return _part(one, 0)["alg"] in asked.get("alg", [])
    proofs = [proof["type"] for proof in _listed(one.get("proof"))]
    return not proofs or bool(set(proofs) & set(asked.get("proof_type", [])))


def _has(field: Mapping[str, Any], members: Mapping[str, Any]) -> bool:
    values = [value for path in field["path"] if (value := _at(members, path)) is not None]
    condition = field.get("filter")
    if any(condition is None or _meets(condition, value) for value in values):
        return True
    return bool(field.get("optional")) and not values


def _meets(condition: Mapping[str, Any], value: object) -> bool:
    if isinstance(value, Mapping):
        raise NodeStopsError("unsupported filter")
    if isinstance(value, list):
        return any(_meets(condition, one) for one in value)
    if condition["type"] != {str: "string", bool: "boolean", int: "number"}.get(type(value)):
        return False
    if "const" in condition and value != condition["const"]:
        return False
    return "pattern" not in condition or re.search(condition["pattern"], str(value)) is not None


def _at(value: Any, path: str) -> Any:
    """What stands at a path; None when it is not there, or when a step is into something of another kind."""
    for name, place in re.findall(r"\.([A-Za-z_@][\w@-]*)|\[(\d+|\*)\]", path):
        if place == "*":
            rest = path[path.index("[*]") + 3 :]
            found = [_at(one, f"${rest}") for one in value] if isinstance(value, list) else []
            return [one for one in found if one is not None] or None
        if name:
            value = value.get(name) if isinstance(value, Mapping) else None
        else:
            value = value[int(place)] if isinstance(value, list) and int(place) < len(value) else None
    return value


# -- as an authorisation server --------------------------------------------------------------------------------


def received(vp: str, submission: Mapping[str, Any], audience: str) -> dict[str, Held]:
    """The credential for each descriptor, when a node at `audience` takes the presentation. Raises
    `NodeStopsError`."""
    claims = _part(vp, 1)
    if claims["exp"] - claims["nbf"] > 5:
        raise NodeStopsError("presentation is valid for too long")
    if audience not in _listed(claims.get("aud")) or not claims.get("nonce"):
        raise NodeStopsError("presentation audience or nonce is missing or does not match")
    signer = claims.get("iss")
    if not signer:
        raise NodeStopsError("JWT presentation does not have 'iss' claim")
    inner = {**claims["vp"], "id": claims["jti"]}
    for one in _listed(inner["verifiableCredential"]):
        for subject in _listed(_members(one)["credentialSubject"]):
            if "id" not in subject:
                raise NodeStopsError("credential subjects have no ID")
            if subject["id"] != signer:
                raise NodeStopsError("presentation signer is not credential subject")
    return {entry["id"]: _resolved(entry, inner) for entry in submission["descriptor_map"]}


def _resolved(entry: Mapping[str, Any], inner: Mapping[str, Any]) -> Held:
    found = _at(inner, entry["path"])
    one_credential = isinstance(found, str | Mapping)
    if not one_credential or entry["format"] != _kind(found) or "path_nested" in entry:
        raise NodeStopsError(f"value at path '{entry['path']}' can't be decoded as '{entry['format']}'")
    held: Held = found
    return held


# -- credentials -----------------------------------------------------------------------------------------------


def _kind(one: Held) -> str:
    return "jwt_vc" if isinstance(one, str) else "ldp_vc"


def _members(one: Held) -> Mapping[str, Any]:
    """A credential as paths see it: of a JWT the subject is a list, of an object the only one stands alone."""
    if isinstance(one, str):
        claims = _part(one, 1)
        subjects = _listed(claims["vc"]["credentialSubject"])
        return {
            **claims["vc"],
            "issuer": claims["iss"],
            "id": claims.get("jti"),
            "credentialSubject": subjects,
        }
    subjects = _listed(one["credentialSubject"])
    return {**one, "credentialSubject": subjects[0] if len(subjects) == 1 else subjects}


def _part(jwt: str, place: int) -> dict[str, Any]:
    text = jwt.split(".")[place]
    members: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return members


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _method(did: object) -> str:
    parts = str(did).split(":")
    return parts[1] if parts[0] == "did" and len(parts) > 2 else ""
