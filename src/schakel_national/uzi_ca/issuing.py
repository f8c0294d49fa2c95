"""What a certificate says, by its kind; and certificates of the facilities' own.

Source: the certificate profiles of the Zorg CSP (UZI server certificate); RFC 2986 (PKCS#10).
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from schakel.kernel.clock import now
from schakel_national.serving import Tls
from schakel_national.uzi_ca.authority import (
    SERVER,
    UZI_SERVER,
    Authority,
    authorities,
    bundle,
    points,
    read_private,
    signed,
    subject,
    usage,
    write_private,
)

UZI_OID = "2.16.528.1.1007.99.2110"
_OTHER_NAME = x509.ObjectIdentifier("2.5.5.5")
_POLICIES = {
    UZI_SERVER: x509.ObjectIdentifier("2.16.528.1.1007.99.1"),
    SERVER: x509.ObjectIdentifier("2.16.528.1.1007.99.2"),
}
_MOST_SECONDS = 3 * 365 * 86_400
_OWN_DAYS = 365


class Refused(Exception):
    """A request for a certificate that is not answered; the text says why."""


@dataclass(frozen=True)
class Asked:
    """A request, read: the key it proves to hold, and what the register says of who asks."""

    kind: str
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    organisation: str
    locality: str
    ura: str
    uzi: str
    number: str
    hosts: tuple[str, ...]
    seconds: int

    @classmethod
    def parse(cls, members: Any) -> Asked:
        """The request in JSON: {csr, kind, organisation, locality?, ura, uzi, number?, hosts?, seconds?}.

        `ura` and `uzi` (numbers) are for a UZI server certificate, `number` is the serialNumber of another. Raises
        `Refused`.
        """
        if not isinstance(members, dict):
            raise Refused("a JSON object is needed")
        kind = members.get("kind")
        if kind not in (UZI_SERVER, SERVER):
            raise Refused(f"kind must be {UZI_SERVER} or {SERVER}")
        text = {
            name: _text(members, name) for name in ("organisation", "locality", "ura", "uzi", "number", "csr")
        }
        if not text["organisation"]:
            raise Refused("organisation is missing")
        if kind == UZI_SERVER and not (
            re.fullmatch(r"[0-9]{8}", text["ura"]) and re.fullmatch(r"[0-9]{9}", text["uzi"])
        ):
            raise Refused("ura must be 8 digits and uzi 9")
        hosts, seconds = members.get("hosts", []), members.get("seconds", 86_400)
        if not isinstance(hosts, list) or not all(isinstance(host, str) and host.isascii() for host in hosts):
            raise Refused("hosts must be a list of names")
        if not isinstance(seconds, int) or not 1 <= seconds <= _MOST_SECONDS:
            raise Refused(f"seconds must be 1 to {_MOST_SECONDS}")
        key = _proved(text.pop("csr"))
        return cls(kind=kind, key=key, hosts=tuple(hosts), seconds=seconds, **text)


def issue(authority: Authority, asked: Asked, address: str) -> x509.Certificate:
    """The certificate of who asked."""
    names: list[x509.GeneralName] = [_general(host) for host in asked.hosts]
    serial = asked.number
    if asked.kind == UZI_SERVER:
        serial = asked.uzi
        number = f"{UZI_OID}-1-{asked.uzi}-S-{asked.ura}-00.000-00000000".encode("ascii")
        names.append(x509.OtherName(_OTHER_NAME, bytes([0x16, len(number)]) + number))
    name = subject(
        country_name="NL",
        organization_name=asked.organisation,
        locality_name=asked.locality,
        common_name=asked.hosts[0] if asked.hosts else asked.organisation,
        serial_number=serial,
    )
    policy = x509.PolicyInformation(_POLICIES[asked.kind], [f"{address}/"])
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        usage("digital_signature", "key_encipherment"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.CertificatePolicies([policy]), False),
        *points(authority.name, address),
    ]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), False))
    until = now() + timedelta(seconds=asked.seconds)
    return signed((authority.certificate, authority.key), name, asked.key, until, extensions)


def server_tls(folder: Path, address: str, name: str, hosts: tuple[str, ...], clients: bool = False) -> Tls:
    """TLS for the facility `name` at `hosts`, with a certificate of this authority at `address`, kept in `folder` and
    made anew when it is about to expire or for other hosts. With `clients`, whoever connects must show a certificate
    of this authority."""
    made = authorities(folder, address)
    place = folder / "uzi-ca"
    pem, secret, told = place / f"tls-{name}.pem", place / f"tls-{name}.key", place / f"tls-{name}.json"
    if not (
        pem.exists() and secret.exists() and told.exists() and json.loads(told.read_text()) == list(hosts)
    ):
        write_private(secret, ec.generate_private_key(ec.SECP256R1()))
        pem.unlink(missing_ok=True)
    if not pem.exists() or _expiring(x509.load_pem_x509_certificates(pem.read_bytes())[0]):
        key = read_private(secret).public_key()
        asked = Asked(SERVER, key, f"Stand-in {name}", "", "", "", "00000000", hosts, _OWN_DAYS * 86_400)
        above = made[SERVER]
        pem.write_text(bundle(issue(above, asked, address), above.certificate))
        told.write_text(json.dumps(list(hosts)))
    return Tls(pem, secret, place / "anchors.pem" if clients else None)


def _expiring(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc < now() + timedelta(days=30)


def _proved(csr: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """The key of a request that is signed with it. Raises `Refused`."""
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key = request.public_key()
        proved = request.is_signature_valid
    except ValueError as error:
        raise Refused("csr is not a PKCS#10 request in PEM") from error
    if not proved:
        raise Refused("csr is not signed with the key that it holds")
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise Refused("csr must hold an RSA or EC key")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        raise Refused("csr must hold an RSA key of 2048 bits or more")
    return key


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name, "")
    if not isinstance(value, str) or (len(value) > 64 and name != "csr"):
        raise Refused(f"{name} must be text of at most 64 characters")
    return value


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
