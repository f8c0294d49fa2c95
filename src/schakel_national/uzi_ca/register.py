"""What was issued and what was withdrawn, and the two ways to ask: a list (RFC 5280) and OCSP (RFC 6960)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from schakel.kernel.clock import now
from schakel_national.uzi_ca.authority import SERVER, Authority

REASONS = {
    reason.value: reason for reason in x509.ReasonFlags if reason is not x509.ReasonFlags.remove_from_crl
}


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """When, and for which reason (a word of RFC 5280)."""

    moment: datetime
    reason: str


class Register:
    """Serial numbers by authority, kept in `file`: {authority: {serial: null | [moment, reason]}}."""

    def __init__(self, file: Path) -> None:
        self._file = file
        kept = json.loads(file.read_text()) if file.exists() else {}
        self._number = int(kept.get("number", 0))
        self._issued: dict[str, dict[int, Withdrawn | None]] = {
            name: {
                int(serial): Withdrawn(datetime.fromisoformat(told[0]), told[1]) if told else None
                for serial, told in entries.items()
            }
            for name, entries in kept.get("issued", {}).items()
        }

    def add(self, authority: str, certificates: Iterable[x509.Certificate]) -> None:
        """Notes that the authority signed them."""
        entries = self._issued.setdefault(authority, {})
        for one in certificates:
            entries.setdefault(one.serial_number, None)
        self._keep()

    def withdraw(self, serial: int, reason: str) -> bool:
        """Notes that the certificate was withdrawn; False when nobody here issued it."""
        for entries in self._issued.values():
            if serial in entries:
                entries[serial] = entries[serial] or Withdrawn(now().replace(microsecond=0), reason)
                self._keep()
                return True
        return False

    def crl(self, authority: Authority, valid: timedelta) -> bytes:
        """A new list of the authority, in DER."""
        self._number += 1
        self._keep()
        moment = now()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(authority.certificate.subject)
            .last_update(moment)
            .next_update(moment + valid)
            .add_extension(x509.CRLNumber(self._number), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
            )
        )
        for serial, told in self._issued.get(authority.name, {}).items():
            if told is not None:
                entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(told.moment)
                entry = entry.add_extension(x509.CRLReason(REASONS[told.reason]), critical=False)
                builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def ocsp(self, der: bytes, authorities: Mapping[str, Authority], valid: timedelta) -> bytes:
        """The answer to one question, in DER; an error of the protocol when it cannot be understood."""
        try:
            request = ocsp.load_der_ocsp_request(der)
            found = _asked_of(request, authorities)
            extensions = request.extensions
        except (ValueError, x509.DuplicateExtension):
            return _error(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
        if found is None:
            return _error(ocsp.OCSPResponseStatus.UNAUTHORIZED)
        known = {**self._own(found.name), **self._issued.get(found.name, {})}
        told = known.get(request.serial_number)
        status = ocsp.OCSPCertStatus.GOOD if told is None else ocsp.OCSPCertStatus.REVOKED
        if request.serial_number not in known:
            status = ocsp.OCSPCertStatus.UNKNOWN
        moment = now()
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                request.issuer_name_hash,
                request.issuer_key_hash,
                request.serial_number,
                request.hash_algorithm,
                status,
                moment,
                moment + valid,
                told.moment if told else None,
                REASONS[told.reason] if told else None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, found.responder)
            .certificates([found.responder])
        )
        for extension in extensions:
            if isinstance(extension.value, x509.OCSPNonce):
                builder = builder.add_extension(extension.value, critical=False)
        return builder.sign(found.responder_key, hashes.SHA256()).public_bytes(Encoding.DER)

    def _own(self, authority: str) -> dict[int, Withdrawn | None]:
        """The certificates that the facilities beside this one made for themselves (`server_tls`)."""
        if authority != SERVER:
            return {}
        files = self._file.parent.glob("tls-*.pem")
        return {x509.load_pem_x509_certificates(file.read_bytes())[0].serial_number: None for file in files}

    def _keep(self) -> None:
        kept = {
            "number": self._number,
            "issued": {
                name: {
                    str(serial): [told.moment.isoformat(), told.reason] if told else None
                    for serial, told in entries.items()
                }
                for name, entries in self._issued.items()
            },
        }
        fresh = self._file.with_name(f".{self._file.name}.new")
        fresh.write_text(json.dumps(kept))
        fresh.replace(self._file)


def _asked_of(request: ocsp.OCSPRequest, authorities: Mapping[str, Authority]) -> Authority | None:
    """The authority whose certificate is asked for."""
    for one in authorities.values():
        built = ocsp.OCSPRequestBuilder().add_certificate(
            one.responder, one.certificate, request.hash_algorithm
        )
        own = built.build()
        if (own.issuer_name_hash, own.issuer_key_hash) == (request.issuer_name_hash, request.issuer_key_hash):
            return one
    return None


def _error(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
