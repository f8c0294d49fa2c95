"""What the page for patients says, in Dutch and in English."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "nl": {
        "title": "Mijn toestemmingen (oefening)",
        "about": "Deze pagina neemt de plaats in van Mitz, om te oefenen. Vul alleen een verzonnen nummer in.",
        "number": "Burgerservicenummer",
        "wrong": "Dit is geen geldig nummer. Het moeten negen cijfers zijn die de elfproef doorstaan.",
        "login": "Inloggen",
        "logout": "Uitloggen",
        "explain": "Kies wie uw gegevens mag opvragen. Kiest u niets, dan mag niemand ze opvragen.",
        "named": "Een keuze voor één zorgaanbieder gaat voor een keuze voor een hele groep.",
        "yes": "Ja, mag",
        "no": "Nee, mag niet",
        "none": "Geen keuze",
        "save": "Opslaan",
        "saved": "Uw keuzes zijn opgeslagen.",
        "failed": "Dit lukte niet. Log opnieuw in en probeer het nog een keer.",
        "GGC002": "Gegevens bij uw huisarts en in het ziekenhuis (behandelgegevens)",
        "GGC012": "Gegevens bij laboratoria en onderzoekscentra (uitslagen)",
        "GGC013": "Gegevens bij uw apotheek (medicatiegegevens)",
        "at": "Gegevens bij",
        "RPZAC001": "Huisartsen en huisartsenposten",
        "RPZAC003": "Geestelijke gezondheidszorg",
        "RPZAC004": "Verpleging, verzorging en thuiszorg",
        "RPZAC005": "Apotheken",
        "RPZAC103": "Andere zorgaanbieders",
        "RPZAC104": "Ziekenhuizen, laboratoria en onderzoekscentra",
    },
    "en": {
        "title": "My consents (practice)",
        "about": "This page takes the place of Mitz, for practice. Fill in an invented number only.",
        "number": "Citizen service number",
        "wrong": "This is not a valid number. It must be nine digits that pass the test of eleven.",
        "login": "Log in",
        "logout": "Log out",
        "explain": "Choose who may ask for your data. If you choose nothing, nobody may ask for them.",
        "named": "A choice for one care provider goes before a choice for a whole group.",
        "yes": "Yes, allowed",
        "no": "No, not allowed",
        "none": "No choice",
        "save": "Save",
        "saved": "Your choices have been saved.",
        "failed": "This did not work. Log in again and try once more.",
        "GGC002": "Data at your GP and in hospital (treatment data)",
        "GGC012": "Data at laboratories and diagnostic centres (results)",
        "GGC013": "Data at your pharmacy (medication data)",
        "at": "Data at",
        "RPZAC001": "GPs and out-of-hours GP services",
        "RPZAC003": "Mental health care",
        "RPZAC004": "Nursing, care homes and home care",
        "RPZAC005": "Pharmacies",
        "RPZAC103": "Other care providers",
        "RPZAC104": "Hospitals, laboratories and diagnostic centres",
    },
}


def wanted(header: str) -> str:
    """The language of an Accept-Language header that we have and that comes first, else Dutch."""
    languages = (one.strip().lower().partition(";")[0].partition("-")[0] for one in header.split(","))
    return next((one for one in languages if one in TEXTS), "nl")
