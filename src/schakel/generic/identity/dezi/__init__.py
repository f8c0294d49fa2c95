"""Dezi: professionals who log in there, and what it states about them.

`DeziTrust.verify` tells whether a statement (verklaring) is genuine, ours or one that somebody presents. `DeziClient`
logs a professional in by OpenID Connect, `Logins` keeps who is logged in. No HTTP here.
"""

from schakel.generic.identity.dezi.client import DeziClient, LoggedIn, OtherOrganisation
from schakel.generic.identity.dezi.logins import Begun, Login, LoginGone, Logins, login_of
from schakel.generic.identity.dezi.statement import (
    DeziRules,
    DeziTrust,
    Professional,
    StatementWrong,
    StatusUnknown,
)

__all__ = [
    "Begun",
    "DeziClient",
    "DeziRules",
    "DeziTrust",
    "LoggedIn",
    "Login",
    "LoginGone",
    "Logins",
    "OtherOrganisation",
    "Professional",
    "StatementWrong",
    "StatusUnknown",
    "login_of",
]
