"""The ministry's token server, and the verifier that stands before the services which take its tokens.

`minvws-oauth` (TLS, a client certificate of the authority here):

    POST /oauth/token, POST /token    grant_type=client_credentials, scope, target_audience and either
                                      organization_id, source_id? (form of August 2026), or
                                      client_assertion_type, client_assertion (form of the guide)
    GET  /.well-known/jwks.json       its keys; the same stands in `DIR/minvws-oauth.jwks.json`, with `issuer`

`minvws-oauth.toml` has the place of the ministry's registration, whose own interface is not built:

    issuer = "..."       # iss of tokens; its own address
    seconds = 300        # how long a token holds
    [[targets]]          audience, subject = "ura" | "oin", scopes = [...]
    [targets.means]      "epd:read" = ["nvi:read", "nvi:localize"]    # optional: names that clients use
    [[clients]]          oin, common_name                        # of the certificate
    [[clients.organisations]]  ura, oin, name, source_id, scopes = [...]

`oin` of an organisation may be left out when it is the client's; without `source_id` it manages no registrations. With
`organization_id` a token has `source_id` when it is asked for, with an assertion when one is registered.

A token has the scopes of the service, also when its client asked by other names (`means`): a Nuts knooppunt asks for
`epd:read epd:write` and lets nobody change that, and the index refuses a token with such a scope. Whether the real
server translates is not public, so without `means` nothing is.

Invented here: the shape of that table, the OIN of a UZI server certificate (see `certificates`), and that the server
takes ES256 beside RS256.

Source: the facts sheet on authentication towards NVI and PRS; the recorded requests of the registration service and
errors of the verifier.
"""

from schakel_national.minvws.routes import NAME, application
from schakel_national.minvws.verifier import verified

__all__ = ["NAME", "application", "verified"]
