"""LRZa: the central directory of care providers, their services, locations and endpoints; TLS, client certificates.

It has the transactions of the guide: ITI-90-NL (read and search), ITI-91-NL (history) and ITI-130-NL (create, update,
transaction, Provenance; nothing is deleted), at `/fhir`, with `POST /token` when tokens are needed. To clients of
generation A it is a root directory (`GET /fhir/Organization/_search?_include=Organization:endpoint`, in one page). What
is registered stands in `DIR/lrza.sqlite`. `lrza.toml`, all of it optional:

    seed = "lrza.ndjson"       # first contents, taken as they are: one resource a line, or a Bundle
    tls = true                 # false: plain http, to read only
    open_reading = false       # true: reading needs no certificate and no token
    clients = ["..."]          # SHA-256 (hex) of certificates, URAs or KvK numbers that may connect; [] takes every one
    page_size = 100            # most resources on a page
    seven_types = false        # Practitioner and PractitionerRole exist (empty), and a batch of reads, for generation A
    signed = false             # whether a Provenance must be signed; a signature that is there is always checked
    signers = ["uzi-ca/anchors.pem"]   # PEM files: authorities whose certificates sign
    rate = 0                   # most requests of one client in rate_seconds (60), then 429; 0 for no limit
    [tokens]                   # when there: bearer tokens are needed, our own or those of another issuer
    seconds = 300              # how long our own hold
    jwks = "minvws-oauth.jwks.json"   # keys of the other issuer, a file here or an https address
    issuer, audience           # its iss and aud; default: what the file of keys says, and our own address
    [[parties]]  certificate, ura | kvk   # whose a certificate without URA is: its OIN, or its SHA-256 (hex)

A certificate with a URA writes for that care provider, any other for the party in the table; who may write for whom is
in `parties`, the rules in `rules`.

Invented here, as the guide does not say it: `page_size`, the rate, the codes and words of errors; that an update
without If-Match is refused with 412; that who a PKIoverheid certificate is of comes from a table; that an Endpoint may
be written by who manages it and by the custodian of its identifier; that references must lead to something here; the
parameters of search beyond the guide's `identifier`, which are those of generation A; that GET on `_search` shows an
organisation with the endpoint of its own directory only, tagged SUBSETTED; the batch. Bindings to code systems are not
checked, and a Provenance is found by its target, as R4 gives it no identifier.

Source: the guide of the generic functions, Care Services and page on signing; the facts sheet on addressing.
"""

from schakel_national.lrza.routes import application, open_reading, secured
from schakel_national.lrza.settings import NAME

__all__ = ["NAME", "application", "open_reading", "secured"]
