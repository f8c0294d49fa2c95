"""Certificates made in a test: a small authority and what it signs, right and wrong.

    authority = Authority.new("Test Root")
    files = authority.issue("holder.example", hosts=("holder.example",)).write(tmp_path, "holder")

`uzi_name` makes the otherName of an UZI server certificate (facts: type-id 2.5.5.5 with an IA5String of seven parts
joined by '-'). All keys are EC P-256 unless a test asks for RSA: they are made in a millisecond.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

UZI_NAME = x509.ObjectIdentifier("2.5.5.5")
TEST_AUTHORITY = "2.16.528.1.1007.99.2110"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def ia5(text: str) -> bytes:
    """A text of at most 127 characters as a DER IA5String."""
    raw = text.encode("ascii")
    assert len(raw) < 128
    return bytes((0x16, len(raw))) + raw


def uzi_name(
    ura: str,
    number: str = "900025039",
    *,
    authority: str = TEST_AUTHORITY,
    version: str = "1",
    card: str = "S",
    role: str = "00.000",
    agb: str = "00000000",
) -> str:
    """The text of the otherName of an UZI certificate."""
    return f"{authority}-{version}-{number}-{card}-{ura}-{role}-{agb}"


def new_key(bits: int = 0) -> Key:
    """A private key: EC P-256, or RSA of so many bits."""
    if bits:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Files:
    """PEM files of a certificate (with what stands between it and its root) and its key."""

    certificate: Path
    key: Path

    @property
    def pair(self) -> tuple[str, str]:
        return str(self.certificate), str(self.key)


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key; `above` are the authorities between it and the root, nearest first."""

    certificate: x509.Certificate
    key: Key
    above: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def chain_pem(self) -> str:
        return self.pem + "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in self.above)

    def write(self, folder: Path, name: str) -> Files:
        """Writes `name.pem` (with the chain, without the root) and `name.key` in `folder`."""
        files = Files(folder / f"{name}.pem", folder / f"{name}.key")
        files.certificate.write_text(self.chain_pem)
        files.key.write_bytes(self.key_pem)
        return files


@dataclass(frozen=True)
class Authority(Issued):
    """A certificate authority; `new` makes a root."""

    @classmethod
    def new(cls, name: str, *, days: tuple[float, float] = (-30, 3000), bits: int = 0) -> Authority:
        """A root of that name, valid from and until so many days from now."""
        key = new_key(bits)
        subject = _name(name)
        return cls(_signed(subject, subject, key, key, days, _for_authority(key, key)), key)

    def authority(
        self,
        name: str,
        *,
        days: tuple[float, float] = (-30, 2000),
        certifies: bool = True,
        signs: bool = True,
        below: int | None = None,
        crl: str = "",
        usage: x509.KeyUsage | None = None,
    ) -> Authority:
        """An authority below this one, with at most `below` authorities under it; or one that is none, because it does
        not say that it `certifies`, or that its key `signs` certificates and lists. `crl` is the address it names,
        `usage` a key usage of another kind."""
        key = new_key()
        extensions = _for_authority(key, self.key, certifies=certifies, signs=signs, below=below)
        if usage is not None:
            extensions[1] = usage, True
        extensions += _list_at(crl)
        made = _signed(_name(name), self.certificate.subject, key, self.key, days, extensions)
        return Authority(made, key, self._above())

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = (),
        uzi: str = "",
        days: tuple[float, float] = (-1, 300),
        organisation: str = "",
        locality: str = "",
        serial_number: str = "",
        usages: Sequence[x509.ObjectIdentifier] = (
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
        ),
        other_names: Sequence[tuple[x509.ObjectIdentifier, bytes]] = (),
        crl: str = "",
        ocsp: str = "",
        key: Key | None = None,
        signing: bool = True,
        committing: bool = False,
        further: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Issued:
        """A certificate that is no authority. `hosts` are DNS names and addresses, `uzi` the text of an UZI otherName,
        `other_names` further otherNames (type-id and DER), `crl` and `ocsp` the addresses it names, `further` other
        extensions and whether they are critical; without `signing` its key is not for signatures, and `committing` is
        for those that are kept."""
        key = key or new_key()
        names: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(one)) if one.replace(".", "").isdigit() else x509.DNSName(one)
            for one in hosts
        ]
        names += [x509.OtherName(UZI_NAME, ia5(uzi))] if uzi else []
        names += [x509.OtherName(kind, value) for kind, value in other_names]
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signing=signing, committing=committing), True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
        ]
        if usages:
            extensions.append((x509.ExtendedKeyUsage(list(usages)), False))
        if names:
            extensions.append((x509.SubjectAlternativeName(names), False))
        extensions += [*_list_at(crl), *further]
        if ocsp:
            at = x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp)
            )
            extensions.append((x509.AuthorityInformationAccess([at]), False))
        subject = _name(name, organisation, locality, serial_number)
        made = _signed(subject, self.certificate.subject, key, self.key, days, extensions)
        return Issued(made, key, self._above())

    def _above(self) -> tuple[x509.Certificate, ...]:
        """What stands between a certificate of this authority and the root."""
        root = self.certificate.subject == self.certificate.issuer
        return () if root else (self.certificate, *self.above)


def server_context(server: Files, *trusted: Authority) -> ssl.SSLContext:
    """TLS for a server of a test; a client certificate is required when authorities are given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server.pair)
    if trusted:
        context.load_verify_locations(cadata="".join(one.pem for one in trusted))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(*trusted: Issued, own: Files | None = None) -> ssl.SSLContext:
    """TLS for a client of a test, which trusts these authorities and shows `own`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusted:
        context.load_verify_locations(cadata="".join(one.pem for one in trusted))
    if own is not None:
        context.load_cert_chain(*own.pair)
    return context


def _name(common: str, organisation: str = "", locality: str = "", serial_number: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, "NL")]
    for oid, text in (
        (NameOID.LOCALITY_NAME, locality),
        (NameOID.ORGANIZATION_NAME, organisation),
        (NameOID.SERIAL_NUMBER, serial_number),
        (NameOID.COMMON_NAME, common),
    ):
        if text:
            parts.append(x509.NameAttribute(oid, text))
    return x509.Name(parts)


def _usage(*, signing: bool = False, committing: bool = False, authority: bool = False) -> x509.KeyUsage:
    """A key usage, of these alone."""
    return x509.KeyUsage(
        digital_signature=signing,
        content_commitment=committing,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _list_at(address: str) -> list[tuple[x509.ExtensionType, bool]]:
    if not address:
        return []
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(address)], None, None, None)
    return [(x509.CRLDistributionPoints([point]), False)]


def _for_authority(
    key: Key, signer: Key, *, certifies: bool = True, signs: bool = True, below: int | None = None
) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.BasicConstraints(ca=certifies, path_length=below if certifies else None), True),
        (_usage(signing=not signs, authority=signs), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ]


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    signer: Key,
    days: tuple[float, float],
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    moment = datetime.now(UTC).replace(microsecond=0)
    start, end = (moment + timedelta(days=number) for number in days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())
