"""What the settings say of certificates, as the services that `compose` builds take them: whom we trust, who says what
was withdrawn, whose certificate opens which internal door, and what we show to others."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from schakel.config import Organisation, Settings
from schakel.generic.identity.certificates import (
    PRODUCTION_AUTHORITIES,
    TEST_AUTHORITIES,
    Mode,
    Revocation,
    RevocationRules,
    Trust,
)
from schakel.http.internal_certificates import InternalCertificates
from schakel.http.judging import ChainJudge, Verdicts
from schakel.kernel import tls
from schakel.network import ServerUras


def trust(settings: Settings) -> Trust:
    """The authorities of those who come to back. Raises `Invalid` for a file that cannot be read."""
    return _trust(settings, settings.back.client_ca if settings.back else ())


def credential_trust(settings: Settings) -> Trust:
    """The authorities of the certificates under credentials. Raises `Invalid` for a file that cannot be read."""
    return _trust(settings, settings.trust.uzi)


def _trust(settings: Settings, files: Iterable[Path]) -> Trust:
    return Trust.read(files, _authorities(settings))


def _authorities(settings: Settings) -> tuple[str, ...]:
    """The OIDs of the UZI authorities whose numbers are taken."""
    known = PRODUCTION_AUTHORITIES if settings.certificates.uzi == "production" else TEST_AUTHORITIES
    return settings.certificates.uzi_oids or known


def revocation_rules(settings: Settings) -> RevocationRules:
    """How it is found out whether a certificate was withdrawn."""
    given = settings.certificates
    return RevocationRules(
        mode=Mode(given.revocation),
        sources=given.sources,
        lists=given.lists,
        responders=given.responders,
        keep=given.keep_seconds,
        pause=given.pause_seconds,
        timeout=given.timeout,
        most=given.list_bytes,
        nonce=given.nonce,
    )


@asynccontextmanager
async def verdicts(settings: Settings) -> AsyncIterator[Verdicts | None]:
    """The verdicts on those who come to back, None when there is no such listener."""
    if settings.back is None:
        yield None
        return
    async with Revocation.open(revocation_rules(settings)) as revocation:
        yield Verdicts(ChainJudge(trust(settings), revocation), settings.back.verdict_seconds)


def internal_certificates(settings: Settings) -> InternalCertificates:
    """Whose client certificate is whose on internal. Raises `Invalid`."""
    return InternalCertificates.of(
        (organisation.slug, one.sha256, one.subject, one.ca)
        for organisation in settings.organisations
        for one in organisation.internal_certificates
    )


def peer_tls(settings: Settings, organisation: Organisation) -> ssl.SSLContext | None:
    """What an organisation shows to others and whom it trusts; None when nothing of that is set. Raises `Invalid`."""
    if organisation.tls_certificate is None and not settings.peer_ca:
        return None
    return tls.client(
        settings.peer_ca,
        organisation.tls_certificate,
        organisation.tls_key,
        setting="tls_",
        ca_setting="peer_ca",
    )


def peer_uras(settings: Settings) -> ServerUras | None:
    """How the certificates of holders' servers are held against the URA of the holder; None when they are not."""
    if settings.peer_uzi == "off":
        return None
    return ServerUras(_authorities(settings), settings.peer_uzi == "required")
