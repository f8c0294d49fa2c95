"""Localisation: who has data of a patient, asked of the national index (NVI), and telling the index that we have.

`Localiser` asks. `RegistrationWork` tells: only what a registration rule (`Rule`) of the organisation says, driven by
what is written. `Registrations` is what the EHR may see and ask of it; `reconcile` compares it with the index.
"""

from schakel.generic.localisation.categories import CATEGORIES
from schakel.generic.localisation.client import NviClient, NviRules
from schakel.generic.localisation.localiser import Localiser
from schakel.generic.localisation.model import Found, Located, NviRefused, NviUnclear, PatientTokens, Record
from schakel.generic.localisation.register import EXCHANGE, Registration, Rule
from schakel.generic.localisation.registration import RegistrationWork
from schakel.generic.localisation.registrations import Registrations, Status, status
from schakel.generic.localisation.telling import Registrar

__all__ = [
    "CATEGORIES",
    "EXCHANGE",
    "Found",
    "Localiser",
    "Located",
    "NviClient",
    "NviRefused",
    "NviRules",
    "NviUnclear",
    "PatientTokens",
    "Record",
    "Registrar",
    "Registration",
    "RegistrationWork",
    "Registrations",
    "Rule",
    "Status",
    "status",
]
