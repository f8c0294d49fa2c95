"""Client certificates that open the internal door, each of one organisation.

TLS has verified the chain against the authorities of the setting `internal_tls.client_ca`. These are the
organisation's own: nobody is asked whether they were withdrawn, a certificate that may no longer be used is taken out
of the settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from schakel.http.shown import Chain
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, Unauthenticated


@dataclass(frozen=True)
class InternalCertificates:
    """Whose certificate is whose: the slug of an organisation by SHA-256 of a certificate, and by subject and the
    authority (DER) that gave it."""

    thumbprints: Mapping[bytes, str] = field(default_factory=dict)
    subjects: Mapping[tuple[x509.Name, bytes], str] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, str, Path | None]]) -> InternalCertificates:
        """From rows of (slug, sha256, subject, authority) as the settings have them.

        Raises `Invalid` for a file or subject that cannot be read, and a certificate of two organisations.
        """
        thumbprints: dict[bytes, str] = {}
        subjects: dict[tuple[x509.Name, bytes], str] = {}
        for slug, digest, subject, authority in rows:
            if authority is None:
                owner = thumbprints.setdefault(bytes.fromhex(digest.replace(":", "")), slug)
            else:
                owner = subjects.setdefault((_name(slug, subject), _authority(slug, authority)), slug)
            if owner != slug:
                raise Invalid(
                    f"{slug} and {owner} have the same certificate (setting internal_certificates): one is of one "
                    "organisation"
                )
        return cls(thumbprints, subjects)

    def slug(self, chain: Chain) -> str | None:
        """Whose certificate this is, or None when it is nobody's. Raises `Unauthenticated` when it has expired."""
        if not chain or not (self.thumbprints or self.subjects):
            return None
        digest = sha256(chain[0]).digest()
        subject, until = _read(chain[0])
        owner = self.thumbprints.get(digest) or next(
            (found for above in chain[1:] if (found := self.subjects.get((subject, above)))), None
        )
        if owner is not None and until < now():
            raise Unauthenticated("the client certificate has expired", code="certificate-expired")
        return owner


@lru_cache(maxsize=1000)
def _read(der: bytes) -> tuple[x509.Name, datetime]:
    certificate = x509.load_der_x509_certificate(der)
    return certificate.subject, certificate.not_valid_after_utc


def _name(slug: str, text: str) -> x509.Name:
    try:
        return x509.Name.from_rfc4514_string(text)
    except ValueError as error:
        raise Invalid(
            f"the subject {text[:80]!r} of {slug} (setting internal_certificates) is not written as RFC 4514 says"
        ) from error


def _authority(slug: str, path: Path) -> bytes:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    except OSError as error:
        raise Invalid(f"the file {path} of {slug} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Invalid(f"the file {path} of {slug} has no PEM certificate") from error
