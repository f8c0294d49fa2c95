"""Which endpoint of a provider is for which exchange: data.

An exchange is named as its scope is in tokens. Its endpoints are told by connection type, payload types of two code
systems that are in use side by side, and FHIR version. The code of an exchange says that an endpoint is for the whole
of it. A data category says what an endpoint has, not for which exchange: the categories here are those under which
the requests of the exchange stand, and an endpoint is for those that it has. Codes are compared as they stand.

Source: generic functions IG, care services, in both generations: code system nl-gf-data-exchange-capabilities
(generation A), code systems nl-gf-data-categories-cs and nl-gf-authorization-server-cs (generation B).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import Invalid

Code = tuple[str, str]
"""System and code."""

_A = "http://nuts-foundation.github.io/nl-generic-functions-ig"
_B = "http://minvws.github.io/generiekefuncties-docs"
_NICTIZ = "http://nictiz.nl/fhir/CapabilityStatement"

CAPABILITIES = f"{_A}/CodeSystem/nl-gf-data-exchange-capabilities"
CATEGORIES = f"{_B}/CodeSystem/nl-gf-data-categories-cs"
AUTHORISATION_SERVER = f"{_B}/CodeSystem/nl-gf-authorization-server-cs"
FHIR_REST: Code = ("http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "hl7-fhir-rest")

CATEGORY_SYSTEMS = frozenset({CATEGORIES, "http://minvws.nl/CodeSystem/nl-gf-data-categories-cs"})
"""Under which categories are read: an example of the guide still writes the second."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange by its names, the first of which is its own.

    `connections` are those that lead to it, any when there are none. `payloads` lead to the whole of it, `categories`
    (of `CATEGORY_SYSTEMS`) each to a part; without either every endpoint of such a connection is for it. `version` is
    its FHIR version, None when it has none. `data` is whether the address is a FHIR base where data are read.
    """

    names: tuple[str, ...]
    connections: frozenset[Code]
    payloads: frozenset[Code]
    version: Version | None = None
    data: bool = False
    categories: frozenset[str] = frozenset()


def _fhir(
    names: str, version: Version, codes: Iterable[str], categories: str = "", *, data: bool = True
) -> Exchange:
    """An exchange over FHIR: `codes` are its own, `categories` those that it asks for."""
    payloads = frozenset((CAPABILITIES, code) for code in codes)
    kinds = frozenset(categories.split())
    return Exchange(tuple(names.split()), frozenset({FHIR_REST}), payloads, version, data, kinds)


_BGZ = (
    "Patient Condition Encounter Alert AllergyIntolerance MedicationRequest MedicationUse Procedure Device Nutrition "
    "Request Consent AdvanceDirective ObservationLaboratory ObservationSocialHistory ObservationSurvey "
    "ObservationVitalSigns"
)
"""Under which of them each request stands is in `schakel.exchanges.bgz.requests`."""

AUTHORISATION_SERVERS = (
    Exchange(("oauth-nuts",), frozenset({(AUTHORISATION_SERVER, "oauth-nuts")}), frozenset()),
    Exchange(("Nuts-OAuth",), frozenset(), frozenset({(CAPABILITIES, "Nuts-OAuth")})),
    Exchange(("oauth2-fapi2",), frozenset({(AUTHORISATION_SERVER, "oauth2-fapi2")}), frozenset()),
    Exchange(("oauth2",), frozenset({(AUTHORISATION_SERVER, "oauth2")}), frozenset()),
)
"""How a directory names a provider's authorisation server; the address is its issuer. The first that is there counts:
the kind that says most stands first."""

EXCHANGES = (
    _fhir("bgz", "stu3", [f"{_NICTIZ}/bgz2017-servercapabilities"], _BGZ),
    _fhir("bgz-sender", "stu3", [f"{_NICTIZ}/bgz2017-servercapabilities"], _BGZ),
    _fhir(
        "eOverdracht-sender eoverdracht_sender eoverdracht-sender eOverdracht",
        "stu3",
        [f"{_NICTIZ}/eOverdracht-servercapabilities"],
        "Request",
    ),
    _fhir(
        "eOverdracht-notification eOverdracht-receiver eoverdracht_receiver eoverdracht-receiver",
        "stu3",
        ["eOverdracht-notification"],
        data=False,
    ),
    _fhir("Twiin-TA-notification ta-np-notification", "stu3", ["Twiin-TA-notification"], data=False),
    _fhir(
        "medicatieoverdracht-gf medicatieoverdracht_gf medicatieoverdracht",
        "r4",
        [f"{_NICTIZ}/mp-MedicationData.RetrieveServe", f"{_NICTIZ}/mp-MedicationOverview.RetrieveServe"],
        "MedicationRequest MedicationUse",
    ),
    _fhir(
        "pzp-gf pzp_gf pzp",
        "r4",
        ["https://api.iknl.nl/docs/pzp/r4/CapabilityStatement/ACP-CapabilityStatementProvider"],
        "AdvanceDirective",
    ),
    _fhir(
        "admin-directory",
        "r4",
        [f"{_A}/CapabilityStatement/nl-gf-admin-directory-update-client"],
        data=False,
    ),
    *AUTHORISATION_SERVERS,
)

_BY_NAME: Mapping[str, Exchange] = {name: one for one in EXCHANGES for name in one.names}


def exchange(name: str) -> Exchange:
    """The exchange of this name. Raises `Invalid` when there is none."""
    found = _BY_NAME.get(name)
    if found is None:
        known = ", ".join(one.names[0] for one in EXCHANGES)
        raise Invalid(
            f"there is no exchange {name[:60]!r}: addresses are known for {known}",
            code="exchange-unknown",
            expression="exchange",
        )
    return found
