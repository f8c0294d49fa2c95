"""A mail domain with a DNS server that signs and a mail server that begins TLS, which are as they should be until a
test breaks something.

async with mail_world(tmp_path) as world:
    texts(SPF)(world)
    finding = await world.looked()
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.certificates import Authority, Issued, new_key, server_context
from tests.mail_server import MailServer, mail_server
from tests.measuring import measured
from tests.name_server import Names, name_server

from schakel.kernel.clock import now
from schakel.roadmap.evidence import Finding

DOMAIN = "zorg.test"
MX = f"mx.{DOMAIN}"
SPF = '"v=spf1 mx -all"'
YEAR = now().year
ROOT = Authority.new("Root of the mail tests")
BETWEEN = ROOT.authority("Between")
SERVER = BETWEEN.issue("mx", hosts=(MX,), key=new_key(2048))


def nta(start: str = f"{YEAR - 1}-01", end: str = f"{YEAR + 1}-06", mx: str = f";ntamx=10 {MX}") -> str:
    """The record of NTA 7516."""
    return f'"v=NTA7516-1;startdate={start};enddate={end};provider=Mailer{mx}"'


def tlsa(usage: int, selector: int, kind: int, of: Issued) -> str:
    """A record of DANE for a certificate."""
    shown = of.der
    if selector:
        key = of.certificate.public_key()
        shown = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    value = shown if kind == 0 else hashlib.new({1: "sha256", 2: "sha512"}[kind], shown).digest()
    return f"{usage} {selector} {kind} {value.hex()}"


@dataclass
class World:
    """A domain with its DNS and its mail server, which are as they should be until a test breaks something."""

    names: Names
    server: MailServer
    folder: Path

    def shows(self, issued: Issued) -> None:
        """The mail server has this certificate."""
        self.server.context = server_context(issued.write(self.folder, "mail"))

    def dane(self, *records: str) -> None:
        self.names.add(f"_{self.server.port}._tcp.{MX}.", "TLSA", *records)

    async def looked(self, *selectors: str, domain: str = DOMAIN, **defaults: Any) -> Finding:
        """What the check finds."""
        given = {
            "resolver": self.names.address,
            "dns_anchors": self.names.anchor(self.folder),
            "smtp_port": self.server.port,
            "seconds": 60,
            **defaults,
        }
        return await measured("mail-domain", given, mail_domain=domain, dkim_selectors=selectors)


@asynccontextmanager
async def mail_world(folder: Path) -> AsyncIterator[World]:
    """Such a world, until the end of the block."""
    async with name_server() as names, mail_server(None) as server:
        made = World(names, server, folder)
        made.shows(SERVER)
        names.zone("test.")
        names.zone(f"{DOMAIN}.")
        names.add(f"{DOMAIN}.", "TXT", SPF, nta(), '"something else"')
        names.add(f"{DOMAIN}.", "MX", f"10 {MX}.")
        names.add(f"{MX}.", "A", "127.0.0.1")
        names.add(f"_dmarc.{DOMAIN}.", "TXT", '"v=DMARC1; p=reject; rua=mailto:d@zorg.test"')
        made.dane(tlsa(3, 1, 1, SERVER))
        yield made


Change = Callable[[World], object]


def talks(**said: Any) -> Change:
    """The mail server says this."""

    def change(world: World) -> None:
        for name, value in said.items():
            setattr(world.server, name, value)

    return change


def texts(*values: str) -> Change:
    return lambda world: world.names.add(f"{DOMAIN}.", "TXT", *values)


def dmarc(*values: str) -> Change:
    return lambda world: world.names.add(f"_dmarc.{DOMAIN}.", "TXT", *values)


def added(name: str, kind: str, *values: str) -> Change:
    return lambda world: world.names.add(name, kind, *values)
