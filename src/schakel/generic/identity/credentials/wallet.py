"""The holder's side: an organisation's own credentials, and the presentations it makes of them.

`iss` is always written and lists are always lists, as some peers refuse what others leave out (nuts-node 3958, 4197).
Paths of a submission are into the presentation itself: a Nuts node can follow no others.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from schakel.fhir.json import parse
from schakel.generic.identity.certificates import Verified, thumbprint, uzi_number
from schakel.generic.identity.credentials import did_x509
from schakel.generic.identity.credentials.definition import Definition, Descriptor
from schakel.generic.identity.credentials.dezi_user import PROOF
from schakel.generic.identity.credentials.did_web import document
from schakel.generic.identity.credentials.jwts import RULES, read
from schakel.generic.identity.credentials.model import BASE_TYPE, CONTEXT_V1, Credential
from schakel.generic.identity.credentials.presentations import PRESENTATION
from schakel.generic.identity.credentials.reading import credential
from schakel.generic.identity.credentials.refusals import Refused
from schakel.generic.identity.credentials.verifier import SERVICE_DELEGATION
from schakel.generic.identity.model import User
from schakel.kernel import clock
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import URA_SYSTEM

_ANY_AUTHORITY = ("0.*", "1.*", "2.*")
_NUTS_CONTEXT = "https://nuts.nl/credentials/v1"


@dataclass(frozen=True, slots=True)
class Presentation:
    """A presentation to send: `assertion` is the JWT, `submission` says which credential is which."""

    assertion: str
    submission: dict[str, Any]


class Wallet:
    """The credentials of the organisation with the DID `did`, and the key with which it signs."""

    def __init__(self, did: str, key: ECKey, credentials: Iterable[str | Mapping[str, Any]] = ()) -> None:
        self.did = did
        self._key = key
        self._held = [(one, credential(one)) for one in credentials]

    def document(self) -> dict[str, Any]:
        """The DID document to publish, with the public key."""
        return document(self.did, self._key)

    @property
    def types(self) -> tuple[str, ...]:
        """The types of the credentials it holds."""
        return tuple(one.type for _, one in self._held)

    def delegation(self, to: str, ura: str, *, seconds: int = 300) -> str:
        """A ServiceProviderDelegationCredential: this organisation, with that URA, lets the service provider with the
        DID `to` ask in its name, for so many seconds from now."""
        moment = int(clock.now().timestamp())
        delegation = {"delegatedBy": {"identifier": [{"system": URA_SYSTEM, "value": ura}]}}
        claims = {
            "iss": self.did,
            "sub": to,
            "jti": f"{self.did}#{clock.new_id()}",
            "nbf": moment,
            "exp": moment + seconds,
            "vc": {
                "@context": [CONTEXT_V1],
                "type": [BASE_TYPE, SERVICE_DELEGATION],
                "credentialSubject": [{"id": to, "hasDelegation": delegation}],
            },
        }
        return jwt.encode(self._header(), claims, self._key, ["ES256"])

    def present(
        self,
        definition: Definition,
        *,
        audience: str,
        seconds: int = 5,
        beside: Iterable[str | Mapping[str, Any]] = (),
    ) -> Presentation:
        """A presentation of what `definition` asks, for the authorisation server with issuer `audience`.

        It is valid for `seconds`: send it now, once. `beside` are credentials of this moment, such as that of the
        professional who is logged in. Raises `Refused` that says for which descriptor there is none.
        """
        held = [*((one, credential(one)) for one in beside), *self._held]
        chosen: list[str | Mapping[str, Any]] = []
        mapped = []
        for descriptor in definition.descriptors:
            raw, one = _chosen(descriptor, held)
            if raw not in chosen:
                chosen.append(raw)
            place = f"$.verifiableCredential[{chosen.index(raw)}]"
            mapped.append({"id": descriptor.id, "format": one.format, "path": place})
        moment = int(clock.now().timestamp())
        claims = {
            "iss": self.did,
            "sub": self.did,
            "aud": audience,
            "jti": f"{self.did}#{clock.new_id()}",
            "nonce": clock.new_id(),
            "nbf": moment,
            "exp": moment + seconds,
            "vp": {"@context": [CONTEXT_V1], "type": [PRESENTATION], "verifiableCredential": chosen},
        }
        submission = {"id": clock.new_id(), "definition_id": definition.id, "descriptor_map": mapped}
        return Presentation(jwt.encode(self._header(), claims, self._key, ["ES256"]), submission)

    def _header(self) -> dict[str, Any]:
        return {"alg": "ES256", "typ": "JWT", "kid": f"{self.did}#{self._key.kid}"}


def _chosen(
    descriptor: Descriptor, held: Sequence[tuple[str | Mapping[str, Any], Credential]]
) -> tuple[str | Mapping[str, Any], Credential]:
    """The first credential that fits and has not ended."""
    reasons = []
    for raw, one in held:
        _, missing = descriptor.values(one)
        if not missing and not _ended(one):
            return raw, one
        if one.type == descriptor.type:
            reasons.append(missing[0] if missing else "it has ended")
    raise Refused(
        f"this organisation has no credential for {descriptor.told()}: {'; '.join(reasons) or 'none is held'}",
        code="credential-missing",
        expression=descriptor.id,
    )


def _ended(one: Credential) -> bool:
    end = one.jwt.seconds("exp") if one.jwt is not None else None
    return end is not None and end <= clock.now().timestamp()


def read_credentials(paths: Iterable[Path]) -> list[str | Mapping[str, Any]]:
    """The credentials in files: a JWT, or a JSON object, in each. Raises `Invalid` naming the file."""
    found: list[str | Mapping[str, Any]] = []
    for path in paths:
        try:
            text = path.read_text("utf-8").strip()
            found.append(parse(text.encode()) if text.startswith("{") else text)
            credential(found[-1])
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"the credential {path} cannot be read: {error}", code="credential-file") from error
        except Invalid as error:
            raise Invalid(
                f"the credential {path} is not right: {error.message}", code="credential-file"
            ) from error
    return found


def make_x509_credential(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    chain: Sequence[x509.Certificate],
    holder: str,
    *,
    valid: timedelta = timedelta(days=365),
) -> str:
    """An X509Credential in which the holder of a UZI server certificate says that `holder` (a did:web) is its own.

    `chain` is from the certificate up to the authority by which the DID names it, two or more; the credential ends
    with the certificate, or after `valid`. Raises `Refused` or `CertificateRefused` for a certificate that will not do.
    """
    if len(chain) < 2:
        raise Refused("the chain needs the certificate and an authority above it", code="credential-x5c")
    certificate = Verified(tuple(chain), uzi_number(chain[0], _ANY_AUTHORITY))
    certificate.server()
    names = [name for name in ("O", "L") if certificate.subject.get(name)]
    issuer = did_x509.make(certificate, {"san": ["otherName"]} | ({"subject": names} if names else {}))
    start = max(clock.now(), certificate.not_before)
    end = min(start + valid, certificate.not_after)
    subject: dict[str, Any] = {"id": holder, "san": {"otherName": str(certificate.uzi)}}
    if names:
        subject["subject"] = {name: certificate.subject[name][0] for name in names}
    claims = {
        "iss": issuer,
        "sub": holder,
        "jti": f"{issuer}#{clock.new_id()}",
        "nbf": int(start.timestamp()),
        "exp": int(end.timestamp()),
        "vc": {
            "@context": [CONTEXT_V1],
            "type": [BASE_TYPE, "X509Credential"],
            "credentialSubject": [subject],
        },
    }
    algorithm = "PS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    header = {
        "alg": algorithm,
        "typ": "JWT",
        "kid": f"{issuer}#0",
        "x5c": [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain],
        "x5t#S256": thumbprint(chain[0]),
    }
    return jwt.encode(header, claims, _signing(key), registry=RULES)


def dezi_credential(statement: str, holder: str) -> dict[str, Any]:
    """A DeziUserCredential around a statement of Dezi (verklaring), in the form of data model 1.1, for a presentation
    of `holder` (a DID): Nuts nodes take only what has the presenter as its subject.

    Nothing is verified here: who receives it does. Raises `Refused` for what is not a JWT.
    """
    parts = read(statement, "the statement of Dezi")
    claims = parts.claims
    start, end = parts.seconds("nbf") or 0.0, parts.seconds("exp") or 0.0
    return {
        "@context": [CONTEXT_V1],
        "type": [BASE_TYPE, "DeziUserCredential"],
        "id": claims.get("jti"),
        "issuer": claims.get("iss"),
        "issuanceDate": _date(start),
        "expirationDate": _date(end),
        "credentialSubject": [
            {
                "@type": "DeziIDTokenSubject",
                "id": holder,
                "identifier": claims.get("abonnee_nummer"),
                "name": claims.get("abonnee_naam"),
                "employee": {
                    "@type": "HealthcareWorker",
                    "identifier": claims.get("dezi_nummer"),
                    "initials": claims.get("voorletters"),
                    "surnamePrefix": claims.get("voorvoegsel") or "",
                    "surname": claims.get("achternaam"),
                    "role": claims.get("rol_code"),
                    "role_name": claims.get("rol_naam"),
                    "role_registry": claims.get("rol_code_bron"),
                },
            }
        ],
        "proof": {"type": PROOF, "jwt": statement},
    }


def employee_credential(holder: str, user: User) -> dict[str, Any]:
    """A NutsEmployeeCredential: `holder` says who its professional is. The presentation's signature is its proof."""
    return {
        "@context": [CONTEXT_V1, _NUTS_CONTEXT],
        "type": [BASE_TYPE, "NutsEmployeeCredential"],
        "id": f"{holder}#{clock.new_id()}",
        "issuer": holder,
        "issuanceDate": _date(clock.now().timestamp()),
        "credentialSubject": [
            {"id": holder, "identifier": user.id, "name": user.name, "roleName": user.role}
        ],
    }


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


def _signing(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> ECKey | RSAKey:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return RSAKey.import_key(pem) if isinstance(key, rsa.RSAPrivateKey) else ECKey.import_key(pem)
