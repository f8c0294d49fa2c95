"""What the data services of MedMij are about, in plain words, by the number of the service.

The name of a service comes from the names list; what stands here helps a person to know what it means. A service
that is not here is shown by its name alone.
"""

from __future__ import annotations

from collections.abc import Mapping


def N_(text: str) -> str:  # noqa: N802 - the name by which gettext tools know a text to be translated later
    """A text that a page translates."""
    return text


ABOUT: Mapping[str, str] = {
    "31": N_("medicines that you use or have used"),
    "35": N_("medicines that you use or have used"),
    "46": N_("results of blood tests and other laboratory tests"),
    "48": N_("a summary of your file, such as illnesses, allergies, medicines, test results and treatments"),
    "49": N_("what your GP keeps about you, such as complaints, notes of your visits, medicines and results"),
    "50": N_("a summary of your mental health care, such as complaints, treatments and results"),
    "51": N_("letters, reports and other documents about you"),
    "52": N_("measurements, such as blood pressure, weight and temperature"),
    "54": N_("allergies and other substances that you react to badly"),
    "58": N_("medicines that you react to badly"),
    "59": N_("questionnaires that your care provider asks you to fill in"),
    "61": N_("a summary of your long-term care, such as what you need, agreements and treatments"),
    "63": N_("vaccinations that you have had"),
    "65": N_("your pregnancy, such as check-ups, tests and births"),
    "900": N_("medicines that you use or have used"),
    "901": N_("your appointments"),
    "902": N_("your request to change something in your file"),
    "903": N_("what you measured yourself, such as blood pressure or weight"),
    "904": N_("your answers to questionnaires"),
    "905": N_("what you tell about the medicines that you use"),
    "906": N_("photos that you took yourself"),
    "907": N_("documents that you have yourself"),
    "908": N_("allergies and other substances that you react to badly"),
    "909": N_("what you measured yourself, such as blood pressure or weight"),
}
