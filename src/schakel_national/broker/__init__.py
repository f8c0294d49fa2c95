"""The login broker: OpenID Connect in front of DigiD, in the shape of MAX, with a login page that asks for a BSN.

`broker.toml`:

    loa_authn = "..."                                # level of assurance of every login; optional
    [[clients]]  id, redirect_uris, key = {JWK}      # public RSA key: proves the client, and seals what it gets
                 auth = "private_key_jwt" | "none"   # the first when absent

Source: OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636, RFC 7523; `minvws/nl-rdo-max` for the userinfo (a JWS in
a JWE) and for the error of a cancelled login.
"""

from schakel_national.broker.routes import NAME, application

__all__ = ["NAME", "application"]
