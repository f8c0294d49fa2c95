"""Settings of certificates and of the listeners that ask for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    Field,
    IPvAnyNetwork,
    model_validator,
)

from schakel.config.base import Section, Url, paired


class InternalCertificate(Section):
    """A certificate that opens the internal door: this very one, or any that an authority gives to a subject."""

    sha256: str = Field("", description="SHA-256 of the certificate, in hexadecimal (colons may be there)")
    subject: str = Field("", description="subject as RFC 4514 writes it, such as CN=ehr,O=Hospital,C=NL")
    ca: Path | None = Field(None, description="the authority that gave it to the subject (PEM file)")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.sha256) == bool(self.subject) or bool(self.subject) != (self.ca is not None):
            raise ValueError("give either sha256, or subject and ca")
        if self.sha256 and not re.fullmatch(r"[0-9A-Fa-f]{64}", self.sha256.replace(":", "")):
            raise ValueError("sha256 has 64 hexadecimal digits")
        return self


class Certificates(Section):
    """How client certificates on back, and those under credentials, are judged beyond their chain."""

    uzi: Literal["production", "test"] = Field(
        "production", description="test takes UZI numbers of the test authorities (2.16.528.1.1007.99) only"
    )
    uzi_oids: tuple[str, ...] = Field(
        (),
        description="OIDs of the UZI authorities whose numbers are taken, in place of those that uzi stands for; .* at "
        "the end takes all below",
    )
    revocation: Literal["crl", "ocsp", "either", "off"] = Field(
        "crl",
        description="how it is found out whether one was withdrawn: lists, the responder of its authority, that one "
        "when no list can be had, or not at all; risk of off: withdrawn certificates are taken until they expire",
    )
    sources: tuple[Url, ...] = Field(
        (), description="addresses under which a list or responder that a certificate names may lie"
    )
    lists: tuple[Url, ...] = Field((), description="lists that are looked in whatever a certificate names")
    responders: tuple[Url, ...] = Field(
        (), description="responders that are asked whatever a certificate names"
    )
    keep_seconds: float = Field(
        900, description="seconds in which a list or an answer is not fetched again", ge=0
    )
    pause_seconds: float = Field(5, description="seconds between two tries after a failure", ge=0)
    timeout: float = Field(5, description="seconds a list or a responder may take", gt=0)
    list_bytes: int = Field(20_000_000, description="bytes of a list", ge=1000)
    nonce: bool = Field(True, description="answers of responders must be fresh (RFC 9654)")

    @property
    def can_find_out(self) -> bool:
        """Whether somebody is named who can say that a certificate was withdrawn, or nobody need be."""
        return self.revocation == "off" or bool(self.sources or self.lists or self.responders)


class CredentialTrust(Section):
    """Whose credentials are believed, when an organisation asks for a token by presenting them."""

    uzi: tuple[Path, ...] = Field(
        (),
        description="authorities of the UZI certificates under credentials (PEM files); without one, no credential "
        "that rests on a certificate is taken",
    )
    issuers: dict[str, tuple[str, ...]] = Field(
        {},
        description="by type of credential, the DIDs of the issuers that are believed; or holder (whoever presents "
        "it), card (a professional's UZI card), client (the organisation on whose behalf is asked)",
    )
    did_ca: tuple[Path, ...] = Field(
        (),
        description="authorities of the servers that publish DIDs and status lists (PEM files); the system's when"
        " empty",
    )
    did_seconds: float = Field(
        60,
        description="seconds in which the document of a DID is not fetched again; so long may a key that was taken out "
        "of it still be believed",
        ge=0,
        le=3600,
    )
    did_timeout: float = Field(3, description="seconds that a DID document or status list may take", gt=0)
    did_bytes: int = Field(64_000, description="bytes of a DID document", ge=1000)
    private_networks: tuple[IPvAnyNetwork, ...] = Field(
        (),
        description="networks that are not of the public internet, such as 10.20.0.0/16, on which DID documents, "
        "status lists, and holders and directories that are found in a directory may lie; without it a DID in a "
        "token or an address in a directory cannot make this node ask an address inside",
    )
    http_on_loopback: bool = Field(
        False,
        description="DIDs and addresses in directories on 127.0.0.1 or localhost are asked, over http, for demo and "
        "tests; risk: whoever presents something or is in a directory can make this node ask any port of its own "
        "machine",
    )

    @property
    def presentations(self) -> bool:
        """Whether somebody is believed, so that presentations can be taken."""
        return bool(self.uzi or self.issuers)


class Back(Section):
    """The listener for other organisations and for clients of MedMij, who prove themselves by a certificate.

    It ends TLS itself, or stands behind a proxy that does and tells of the certificate in a header.
    """

    port: int = Field(8404, description="port", ge=1, le=65535)
    public_url: Url = Field(description="its address as others see it (https)")
    certificate: Path | None = Field(
        None, description="its certificate, with those above it (PEM file); needed unless proxies are named"
    )
    key: Path | None = Field(None, description="its private key (PEM file)")
    client_ca: tuple[Path, ...] = Field(
        description="authorities whose clients are taken: UZI register, PKIoverheid (PEM files)", min_length=1
    )
    tls_minimum: Literal["1.2", "1.3"] = Field("1.2", description="oldest version of TLS that is taken")
    proxies: tuple[IPvAnyNetwork, ...] = Field(
        (),
        description="addresses of proxies that end TLS before this listener, such as 10.0.0.7 or 10.0.0.0/28",
    )
    proxy_header: str = Field(
        "",
        description="header in which such a proxy gives the certificate of its client, and which it takes away from "
        "what clients send: percent-encoded PEM, or RFC 9440",
        pattern=r"^[A-Za-z0-9-]*$",
    )
    address_header: str = Field(
        "",
        description="header in which such a proxy adds the address of its client, such as X-Forwarded-For, on every "
        "listener; the last address that is no proxy's counts. When not given everybody behind a proxy has its address",
        pattern=r"^[A-Za-z0-9-]*$",
    )
    verdict_seconds: float = Field(
        60, description="seconds in which a certificate is not judged again", ge=0, le=3600
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.public_url.startswith("https://"):
            raise ValueError("public_url must be https: others come here with a certificate")
        if self.proxies and not self.proxy_header:
            raise ValueError(
                "proxies needs proxy_header, the header in which they give the client's certificate"
            )
        if self.address_header and not self.proxies:
            raise ValueError("address_header needs proxies, the addresses from which it is believed")
        if self.proxy_header and not self.proxies:
            raise ValueError("proxy_header needs proxies, the addresses from which it is believed")
        if not self.proxies and self.certificate is None:
            raise ValueError("certificate and key are needed, or proxies that end TLS")
        return paired(self, "certificate", "key")


class InternalTls(Section):
    """TLS on the internal listener."""

    certificate: Path = Field(description="its certificate, with those above it (PEM file)")
    key: Path = Field(description="its private key (PEM file)")
    client_ca: tuple[Path, ...] = Field(
        (),
        description="authorities of the client certificates of EHRs (PEM files); none are asked when empty",
    )
