"""DANE: whether the certificate that a mail server shows is one that its domain names in the DNS.

    3 x x   the certificate of the server, whatever its names and its end
    2 x x   an authority that the server sends along, up to which its certificate holds, for its name and now

Other usages do not count for mail.

Source: RFC 6698 section 2.1, RFC 7671 sections 5.1 and 5.2, RFC 7672 sections 3.1 and 3.2.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dns.rdata import Rdata
from dns.rdtypes.ANY.TLSA import TLSA

from schakel.roadmap.checks.certificates import is_for

_AUTHORITY, _SERVER = 2, 3
_WHOLE, _KEY = 0, 1


def usable(records: Sequence[Rdata]) -> list[TLSA]:
    """The records that count for mail."""
    return [
        one
        for one in records
        if isinstance(one, TLSA)
        and one.usage in (_AUTHORITY, _SERVER)
        and one.selector in (_WHOLE, _KEY)
        and one.mtype in (0, 1, 2)
    ]


def matching(
    records: Sequence[TLSA], chain: Sequence[x509.Certificate], hosts: Sequence[str], moment: datetime
) -> TLSA | None:
    """The first record that the certificate fits, None when it fits none. `chain` is the certificate with those that
    came along, and `hosts` are the names that it may have for an authority."""
    for record in records:
        if record.usage == _SERVER and chain[:1] and _fits(record, chain[0]):
            return record
        if record.usage == _AUTHORITY and any(is_for(chain[0], one) for one in hosts if chain):
            path = _path(chain, moment)
            if any(_fits(record, one) for one in path[1:]):
                return record
    return None


def _fits(record: TLSA, certificate: x509.Certificate) -> bool:
    if record.selector == _WHOLE:
        shown = certificate.public_bytes(Encoding.DER)
    else:
        shown = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if record.mtype:
        shown = hashlib.new({1: "sha256", 2: "sha512"}[record.mtype], shown).digest()
    return hmac.compare_digest(shown, record.cert)


def _path(chain: Sequence[x509.Certificate], moment: datetime) -> list[x509.Certificate]:
    """The certificate and the authorities above it among those that came along, as far as each holds now."""
    path = [chain[0]]
    while len(path) <= len(chain):
        below = path[-1]
        if not below.not_valid_before_utc <= moment < below.not_valid_after_utc:
            return path[:-1]
        above = next((one for one in chain if one not in path and _issued(below, one)), None)
        if above is None:
            break
        path.append(above)
    return path


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    """Whether the authority `above` signed the certificate `below`."""
    try:
        constraints = above.extensions.get_extension_for_class(x509.BasicConstraints).value
        below.verify_directly_issued_by(above)
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
        return False
    return constraints.ca
