"""The NVI (national referral index): which organisations have data about a patient, who is known by a pseudonym.

`nvi` (TLS, a client certificate of the authority here; the ministry's verifier in front):

    POST, GET, DELETE /fhir/List, GET, DELETE /fhir/List/{uuid}, POST /fhir, GET /fhir/metadata
    POST, GET, DELETE /registrations, POST /localize                the same without FHIR
    GET /, /health, /version.json                                   open

It does as the real one of July 2026 was recorded, with what is awkward in it: a delete by query takes all own
registrations away when nothing in the query counts; a delete answers 201; errors spell `resource_type`; a transaction
is not undone and does not tell the ids; a token can be used twice; a blind factor of another call is accepted.

`nvi.toml`:

    recipient = "oin:00000099000000001000"      # aud of the JWE in a token
    scope = "nationale-verwijsindex"            # scope of that JWE
    checked = true                              # whether both, and its expiry, are checked
    crypto = "ok"                               # its crypto service: ok, strict, down, no-key
    [verifier]                                  # see `minvws.verifier`; its audience is ours

Its key is `DIR/nvi.key.json`, made at the first start, whose public half the pseudonym service must know (`of = "nvi"`
there); registrations are in `DIR/nvi.sqlite`, the key of their pseudonyms in `DIR/nvi.secret`.

Different from the real one: it checks what a JWE says (unless `checked = false`), twelve creates at once give one
registration, and the crypto service is a part of it, whose states a test can choose: `strict` refuses the mechanism
that a delete by subject names, `down` does not answer, `no-key` is the state right after the real one's migrations.
What the recordings do not tell was chosen: the shape of a request is looked at before the scopes of its token, and of a
List the URA, subject and source, in this order, before the patient's token.

Source: the recordings of the real NVI; the facts sheet on localisation.
"""

from schakel_national.nvi.routes import NAME, application

__all__ = ["NAME", "application"]
