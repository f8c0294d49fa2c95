"""All that one organisation has for consent, for the doors of its EHR, its officer and Mitz."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from schakel.generic.consent.choices import Choices
from schakel.generic.consent.desk import ConsentDesk
from schakel.generic.consent.emergency import Emergencies
from schakel.generic.consent.objections import Objections
from schakel.generic.consent.subscriptions import Subscriptions


@dataclass(frozen=True, slots=True)
class NotifyClients:
    """Whose notifications are taken: DNS names in client certificates (lower case), and their thumbprints (SHA-256 in
    base64url). Nobody's when both are empty."""

    hosts: frozenset[str] = frozenset()
    thumbprints: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hosts or self.thumbprints)

    def takes(self, hosts: Set[str], thumbprint: str) -> bool:
        """Whether a client with this certificate is Mitz."""
        return thumbprint in self.thumbprints or not self.hosts.isdisjoint(hosts)


@dataclass(frozen=True, slots=True)
class ConsentOffice:
    """`subscriptions` is None when this node cannot ask Mitz for them."""

    desk: ConsentDesk
    objections: Objections
    choices: Choices
    emergencies: Emergencies
    subscriptions: Subscriptions | None
    notify: NotifyClients
