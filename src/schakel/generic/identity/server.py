"""The authorisation server of one organisation: tokens given, recognised, explained and withdrawn.

Source: RFC 6749, RFC 7523, RFC 6750 (bearer tokens), RFC 9449 (tokens bound to a key), RFC 8705 (bound to a
certificate), RFC 7662 (introspection), RFC 8414 (metadata), Nuts RFC021 and GFI-004 (presentations). The parts stand
in `tokens`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import asyncpg

from schakel.generic.identity.assertion import RequesterKeys
from schakel.generic.identity.dpop import Proof, proved
from schakel.generic.identity.errors import (
    InvalidRequestError,
    InvalidScopeError,
    InvalidTargetError,
    TokenElsewhereError,
    UnsupportedGrantTypeError,
)
from schakel.generic.identity.model import Caller, Grant
from schakel.generic.identity.nonces import Nonces
from schakel.generic.identity.tokens.grants import (
    CLIENT_CREDENTIALS,
    JWT_BEARER,
    VP_BEARER,
    ClientAssertions,
    PresentationGrants,
    Presentations,
    by_client_assertion,
    required,
)
from schakel.generic.identity.tokens.proved import OnceOnly, Proved
from schakel.generic.identity.tokens.rows import TokenRows, digest
from schakel.generic.identity.tokens.showing import Shown, bad_proof, check_binding, shown, unknown_token
from schakel.generic.identity.tokens.telling import introspection, metadata
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Unauthenticated

__all__ = ["AuthorisationServer", "RequesterKeys", "ServerRules", "TokenAnswer"]

_LONGEST_BASE = 500
_TRUSTED_SECONDS = 5.0
"""How long a process may go on without asking the database for a token again."""

_TRUSTED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class ServerRules:
    """How tokens are given and shown.

    `dpop` says whether tokens may or must be bound to a key, `bind_certificate` whether they are bound to the client
    certificate where there is one, `client_assertions` whether a vendor must show itself beside a presentation in the
    grant jwt-bearer, `nonces` what each proof of possession must have one of (None: nothing).
    """

    dpop: Literal["off", "accepted", "required"] = "accepted"
    bind_certificate: bool = True
    client_assertions: ClientAssertions = "optional"
    nonces: Nonces | None = None


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token that was given; `token` is the secret, `grant` what it says, `seconds` how long it is valid."""

    token: str
    grant: Grant
    seconds: int

    def json(self) -> dict[str, Any]:
        """The body of the answer (RFC 6749, section 5.1)."""
        return {
            "access_token": self.token,
            "token_type": "DPoP" if self.grant.jkt else "Bearer",
            "expires_in": self.seconds,
            "scope": self.grant.scope,
        }


