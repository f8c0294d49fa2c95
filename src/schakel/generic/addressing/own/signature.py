"""The optional signature under a change in the central directory: a Provenance with a detached JWS.

Source: the ministry's guide on generic functions, signing: JCS (RFC 8785) over the resource without `meta` and
narrative, RS256 with the certificate in `x5c`, the signature in `Provenance.signature`.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from schakel.fhir.json import Resource, dump
from schakel.generic.addressing.own import codes
from schakel.kernel.clock import instant, now
from schakel.kernel.outcomes import Invalid

CANONICAL = "http://hl7.org/fhir/canonicalization/json#static"


@dataclass(frozen=True, slots=True)
class Signing:
    """The key and the certificates (base64 DER, the one that signs first)."""

    key: RSAKey = field(repr=False)
    certificates: tuple[str, ...] = field(repr=False)

    @classmethod
    def read(cls, certificate: Path, key: Path) -> Signing:
        """From PEM files. Raises `Invalid` naming the file."""
        try:
            found = x509.load_pem_x509_certificates(certificate.read_bytes())
            private = RSAKey.import_key(key.read_bytes())
        except OSError as error:
            raise Invalid(
                f"the certificate {certificate} or the key {key} with which changes are signed (setting "
                f"addressing.publication) cannot be read: {error.strerror}"
            ) from error
        except (JoseError, ValueError, TypeError):
            raise Invalid(
                f"{certificate} and {key} (setting addressing.publication) are not PEM certificates and "
                "a private RSA key"
            ) from None
        public = found[0].public_key()
        if not isinstance(public, RSAPublicKey) or public.public_numbers() != (
            private.public_key.public_numbers()
        ):
            raise Invalid(f"{key} is not the private key of the certificate {certificate}")
        return cls(private, tuple(b64encode(one.public_bytes(Encoding.DER)).decode() for one in found))

    def signature(self, resource: Resource) -> str:
        """The JWS over `resource`, without its content: header, nothing, signature."""
        header = {"alg": "RS256", "x5c": list(self.certificates)}
        whole = jws.serialize_compact(header, canonical(resource), self.key, algorithms=["RS256"])
        head, _, signature = whole.split(".")
        return f"{head}..{signature}"


def canonical(resource: Resource) -> bytes:
    """What is signed of a resource."""
    return rfc8785.dumps(orjson.loads(dump(_bare(resource))))


def provenance(signing: Signing, resource: Resource, target: str, ura: str) -> Resource:
    """The Provenance of a change: `resource` as it is there now, `target` the reference to that version."""
    who = {"identifier": {"system": codes.URA, "value": ura}}
    moment = instant(now())
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target}],
        "recorded": moment,
        "agent": [{"who": who}],
        "signature": [
            {
                "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
                "when": moment,
                "who": who,
                "targetFormat": f"application/fhir+json;canonicalization={CANONICAL}",
                "sigFormat": "application/jose",
                "data": b64encode(signing.signature(resource).encode()).decode(),
            }
        ],
    }


def _bare(value: Any) -> Any:
    """`value` without `meta` and narratives, at any depth; the `text` of a code is no narrative."""
    if isinstance(value, list):
        return [_bare(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _bare(one)
        for name, one in value.items()
        if name != "meta" and not (name == "text" and isinstance(one, dict) and "div" in one)
    }
