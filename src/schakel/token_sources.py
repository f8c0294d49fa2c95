"""What the settings say of access tokens for a facility, as its client takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from schakel import config
from schakel.config import MinvwsOAuth
from schakel.facilities import (
    Assertion,
    ClientCredentials,
    FacilityRules,
    Organisation,
    Secret,
)
from schakel.facilities.tokens import Form
from schakel.kernel import tls
from schakel.kernel.outcomes import Invalid


class Reached(Protocol):
    """The section of a facility, as far as it says how that is reached."""

    @property
    def base(self) -> str | None: ...

    @property
    def certificate(self) -> Path | None: ...

    @property
    def key(self) -> Path | None: ...

    @property
    def ca(self) -> tuple[Path, ...]: ...

    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom tokens are asked, when it is not for whom the section `oauth` of a facility says: a URA or OIN, the
    source_id of its system, and the certificate and key that sign its assertions; '' and None are as that section."""

    name: str = ""
    source: str = ""
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def by_ura(cls, given: MinvwsOAuth | None, organisation: config.Organisation, source: str = "") -> Asker:
        """An organisation that asks for itself, by its URA and with its own certificate, unless the section names
        another that asks for all of them."""
        if given is not None and given.organisation not in ("", organisation.ura):
            return cls()
        return cls(organisation.ura, source, organisation.uzi_certificate, organisation.uzi_key)


NODE = Asker()
"""Who asks is what the section says."""


@asynccontextmanager
async def token_source(
    given: MinvwsOAuth | None, facility: Reached, setting: str, asker: Asker = NODE
) -> AsyncIterator[ClientCredentials | None]:
    """Tokens for `facility`; None when none are asked.

    `setting` is what stands before the names of settings of the facility (such as `prs.`). Raises `Invalid` for a
    certificate, a key or a secret.
    """
    if given is None:
        yield None
        return
    context = tls.client(
        given.ca or facility.ca,
        facility.certificate,
        facility.key,
        setting=setting,
        ca_setting=f"{setting}oauth.ca",
    )
    parts = urlsplit(facility.base or "")
    audience = given.audience or ("" if given.form == "secret" else f"{parts.scheme}://{parts.netloc}")
    form = _form(given, facility, setting, asker)
    name, rules = f"the token server of {setting}oauth", FacilityRules(timeout=facility.seconds)
    async with ClientCredentials.open(name, given.endpoint, form, audience, context, rules) as source:
        yield source


def _form(given: MinvwsOAuth, facility: Reached, setting: str, asker: Asker) -> Form:
    if given.secret is not None:
        try:
            return Secret(given.client_id, given.secret.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(
                f"the file {given.secret} (setting {setting}oauth.secret) cannot be read"
            ) from error
    name = asker.name or given.organisation
    if given.form == "organisation":
        return Organisation(name, asker.source or given.source)
    pairs = (
        (given.certificate, given.key, f"{setting}oauth."),
        (asker.certificate, asker.key, "organisations.uzi_"),
        (facility.certificate, facility.key, setting),
    )
    for certificate, key, own in pairs:
        if certificate is not None and key is not None:
            bound = facility.certificate
            return Assertion.read(name, certificate, key, bound=bound, chain=given.chain, setting=own)
    raise Invalid(f"{setting}oauth with form assertion needs certificate and key, to sign with")
