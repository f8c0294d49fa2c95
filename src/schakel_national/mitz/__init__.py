"""Mitz: the register of what patients allow, with the closed and the open question, subscriptions, and a page for
patients.

Two facilities: `mitz` for systems (TLS, a client certificate that is on the list), `mitz-page` for people. They share
the register in `DIR/mitz.sqlite`. `mitz.toml`:

    clients = ["..."]                       # SHA-256 (hex) of the client certificates that may ask; [] takes every one
    endpoints = ["https://..."]             # where notifications may go: what an address must begin with
    signed = false                          # whether a question must carry an XML signature
    [notify]  certificate, key, trusted     # PEM files: with what notifications are delivered; optional
    [[providers]]  ura, name, type          # whom a patient may choose by name
    [[choices]]    patient, holder, requester, allowed   # the first contents; holder: GGCnnn or a URA

The real facility's rules for weighing choices are not public in full. Here: a choice for a named holder goes before one
for a category, a choice for GGC002 also holds for GGC012 and GGC013 unless those have one of their own, and no choice
is no permission.

Of the open question the facts leave much open. Invented here: each HL7 element is taken for the requester's type, with
xsi:type CE or CV, as its name is not known; Issuer is urn:oid:2.16.528.1.1007.3.3 and the URA, with or without its
leading zeros (an OID cannot have them, a URA has); an assertion lives for ten minutes at most, times may be 30 seconds
off, and an ID is taken once in its life; what `signed` asks for is a signature of the assertion, as its own child and
over all of it; an attribute that is not in the facts is a fault. HomeCommunityId and SourceId are the GatewaySystem and
SourceSystem of the holder's subscription, event-code is the one category of its type, CorrespondingPatientId is the BSN
that was asked for, the asker's own subscription is answered like another's, and a purpose other than TREAT and COC
finds nobody. Sizes and paging are unknown: all come in one answer.

Source: the facts sheet on Mitz: XACML 3.0, and IHE XCPD (ITI-56) with SAML 2, in SOAP 1.2 (handbook of the
autorisatievraag), FHIR R4 Subscription and Consent notification.
"""

from schakel_national.mitz.pages import PAGE_NAME, page_application
from schakel_national.mitz.systems import NAME, application

__all__ = ["NAME", "PAGE_NAME", "application", "page_application"]
