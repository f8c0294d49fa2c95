"""`certificate`: the server certificates of front and back are valid, carry the right name, and until when.

Whether they are trusted is for the check `tls`. What a certificate says of its names and its end needs no trust.

Source: RFC 5280 section 4.1.2.5 (validity), RFC 9525 section 6 (names).
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from urllib.parse import urlsplit

from cryptography import x509

from schakel.kernel.clock import instant
from schakel.roadmap.checks.handshake import shown_certificate
from schakel.roadmap.checks.model import Check, Target, judged
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text
from schakel.roadmap.region import Organisation

ID = "certificate"

_SOON = timedelta(days=30)


def secure(organisation: Organisation) -> tuple[str, ...]:
    """The https addresses of front and back, one for each host."""
    hosts: dict[str, str] = {}
    for address in (organisation.front, organisation.back):
        if address.startswith("https:"):
            hosts.setdefault(urlsplit(address).netloc, address)
    return tuple(hosts.values())


async def _measure(target: Target, tools: Tools) -> Finding:
    faults: list[Text] = []
    ends, told = [], []
    for address in secure(target.organisation):
        certificate = x509.load_der_x509_certificate(await shown_certificate(address, tools))
        host = urlsplit(address).hostname or ""
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        ends.append(last)
        told.append(f"{address}: serial {certificate.serial_number:x}, until {instant(last)}")
        if last <= tools.began:
            faults.append(
                Text(
                    f"Het certificaat van {host} is verlopen op {last:%d-%m-%Y}.",
                    f"The certificate of {host} expired on {last:%Y-%m-%d}.",
                )
            )
        elif first > tools.began:
            faults.append(
                Text(
                    f"Het certificaat van {host} geldt pas vanaf {first:%d-%m-%Y}.",
                    f"The certificate of {host} is not valid before {first:%Y-%m-%d}.",
                )
            )
        if not is_for(certificate, host):
            faults.append(
                Text(
                    f"Het certificaat van {host} is voor een andere naam.",
                    f"The certificate of {host} is for another name.",
                )
            )
    end = min(ends)
    days = (end - tools.began).days
    soon = end - tools.began <= _SOON
    return judged(
        ID,
        faults,
        Text(
            f"De certificaten gelden tot {end:%d-%m-%Y}"
            + (f": nog {days} dagen, vernieuw ze." if soon else "."),
            f"The certificates are valid until {end:%Y-%m-%d}"
            + (f": {days} more days, renew them." if soon else "."),
        ),
        detail="; ".join(told),
        facts={"days": days},
        until=end,
    )


def is_for(certificate: x509.Certificate, host: str) -> bool:
    """Whether the certificate is for `host`, by the names for that purpose alone."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(host) in found.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    asked = host.lower().rstrip(".")
    _, dot, above = asked.partition(".")
    known = {name.lower().rstrip(".") for name in found.get_values_for_type(x509.DNSName)}
    return asked in known or (bool(dot) and f"*.{above}" in known)


CHECK = Check(
    ID,
    Text("Certificaten", "Certificates"),
    Text(
        "Leest het certificaat van voor- en achterdeur: van wanneer tot wanneer het geldt, en voor welke naam.",
        "Reads the certificate of front and back: from when until when it is valid, and for which name.",
    ),
    timedelta(days=7),
    wants=lambda one: bool(secure(one)),
    measure=_measure,
)
