"""Every setting: type, default and meaning. Nothing else reads a configuration file or the environment.

A node is configured by one TOML file (`schakel serve --config FILE`); a variable `SCHAKEL_<NAME>` wins over the
file for the top-level settings.
"""

from schakel.config.base import RESERVED_SLUGS
from schakel.config.certificates import Back, Certificates, CredentialTrust, InternalCertificate, InternalTls
from schakel.config.consent import AcuteOptOut, BreakGlass, Mitz, MitzCategory
from schakel.config.dezi import Dezi
from schakel.config.entries import Entries, Publication, UpdateClient
from schakel.config.limits import Limits
from schakel.config.localisation import MinvwsOAuth, Nvi, NviScopes, Prs, Registration
from schakel.config.node import Log, Settings, load
from schakel.config.organisations import Organisation, Peer
from schakel.config.patients import Broker, MedMij
from schakel.config.portal import Portal, PortalLogin, PortalPerson, Roadmap
from schakel.config.sources import DirectorySource
from schakel.config.tokens import ServiceProvider, Tokens

__all__ = [
    "RESERVED_SLUGS",
    "AcuteOptOut",
    "Back",
    "BreakGlass",
    "Broker",
    "Certificates",
    "CredentialTrust",
    "Dezi",
    "DirectorySource",
    "Entries",
    "InternalCertificate",
    "InternalTls",
    "Limits",
    "Log",
    "MedMij",
    "MinvwsOAuth",
    "Mitz",
    "MitzCategory",
    "Nvi",
    "NviScopes",
    "Organisation",
    "Peer",
    "Portal",
    "PortalLogin",
    "PortalPerson",
    "Prs",
    "Publication",
    "Registration",
    "Roadmap",
    "ServiceProvider",
    "Settings",
    "Tokens",
    "UpdateClient",
    "load",
]
