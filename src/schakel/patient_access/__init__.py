"""The MedMij door: a person's own program collects from and shares with a care organisation, by the person's token.

`services` says which data services there are, `door.MedMijDoor` answers requests, `mask` takes BSNs out of what
leaves, and `inbox` keeps what persons send.
"""

from schakel.patient_access.door import MedMijDoor, Rules
from schakel.patient_access.inbox import Inbox
from schakel.patient_access.services import COLLECTS, SERVICES, SHARES, Service
from schakel.patient_access.whose import Whose

__all__ = ["COLLECTS", "SERVICES", "SHARES", "Inbox", "MedMijDoor", "Rules", "Service", "Whose"]
