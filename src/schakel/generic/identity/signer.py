"""The asking side: token requests that another organisation's authorisation server takes.

`TokenForms` chooses the grant by what the server's metadata offer: a presentation where we can make one, else the
assertion that `AssertionSigner` makes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from joserfc import jwt

from schakel.generic.identity.assertion import ASSERTION_TYPE, MAX_SECONDS
from schakel.generic.identity.credentials import Definition, Definitions, Refused, Wallet
from schakel.generic.identity.dpop_key import ALGORITHM
from schakel.generic.identity.keys import public_jwk, read_key
from schakel.generic.identity.model import User, check_code
from schakel.generic.identity.tokens.grants import CLIENT_CREDENTIALS, JWT_BEARER, VP_BEARER
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Upstream
from schakel.kernel.values import Ura

_DEFINITIONS = "presentation_definition_endpoint"
NO_GRANT = "no-grant"
"""The code of `Upstream` when a server takes nothing that we can show it."""


class AssertionSigner:
    """Signs for the organisation `ura` with the private key in `key_path`. Raises `Invalid` for a bad key."""

    def __init__(self, ura: str, key_path: Path) -> None:
        self.ura = str(Ura(ura))
        self._key = read_key(key_path)

    def assertion(self, audience: str, user: User, purpose: str, treatment_relation: str) -> str:
        """A new client assertion for the authorisation server with issuer `audience`; use it once, now.

        `purpose` is a purpose of use such as TREAT, `treatment_relation` the word the EHR has for the
        relation between this patient and the user, such as current.
        """
        issued = int(now().timestamp())
        claims = {
            "iss": self.ura,
            "sub": self.ura,
            "aud": audience,
            "jti": new_id(),
            "iat": issued,
            "exp": issued + MAX_SECONDS,
            "user": user.json(),
            "purpose_of_use": check_code(purpose, "purpose"),
            "treatment_relation": check_code(treatment_relation, "treatment_relation"),
        }
        return jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key, ["ES256"])

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK Set, for the directory and the organisation's jwks address."""
        return {"keys": [public_jwk(self._key)]}


@dataclass(frozen=True, slots=True)
class Errand:
    """What a token is asked for: a scope, on behalf of whom, why. `beside` are credentials of this moment, such as that
    of the professional who is logged in."""

    scope: str
    user: User
    purpose: str
    treatment_relation: str
    beside: tuple[str | Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class AskedServer:
    """The authorisation server of a holder, by its metadata (RFC 8414), as one reaches it who does or does not show a
    client certificate (RFC 8705, section 5); `definitions` is where it publishes its presentation definitions, '' when
    nowhere. `dpop` is whether it binds tokens to a key of ours (RFC 9449, section 5.1), `resources` are the addresses
    that its tokens are for (RFC 9728, section 4), () when it does not say."""

    issuer: str
    token_endpoint: str
    grants: frozenset[str]
    definitions: str = ""
    dpop: bool = False
    resources: tuple[str, ...] = ()

    @classmethod
    def read(cls, metadata: Mapping[str, Any], *, with_certificate: bool = False) -> AskedServer:
        """Raises `Upstream` for metadata that do not say what is needed. A server that names no grants takes the
        assertion: the default of RFC 8414 is for people in browsers."""
        aliases = metadata.get("mtls_endpoint_aliases")
        at = {**metadata, **aliases} if with_certificate and isinstance(aliases, dict) else metadata
        texts = {"issuer": metadata.get("issuer"), "token_endpoint": at.get("token_endpoint")}
        for name, text in texts.items():
            if not isinstance(text, str) or not text:
                raise Upstream(f"the metadata of its authorisation server have no {name}")
        grants, where = metadata.get("grant_types_supported"), at.get(_DEFINITIONS)
        listed = _texts(grants) if isinstance(grants, list) else [CLIENT_CREDENTIALS]
        return cls(
            str(texts["issuer"]),
            str(texts["token_endpoint"]),
            frozenset(listed),
            where if isinstance(where, str) else "",
            ALGORITHM in _texts(metadata.get("dpop_signing_alg_values_supported")),
            tuple(_texts(metadata.get("protected_resources"))),
        )


def _texts(value: object) -> list[str]:
    """The texts in a list of JSON; what is no text, or no list, says nothing."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


class TokenForms:
    """Makes the forms of token requests for one organisation, whose own authorisation server is `issuer`.

    `wallet` has the organisation's credentials, `provider` those of the service provider that it lets ask in its name,
    None where there is none.
    """

    def __init__(
        self,
        signer: AssertionSigner,
        issuer: str,
        wallet: Wallet | None = None,
        provider: Wallet | None = None,
    ) -> None:
        self._signer = signer
        self._issuer = issuer
        self._wallet = wallet if wallet is not None and wallet.types else None
        self._provider = provider
        self._definitions = Definitions.load()

    @property
    def presents(self) -> bool:
        """Whether there is anything to present, so that the server's metadata matter."""
        return self._wallet is not None

    def asserted(self, issuer: str, errand: Errand) -> dict[str, str]:
        """The form with a client assertion, for the server `issuer`."""
        assertion = self._signer.assertion(issuer, errand.user, errand.purpose, errand.treatment_relation)
        return {
            "grant_type": CLIENT_CREDENTIALS,
            "scope": errand.scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }

    async def form(
        self,
        server: AskedServer,
        errand: Errand,
        definition: Callable[[str, str], Awaitable[Definition]],
    ) -> dict[str, str]:
        """The form for `server`: the first that we can make of vp_token-bearer, jwt-bearer and the client assertion;
        with a service provider jwt-bearer comes first, as it can show itself there alone.

        `definition` fetches the presentation definition of a scope at an address. Raises `Refused` that names the
        credential we lack, and `Upstream` when the server takes none of the three.
        """
        lacking: Refused | None = None
        for grant in (JWT_BEARER, VP_BEARER) if self._provider else (VP_BEARER, JWT_BEARER):
            if self._wallet is None or grant not in server.grants:
                continue
            try:
                if server.definitions:
                    asked = await definition(server.definitions, errand.scope)
                elif grant == JWT_BEARER:
                    asked = self._definitions.of([errand.scope])
                else:
                    continue
                make = self._both if grant == JWT_BEARER else self._presented
                return make(self._wallet, server, errand, asked)
            except Refused as error:
                lacking = lacking or error
        if CLIENT_CREDENTIALS in server.grants:
            return self.asserted(server.issuer, errand)
        raise lacking or Upstream("its authorisation server takes no grant that we can make", code=NO_GRANT)

    def _presented(
        self, wallet: Wallet, server: AskedServer, errand: Errand, asked: Definition
    ) -> dict[str, str]:
        made = wallet.present(asked, audience=server.issuer, beside=errand.beside)
        return {
            "grant_type": VP_BEARER,
            "scope": errand.scope,
            "client_id": self._issuer,
            "assertion": made.assertion,
            "presentation_submission": orjson.dumps(made.submission).decode(),
        }

    def _both(self, wallet: Wallet, server: AskedServer, errand: Errand, asked: Definition) -> dict[str, str]:
        form = {
            "grant_type": JWT_BEARER,
            "scope": errand.scope,
            "assertion": wallet.present(asked, audience=server.issuer, beside=errand.beside).assertion,
        }
        if self._provider is not None:
            word = wallet.delegation(self._provider.did, self._signer.ura)
            vendor = self._provider.present(self._definitions.client, audience=server.issuer, beside=[word])
            form |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": vendor.assertion}
        return form
