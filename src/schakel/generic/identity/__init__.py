"""Identity: who asks. Tokens for organisations that prove themselves by a signed assertion, and their checks.

The answering side is `AuthorisationServer`: a signed assertion or a presentation of credentials, answered by an
opaque token of which the database keeps the digest only, bound to a key (`dpop`) or a certificate. The asking side is
`AssertionSigner` and `DpopKey`. `Caller` is what a listener knows of a request, `Grant` what a valid token says. No
HTTP here; the public keys of requesters come in through `RequesterKeys`.

Patients prove themselves in a browser (`authorisation_request`, `flows`, `broker`): what a client asks, the steps,
the login service. `PatientTokens` gives the codes and tokens, `PatientGrant` is what such a token says.
"""

from schakel.generic.identity.dpop_key import DpopKey
from schakel.generic.identity.errors import OAuthError, TokenElsewhereError
from schakel.generic.identity.keys import new_key, read_key
from schakel.generic.identity.model import Caller, Grant, PeerCertificate, User
from schakel.generic.identity.patient import Holder, Lists, Passage, PatientGrant, PatientToken
from schakel.generic.identity.patient_tokens import PatientTokens, TokenRules
from schakel.generic.identity.server import AuthorisationServer, RequesterKeys, ServerRules, TokenAnswer
from schakel.generic.identity.signer import AssertionSigner, Errand, TokenForms

__all__ = [
    "AssertionSigner",
    "AuthorisationServer",
    "Caller",
    "DpopKey",
    "Errand",
    "Grant",
    "Holder",
    "Lists",
    "OAuthError",
    "Passage",
    "PatientGrant",
    "PatientToken",
    "PatientTokens",
    "PeerCertificate",
    "RequesterKeys",
    "ServerRules",
    "TokenAnswer",
    "TokenElsewhereError",
    "TokenForms",
    "TokenRules",
    "User",
    "new_key",
    "read_key",
]
