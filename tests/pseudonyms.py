"""The PRS and the token server before it as they run in a demo, with a middleman between us and the PRS.

    async with pseudonym_services(folder) as services:
        async with localising.pseudonyms(services.settings()) as client: ...
        services.between.behave = slow()

The recipient's key is here too, so that a test can be the NVI and find the pseudonym.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwe
from joserfc.jwk import RSAKey
from tests.certificates import Authority, Files, client_context, server_context
from tests.middleman import Middleman, middleman
from tests.minvws import CN, OIN, client_certificate
from tests.nodes import free_ports

from schakel.config import Prs, Settings
from schakel.generic.pseudonyms import PseudonymToken, oprf
from schakel_national import minvws, prs
from schakel_national.serving import Facility, Tls, serving

NVI, NVI_URA = "00000099000000001000", "90000901"
RECIPIENT, SCOPE = f"oin:{NVI}", "nvi"
URA = "90000111"


@dataclass
class PseudonymServices:
    """See the module."""

    folder: Path
    between: Middleman
    endpoint: str
    own: Files
    root: Path
    recipient: RSAKey

    @property
    def base(self) -> str:
        """The address of the PRS."""
        return f"https://127.0.0.1:{self.between.port}"

    def settings(self, **changed: Any) -> Settings:
        """Settings of a node that asks the PRS, and nothing else; a mapping in `changed` is laid over its section."""
        table: dict[str, Any] = {
            "base": self.base,
            "certificate": self.own.certificate,
            "key": self.own.key,
            "ca": (self.root,),
            "recipient": RECIPIENT,
            "scope": SCOPE,
            "seconds": 2,
            "oauth": {"endpoint": self.endpoint, "organisation": OIN},
        }
        for name, value in changed.items():
            table[name] = {**table[name], **value} if isinstance(value, Mapping) else value
        return Settings.model_construct(prs=Prs(**table))

    def found(self, token: PseudonymToken) -> bytes:
        """The pseudonym, as its recipient finds it in the whole token."""
        whole = json.loads(urlsafe_b64decode(token.value + "=" * (-len(token.value) % 4)))
        algorithms = ["RSA-OAEP", "RSA-OAEP-256", "A256GCM"]
        opened = jwe.decrypt_compact(whole["evaluated_output"], self.recipient, algorithms=algorithms)
        assert opened.plaintext is not None
        subject = json.loads(opened.plaintext)["subject"]
        point = urlsafe_b64decode(subject.removeprefix("pseudonym:eval:"))
        return oprf.unblinded(point, urlsafe_b64decode(whole["blind_factor"]))


@asynccontextmanager
async def pseudonym_services(folder: Path, configuration: str = "") -> AsyncIterator[PseudonymServices]:
    """Both services, with `configuration` at the top of prs.toml."""
    authority = Authority.new("Test Root")
    root = authority.write(folder, "root").certificate
    (folder / "uzi-ca").mkdir()
    (folder / "uzi-ca" / "anchors.pem").write_text(authority.pem)
    own = client_certificate(authority, bits=2048).write(folder, "own")
    server = authority.issue("server.example", hosts=("127.0.0.1",)).write(folder, "server")
    nvi = client_certificate(authority, NVI, "nvi.example.org", bits=2048)
    (folder / "recipient.pem").write_text(nvi.pem)
    ports = dict(zip((minvws.NAME, prs.NAME), free_ports(2), strict=True))
    made = {minvws.NAME: minvws.application, prs.NAME: prs.application}
    tls = Tls(server.certificate, server.key, root)
    async with middleman(server_context(server, authority), client_context(authority, own=own)) as between:
        at = {name: f"https://127.0.0.1:{port}" for name, port in ports.items()}
        between.target = at[prs.NAME]
        services = PseudonymServices(
            folder, between, f"{at[minvws.NAME]}/oauth/token", own, root, RSAKey.import_key(nvi.key_pem)
        )
        (folder / "minvws-oauth.toml").write_text(_registered(services.base))
        (folder / "prs.toml").write_text(configuration + _known(services.base))
        facilities = [Facility(name, made[name](folder, at[name]), ports[name], tls) for name in ports]
        async with serving("127.0.0.1", facilities):
            yield services


def _registered(audience: str) -> str:
    return f"""
[[targets]]
audience = "{audience}"
subject = "oin"
scopes = ["prs:read"]
[[clients]]
oin = "{OIN}"
common_name = "{CN}"
[[clients.organisations]]
ura = "{URA}"
name = "Voorbeeldziekenhuis A"
scopes = ["prs:read"]
"""


def _known(audience: str) -> str:
    return f"""
[verifier]
audience = "{audience}"
[[organisations]]
oin = "{NVI}"
ura = "{NVI_URA}"
[[organisations.keys]]
scopes = ["{SCOPE}"]
file = "recipient.pem"
"""
