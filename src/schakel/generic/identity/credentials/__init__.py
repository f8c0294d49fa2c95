"""Credentials: how an organisation proves who it is, for whom it asks and about whom, by what others signed.

The answering side is `Presentations.verify`: one presentation (a JWT) against a `Definition`, answered by `Presented`
or a refusal that names the credential and the field. The asking side is `Wallet`. Own names are did:web (`did_web`),
those of certificates did:x509 (`did_x509`). Nothing else of the program reads a credential.
"""

from schakel.generic.identity.credentials.definition import Definition
from schakel.generic.identity.credentials.definitions import Definitions
from schakel.generic.identity.credentials.did_web import did_of, document
from schakel.generic.identity.credentials.model import Presented, Professional, Professionals
from schakel.generic.identity.credentials.presentations import Presentations
from schakel.generic.identity.credentials.refusals import NotChecked, Refused
from schakel.generic.identity.credentials.resolver import Resolver
from schakel.generic.identity.credentials.status import StatusLists
from schakel.generic.identity.credentials.verifier import CredentialVerifier
from schakel.generic.identity.credentials.wallet import (
    Presentation,
    Wallet,
    dezi_credential,
    employee_credential,
    make_x509_credential,
    read_credentials,
)
from schakel.generic.identity.credentials.web import Web, WebRules

__all__ = [
    "CredentialVerifier",
    "Definition",
    "Definitions",
    "NotChecked",
    "Presentation",
    "Presentations",
    "Presented",
    "Professional",
    "Professionals",
    "Refused",
    "Resolver",
    "StatusLists",
    "Wallet",
    "Web",
    "WebRules",
    "dezi_credential",
    "did_of",
    "document",
    "employee_credential",
    "make_x509_credential",
    "read_credentials",
]
