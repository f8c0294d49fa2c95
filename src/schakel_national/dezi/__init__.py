"""Dezi: where care professionals log in, in the shape of its OpenID Connect service, with a page to choose who one is.

`dezi.toml`:

    form = "jwe" | "jws"          # userinfo sealed for the client (as in production) or only signed (acceptance)
    loa = "http://eidas.europa.eu/LoA/high"
    [[clients]]        id, redirect_uris, key = {JWK}     # public RSA key, of the client's certificate: seals userinfo
    [[professionals]]  number, initials, prefix, surname, role, role_name, organisations = [{ura, name}]

`POST /withdrawals {"verklaring_id": ...}` withdraws a statement (of our own, for tests); the shape of the answer at
`status_uri` is not public and is ours as well.

Source: the facts sheet on Dezi (userinfo 0.7; verklaring v1), OpenID Connect Core 1.0, RFC 7636.
"""

from schakel_national.dezi.routes import NAME, application

__all__ = ["NAME", "application"]
