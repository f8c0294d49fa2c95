"""Logging: the NEN 7513 log, sealed, as FHIR AuditEvents in the patterns of IHE BALP.

`Event` is what can be logged and who may see what of it, `audit_event` its FHIR form. `AuditWriter` makes events
durable, many in one commit, and `AuditLog` is one organisation's view: write, search, read, explain. No function
changes an event, and the database refuses it too. `ChainLog` is another log, of MedMij, that knows no person.
"""

from schakel.generic.logging.audit_event import audit_event
from schakel.generic.logging.chain import ChainEvent, ChainLog
from schakel.generic.logging.events import Event, Person
from schakel.generic.logging.log import AuditLog, Wanted, place
from schakel.generic.logging.sealer import Sealer, Sealing
from schakel.generic.logging.stored import Logged
from schakel.generic.logging.writer import AuditWriter

__all__ = [
    "AuditLog",
    "AuditWriter",
    "ChainEvent",
    "ChainLog",
    "Event",
    "Logged",
    "Person",
    "Sealer",
    "Sealing",
    "Wanted",
    "audit_event",
    "place",
]
