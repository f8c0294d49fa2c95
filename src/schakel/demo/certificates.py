"""The certificates and credentials of the region: asked of the stand-ins that issue them, as an operator would.

Each organisation has a UZI server certificate (it proves the organisation's URA to others), each operator one for its
*back* listener. Keys are made here and never leave the data folder; what there is already is used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from schakel.demo import cast, toml
from schakel.demo.doors import HOST, Client
from schakel.demo.folder import DemoFolder
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Fault

_DAYS = 365
_LEFT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM files: a certificate with those above it, and its private key."""

    certificate: Path
    key: Path


def organisation_pair(folder: DemoFolder, organisation: cast.Organisation) -> Pair:
    """The UZI server certificate of an organisation."""
    return _pair(folder, organisation.slug)


def operator_pair(folder: DemoFolder, operator: cast.Operator) -> Pair:
    """The certificate of an operator's listener for others."""
    return _pair(folder, f"operator-{operator}")


def operator_number(operator: cast.Operator) -> str:
    """The OIN in an operator's certificate."""
    return f"000000990000000{cast.OPERATORS.index(operator) + 1}0000"


def shown_by(folder: DemoFolder, operator: cast.Operator) -> dict[str, toml.Value]:
    """The settings of a connection to a facility that knows an operator by its certificate."""
    pair = operator_pair(folder, operator)
    return {"certificate": pair.certificate, "key": pair.key, "ca": [anchors(folder)]}


def role_credential(folder: DemoFolder, organisation: cast.Organisation) -> Path:
    """What the issuer says of the type of an organisation: a credential (JWT)."""
    return folder.path / "keys" / f"{organisation.slug}.type.jwt"


def anchors(folder: DemoFolder) -> Path:
    """The root under which all certificates of the region are."""
    return folder.path / "keys" / "anchors.pem"


async def ensure(client: Client, folder: DemoFolder, authority: str) -> None:
    """Asks the authority at this address for the certificates that are not there. Raises `Fault` and `Upstream`."""
    wanted = [
        (
            operator_pair(folder, operator),
            {
                "kind": "server",
                "organisation": f"Operator {operator}",
                "number": f"000000990000000{place}0000",
            },
        )
        for place, operator in enumerate(cast.OPERATORS, start=1)
    ]
    wanted += [(organisation_pair(folder, one), _uzi(one)) for one in cast.ORGANISATIONS]
    (folder.path / "keys").mkdir(mode=0o700, exist_ok=True)
    missing = [one for one in wanted if not _good(one[0].certificate)]
    await asyncio.gather(*(_ask(client, folder, authority, *one) for one in missing))


async def ensure_credentials(
    client: Client, folder: DemoFolder, issuer: str, dids: Mapping[str, str]
) -> None:
    """Asks the issuer at this address for the credential of each organisation's type, by its DID (`dids`, by slug);
    anew at each start. Raises `Fault` and `Upstream`."""

    async def ask(one: cast.Organisation) -> None:
        asked = {
            "type": "HealthcareProviderRoleTypeCredential",
            "subject": dids[one.slug],
            "roleCodeNL": one.type_code,
            "seconds": _DAYS * 86_400,
        }
        reply = await client.send("POST", f"{issuer}/credentials", data=orjson.dumps(asked))
        if reply.status != 201:
            raise Fault(f"the issuer of credentials gives none: {reply.said()}")
        folder.write(role_credential(folder, one), str(reply.json()["credential"]).encode())

    await asyncio.gather(*map(ask, cast.ORGANISATIONS))


@dataclass(frozen=True, slots=True)
class Given:
    """A certificate with those above it and the root (PEM), its private key (PEM) and its serial number."""

    certificate: str
    anchor: str
    key: bytes
    serial: str


async def asked(client: Client, authority: str, organisation: cast.Organisation) -> Given:
    """A new UZI server certificate of an organisation. Raises `Fault` and `Upstream`."""
    return await _given(client, authority, _uzi(organisation))


def _uzi(one: cast.Organisation) -> dict[str, Any]:
    return {
        "kind": "uzi-server",
        "organisation": one.name,
        "locality": one.city,
        "ura": one.ura,
        "uzi": f"9901{one.ura[-5:]}",
    }


async def _ask(
    client: Client, folder: DemoFolder, authority: str, pair: Pair, members: dict[str, Any]
) -> None:
    given = await _given(client, authority, members)
    folder.write(pair.key, given.key)
    folder.write(anchors(folder), given.anchor.encode())
    folder.write(pair.certificate, given.certificate.encode())


async def _given(client: Client, authority: str, members: dict[str, Any]) -> Given:
    key = await asyncio.to_thread(rsa.generate_private_key, 65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, members["organisation"])])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    wanted = {
        **members,
        "csr": request.public_bytes(serialization.Encoding.PEM).decode(),
        "hosts": [HOST, "localhost"],
        "seconds": _DAYS * 86_400,
    }
    reply = await client.send("POST", f"{authority}/certificates", data=orjson.dumps(wanted))
    if reply.status != 201:
        raise Fault(f"the certificate authority gives no certificate: {reply.said()}")
    said = reply.json()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Given(str(said["chain"]), str(said["anchor"]), private, str(said["serial"]))


def _pair(folder: DemoFolder, name: str) -> Pair:
    keys = folder.path / "keys"
    return Pair(keys / f"{name}.pem", keys / f"{name}.key")


def _good(certificate: Path) -> bool:
    """Whether a certificate is there and stays valid for a while."""
    if not certificate.exists():
        return False
    found = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    return found.not_valid_after_utc > now() + _LEFT
