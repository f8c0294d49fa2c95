"""The closed question: may this holder release these categories of this patient to this requester?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from schakel.generic.consent.mitz import names


@dataclass(frozen=True, slots=True)
class InstanceIdentifier:
    """An HL7 v3 II: the OID of who gives out the numbers, and the number."""

    root: str
    extension: str
    authority: str = ""


@dataclass(frozen=True, slots=True)
class CodedValue:
    """An HL7 v3 CV: a code and the OID of its code system."""

    code: str
    system: str


Value: TypeAlias = InstanceIdentifier | CodedValue


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of the question, by its XACML name."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of one XACML category; `id` names them in the document."""

    id: str
    category: str
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedQuestion:
    """What is asked of Mitz. Equal questions are the same question.

    `patient` is a BSN, `holder` and `requester` are URAs, the types codes of 2.16.840.1.113883.2.4.15.1060,
    `categories` codes of Mitz (GGC...). `provider` is the Dezi or UZI number of the professional who is responsible,
    with the role code `role`; `mandated` that of the person at the keyboard when that is another one, else ''.
    `purpose` is TREAT or COC.
    """

    patient: str
    holder: str
    holder_type: str
    categories: tuple[str, ...]
    requester: str
    requester_type: str
    provider: str
    role: str
    mandated: str = ""
    purpose: str

    def attributes(self) -> tuple[Attributes, ...]:
        """The question as XACML attributes, one action for each category."""
        actions = (
            Attributes(
                f"action{number}",
                names.ACTIONS,
                (Attribute(names.EVENT, CodedValue(category, names.CATEGORY_SYSTEM)),),
            )
            for number, category in enumerate(self.categories)
        )
        return (
            Attributes(
                "resource",
                names.RESOURCE,
                (
                    Attribute(names.PATIENT, InstanceIdentifier(names.BSN_ROOT, self.patient)),
                    Attribute(names.HOLDER_TYPE, CodedValue(self.holder_type, names.TYPE_SYSTEM)),
                    Attribute(names.HOLDER, InstanceIdentifier(names.URA_ROOT, self.holder)),
                ),
            ),
            *actions,
            Attributes("subject", names.SUBJECT, subject(self)),
            Attributes("environment", names.ENVIRONMENT, (purpose(self),)),
        )


class WhoAsks(Protocol):
    """What both questions say of who asks."""

    @property
    def requester(self) -> str: ...
    @property
    def requester_type(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def mandated(self) -> str: ...
    @property
    def purpose(self) -> str: ...


def subject(asking: WhoAsks) -> tuple[Attribute, ...]:
    """Who asks, as attributes of the subject."""
    mandated = (Attribute(names.MANDATED, _uzi(asking.mandated)),) if asking.mandated else ()
    return (
        Attribute(names.ROLE, CodedValue(asking.role, names.ROLE_SYSTEM)),
        Attribute(names.PROVIDER, _uzi(asking.provider)),
        *mandated,
        Attribute(names.REQUESTER, InstanceIdentifier(names.URA_ROOT, asking.requester)),
        Attribute(names.REQUESTER_TYPE, CodedValue(asking.requester_type, names.TYPE_SYSTEM)),
    )


def purpose(asking: WhoAsks) -> Attribute:
    """Why is asked, as an attribute of the environment."""
    return Attribute(names.PURPOSE, CodedValue(asking.purpose, names.PURPOSE_SYSTEM))


def _uzi(number: str) -> InstanceIdentifier:
    return InstanceIdentifier(names.UZI_ROOT, number, names.UZI_AUTHORITY)
