"""What shows a holder that a token is ours (DPoP), and what shows us that a server is the holder's.

Source: RFC 9449 sections 4, 7, 8 and 9 (proofs and nonces); UZI certificates as in `generic.identity.certificates`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import aiohttp
from cryptography import x509

from schakel.facilities import origin
from schakel.generic.identity import DpopKey
from schakel.generic.identity.certificates import CertificateRefused, uzi_number
from schakel.generic.identity.errors import NONCE_HEADER

_NONCE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,500}")
"""What a nonce may be made of (RFC 9449, section 8.1); a longer one is not sent back."""

Origin = tuple[str, str, int | None]

_MOST_NONCES = 10_000
_ASKED = re.compile(r"""\berror\s*=\s*"?use_dpop_nonce\b""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of a holder; `bound` when it works with our key only. It is not shown when it is printed."""

    value: str
    bound: bool = False

    def __repr__(self) -> str:
        return f"AccessToken(bound={self.bound})"


class Proofs:
    """The key of one organisation in this process, and the nonces that servers asked for: one for each holder and
    origin, the last that was given; the oldest make place."""

    def __init__(self, key: DpopKey) -> None:
        self._key = key
        self._nonces: dict[tuple[str, Origin], str] = {}

    def proof(self, ura: str, method: str, url: str, token: str | None = None) -> str:
        """The header DPoP of a request to holder `ura`."""
        return self._key.proof(method, url, token, self._nonces.get((ura, origin(url)), ""))

    def learn(self, ura: str, url: str, headers: Mapping[str, str]) -> bool:
        """Whether the answer from `url` gave a nonce that can be used, which is used from now on."""
        nonce = headers.get(NONCE_HEADER, "")
        if not _NONCE.fullmatch(nonce):
            return False
        key = ura, origin(url)
        self._nonces.pop(key, None)
        if len(self._nonces) >= _MOST_NONCES:
            self._nonces.pop(next(iter(self._nonces)))
        self._nonces[key] = nonce
        return True


def wants_nonce(challenges: Iterable[str]) -> bool:
    """Whether a resource refused a request for its nonce alone, by its headers WWW-Authenticate: then nothing was done
    and it may be asked again."""
    return any(_ASKED.search(one) for one in challenges)


@dataclass(frozen=True, slots=True)
class ServerUras:
    """Holds the certificate of a server against the URA of the holder that it should be of. `authorities` are the OIDs
    of the UZI authorities whose numbers are taken; with `required` a certificate without a UZI number is refused."""

    authorities: tuple[str, ...]
    required: bool = False

    def refusal(self, certificate: bytes, ura: str) -> str:
        """Why this certificate (DER) is not one of the holder with this URA; '' when nothing speaks against it."""
        try:
            number = uzi_number(x509.load_der_x509_certificate(certificate), self.authorities)
        except (CertificateRefused, ValueError) as error:
            return f"the UZI number in the certificate of its server cannot be taken: {error}"
        if number is None:
            return "the certificate of its server has no UZI number" if self.required else ""
        if number.ura != ura:
            return f"the certificate of its server is of URA {number.ura}"
        return ""


class AnotherServerError(aiohttp.ServerFingerprintMismatch):
    """The server has proved that it is another's; `why` is one sentence."""

    def __init__(self, why: str, host: str, port: int) -> None:
        super().__init__(b"", b"", host, port)
        self.why = why


class OfHolder(aiohttp.Fingerprint):
    """What aiohttp asks of each new connection before a request goes over it, in the place of a fingerprint: whether
    the server may be the holder `ura`."""

    def __init__(self, uras: ServerUras, ura: str) -> None:
        super().__init__(bytes(32))
        self._uras = uras
        self._ura = ura

    def check(self, transport: asyncio.Transport) -> None:
        """Raises `AnotherServerError`, and then the connection is closed."""
        connection = transport.get_extra_info("ssl_object")
        if connection is None:
            return
        if why := self._uras.refusal(connection.getpeercert(binary_form=True) or b"", self._ura):
            host, port, *_ = transport.get_extra_info("peername")
            raise AnotherServerError(why, host, port)
