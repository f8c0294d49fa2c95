"""Mitz: the register of what patients allow, with the closed question, subscriptions, and a page for patients.

Two facilities: `mitz` for systems (TLS, a client certificate that is on the list), `mitz-page` for people. They share
the register in `DIR/mitz.sqlite`. `mitz.toml`:

    clients = ["..."]                       # SHA-256 (hex) of the client certificates that may ask; [] takes every one
    endpoints = ["https://..."]             # where notifications may go: what an address must begin with
    signed = false                          # whether a closed question must carry an XML signature
    [notify]  certificate, key, trusted     # PEM files: with what notifications are delivered; optional
    [[providers]]  ura, name, type          # whom a patient may choose by name
    [[choices]]    patient, holder, requester, allowed   # the first contents; holder: GGCnnn or a URA

The real facility's rules for weighing choices are not public in full. Here: a choice for a named holder goes before one
for a category, a choice for GGC002 also holds for GGC012 and GGC013 unless those have one of their own, and no choice
is no permission.

Source: the facts sheet on Mitz: XACML 3.0 in SOAP 1.2 (handbook of the autorisatievraag), FHIR R4 Subscription and
Consent notification.
"""

from schakel_national.mitz.pages import PAGE_NAME, page_application
from schakel_national.mitz.systems import NAME, application

__all__ = ["NAME", "PAGE_NAME", "application", "page_application"]
