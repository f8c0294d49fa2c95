"""What the settings say of pseudonyms and localisation, as the services that `compose` builds take them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from schakel.config import MinvwsOAuth, Prs, Settings
from schakel.facilities import (
    Assertion,
    ClientCredentials,
    Facility,
    FacilityRules,
    Organisation,
    Secret,
    TokenSource,
)
from schakel.facilities.tokens import Form
from schakel.generic.pseudonyms import Pseudonyms, Recipient
from schakel.kernel import tls
from schakel.kernel.outcomes import Invalid


@asynccontextmanager
async def pseudonyms(settings: Settings) -> AsyncIterator[Pseudonyms | None]:
    """The client of the PRS, None when this node has none. Raises `Invalid` for a certificate or key."""
    given = settings.prs
    if given.base is None:
        yield None
        return
    recipient = Recipient(given.recipient, given.scope)
    async with (
        Facility.open("PRS", given.base, _shown(given), FacilityRules(timeout=given.seconds)) as facility,
        token_source(
            given.oauth, "prs.", given.base, given.certificate, given.key, given.ca, given.seconds
        ) as tokens,
    ):
        yield Pseudonyms(facility, tokens, recipient, given.style, given.scopes)


@asynccontextmanager
async def token_source(
    given: MinvwsOAuth | None,
    setting: str,
    base: str,
    certificate: Path | None,
    key: Path | None,
    ca: tuple[Path, ...],
    seconds: float,
    organisation: str = "",
) -> AsyncIterator[TokenSource | None]:
    """Tokens for the facility at `base`, which is shown `certificate` and trusted by `ca`; None when none are asked.

    `setting` stands before `oauth.` in the names of settings (such as `prs.`), `organisation` is for whom is asked when
    the settings do not say. Raises `Invalid` for a certificate or key.
    """
    if given is None:
        yield None
        return
    context = tls.client(given.ca or ca, certificate, key, setting=setting, ca_setting=f"{setting}oauth.ca")
    form = _form(given, setting, certificate, key, given.organisation or organisation)
    parts = urlsplit(base)
    audience = given.audience or ("" if given.form == "secret" else f"{parts.scheme}://{parts.netloc}")
    async with ClientCredentials.open(
        f"the token server of {setting}oauth",
        given.endpoint,
        form,
        audience,
        context,
        FacilityRules(timeout=seconds),
    ) as source:
        yield source


def _form(
    given: MinvwsOAuth, setting: str, certificate: Path | None, key: Path | None, organisation: str
) -> Form:
    if given.form == "secret":
        return Secret(given.client_id, given.client_secret)
    if given.form == "organisation":
        return Organisation(organisation, given.source)
    signing, signing_key = given.certificate or certificate, given.key or key
    if signing is None or signing_key is None:
        raise Invalid(f"{setting}oauth with form assertion needs certificate and key, to sign with")
    own = f"{setting}oauth." if given.certificate is not None else setting
    return Assertion.read(
        organisation, signing, signing_key, bound=certificate, chain=given.chain, setting=own
    )


def _shown(given: Prs) -> ssl.SSLContext:
    return tls.client(given.ca, given.certificate, given.key, setting="prs.")
