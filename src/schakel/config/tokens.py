"""Settings of tokens: those that we give to other organisations, and how we ask for theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from schakel.config.base import Section


class Tokens(Section):
    """How tokens for other organisations are given and shown; their life is `token_lifetime`, and 900 seconds at most
    for one that a presentation was given for."""

    dpop: Literal["off", "accepted", "required"] = Field(
        "accepted",
        description="binding tokens to a key of who asks (DPoP, RFC 9449); risk of off, and of accepted for those who "
        "do not use it: whoever has seen a token can use it",
    )
    dpop_nonce: bool = Field(
        False,
        description="proofs of possession must have a nonce that we gave out minutes ago at most (RFC 9449, 8), "
        "so that none can be made beforehand by who has a key for a moment; it costs who asks a second request now and "
        "then, and who does not know of it cannot come in",
    )
    dpop_nonce_seconds: int = Field(
        60,
        description="seconds after which another nonce is given out; each is taken twice as long",
        ge=10,
        le=3600,
    )
    bind_certificate: bool = Field(
        True,
        description="a token that was asked with a client certificate is shown with that certificate (RFC 8705), and "
        "one that is bound to neither a certificate nor a key is not taken on back; risk of false: as above",
    )
    client_assertion: Literal["optional", "required"] = Field(
        "optional",
        description="whether a service provider must present itself beside a care organisation (grant jwt-bearer); "
        "when it does, it is verified in any case",
    )


class ServiceProvider(Section):
    """Who runs this node for the organisations: what it presents of itself beside those that let it ask in their
    name (`delegates`), to holders that take two presentations (grant jwt-bearer)."""

    did: str = Field(
        "",
        description="its name (did:web), under which others find its key; that of /service-provider on front when not "
        "given, where its did.json is always published",
        pattern=r"^(did:web:\S+)?$",
    )
    signing_key: Path = Field(
        description="its private EC P-256 key (JWK file), which signs its presentations"
    )
    credentials: tuple[Path, ...] = Field(
        description="its credentials, such as a ServiceProviderCredential: a JWT in each file", min_length=1
    )
