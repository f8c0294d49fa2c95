"""The TestScript runner with its own authorities and client certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests import testscript_builder as make
from tests.testscript_peer import BUNDLE, SEARCH, running_peer

from schakel.conformance import CheckOptions, Verdict, check
from schakel.kernel.outcomes import Invalid


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in files."""

    cert: Path
    key: Path


def issued(folder: Path, name: str, issuer: str | None = None) -> Pair:
    """A certificate for 127.0.0.1 called `name`, signed by the earlier one called `issuer` or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    signer = key
    if issuer:
        read = serialization.load_pem_private_key((folder / f"{issuer}.key").read_bytes(), None)
        assert isinstance(read, ec.EllipticCurvePrivateKey)
        signer = read
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer or name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pair


async def test_a_peer_that_wants_a_certificate_gets_it(tmp_path: Path) -> None:
    authority = issued(tmp_path, "authority")
    server, client = issued(tmp_path, "server", "authority"), issued(tmp_path, "client", "authority")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.cert)
    tls.load_cert_chain(server.cert, server.key)
    tls.verify_mode = ssl.CERT_REQUIRED
    script = make.script(make.case(SEARCH, make.assertion(responseCode="200")))
    suite = make.suite(tmp_path / "suite", {"one.xml": script})

    async with running_peer(tls) as peer:
        peer.answer("GET", "Observation", BUNDLE)
        with_both = CheckOptions(
            peer.base, suite, cacerts=(authority.cert,), cert=client.cert, key=client.key
        )
        known = await check(with_both)
        anonymous = await check(CheckOptions(peer.base, suite, cacerts=(authority.cert,)))
        distrusted = await check(CheckOptions(peer.base, suite, cert=client.cert, key=client.key))

    assert known.scripts[0].verdict is Verdict.PASSED
    assert anonymous.scripts[0].verdict is Verdict.ERROR
    assert distrusted.scripts[0].verdict is Verdict.ERROR and "certificate" in distrusted.scripts[0].reason


async def test_certificate_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    suite = make.suite(tmp_path / "suite", {"one.xml": make.script()})
    key = issued(tmp_path, "authority").key

    with pytest.raises(Invalid, match="without its certificate"):
        await check(CheckOptions("https://127.0.0.1/fhir", suite, key=key))
    with pytest.raises(Invalid, match="cannot be used"):
        await check(CheckOptions("https://127.0.0.1/fhir", suite, cacerts=(tmp_path / "absent.pem",)))
