"""did:web: the name of an organisation that publishes its keys under its own address.

    did:web:node.example.org%3A8443:kliniek-oost  ->  https://node.example.org:8443/kliniek-oost/did.json

Sources: did:web method specification; DID Core, sections 5.2 and 5.3 (verification methods and what they are for).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from joserfc.jwk import ECKey

from schakel.generic.identity.credentials.jwts import PublicKey, from_jwk
from schakel.generic.identity.credentials.refusals import Refused, shown

PREFIX = "did:web:"
MAX_CHARACTERS = 1_000
MAX_METHODS = 50
ASSERTION, AUTHENTICATION = "assertionMethod", "authentication"
_is_host = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?").fullmatch
_is_port = re.compile(r"[1-9][0-9]{0,4}").fullmatch
_is_segment = re.compile(r"(?:[A-Za-z0-9._-]|%[0-9A-Fa-f]{2})+").fullmatch


@dataclass(frozen=True, slots=True)
class Place:
    """Where the document of a DID is: `path` begins with a slash."""

    host: str
    port: str
    path: str

    def address(self, scheme: str) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{scheme}://{self.host}{port}{self.path}"


def place(did: str) -> Place:
    """Where the document of `did` is. Raises `Refused` for what is not a did:web."""
    head, *segments = did.removeprefix(PREFIX).split(":")
    host, encoded, port = head.partition("%3A") if "%3A" in head else head.partition("%3a")
    fit = (
        did.startswith(PREFIX)
        and len(did) <= MAX_CHARACTERS
        and _is_host(host)
        and (not encoded or (_is_port(port) and int(port) < 65536))
        and all(_is_segment(one) and _is_plain(one) for one in segments)
    )
    if not fit:
        raise Refused(f"{shown(did)} is not a did:web", code="did-malformed")
    return Place(host, port, "/" + "/".join([*(segments or [".well-known"]), "did.json"]))


def _is_plain(segment: str) -> bool:
    """Whether a segment stays one when it is decoded, and leads nowhere else."""
    decoded = unquote(segment)
    return decoded not in (".", "..") and not set(decoded) & set("/\\?#%") and decoded.isprintable()


def did_of(address: str) -> str:
    """The DID whose document is published under `address` (an http address, without a slash at the end)."""
    parts = urlsplit(address)
    port = f"%3A{parts.port}" if parts.port else ""
    return PREFIX + ":".join([f"{parts.hostname}{port}", *filter(None, parts.path.split("/"))])


def document(did: str, key: ECKey) -> dict[str, Any]:
    """Our own document: one key, with which the organisation signs presentations and credentials."""
    method = f"{did}#{key.kid}"
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"],
        "id": did,
        "verificationMethod": [
            {
                "id": method,
                "type": "JsonWebKey2020",
                "controller": did,
                "publicKeyJwk": key.as_dict(private=False),
            }
        ],
        ASSERTION: [method],
        AUTHENTICATION: [method],
    }


@dataclass(frozen=True, slots=True)
class DidDocument:
    """The keys of a DID by the id of their verification method, per purpose."""

    did: str
    keys: Mapping[str, Mapping[str, PublicKey]]

    def key(self, method: str, purposes: Iterable[str]) -> PublicKey | None:
        """The key of `method`, when it serves one of `purposes`."""
        for purpose in purposes:
            if (found := self.keys[purpose].get(method)) is not None:
                return found
        return None

    @classmethod
    def read(cls, did: str, members: Mapping[str, Any]) -> DidDocument:
        """The document in the JSON object `members`. Methods that cannot serve are left out.

        Raises `ValueError` when it is the document of another DID.
        """
        if members.get("id") != did:
            raise ValueError("the document is not of this DID")
        methods = dict(_methods(did, members.get("verificationMethod")))
        keys = {}
        for purpose in (ASSERTION, AUTHENTICATION):
            named = members.get(purpose)
            own = dict(_methods(did, named))
            for reference in (named if isinstance(named, list) else [])[:MAX_METHODS]:
                if isinstance(reference, str):
                    method = _absolute(did, reference)
                    if method in methods:
                        own[method] = methods[method]
            keys[purpose] = own
        return cls(did, keys)


def _methods(did: str, listed: object) -> Iterable[tuple[str, PublicKey]]:
    for method in (listed if isinstance(listed, list) else [])[:MAX_METHODS]:
        if isinstance(method, Mapping) and isinstance(name := method.get("id"), str):
            key = from_jwk(method.get("publicKeyJwk"))
            # A method that another controls is not this DID's word (DID Core, section 5.1.2).
            if key is not None and method.get("controller", did) == did:
                yield _absolute(did, name), key


def _absolute(did: str, name: str) -> str:
    return did + name if name.startswith("#") else name
