"""TLS from PEM files: a context for a listener, a context for a client, and the chain that the other side showed.

Ciphers and curves are OpenSSL's defaults for the minimum version; no compression, no renegotiation. An anchor may be
any authority, not a root alone: who names the one below a root trusts nobody else below that root. A listener gives no
tickets, so no session of TLS 1.3 is resumed. One of TLS 1.2 can be, by its id (`ssl` cannot forbid it): then the client
is the one that proved itself before, and `shown_chain` says what it showed.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

from schakel.kernel.outcomes import Invalid

TlsVersion = Literal["1.2", "1.3"]
ClientCertificates = Literal["none", "asked", "required"]

_CHAINS: WeakKeyDictionary[ssl.SSLContext, OrderedDict[bytes, tuple[bytes, ...]]] = WeakKeyDictionary()
"""Chains that TLS verified, by context and certificate; the oldest make place."""

_MOST_CHAINS = 2_000
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_MODES = {"none": ssl.CERT_NONE, "asked": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def server(
    certificate: Path,
    key: Path,
    client_ca: Sequence[Path] = (),
    *,
    clients: ClientCertificates = "none",
    minimum: TlsVersion = "1.2",
    setting: str,
) -> ssl.SSLContext:
    """What a listener says who it is with, and the anchors of the clients it takes.

    Raises `Invalid` naming the file and the setting, whose name begins with `setting` (such as `back.`).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[minimum]
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _own(context, certificate, key, setting)
    for path in client_ca:
        _trust(context, path, f"{setting}client_ca")
    context.verify_mode = _MODES[clients]
    return context


def client(
    ca: Sequence[Path] = (),
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    minimum: TlsVersion = "1.2",
    setting: str,
    ca_setting: str = "",
) -> ssl.SSLContext:
    """What a client trusts (the system's anchors when `ca` is empty), and who it says it is when it has a certificate.

    Raises `Invalid` naming the file and the setting: `setting` is put before `certificate`, `key` and `ca`, unless
    `ca_setting` is the name of the last.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if certificate is not None and key is not None:
        _own(context, certificate, key, setting)
    if ca:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        for path in ca:
            _trust(context, path, ca_setting or f"{setting}ca")
    else:
        context.load_default_certs()
    return context


def shown_chain(connection: ssl.SSLObject | ssl.SSLSocket | None) -> tuple[bytes, ...]:
    """The certificate of the other side and those above it up to the anchor that was found, as DER; () when none was
    shown. A session that is resumed knows the certificate only: then those above are as TLS found them before."""
    if connection is None:
        return ()
    leaf = connection.getpeercert(True)
    if not leaf:
        return ()
    inner: Any = getattr(
        connection, "_sslobj", None
    )  # Public from Python 3.13 on, as DER on `connection` itself.
    verified = getattr(connection, "get_verified_chain", None) or getattr(inner, "get_verified_chain", None)
    found = (verified() if verified is not None else None) or ()
    chain = tuple(_der(one) for one in found)
    known = _CHAINS.setdefault(connection.context, OrderedDict())
    if not chain or chain[0] != leaf:
        return known.get(leaf, (leaf,))
    known[leaf] = chain
    known.move_to_end(leaf)
    if len(known) > _MOST_CHAINS:
        known.popitem(last=False)
    return chain


def _der(certificate: Any) -> bytes:
    if isinstance(certificate, bytes):
        return certificate
    return ssl.PEM_cert_to_DER_cert(certificate.public_bytes())


def _own(context: ssl.SSLContext, certificate: Path, key: Path, setting: str) -> None:
    _check_readable(certificate, f"{setting}certificate")
    _check_readable(key, f"{setting}key")

    def password() -> str:
        raise Invalid(f"the key {key} (setting {setting}key) has a password: it must have none")

    try:
        context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        raise Invalid(
            f"the certificate {certificate} and the key {key} (settings {setting}certificate and {setting}key) "
            f"cannot be used together ({error.reason or 'no PEM'}): PEM files that belong together are needed"
        ) from error


def _trust(context: ssl.SSLContext, path: Path, setting: str) -> None:
    _check_readable(path, setting)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise Invalid(f"the file {path} (setting {setting}) has no PEM certificates") from error


def _check_readable(path: Path, setting: str) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise Invalid(f"the file {path} (setting {setting}) cannot be read: {error.strerror}") from error
