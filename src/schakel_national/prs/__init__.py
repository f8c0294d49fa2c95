"""The PRS (Pseudoniemendienst): evaluates blinded points with its key, and seals the outcome for who may have it.

`prs` (TLS, a client certificate of the authority here; the ministry's verifier in front):

    POST /oprf/eval                   {encryptedPersonalId, recipientOrganization, recipientScope} -> {jwe}
    POST /evaluate                    the same with the names of the guide, unless `guide = false`
    POST /exchange/pseudonym          {personalId, recipientOrganization, recipientScope, pseudonymType} -> a JWE
    POST /exchange/rid                {..., ridUsage} -> a JWE
    POST /receive                     {rid, recipientOrganization, recipientScope, pseudonymType}
    POST /administration/register/certificate, GET|PUT|DELETE /administration/keys[/{id}],
    GET|POST|PUT /administration/key-versions[/{id}]
    GET  /health, /version.json

It behaves as the PRS of August 2026 (v0.0.33) was recorded, or as that of May 2026 (v0.0.21) with `form = "old"`:
recipients are `ura:` there, answers are sealed with RSA-OAEP-256, and `POST /orgs` makes organisations. `prs.toml`:

    form = "new"                      # or "old"
    guide = true                      # also what the guide says
    algorithm = "RSA-OAEP"            # how answers are sealed; that of the form
    oprf_key = "..."                  # a scalar of 32 bytes, in hexadecimal; made and kept when not given
    master_key = "..."                # 32 bytes, for pseudonyms that are not blinded; made and kept when not given
    [verifier]                        # see `minvws.verifier`; its audience is ours
    [[organisations]]
    oin = "00000099000000001000"      # and ura = "90000901", by which the old form and the guide know it
    usage = "bsn"                     # most that it may have of a person: bsn, rp (reversible) or irp
    [[organisations.keys]]            # its keys, each for scopes ("*" for all)
    scopes = ["nvi"]
    key_id = "nvi-key-1"
    file = "nvi.pem"                  # a public key or a certificate in the folder, or
    of = "nvi"                        # that of another stand-in here

What others register is kept in memory. Nothing of a person is logged.

Source: recordings of the ministry's published service; the facts sheet on pseudonymisation.
"""

from schakel_national.prs.routes import NAME, application

__all__ = ["NAME", "application"]
