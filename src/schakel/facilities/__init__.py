"""The wire to a national facility: TLS with our own certificate, time-outs, size limits, a circuit breaker.

A `Facility` sends a request and gives the answer, or says in one typed error that no usable answer came. What the
facility means by it is the business of the generic function that asks. `Facilities` is one that lies at several hosts.
`ClientCredentials` has the access tokens that some want, `send_with_token` sends a request with one.
"""

from schakel.facilities.breaker import Breaker
from schakel.facilities.client import (
    Answer,
    ConnectionLost,
    Facility,
    FacilityAway,
    FacilityRules,
    once_more,
    origin,
)
from schakel.facilities.life import Life, life
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
    "ConnectionLost",
    "Facilities",
    "Facility",
    "FacilityAway",
    "FacilityRules",
    "Life",
    "Organisation",
    "Secret",
    "TokenRefused",
    "TokenSource",
    "life",
    "once_more",
    "origin",
    "send_with_token",
]