class AuthorisationServer:
    """The authorisation server of organisation `tenant`.

    `issuer` is its address as others know it, without a slash at the end; `lifetime` is of its tokens, in
    seconds; `resources` are the FHIR bases that they open. Several processes may serve one organisation: what must
    happen once is decided in the database.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenant: int,
        issuer: str,
        keys: RequesterKeys,
        lifetime: int,
        scopes: frozenset[str] = frozenset({"bgz"}),
        *,
        presentations: Presentations | None = None,
        rules: ServerRules = ServerRules(),
        resources: Sequence[str] = (),
    ) -> None:
        self.issuer = issuer
        self._resources = tuple(resources)
        self._keys = keys
        self._lifetime = lifetime
        self._scopes = scopes
        self._rules = rules
        self._rows = TokenRows(pool, tenant)
        self._presented = (
            PresentationGrants(issuer, presentations, rules.client_assertions, keys)
            if presentations
            else None
        )
        self._grants = [CLIENT_CREDENTIALS, *([VP_BEARER, JWT_BEARER] if presentations else [])]
        self._trusted: dict[bytes, tuple[float, Grant]] = {}

    # -- tokens given --------------------------------------------------------------------------------------

    async def token(
        self, form: Mapping[str, str], caller: Caller, known: Callable[[str], None] | None = None
    ) -> TokenAnswer:
        """A token for the request in `form` (the fields of the posted form, each once) of `caller`. `known` is told who
        asks (URA) before there is a token, and what it raises is the end of it.

        Raises `OAuthError` naming what is wrong, and `Busy` when the database is away: then no token was
        given.
        """
        required(form, "grant_type", "scope")
        if form["grant_type"] not in self._grants:
            raise UnsupportedGrantTypeError(
                f"grant_type is not supported: {', '.join(self._grants)} can be used",
                code="grant-type",
                expression="grant_type",
            )
        scopes = self._scopes_of(form["scope"])
        self._check_resource(form.get("resource"))
        base = _authorization_base(form)
        proof = self._proof_of_key(caller)
        proved = await self._proved(form, scopes)
        if known is not None:
            known(proved.requester)
        once = proved.once if proof is None else (*proved.once, OnceOnly.of(proof))
        bound_to = caller.certificate if self._rules.bind_certificate else None
        seconds = min(self._lifetime, proved.longest)
        token, grant = await self._rows.issue(
            proved,
            once,
            " ".join(scopes),
            seconds,
            jkt=proof.jkt if proof else "",
            x5t=bound_to.thumbprint if bound_to else "",
            authorization_base=base,
        )
        return TokenAnswer(token, grant, seconds)

    def nonce(self) -> str:
        """What a proof that is made now must have, '' when nothing is asked."""
        return self._rules.nonces.fresh(now().timestamp()) if self._rules.nonces else ""

    def _scopes_of(self, text: str) -> list[str]:
        """The scopes asked for, in order and each once, all of them offered here."""
        asked = set(text.split(" "))
        if not asked <= self._scopes:
            raise InvalidScopeError(
                f"a scope in scope is not offered here: {' '.join(sorted(self._scopes))} can be asked for",
                code="scope",
                expression="scope",
            )
        return sorted(asked)

    def _check_resource(self, asked: str | None) -> None:
        """Refuse to give a token for what is not ours (RFC 8707, section 2): who asks was led here by somebody who says
        that our tokens are for their address."""
        below = None if asked is None else f"{asked.rstrip('/')}/"
        if below is not None and not any(below.startswith(f"{one}/") for one in self._resources):
            raise InvalidTargetError(
                "resource is not an address for which tokens are given here: the metadata of this server name those "
                "(protected_resources)",
                code="resource",
                expression="resource",
            )

    def _proof_of_key(self, caller: Caller) -> Proof | None:
        """The proof of the key that the token will be bound to."""
        if self._rules.dpop == "off" or (self._rules.dpop == "accepted" and not caller.dpop):
            return None
        return proved(caller.dpop, caller.method, caller.url, now().timestamp(), nonces=self._rules.nonces)

    async def _proved(self, form: Mapping[str, str], scopes: Sequence[str]) -> Proved:
        if self._presented is None or form["grant_type"] == CLIENT_CREDENTIALS:
            return await by_client_assertion(form, self.issuer, self._keys)
        if form["grant_type"] == VP_BEARER:
            return await self._presented.vp_token(form, scopes)
        return await self._presented.jwt_bearer(form, scopes)

    # -- tokens shown --------------------------------------------------------------------------------------

    async def identify(self, caller: Caller) -> Grant:
        """What the token of a request says. Raises `Unauthenticated`, which is a `TokenElsewhereError` when it is known
        whose token it is, and `Invalid` for two tokens.

        A token that is bound to a key is looked up each time, together with using up the proof; a bearer token may
        be remembered for five seconds.
        """
        rule = self._rules.dpop
        it = shown(caller, bearer=rule != "required", dpop=rule != "off", nonces=self._rules.nonces)
        grant = self._remembered(it.token) if it.proof is None else None
        if grant is not None:
            self._check_theirs(grant, it, caller)
            return grant
        once = None if it.proof is None else OnceOnly.of(it.proof)
        found = await self._rows.find(it.token, once)
        if found is None:
            self._trusted.pop(digest(it.token), None)
            raise unknown_token(it)
        self._check_theirs(found.grant, it, caller)
        if once is None:
            self._remember(it.token, found.grant, found.seconds)
        elif not found.first:
            raise TokenElsewhereError(found.grant, bad_proof(once.refusal))
        return found.grant

    def _check_theirs(self, grant: Grant, it: Shown, caller: Caller) -> None:
        """Refuse a token from who did not prove that it is theirs. Raises `TokenElsewhereError`."""
        try:
            check_binding(grant, it, caller, certificates=self._rules.bind_certificate)
        except Unauthenticated as refusal:
            raise TokenElsewhereError(grant, refusal) from None

    def _remembered(self, token: str) -> Grant | None:
        until, grant = self._trusted.get(digest(token), (0.0, None))
        return grant if time.monotonic() < until else None

    def _remember(self, token: str, grant: Grant, seconds: float) -> None:
        key = digest(token)
        self._trusted.pop(key, None)
        if len(self._trusted) >= _TRUSTED_TOKENS:
            self._trusted.pop(next(iter(self._trusted)))
        self._trusted[key] = time.monotonic() + min(seconds, _TRUSTED_SECONDS), grant

    async def withdraw(self, requester: str) -> int:
        """Ends all tokens of `requester` (URA), here at once and at other nodes within five seconds; how many."""
        ended = await self._rows.withdraw(requester)
        self._trusted = {key: one for key, one in self._trusted.items() if one[1].requester != requester}
        return ended

    # -- what it tells ---------------------------------------------------------------------------------------

    async def introspect(self, token: str) -> dict[str, Any]:
        """What a token of this server says (RFC 7662, section 2.2); {"active": false} for any other text."""
        told = await self._rows.tell(token)
        return {"active": False} if told is None else introspection(self.issuer, told)

    def metadata(self) -> dict[str, Any]:
        """What this server offers and where (RFC 8414, section 2)."""
        return metadata(
            self.issuer,
            grants=list(self._grants),
            scopes=self._scopes,
            presentations=self._presented is not None,
            dpop=self._rules.dpop != "off",
            certificates=self._rules.bind_certificate,
            resources=self._resources,
        )

    def presentation_definition(self, scope: str) -> Mapping[str, Any]:
        """What an organisation must present for the scopes in `scope`. Raises `OAuthError`."""
        if self._presented is None:
            raise UnsupportedGrantTypeError("presentations are not taken here", code="grant-type")
        required({"scope": scope}, "scope")
        definitions = self._presented.definitions(self._scopes_of(scope))
        if len(definitions) > 1:
            raise InvalidScopeError(
                "these scopes have different presentation definitions: ask for them one by one",
                code="scope-several",
                expression="scope",
            )
        return definitions[0].members


def _authorization_base(form: Mapping[str, str]) -> str:
    """What the asker gives back of the notification with which it was called (Twiin TA NP); '' when nothing. Whether a
    Task has it is seen when the token is used."""
    base = form.get("authorization_base", "")
    if len(base) > _LONGEST_BASE or not base.isprintable():
        raise InvalidRequestError(
            f"authorization_base has more than {_LONGEST_BASE} characters, or others than printable ones",
            code="authorization-base",
            expression="authorization_base",
        )
    return base
