"""The authorities: a root, and two below it that sign certificates of parties. Their keys stay in the folder.

root            signs the other two
uzi-server      UZI server certificates
server          server certificates in the manner of PKIoverheid, with a company's number as serialNumber
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from schakel.kernel.clock import now

ROOT, UZI_SERVER, SERVER = "root", "uzi-server", "server"
_NAMES = {
    ROOT: "TEST Private Root CA",
    UZI_SERVER: "TEST UZI-register Private Server CA",
    SERVER: "TEST Private Services CA",
}
_YEAR = timedelta(days=365)
_BEFORE = timedelta(minutes=5)

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """One of them; `responder` and its key sign what OCSP answers."""

    name: str
    certificate: x509.Certificate
    key: Key
    responder: x509.Certificate
    responder_key: Key


def authorities(folder: Path, address: str) -> Mapping[str, Authority]:
    """The authorities kept in `folder`, made when they are not there; `address` is where this facility is reached."""
    place = folder / "uzi-ca"
    place.mkdir(parents=True, exist_ok=True)
    with _alone(place):
        root = _kept(place, ROOT, None, address)
        made = {ROOT: root, **{name: _kept(place, name, root, address) for name in (UZI_SERVER, SERVER)}}
        (place / "anchors.pem").write_bytes(root[0].public_bytes(Encoding.PEM))
    return {name: Authority(name, *pair, *_responder(pair)) for name, pair in made.items()}


def bundle(*certificates: x509.Certificate) -> str:
    """The certificates in PEM, one after another."""
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def subject(**parts: str) -> x509.Name:
    """A name of the parts that are not empty, by the names of `NameOID` in lower case, in the order given."""
    return x509.Name(
        [x509.NameAttribute(getattr(NameOID, name.upper()), value) for name, value in parts.items() if value]
    )


def points(name: str, address: str) -> list[tuple[x509.ExtensionType, bool]]:
    """Where what the authority `name` signs can be looked up: its list, its responder, its own certificate."""

    def at(path: str) -> x509.UniformResourceIdentifier:
        return x509.UniformResourceIdentifier(f"{address}{path}")

    access = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, at("/ocsp")),
        x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, at(f"/ca/{name}.cer")),
    ]
    listed = x509.DistributionPoint([at(f"/crl/{name}.crl")], None, None, None)
    return [(x509.CRLDistributionPoints([listed]), False), (x509.AuthorityInformationAccess(access), False)]


def signed(
    issuer: tuple[x509.Certificate | None, Key],
    name: x509.Name,
    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    until: datetime,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    """A certificate for `public`, from now `until`; one of `issuer` itself when that has no certificate yet."""
    above, key = issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(above.subject if above else name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - _BEFORE)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(key, hashes.SHA256())


def usage(*names: str) -> tuple[x509.KeyUsage, bool]:
    """A key usage extension (critical) with the uses named."""
    uses = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
    )
    more = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{use: use in names for use in (*uses, *more)}), True


def write_private(path: Path, key: Key) -> None:
    """The key in PEM, for its owner's eyes, in one move."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    fresh.replace(path)


def read_private(path: Path) -> Key:
    """The key in `path`. Raises `ValueError` when it is of another kind."""
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Key):
        raise ValueError(f"{path} holds no RSA or EC key")
    return key


def _kept(
    place: Path, name: str, above: tuple[x509.Certificate, Key] | None, address: str
) -> tuple[x509.Certificate, Key]:
    """The certificate and key of the authority `name`, signed by the one `above` it or by itself."""
    pem, secret = place / f"{name}.pem", place / f"{name}.key"
    if pem.exists() and secret.exists():
        return x509.load_pem_x509_certificate(pem.read_bytes()), read_private(secret)
    key = rsa.generate_private_key(65537, 2048)
    certificate = signed(
        above or (None, key),
        subject(country_name="NL", organization_name="Schakel stand-in", common_name=_NAMES[name]),
        key.public_key(),
        now() + 10 * _YEAR,
        [
            (x509.BasicConstraints(ca=True, path_length=0 if above else 1), True),
            usage("key_cert_sign", "crl_sign"),
            *(points(ROOT, address) if above else ()),
        ],
    )
    write_private(secret, key)
    pem.write_text(bundle(certificate))
    return certificate, key


def _responder(issuer: tuple[x509.Certificate, Key]) -> tuple[x509.Certificate, Key]:
    """A responder of the authority: a new key at each start, and a certificate that nobody need look up."""
    certificate, _ = issuer
    key = ec.generate_private_key(ec.SECP256R1())
    name = subject(
        country_name="NL",
        organization_name="Schakel stand-in",
        common_name=f"TEST OCSP {hashlib.sha256(certificate.subject.public_bytes()).hexdigest()[:8]}",
    )
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        usage("digital_signature"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), True),
        (x509.OCSPNoCheck(), False),
    ]
    return signed(issuer, name, key.public_key(), now() + _YEAR, extensions), key


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One process at a time: facilities that start together use the same authorities."""
    with open(place / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
