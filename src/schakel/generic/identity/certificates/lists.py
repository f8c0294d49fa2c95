"""Certificate revocation lists (RFC 5280, sections 5 and 6.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schakel.generic.identity.certificates.trust import extension

SKEW = timedelta(minutes=5)
"""By how much the clock of an authority may be ahead of ours."""

_KNOWN = (x509.IssuingDistributionPoint.oid, x509.CRLNumber.oid, x509.AuthorityKeyIdentifier.oid)


class Unusable(Exception):
    """A list or an answer that proves nothing; its text says why."""


class OfAnother(Unusable):
    """A list of another authority: nothing is wrong with it, or with where it is."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list whose signature was checked. `number` is 0 where it has none."""

    found: x509.CertificateRevocationList
    issued: datetime
    expires: datetime
    number: int
    scope: x509.IssuingDistributionPoint | None

    @classmethod
    def read(cls, der: bytes, issuer: x509.Certificate, moment: datetime) -> RevocationList:
        """The list in `der`, which `issuer` signed and which counts at `moment`. Raises `Unusable`."""
        try:
            found = x509.load_der_x509_crl(der)
            extensions = found.extensions
            _check_signature(found, issuer)
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
            raise Unusable("the list cannot be read") from error
        for one in extensions:
            if one.critical and one.oid not in _KNOWN:
                raise Unusable(
                    f"the list has a critical extension that is not known: {one.oid.dotted_string}"
                )
        issued, expires = found.last_update_utc, found.next_update_utc
        if expires is None:
            raise Unusable("the list does not say until when it counts")
        if issued > moment + SKEW:
            raise Unusable("the list is of a later time")
        if expires <= moment:
            raise Unusable("the list has expired")
        values = {type(one.value): one.value for one in extensions}
        number = values.get(x509.CRLNumber)
        scope = values.get(x509.IssuingDistributionPoint)
        return cls(
            found,
            issued,
            expires,
            number.crl_number if isinstance(number, x509.CRLNumber) else 0,
            scope if isinstance(scope, x509.IssuingDistributionPoint) else None,
        )

    def revoked(self, certificate: x509.Certificate) -> bool:
        """Whether `certificate`, of the list's issuer, stands in it. Raises `Unusable` when it is not about it."""
        self._check_scope(certificate)
        entry = self.found.get_revoked_certificate_by_serial_number(certificate.serial_number)
        return entry is not None

    def _check_scope(self, certificate: x509.Certificate) -> None:
        scope = self.scope
        if scope is None:
            return
        if scope.indirect_crl or scope.only_contains_attribute_certs or scope.only_some_reasons:
            raise Unusable("the list is an indirect or partial one")
        basic = extension(certificate, x509.BasicConstraints)
        authority = basic is not None and basic.ca
        if scope.only_contains_user_certs if authority else scope.only_contains_ca_certs:
            raise Unusable("the list is about another kind of certificates")
        named = set(_uris(scope.full_name or ()))
        if named and (own := set(addresses(certificate))) and not named & own:
            raise Unusable("the list is for another distribution point")


def addresses(certificate: x509.Certificate) -> list[str]:
    """Where `certificate` says that whole lists of its own issuer are."""
    points = extension(certificate, x509.CRLDistributionPoints) or ()
    return [
        uri
        for point in points
        if point.crl_issuer is None and point.reasons is None
        for uri in _uris(point.full_name or ())
    ]


def _uris(names: Iterable[x509.GeneralName]) -> list[str]:
    return [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]


def _check_signature(found: x509.CertificateRevocationList, issuer: x509.Certificate) -> None:
    usage = extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.crl_sign:
        raise Unusable("the issuer of the certificate may not sign lists")
    if found.issuer != issuer.subject:
        raise OfAnother("the list is of another authority")
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) or not found.is_signature_valid(key):
        raise Unusable("the list is not signed by the authority that it names")
