"""What the login page says, in Dutch and in English."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "nl": {
        "title": "Inloggen (oefening)",
        "about": "Deze pagina neemt de plaats in van DigiD, om te oefenen. Vul alleen een verzonnen nummer in.",
        "number": "Burgerservicenummer",
        "wrong": "Dit is geen geldig nummer. Het moeten negen cijfers zijn die de elfproef doorstaan.",
        "login": "Inloggen",
        "cancel": "Annuleren",
        "stopped": "Inloggen kan nu niet. Ga terug naar uw app en begin opnieuw.",
    },
    "en": {
        "title": "Log in (practice)",
        "about": "This page takes the place of DigiD, for practice. Fill in an invented number only.",
        "number": "Citizen service number",
        "wrong": "This is not a valid number. It must be nine digits that pass the test of eleven.",
        "login": "Log in",
        "cancel": "Cancel",
        "stopped": "You cannot log in now. Go back to your app and begin again.",
    },
}


def wanted(locales: str) -> str:
    """The first language of `ui_locales` that we have (OpenID Connect Core 1.0, section 3.1.2.1), else Dutch."""
    languages = (one.lower().partition("-")[0] for one in locales.split())
    return next((one for one in languages if one in TEXTS), "nl")
