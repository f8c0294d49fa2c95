"""Authorities that say what they withdrew, in a test: lists, answers of responders, and the desk that serves them.

async with desk() as here:
    here.says["/a.crl"] = crl(authority, [leaf])
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.certificates import Authority, Issued
from tests.nodes import free_ports

from schakel.kernel.clock import now
from schakel_national.serving import Facility, serving

Said = bytes | int | Callable[[bytes], bytes]
"""A body, a status, or what makes a body of the body that came."""

GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN


@dataclass
class Desk:
    """Answers each path with what `says` has, after `delay` seconds; `asked` are the paths that were asked for."""

    address: str
    says: dict[str, Said] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    delay: float = 0

    async def app(
        self,
        scope: dict[str, object],
        receive: Callable[[], Awaitable[dict[str, object]]],
        send: Callable[[dict[str, object]], Awaitable[None]],
    ) -> None:
        assert scope["type"] == "http"
        body = b""
        while (message := await receive()).get("more_body"):
            body += bytes(message["body"])  # type: ignore[call-overload]
        body += bytes(message["body"])  # type: ignore[call-overload]
        self.asked.append(str(scope["path"]))
        await asyncio.sleep(self.delay)
        said = self.says.get(str(scope["path"]), 404)
        status = said if isinstance(said, int) else 200
        headers = [(b"location", f"{self.address}/elsewhere".encode())] if status == 302 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        answer = b"" if isinstance(said, int) else said if isinstance(said, bytes) else said(body)
        await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    """A desk on a free port."""
    [port] = free_ports(1)
    here = Desk(f"http://127.0.0.1:{port}")
    async with serving("127.0.0.1", [Facility("desk", here.app, port)]):  # type: ignore[arg-type]
        yield here


def crl(
    authority: Authority,
    revoked: Sequence[Issued] = (),
    *,
    hours: tuple[float, float] = (-1, 1),
    number: int = 1,
    signer: Issued | None = None,
    further: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """A list of `authority` in DER, of and until so many hours from now, signed by `signer` (itself when None)."""
    moment = now()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(moment + timedelta(hours=hours[0]))
        .next_update(moment + timedelta(hours=hours[1]))
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for extension, critical in further:
        builder = builder.add_extension(extension, critical)
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(moment).build())
    return builder.sign((signer or authority).key, hashes.SHA256()).public_bytes(Encoding.DER)


def scope(**members: object) -> tuple[x509.IssuingDistributionPoint, bool]:
    """What a list says that it is about (critical)."""
    usual: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**usual, **members}), True  # type: ignore[arg-type]


def responder(
    authority: Authority, *, days: tuple[float, float] = (-1, 10), may: bool = True, checked: str = ""
) -> Issued:
    """Whom `authority` lets answer for it; not when it `may` not. `checked` is the
    address of the list on which it may itself be, '' when its authority says that nobody need look."""
    use = ExtendedKeyUsageOID.OCSP_SIGNING if may else ExtendedKeyUsageOID.CLIENT_AUTH
    further: list[tuple[x509.ExtensionType, bool]] = [] if checked else [(x509.OCSPNoCheck(), False)]
    return authority.issue("Responder", usages=(use,), days=days, further=further, crl=checked)


def answers(
    issuer: Authority,
    about: Issued,
    signer: Issued | None = None,
    status: ocsp.OCSPCertStatus = GOOD,
    *,
    hours: tuple[float, float] = (-1, 1),
    nonce: bool = True,
) -> Callable[[bytes], bytes]:
    """What a responder answers `about` a certificate of `issuer`, signed by `signer` (the issuer when None)."""
    signer = signer or issuer

    def said(asked: bytes) -> bytes:
        moment = now()
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                about.certificate,
                issuer.certificate,
                hashes.SHA1(),
                status,
                moment + timedelta(hours=hours[0]),
                moment + timedelta(hours=hours[1]),
                moment if status is REVOKED else None,
                None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.NAME, signer.certificate)
        )
        if signer is not issuer:
            builder = builder.certificates([signer.certificate])
        if nonce:
            found = ocsp.load_der_ocsp_request(asked).extensions.get_extension_for_class(x509.OCSPNonce)
            builder = builder.add_extension(found.value, critical=False)
        return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)

    return said
