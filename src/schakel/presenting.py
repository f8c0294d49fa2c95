"""What the settings say of credentials, as the services that `compose` builds take them: what is presented to us is
verified by `Desk`, what we present comes from a wallet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from schakel import certifying
from schakel.config import Organisation, Settings
from schakel.generic.identity.certificates import CertificateRefused, Revocation
from schakel.generic.identity.credentials import (
    CredentialVerifier,
    Definitions,
    Presentations,
    Professionals,
    Refused,
    Resolver,
    StatusLists,
    Wallet,
    Web,
    WebRules,
    did_of,
    make_x509_credential,
    read_credentials,
)
from schakel.generic.identity.keys import read_key
from schakel.kernel import tls
from schakel.kernel.outcomes import Invalid

SERVICE_PROVIDER = "service-provider"
"""Stands where organisations have their slug, in the address of the DID document of the service provider."""


@dataclass(frozen=True)
class Desk:
    """Verifies what others present. `verifier` is None when nobody's credentials are believed."""

    resolver: Resolver
    verifier: CredentialVerifier | None

    def presentations(self, organisation: Organisation) -> Presentations | None:
        """What an organisation takes. Raises `Invalid` for a definition of its own that is not right."""
        definitions = Definitions.load(organisation.presentation_definitions)
        return Presentations(self.resolver, self.verifier, definitions) if self.verifier else None


@asynccontextmanager
async def desk(settings: Settings, professionals: Professionals | None = None) -> AsyncIterator[Desk]:
    """The desk of a node, with its connections until the end of the block; `professionals` verifies statements of Dezi,
    None when they are not taken."""
    trust = settings.trust
    rules = WebRules(
        seconds=trust.did_timeout,
        most=trust.did_bytes,
        private=trust.private_networks,
        http_on_loopback=trust.http_on_loopback,
    )
    context = tls.client(trust.did_ca, setting="trust.", ca_setting="trust.did_ca") if trust.did_ca else None
    async with AsyncExitStack() as stack:
        web = await stack.enter_async_context(Web.open(rules, context))
        resolver = Resolver(web, trust.did_seconds)
        if not trust.presentations:
            yield Desk(resolver, None)
            return
        revocation = await stack.enter_async_context(Revocation.open(certifying.revocation_rules(settings)))
        issuers = {kind: frozenset(names) for kind, names in trust.issuers.items()}
        verifier = CredentialVerifier(
            resolver,
            StatusLists(web, resolver),
            certifying.credential_trust(settings),
            revocation,
            professionals,
            issuers,
        )
        yield Desk(resolver, verifier)


def wallet(settings: Settings, organisation: Organisation) -> Wallet:
    """The credentials of an organisation and its DID. Raises `Invalid` naming the file or setting at fault."""
    did = organisation.did or did_of(f"{settings.public_url}/{organisation.slug}")
    held = list(read_credentials(organisation.credentials))
    if organisation.uzi_certificate is not None and organisation.uzi_key is not None:
        held.insert(0, _own(organisation.uzi_certificate, organisation.uzi_key, did))
    return Wallet(did, read_key(organisation.signing_key), held)


def provider(settings: Settings) -> Wallet | None:
    """The credentials of the service provider of the node and its DID; None without one. Raises `Invalid` naming the
    file at fault."""
    given = settings.service_provider
    if given is None:
        return None
    did = given.did or did_of(f"{settings.public_url}/{SERVICE_PROVIDER}")
    return Wallet(did, read_key(given.signing_key), read_credentials(given.credentials))


def _own(certificate: Path, key: Path, did: str) -> str:
    """The X509Credential that an organisation gives itself."""
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
        private = load_pem_private_key(key.read_bytes(), None)
    except OSError as error:
        raise Invalid(f"{error.filename} cannot be read: {error.strerror}", code="uzi-certificate") from error
    except (ValueError, TypeError) as error:
        raise Invalid(
            f"{certificate} does not hold certificates in PEM, or {key} not a private key without password",
            code="uzi-certificate",
        ) from error
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise Invalid(f"{key} is not an RSA or EC key", code="uzi-certificate")
    if private.public_key() != chain[0].public_key():
        raise Invalid(
            f"{key} is not the key of the first certificate in {certificate}", code="uzi-certificate"
        )
    try:
        return make_x509_credential(private, chain, did)
    except (Refused, CertificateRefused) as error:
        raise Invalid(
            f"no credential can be made of {certificate}: {error.message}", code="uzi-certificate"
        ) from error
