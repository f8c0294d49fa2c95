"""`tls`: front and back speak TLS 1.2 or 1.3 only, with suites that are at least sufficient, and are trusted.

Offered apart are the old versions, and with TLS 1.2 the suites that are not sufficient: key exchange with RSA, no
authentication, no encryption, or a cipher other than AES or ChaCha20. A server that chooses one of those fails. The
size of the group of a Diffie-Hellman key exchange is not looked at.

Source: NCSC, ICT security guidelines for Transport Layer Security 2.1, tables on versions, key exchange and bulk
encryption.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

from schakel.roadmap.checks.certificates import secure
from schakel.roadmap.checks.handshake import Chosen, chosen, trusted
from schakel.roadmap.checks.model import Check, Target, judged
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "tls"

_GOOD = ("TLS 1.2", "TLS 1.3")
_ALL = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
_INSUFFICIENT = (
    "ALL:COMPLEMENTOFALL:!kECDHE:!kDHE:@SECLEVEL=0",
    "aNULL:eNULL:3DES:RC4:IDEA:SEED:CAMELLIA:ARIA:@SECLEVEL=0",
)


async def _measure(target: Target, tools: Tools) -> Finding:
    faults: list[Text] = []
    spoken: list[str] = []
    for address in secure(target.organisation):
        host = urlsplit(address).netloc
        versions = []
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            took = await chosen(address, _offer(version, version), tools)
            # Whoever knows no newer one answers an offer with an older version.
            versions += [took.version] if took is not None and took.version in _GOOD else []
        if not versions:
            faults.append(
                Text(f"{host} spreekt geen TLS 1.2 of 1.3.", f"{host} speaks neither TLS 1.2 nor 1.3.")
            )
        faults += await weaknesses(host, partial(_chosen, address, tools))
        if versions and (why := await trusted(address, tools)):
            faults.append(
                Text(
                    f"Het certificaat van {host} wordt niet vertrouwd: {why}.",
                    f"The certificate of {host} is not trusted: {why}.",
                )
            )
        spoken.append(f"{host}: {', '.join(versions) or 'no TLS 1.2 or 1.3'}")
    return judged(
        ID,
        faults,
        Text(
            "Alleen TLS 1.2 en 1.3, met voldoende sterke versleuteling en vertrouwde certificaten.",
            "Only TLS 1.2 and 1.3, with encryption that is sufficient and certificates that are trusted.",
        ),
        detail="; ".join(spoken),
        facts={"addresses": len(spoken)},
    )


async def _chosen(address: str, tools: Tools, offer: ssl.SSLContext) -> Chosen | None:
    return await chosen(address, offer, tools)


async def weaknesses(host: str, choosing: Callable[[ssl.SSLContext], Awaitable[Chosen | None]]) -> list[Text]:
    """What a server takes that it must refuse; `choosing` says what it chooses of an offer. Raises as that does."""
    faults: list[Text] = []
    old = await choosing(_offer(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1))
    if old is not None:
        faults.append(Text(f"{host} neemt {old.version} aan.", f"{host} takes {old.version}."))
    for suites in _INSUFFICIENT:
        weak = await choosing(_offer(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, suites))
        if weak is not None and weak.version in _GOOD:
            name = _named(suites, weak.suite)
            faults.append(
                Text(
                    f"{host} neemt {name} aan, dat niet voldoende is volgens het NCSC.",
                    f"{host} takes {name}, which is not sufficient by the NCSC.",
                )
            )
            break
    return faults


def _offer(lowest: ssl.TLSVersion, highest: ssl.TLSVersion, suites: str = _ALL) -> ssl.SSLContext:
    """What a client offers that takes anything of these versions."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(suites)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # The old versions are offered on purpose.
        context.minimum_version = lowest
        context.maximum_version = highest
    return context


def _named(suites: str, number: int) -> str:
    """The name of a suite of which `suites` are offered."""
    offered = _offer(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, suites).get_ciphers()
    names = {one["id"] & 0xFFFF: str(one["name"]) for one in offered}
    return names.get(number, f"suite 0x{number:04x}")


CHECK = Check(
    ID,
    Text("TLS", "TLS"),
    Text(
        "Biedt voor- en achterdeur oude versies en zwakke versleuteling aan, die zij moeten weigeren, en kijkt of het "
        "certificaat wordt vertrouwd.",
        "Offers front and back old versions and weak encryption, which they must refuse, and looks whether the "
        "certificate is trusted.",
    ),
    timedelta(days=7),
    wants=lambda one: bool(secure(one)),
    measure=_measure,
    in_service=True,
)
