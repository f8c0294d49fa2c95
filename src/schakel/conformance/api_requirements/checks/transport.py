"""SC004: TLS as it is really spoken: versions, algorithms and the certificate, by handshakes of several kinds.

Source: NCSC, IT-beveiligingsrichtlijnen voor TLS, version 2.1: 'sufficient' or 'good' holds; 'phase out' (TLS 1.0 and
1.1, key exchange with RSA, 3DES) and 'insufficient' do not.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schakel.conformance.api_requirements.checks.hiding import loopback
from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import Check, Probe, Unseen, broken, holds, unknown
from schakel.conformance.client import tls_context

_OLD = {ssl.TLSVersion.TLSv1: "TLS 1.0", ssl.TLSVersion.TLSv1_1: "TLS 1.1"}
_WEAK = ("kRSA", "3DES", "RC4", "aNULL", "eNULL", "DES", "IDEA", "SEED", "MD5")
"""Names of OpenSSL for what is to be phased out, or worse."""

_WRONG = {
    10: ("het certificaat is verlopen", "the certificate has expired"),
    9: ("het certificaat geldt nog niet", "the certificate is not valid yet"),
    18: ("het certificaat is door zichzelf ondertekend", "the certificate is signed by itself"),
    62: ("het certificaat is van een andere naam", "the certificate is of another name"),
    66: ("de sleutel is te kort", "the key is too short"),
    67: ("de sleutel van de uitgever is te kort", "the key of the issuer is too short"),
    68: ("de handtekening is te zwak", "the signature is too weak"),
    64: ("het certificaat is van een ander adres", "the certificate is of another address"),
}
"""What is wrong with a certificate whoever looks at it, by the code of OpenSSL (X509_V_ERR). That its authority is not
known here is not among them: another authority may be right."""


@dataclass(frozen=True, slots=True)
class _Spoken:
    """What a handshake ended in."""

    version: str
    cipher: str
    certificate: bytes


async def transport(probe: Probe) -> Sequence[Finding]:
    """SC004.001, and with it SC004."""
    url = probe.base
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        if loopback(host):
            raise Unseen(
                "http op deze machine zelf: er is geen TLS te zien",
                "http on this machine itself: there is no TLS to see",
                url,
            )
        return _both(broken, "het adres is geen https", "the address is not https", url)
    port = parts.port or 443
    try:
        spoken = await _handshake(probe, host, port, _ordinary(probe))
    except ssl.SSLCertVerificationError as error:
        if known := _WRONG.get(error.verify_code):
            return _both(broken, *known, url)
        raise Unseen(
            f"het certificaat is hier niet te vertrouwen ({error.verify_message}); geef --cacert",
            f"the certificate cannot be trusted here ({error.verify_message}); give --cacert",
            url,
        ) from None
    except (TimeoutError, ConnectionRefusedError, socket.gaierror) as error:
        told = str(error) or "time-out"
        raise Unseen(f"er kwam geen verbinding: {told}", f"no connection came about: {told}", url) from None
    except (OSError, EOFError) as error:
        if old := await _speaks_old(probe, host, port):
            return _both(broken, f"alleen {old}", f"nothing but {old}", url)
        raise Unseen(f"er kwam geen TLS tot stand: {error}", f"no TLS came about: {error}", url) from None
    if wrong := _certificate(spoken.certificate):
        return _both(broken, *wrong, url)
    if old := await _speaks_old(probe, host, port):
        return _both(broken, f"{old} wordt aangenomen", f"{old} is accepted", url)
    unseen = []
    for weak in _WEAK:
        context = _only(probe, weak)
        if context is None:
            unseen.append(weak)
        elif cipher := await _accepted(probe, host, port, context):
            return _both(broken, f"{cipher} wordt aangenomen", f"{cipher} is accepted", url)
    finite = _only(probe, "kDHE")
    if finite is not None and (cipher := await _accepted(probe, host, port, finite)):
        return _both(
            unknown,
            f"{cipher} wordt aangenomen; de grootte van zijn groep is hier niet te zien",
            f"{cipher} is accepted; the size of its group cannot be seen here",
            url,
        )
    left = ", ".join(unseen)
    return _both(
        holds,
        f"{spoken.version} met {spoken.cipher}; niets ouds of zwaks wordt aangenomen"
        + (f" (niet te proberen: {left})" if left else ""),
        f"{spoken.version} with {spoken.cipher}; nothing old or weak is accepted"
        + (f" (not to be tried here: {left})" if left else ""),
        url,
    )


def _both(made: Callable[[str, str, str, str], Finding], nl: str, en: str, url: str) -> Sequence[Finding]:
    return [made(key, nl, en, url) for key in ("SC004", "SC004.001")]


def _ordinary(probe: Probe) -> ssl.SSLContext:
    options = probe.options
    return tls_context(options.cacerts, options.cert, options.key)


def _unverified(probe: Probe) -> ssl.SSLContext:
    """Shows our certificate, looks at no other: for a handshake about something else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if probe.options.cert:
        context.load_cert_chain(probe.options.cert, probe.options.key)
    return context


def _only(probe: Probe, ciphers: str) -> ssl.SSLContext | None:
    """A context that offers nothing but these ciphers, with TLS 1.2; None when OpenSSL here does not have them."""
    context = _unverified(probe)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    except ssl.SSLError:
        return None
    return context


async def _speaks_old(probe: Probe, host: str, port: int) -> str:
    """The old version of TLS that is spoken; '' when none is."""
    for version, name in _OLD.items():
        context = _unverified(probe)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        if await _accepted(probe, host, port, context):
            return name
    return ""


async def _accepted(probe: Probe, host: str, port: int, context: ssl.SSLContext) -> str:
    """The cipher that the server took of those in `context`; '' when it refused them all."""
    try:
        return (await _handshake(probe, host, port, context)).cipher
    except TimeoutError:
        raise Unseen("een handdruk kreeg geen antwoord", "a handshake got no answer", probe.base) from None
    except (OSError, EOFError):
        return ""


async def _handshake(probe: Probe, host: str, port: int, context: ssl.SSLContext) -> _Spoken:
    """Raises `ssl.SSLError`, `OSError` or `TimeoutError` when it does not come about."""
    seconds = probe.options.seconds
    async with asyncio.timeout(seconds):
        _, writer = await asyncio.open_connection(
            host,
            port,
            ssl=context,
            server_hostname=host,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=1,
        )
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        cipher = tls.cipher()
        return _Spoken(
            tls.version() or "", cipher[0] if cipher else "", tls.getpeercert(binary_form=True) or b""
        )
    finally:
        writer.transport.abort()


def _certificate(der: bytes) -> tuple[str, str] | None:
    """What NCSC finds not sufficient in a certificate."""
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        return f"RSA van {key.key_size} bits is te kort", f"RSA of {key.key_size} bits is too short"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < 224:
        return (
            f"een kromme van {key.curve.key_size} bits is te kort",
            f"a curve of {key.curve.key_size} bits is too short",
        )
    if isinstance(certificate.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        name = certificate.signature_hash_algorithm.name
        return f"het certificaat is ondertekend met {name}", f"the certificate is signed with {name}"
    return None


CHECKS = (Check(("SC004", "SC004.001"), transport),)
