"""Credentials and their status.

Source: Verifiable Credentials Data Model 1.1, section 6.3.1 (JWT); Bitstring Status List 1.0; the credentials of the
guide to the generic functions.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from schakel.kernel.clock import new_id, now

STATUS_PATH = "/status/1"
_CONTEXT = "https://www.w3.org/2018/credentials/v1"
_STATUS_CONTEXT = "https://www.w3.org/ns/credentials/status/v1"
_PLACES = 131_072  # the fewest a list may have (Bitstring Status List 1.0, section 6.1)
_LIST_SECONDS = 300
_MOST_SECONDS = 5 * 366 * 86_400
_REGISTRY = JWSRegistry(algorithms=["ES256"])

Claims = dict[str, Any]


class Refused(Exception):
    """A request that is not answered; the text says why."""


def _delegated(told: Mapping[str, str]) -> Claims:
    return {"hasDelegation": {"delegatedBy": {"identifier": told["delegatedBy"]}}}


TYPES: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, str]], Claims]]] = {
    "HealthcareProviderRoleTypeCredential": (("roleCodeNL",), dict),
    "PatientEnrollmentCredential": (("patientId", "registeredBy"), dict),
    "HealthCareProfessionalDelegationCredential": (("registeredBy", "roleCode", "facilityType"), dict),
    "ServiceProviderCredential": (("identifier", "name"), dict),
    "ServiceProviderDelegationCredential": (("delegatedBy",), _delegated),
}
"""By type: the members that a request for it has, and what the credential then says of its subject."""


class Issuer:
    """The issuer `did`, reached at `address`; what it issued stands in `file`."""

    def __init__(self, did: str, address: str, key: ECKey, file: Path) -> None:
        self.did = did
        self._address = address
        self._key = key
        self._file = file
        kept = json.loads(file.read_text()) if file.exists() else {}
        self._places: dict[str, int] = kept.get("places", {})
        self._withdrawn: set[int] = set(kept.get("withdrawn", ()))

    @property
    def _method(self) -> str:
        return f"{self.did}#{self._key.kid}"

    def document(self) -> Claims:
        """The DID document."""
        public = {name: value for name, value in self._key.as_dict(private=False).items() if name != "kid"}
        method = {
            "id": self._method,
            "type": "JsonWebKey2020",
            "controller": self.did,
            "publicKeyJwk": public,
        }
        return {
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"],
            "id": self.did,
            "verificationMethod": [method],
            "assertionMethod": [self._method],
        }

    def issue(self, members: Mapping[str, object]) -> tuple[str, str]:
        """The id of a new credential and the credential. Raises `Refused`."""
        kind, subject, seconds = members.get("type"), members.get("subject"), members.get("seconds", 86_400)
        if not isinstance(kind, str) or kind not in TYPES:
            raise Refused(f"type must be one of {', '.join(TYPES)}")
        if not isinstance(subject, str) or not re.fullmatch(r"did:[a-z0-9]+:\S+", subject):
            raise Refused("subject must be a DID")
        if not isinstance(seconds, int) or not 1 <= seconds <= _MOST_SECONDS:
            raise Refused(f"seconds must be 1 to {_MOST_SECONDS}")
        needed, shape = TYPES[kind]
        told = {name: value for name in needed if isinstance(value := members.get(name), str) and value}
        if missing := [name for name in needed if name not in told]:
            raise Refused(f"{kind} needs {', '.join(missing)}")
        if strange := set(members) - {"type", "subject", "seconds", *needed}:
            raise Refused(f"{kind} has no {sorted(strange)[0]}")
        identifier = f"{self.did}#{new_id()}"
        place = len(self._places)
        if place >= _PLACES:
            raise Refused("the status list is full")
        self._places[identifier] = place
        self._keep()
        claims: Claims = {
            "@context": [_CONTEXT, _STATUS_CONTEXT],
            "type": ["VerifiableCredential", kind],
            "credentialSubject": {"id": subject, **shape(told)},
            "credentialStatus": {
                "id": f"{self._address}{STATUS_PATH}#{place}",
                "type": "BitstringStatusListEntry",
                "statusPurpose": "revocation",
                "statusListIndex": str(place),
                "statusListCredential": f"{self._address}{STATUS_PATH}",
            },
        }
        return identifier, self._signed(identifier, subject, claims, seconds)

    def withdraw(self, identifier: str) -> bool:
        """Sets the bit of that credential; False when it was not issued here."""
        if (place := self._places.get(identifier)) is None:
            return False
        self._withdrawn.add(place)
        self._keep()
        return True

    def status(self) -> str:
        """The status list: one bit for each credential, the first the leftmost, 1 for one that was withdrawn."""
        bits = bytearray(_PLACES // 8)
        for place in self._withdrawn:
            bits[place // 8] |= 0x80 >> place % 8
        packed = urlsafe_b64encode(gzip.compress(bytes(bits), mtime=0)).rstrip(b"=").decode()
        address = f"{self._address}{STATUS_PATH}"
        claims: Claims = {
            "@context": [_CONTEXT, _STATUS_CONTEXT],
            "type": ["VerifiableCredential", "BitstringStatusListCredential"],
            "credentialSubject": {
                "id": f"{address}#list",
                "type": "BitstringStatusList",
                "statusPurpose": "revocation",
                "encodedList": f"u{packed}",
            },
        }
        return self._signed(address, f"{address}#list", claims, _LIST_SECONDS)

    def _signed(self, identifier: str, subject: str, credential: Claims, seconds: int) -> str:
        moment = int(now().timestamp())
        payload = {
            "iss": self.did,
            "sub": subject,
            "jti": identifier,
            "nbf": moment,
            "iat": moment,
            "exp": moment + seconds,
            "vc": credential,
        }
        header = {"alg": "ES256", "typ": "JWT", "kid": self._method}
        return jwt.encode(header, payload, self._key, registry=_REGISTRY)

    def _keep(self) -> None:
        fresh = self._file.with_name(f".{self._file.name}.new")
        fresh.write_text(json.dumps({"places": self._places, "withdrawn": sorted(self._withdrawn)}))
        fresh.replace(self._file)
