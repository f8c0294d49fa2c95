"""A certificate authority: a root, UZI server certificates below it, and server certificates like PKIoverheid's.

    POST /certificates    {csr, kind: uzi-server | server, organisation, locality, ura, uzi, number, hosts, seconds}
    POST /revocations     {serial, reason}
    GET  /crl/{root,uzi-server,server}.crl, GET /ca/{...}.cer, POST /ocsp, GET /ocsp/{request in base64}

It believes what it is told of an organisation, as the real register has looked it up by then; that the key is the
asker's own it does check. `uzi-ca.toml` may set `valid_seconds`, how long a list or an answer counts. Keys and
register are kept in `DIR/uzi-ca`, with the root's certificate as `anchors.pem`.
"""

from schakel_national.uzi_ca.issuing import server_tls
from schakel_national.uzi_ca.routes import NAME, application

__all__ = ["NAME", "application", "server_tls"]
