"""What the settings say of access tokens for a facility, as its client takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from schakel.config import MinvwsOAuth
from schakel.facilities import (
    Assertion,
    ClientCredentials,
    FacilityRules,
    Organisation,
    Secret,
    TokenSource,
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


@asynccontextmanager
async def token_source(
    given: MinvwsOAuth | None, facility: Reached, setting: str, organisation: str = ""
) -> AsyncIterator[TokenSource | None]:
    """Tokens for `facility`; None when none are asked.

    `setting` is what stands before the names of settings of the facility (such as `prs.`), `organisation` for whom is
    asked when the settings do not say. Raises `Invalid` for a certificate, a key or a secret.
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
    form = _form(given, facility, setting, given.organisation or organisation)
    name, rules = f"the token server of {setting}oauth", FacilityRules(timeout=facility.seconds)
    async with ClientCredentials.open(name, given.endpoint, form, audience, context, rules) as source:
        yield source


def _form(given: MinvwsOAuth, facility: Reached, setting: str, organisation: str) -> Form:
    if given.secret is not None:
        try:
            return Secret(given.client_id, given.secret.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(
                f"the file {given.secret} (setting {setting}oauth.secret) cannot be read"
            ) from error
    if given.form == "organisation":
        return Organisation(organisation, given.source)
    certificate, key = given.certificate or facility.certificate, given.key or facility.key
    if certificate is None or key is None:
        raise Invalid(f"{setting}oauth with form assertion needs certificate and key, to sign with")
    own = f"{setting}oauth." if given.certificate is not None else setting
    return Assertion.read(
        organisation, certificate, key, bound=facility.certificate, chain=given.chain, setting=own
    )
