"""A patient's authorisation as values: what a client asks for, what a person gave, what a token says.

Source: MedMij framework 2.2.x, authorization interface (core.authint) and token interface (core.tknint).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from schakel.kernel.outcomes import Invalid

REQUEST_ID = "MedMij-Request-ID"
CORRELATION_ID = "X-Correlation-ID"


class Lists(Protocol):
    """Who takes part in the network, as its lists say it now."""

    def client_name(self, host: str) -> str | None:
        """The organisation behind the client with this host name, or None when it is not on the list."""

    def is_node(self, host: str) -> bool:
        """Whether a server with this host name may take part."""

    def offers(self, provider: str) -> bool:
        """Whether the provider with this MedMij name (without @medmij) takes part."""

    def service_name(self, service: str) -> str | None:
        """What people read for a data service, or None when it is not on the list."""


Availability = Callable[[str, str], Awaitable[frozenset[str]]]
"""Called with a BSN and the service to share ('' to collect): the ids of the services for which this holder can
serve that person; none when the person is not known here, which nobody but the person may be told."""


@dataclass(frozen=True, slots=True)
class Holder:
    """One organisation as patients meet it.

    `name` is its MedMij name without @medmij, `collect` and `share` the ids of the services it offers.
    """

    name: str
    collect: frozenset[str]
    share: frozenset[str]
    available: Availability


@dataclass(frozen=True, slots=True)
class PatientGrant:
    """What a valid token of a patient says.

    `patient` is the BSN, `client` the host name of the client, `services` the ids of the data services it opens,
    `jti` the token's own id (not the token), `consent` the id of what the person agreed to, `correlation_id` the
    session that its requests must name.
    """

    patient: str
    client: str
    services: frozenset[str]
    jti: str
    consent: str
    correlation_id: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class PatientToken:
    """Tokens that were given; both texts are secrets. `seconds` is how long the access token is still valid."""

    access: str
    refresh: str
    grant: PatientGrant
    seconds: int

    def json(self) -> dict[str, str | int]:
        """The body of the answer (RFC 6749, section 5.1). All five members are always there: clients of the
        network refuse an answer that lacks one."""
        return {
            "access_token": self.access,
            "token_type": "Bearer",
            "expires_in": self.seconds,
            "refresh_token": self.refresh,
            "scope": " ".join(sorted(self.grant.services)),
        }


@dataclass(frozen=True, slots=True)
class Passage:
    """The two ids that every request of the network carries, and who was proved to send it.

    `hosts` are the host names in the caller's verified certificate, None where the listener asks for none.
    """

    request_id: str
    correlation_id: str
    hosts: frozenset[str] | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str], hosts: frozenset[str] | None = None) -> Passage:
        """The ids in the headers of a request. Raises `Invalid` naming the one that is missing or no UUID."""
        return cls(
            check_uuid(headers.get(REQUEST_ID), REQUEST_ID),
            check_uuid(headers.get(CORRELATION_ID), CORRELATION_ID),
            hosts,
        )


def is_host(text: str) -> bool:
    """Whether `text` may be the host name of a client."""
    return len(text) <= 253 and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", text) is not None


def check_uuid(value: str | None, name: str) -> str:
    """`value` when it is a UUID in its usual form (in lower case). Raises `Invalid` naming `name`."""
    if not value:
        raise Invalid(f"{name} is missing: a UUID is needed", code="id-missing", expression=name)
    try:
        if len(value) == 36 and str(uuid.UUID(value)) == value.lower():
            return value.lower()
    except ValueError:
        pass
    raise Invalid(f"{name} is not a UUID", code="id-invalid", expression=name)
