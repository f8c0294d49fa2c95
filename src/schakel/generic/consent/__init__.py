"""Consent: why a patient's data may be given to who asks, and what stands against it.

`ConsentDesk.permit` answers a `ConsentQuestion` with a `Permission`, or raises `ConsentRefused`; read `desk` first, its
order is the rule. Behind it: `Grounds` and `Objections` that the organisation recorded, `mitz` (the closed question,
subscriptions, notifications), `Choices` that Mitz told us of, and `Emergencies` with their second look. `ConsentOffice`
is all of it for one organisation. `Candidates` says for whom to ask when a resource names no patient.

Standard: Mitz, handbook "Open en gesloten autorisatievraag" 3.8.2.
"""

from schakel.generic.consent.candidates import Candidates
from schakel.generic.consent.choices import Choice, Choices, Notice
from schakel.generic.consent.desk import AcutePolicy, ConsentDesk
from schakel.generic.consent.emergency import Emergencies, EmergencyAccess, EmergencyPolicy
from schakel.generic.consent.grounds import Ground, Grounds
from schakel.generic.consent.model import ConsentQuestion, ConsentRefused, GroundKind, Permission
from schakel.generic.consent.objections import Objection, Objections
from schakel.generic.consent.office import ConsentOffice, NotifyClients
from schakel.generic.consent.organisations import Categories, CategoryRow
from schakel.generic.consent.standing import Standings
from schakel.generic.consent.subscriptions import (
    Subscriber,
    Subscription,
    Subscriptions,
    SubscriptionWork,
)

__all__ = [
    "AcutePolicy",
    "Candidates",
    "Categories",
    "CategoryRow",
    "Choice",
    "Choices",
    "ConsentDesk",
    "ConsentOffice",
    "ConsentQuestion",
    "ConsentRefused",
    "Emergencies",
    "EmergencyAccess",
    "EmergencyPolicy",
    "Ground",
    "GroundKind",
    "Grounds",
    "Notice",
    "NotifyClients",
    "Objection",
    "Objections",
    "Permission",
    "Standings",
    "Subscriber",
    "Subscription",
    "SubscriptionWork",
    "Subscriptions",
]
