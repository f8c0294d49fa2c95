"""The wire to a national facility: TLS with our own certificate, time-outs, size limits, a circuit breaker.

A `Facility` sends a request and gives the answer, or says in one typed error that no usable answer came. What the
facility means by it is the business of the generic function that asks. `Facilities` is one that lies at several hosts.
`ClientCredentials` has the access tokens that some want, `send_with_token` sends a request with one.
"""

from schakel.facilities.breaker import Breaker
from schakel.facilities.client import Answer, Facility, FacilityAway, FacilityRules, origin
from schakel.facilities.several import Facilities
from schakel.facilities.tokens import (
    Assertion,
    ClientCredentials,
    Organisation,
    Secret,
    TokenRefused,
    TokenSource,
    send_with_token,
)

__all__ = [
    "Answer",
    "Assertion",
    "Breaker",
    "ClientCredentials",
    "Facilities",
    "Facility",
    "FacilityAway",
    "FacilityRules",
    "Organisation",
    "Secret",
    "TokenRefused",
    "TokenSource",
    "origin",
    "send_with_token",
]
