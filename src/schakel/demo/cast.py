"""The cast of the demo region: eight fictional care organisations, two operators and the professionals.

None of the names is meant to exist. URAs are taken from 990001xx, Dezi and UZI numbers from 9900xxxxx.
Organisation type codes are those of `http://nictiz.nl/fhir/NamingSystem/organization-type`, role codes those
of the UZI register (`http://fhir.nl/fhir/NamingSystem/uzi-rolcode`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schakel.portal.people import Role

Operator = Literal["first", "second"]
Sector = Literal[
    "hospital",
    "general-practice",
    "out-of-hours",
    "nursing-and-home-care",
    "mental-health",
    "pharmacy",
    "ambulance",
]

OPERATORS: tuple[Operator, ...] = ("first", "second")
"""The two operators of the region; each runs one node, which hosts the organisations that name it."""


@dataclass(frozen=True, slots=True)
class Professional:
    """A care professional who works at one organisation and can log in there.

    `number` is the Dezi or UZI number (nine digits), `role_code` the UZI role code (NN.NNN) with its Dutch
    name in `role`. `function` is the title that colleagues use. `responsible` is the number of the
    professional in whose name a delegated role acts, empty for an independent professional.
    """

    number: str
    initials: str
    prefix: str
    family: str
    role_code: str
    role: str
    function: str
    responsible: str = ""

    @property
    def name(self) -> str:
        """Initials, prefix and family name, as on a badge."""
        return " ".join(part for part in (self.initials, self.prefix, self.family) if part)


@dataclass(frozen=True, slots=True)
class Organisation:
    """A care organisation of the region.

    `slug` stands in addresses, `short` in the ids of the resources it holds; `ura` and `agb` are eight
    digits. `type_code` and `type_name` are the organisation type, `operator` the party that runs its node.
    """

    slug: str
    short: str
    name: str
    ura: str
    agb: str
    sector: Sector
    operator: Operator
    type_code: str
    type_name: str
    city: str
    street: str
    house_number: str
    postal_code: str
    phone: str
    professionals: tuple[Professional, ...]

    @property
    def medmij_name(self) -> str:
        """The name in the provider list of MedMij, without @medmij."""
        return self.slug.replace("-", "")

    @property
    def site(self) -> str:
        """The fictional web site, used as the base of local identifier systems."""
        return f"https://{self.slug}.example"


def _doctor(number: str, initials: str, prefix: str, family: str, function: str) -> Professional:
    return Professional(number, initials, prefix, family, "01.000", "Arts", function)


HOSPITAL_NORTH = Organisation(
    slug="ziekenhuis-noord",
    short="zhn",
    name="Ziekenhuis Wielewaal Aa-Noord",
    ura="99000101",
    agb="06990101",
    sector="hospital",
    operator="first",
    type_code="V6",
    type_name="Algemeen ziekenhuis",
    city="Oosterwolde aan de Aa",
    street="Wielewaallaan",
    house_number="1",
    postal_code="9990AA",
    phone="099-9900101",
    professionals=(
        Professional("990010101", "M.J.", "van", "Duinhoven", "01.010", "Cardioloog", "Cardioloog"),
        Professional("990010102", "S.", "", "Abdellaoui", "01.022", "Klinisch geriater", "Klinisch geriater"),
        _doctor("990010103", "T.H.", "de", "Grootveld", "Internist"),
        _doctor("990010104", "E.C.", "", "Paulusma", "Longarts"),
        _doctor("990010105", "R.", "ter", "Heerdt", "Orthopedisch chirurg"),
        _doctor("990010106", "L.A.", "", "Sewnarain", "Gynaecoloog"),
        _doctor("990010107", "J.P.", "", "Wubbolts", "Neuroloog"),
        Professional("990010108", "K.", "", "Oudejans", "01.071", "Spoedeisende hulp arts", "SEH-arts"),
        Professional(
            "990010109", "N.", "van der", "Zwaag", "30.000", "Verpleegkundige", "Verpleegkundige", "990010101"
        ),
    ),
)

HOSPITAL_SOUTH = Organisation(
    slug="ziekenhuis-zuid",
    short="zhz",
    name="Medisch Centrum Zuiderlicht Meerdonk",
    ura="99000102",
    agb="06990102",
    sector="hospital",
    operator="second",
    type_code="V6",
    type_name="Algemeen ziekenhuis",
    city="Meerdonk",
    street="Zuiderlichtplein",
    house_number="20",
    postal_code="9991BB",
    phone="099-9900102",
    professionals=(
        Professional("990010201", "P.W.", "", "Halbertsma", "01.010", "Cardioloog", "Cardioloog"),
        Professional(
            "990010202", "I.", "van", "Nistelen", "01.022", "Klinisch geriater", "Klinisch geriater"
        ),
        _doctor("990010203", "Y.", "", "Özdemirel", "Internist"),
        _doctor("990010204", "C.M.", "", "Brantsma", "Longarts"),
        _doctor("990010205", "D.", "", "Lodewegen", "Orthopedisch chirurg"),
        _doctor("990010206", "A.F.", "de la", "Vallière", "Gynaecoloog"),
        _doctor("990010207", "H.", "", "Kroonsberg", "Neuroloog"),
        Professional("990010208", "W.", "", "Tjeenkma", "01.071", "Spoedeisende hulp arts", "SEH-arts"),
        Professional(
            "990010209", "O.", "", "Ramdajal", "30.000", "Verpleegkundige", "Verpleegkundige", "990010201"
        ),
    ),
)

GENERAL_PRACTICE = Organisation(
    slug="huisartsen-aabrink",
    short="hap",
    name="Huisartsenpraktijk Aabrink",
    ura="99000103",
    agb="01990103",
    sector="general-practice",
    operator="second",
    type_code="Z3",
    type_name="Huisartspraktijk (zelfstandig of groepspraktijk)",
    city="Oosterwolde aan de Aa",
    street="Brink",
    house_number="7",
    postal_code="9990AC",
    phone="099-9900103",
    professionals=(
        Professional("990010301", "J.M.", "", "Hoogesteger", "01.015", "Huisarts", "Huisarts"),
        Professional("990010302", "F.", "el", "Kaddouri", "01.015", "Huisarts", "Huisarts"),
        Professional("990010303", "B.", "", "Stellingwold", "01.015", "Huisarts", "Huisarts"),
        Professional(
            "990010304",
            "G.",
            "",
            "Meindertsveen",
            "30.000",
            "Verpleegkundige",
            "Praktijkverpleegkundige",
            "990010301",
        ),
    ),
)

OUT_OF_HOURS = Organisation(
    slug="huisartsenpost",
    short="hpo",
    name="Huisartsenpost Aa en Meer",
    ura="99000104",
    agb="01990104",
    sector="out-of-hours",
    operator="first",
    type_code="N6",
    type_name="Huisartsenpost (t.b.v. dienstwaarneming)",
    city="Oosterwolde aan de Aa",
    street="Wielewaallaan",
    house_number="3",
    postal_code="9990AA",
    phone="099-9900104",
    professionals=(
        Professional("990010401", "V.", "", "Bronkhuizen", "01.015", "Huisarts", "Dienstdoend huisarts"),
        Professional("990010402", "M.", "van 't", "Zandpad", "01.015", "Huisarts", "Dienstdoend huisarts"),
    ),
)

HOME_CARE = Organisation(
    slug="thuiszorg-lindehof",
    short="vvt",
    name="Zorggroep Lindehof Meerdonk",
    ura="99000105",
    agb="42990105",
    sector="nursing-and-home-care",
    operator="second",
    type_code="X3",
    type_name="Verplegings- of verzorgingsinstelling",
    city="Meerdonk",
    street="Lindehof",
    house_number="12",
    postal_code="9991CD",
    phone="099-9900105",
    professionals=(
        Professional(
            "990010501", "A.", "", "Kortenoever", "30.000", "Verpleegkundige", "Wijkverpleegkundige"
        ),
        Professional("990010502", "Z.", "", "Boukhari", "30.000", "Verpleegkundige", "Wijkverpleegkundige"),
        _doctor("990010503", "Q.L.", "", "Vredeveld", "Specialist ouderengeneeskunde"),
    ),
)

MENTAL_HEALTH = Organisation(
    slug="ggz-ankergaarde",
    short="ggz",
    name="GGZ Ankergaarde",
    ura="99000106",
    agb="25990106",
    sector="mental-health",
    operator="first",
    type_code="G5",
    type_name="Geestelijke Gezondheidszorg",
    city="Oosterwolde aan de Aa",
    street="Ankerkade",
    house_number="45",
    postal_code="9990AD",
    phone="099-9900106",
    professionals=(
        _doctor("990010601", "U.", "", "Feenhuizen", "Psychiater"),
        Professional(
            "990010602",
            "I.",
            "van",
            "Rossemberg",
            "25.000",
            "Gezondheidszorgpsycholoog",
            "Gezondheidszorgpsycholoog",
        ),
    ),
)

PHARMACY = Organisation(
    slug="apotheek-vijzelbrink",
    short="apo",
    name="Apotheek Vijzelbrink",
    ura="99000107",
    agb="02990107",
    sector="pharmacy",
    operator="second",
    type_code="J8",
    type_name="Openbare apotheek",
    city="Oosterwolde aan de Aa",
    street="Brink",
    house_number="9",
    postal_code="9990AC",
    phone="099-9900107",
    professionals=(
        Professional("990010701", "C.", "", "Vijverman", "17.000", "Apotheker", "Apotheker"),
        Professional("990010702", "R.S.", "", "Tan-Hollander", "17.000", "Apotheker", "Apotheker"),
    ),
)

AMBULANCE = Organisation(
    slug="ambulancedienst",
    short="amb",
    name="Ambulancedienst Aa en Meer",
    ura="99000108",
    agb="93990108",
    sector="ambulance",
    operator="first",
    type_code="AMB",
    type_name="Ambulancedienst",
    city="Meerdonk",
    street="Seinweg",
    house_number="112",
    postal_code="9991EE",
    phone="099-9900108",
    professionals=(
        Professional(
            "990010801", "D.", "", "Sluiskens", "30.000", "Verpleegkundige", "Ambulanceverpleegkundige"
        ),
        Professional(
            "990010802", "E.", "", "Hagenouw", "30.000", "Verpleegkundige", "Ambulanceverpleegkundige"
        ),
    ),
)

ORGANISATIONS: tuple[Organisation, ...] = (
    HOSPITAL_NORTH,
    HOSPITAL_SOUTH,
    GENERAL_PRACTICE,
    OUT_OF_HOURS,
    HOME_CARE,
    MENTAL_HEALTH,
    PHARMACY,
    AMBULANCE,
)

HOSPITALS: tuple[Organisation, ...] = (HOSPITAL_NORTH, HOSPITAL_SOUTH)


@dataclass(frozen=True, slots=True)
class Staff:
    """Someone who works for the region or for organisations in it and uses the portal; `subject` is what the identity
    provider of the region calls this person, `organisations` are slugs."""

    subject: str
    name: str
    function: str
    roles: tuple[Role, ...]
    organisations: tuple[str, ...] = ()


_OF_TWO = (HOSPITAL_NORTH.slug, GENERAL_PRACTICE.slug)

STAFF: tuple[Staff, ...] = (
    Staff("regio-001", "Wietske Hoogduin", "Programmamanager regio", ("programme",)),
    Staff("regio-002", "Samir Terpstra", "Informatiemanager", ("declarer",), _OF_TWO),
    Staff("regio-003", "Marleen Oldenkamp", "Kwaliteitsadviseur", ("reader",), _OF_TWO),
    Staff("regio-004", "Bas van Wierden", "Adviseur zorginkoop", ("viewer",)),
)
"""The people of the region's portal: who runs the programme, who declares for two organisations, the second reader, and
one who only reads."""


def organisation(name: str) -> Organisation:
    """The organisation with this slug or URA; raises `KeyError` when the region has none."""
    for candidate in ORGANISATIONS:
        if name in (candidate.slug, candidate.ura):
            return candidate
    raise KeyError(name)


def people() -> tuple[tuple[Organisation, Professional], ...]:
    """Everyone who can log in, with the organisation where that is."""
    return tuple((place, person) for place in ORGANISATIONS for person in place.professionals)
