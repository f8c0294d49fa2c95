"""Where the staff of the region logs in for its work: the identity provider of a regional organisation, which says who
somebody is (OpenID Connect; the name in the id token, and in a plain userinfo), with a page to choose who one is.

`workplace.toml` (without it nobody is known):

    [[clients]]  id, redirect_uris, key = {JWK}      # public RSA key, which proves the client
                 auth = "private_key_jwt" | "none"   # the first when absent
    [[people]]   subject, name, function             # function is shown on the login page; optional
"""

from schakel_national.workplace.routes import NAME, application

__all__ = ["NAME", "application"]
