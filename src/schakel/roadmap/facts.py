"""What the figures of a finding are called. A figure has a short name in a run, which never changes; people read these
words, on the pages and in the workbook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schakel.roadmap.model import Text

_WORDS: Final[Mapping[str, Text]] = {
    "active": Text("lopend", "in force"),
    "addresses": Text("adressen", "addresses"),
    "answering": Text("adressen die antwoorden", "addresses that answer"),
    "bases": Text("FHIR-adressen", "FHIR addresses"),
    "could-not-check": Text(
        "eisen die niet nagekeken konden worden", "requirements that could not be checked"
    ),
    "denominator": Text("gegevens die beoordeeld zijn", "entries that were judged"),
    "dkim-selectors": Text("DKIM-sleutels", "DKIM selectors"),
    "domain": Text("domein", "domain"),
    "due": Text("te doen", "to be done"),
    "entries": Text("vermeldingen in het adresboek", "entries in the directory"),
    "events": Text("gebeurtenissen", "events"),
    "fail": Text("eisen waaraan niet is voldaan", "requirements that are not met"),
    "failed": Text("tests die niet slagen", "tests that do not pass"),
    "failing": Text("mislukt, worden opnieuw geprobeerd", "failed, tried again"),
    "faults": Text("fouten", "faults"),
    "findings": Text("afwijkingen", "deviations"),
    "grants": Text("manieren om een token te krijgen", "ways to get a token"),
    "holders": Text("bronhouders", "holders"),
    "list": Text("nummer van de lijst", "number of the list"),
    "mail-servers": Text("mailservers", "mail servers"),
    "must": Text("verplichte eisen", "requirements that must be met"),
    "must-could-not-check": Text(
        "verplichte eisen die niet nagekeken konden worden",
        "requirements that must be met and could not be checked",
    ),
    "must-fail": Text(
        "verplichte eisen waaraan niet is voldaan", "requirements that must be met and are not"
    ),
    "not-applicable": Text("eisen die hier niet gelden", "requirements that do not apply here"),
    "numerator": Text("gegevens die op tijd waren", "entries that were in time"),
    "pass": Text("eisen waaraan is voldaan", "requirements that are met"),
    "passed": Text("tests die slagen", "tests that pass"),
    "refused": Text("geweigerd", "refused"),
    "requests": Text("vragen", "requests"),
    "seals": Text("zegels", "seals"),
    "services": Text("gegevensdiensten", "data services"),
    "share": Text("deel dat op tijd was (1 is alles)", "share that was in time (1 is all)"),
    "tls": Text("TLS", "TLS"),
    "unclear": Text("tests die niet gedaan konden worden", "tests that could not be done"),
    "undecided": Text("gegevens waarvan dat niet te zeggen is", "entries of which that cannot be said"),
    "unsealed": Text("nog niet verzegeld", "not sealed yet"),
    "waiting": Text("wachten", "waiting"),
    "without_bsn": Text("patiënten zonder BSN", "patients without a BSN"),
}

_WORDS_AT: Final[Mapping[tuple[str, str], Text]] = {
    ("certificate", "days"): Text("dagen tot het einde", "days until the end"),
    ("core-data", "days"): Text("dagen die bekeken zijn", "days that were looked at"),
}
"""By check and name, where checks mean different things by one name."""


def called(check: str, name: str) -> Text | None:
    """What a figure of a check is called. None: this program does not know it, as another one measured."""
    return _WORDS_AT.get((check, name)) or _WORDS.get(name)
