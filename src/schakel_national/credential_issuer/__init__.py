"""An issuer of credentials, known by a did:web, with a status list by which it withdraws them.

    GET  /.well-known/did.json      its DID document
    POST /credentials               {type, subject, seconds?, and what the type says}: a JWT VC (VC 1.1, ES256)
    POST /revocations               {id}: withdraws one
    GET  /status/1                  the status list, a credential too (Bitstring Status List 1.0)

It believes what it is told, as the real issuer has looked it up by then. `credential-issuer.toml` may set

    host = "..."   # the name in its DID; localhost when it listens on the loopback: a DID has no IP address
    tls = false    # did:web implies https, so it speaks TLS; not here, for nodes that read loopback DIDs over http
"""

from schakel_national.credential_issuer.routes import NAME, application, secured

__all__ = ["NAME", "application", "secured"]
