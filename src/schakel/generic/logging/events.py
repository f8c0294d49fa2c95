"""What can be logged: the one place where an event is declared.

Source: NEN 7513:2018 and the decree of 2019 (fields), DICOM PS3.16 and FHIR R4 for codes, IHE BALP 1.1.3 for
the patterns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from schakel.kernel.clock import new_id

REST = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "RESTful Operation")
DCM = "http://dicom.nema.org/resources/ontology/DCM"
RESTFUL_INTERACTION = "http://hl7.org/fhir/restful-interaction"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
IHE_TRANSACTION = "urn:ihe:event-type-code"
OWN_EVENT = "urn:schakel:audit-event"

Coded: TypeAlias = tuple[str, str, str]
"""System, code and display."""

Action: TypeAlias = Literal["C", "R", "U", "D", "E"]
Outcome: TypeAlias = Literal["0", "4", "8", "12"]
"""0 success, 4 minor failure (refused by a rule), 8 serious failure, 12 major failure."""

View: TypeAlias = Literal["source", "recipient"]
"""Who wrote it down: the source of the data (the holder) or their recipient (the requester)."""

RESTFUL = frozenset(
    {
        "read",
        "vread",
        "search-type",
        "search-system",
        "create",
        "update",
        "patch",
        "delete",
        "history-instance",
        "history-type",
        "history-system",
        "transaction",
        "batch",
        "operation",
        "capabilities",
    }
)
"""Subtypes that are FHIR interactions; `$lastn` is logged as `search-type`."""

_RECORD = (DCM, "110110", "Patient Record")

OWN: dict[str, tuple[Coded, tuple[Coded, ...]]] = {
    "token": (
        (DCM, "110114", "User Authentication"),
        ((IHE_TRANSACTION, "ITI-71", "Get Access Token"),),
    ),
    "consent": (_RECORD, ((OWN_EVENT, "consent", "Consent of the patient"),)),
    "ground": (_RECORD, ((OWN_EVENT, "ground", "Ground for disclosure"),)),
    "erasure": (_RECORD, ((LIFECYCLE, "destroy", "Destroy/Delete Record Lifecycle Event"),)),
    "log": ((DCM, "110101", "Audit Log Used"), ((OWN_EVENT, "log", "Log read"),)),
}
"""The type and subtypes of events that are no FHIR interaction: a token asked for, a patient's consent given
(C) or withdrawn (U), a ground written (C), ended (U) or read (R), a patient's data erased (D), the log read."""

_GIVEN: tuple[Coded, ...] = (
    (LIFECYCLE, "disclose", "Disclose Record Lifecycle Event"),
    (OWN_EVENT, "exchange", "Exchange"),
)
EXCHANGE: dict[View, tuple[Coded, tuple[Coded, ...]]] = {
    "source": ((DCM, "110106", "Export"), _GIVEN),
    "recipient": ((DCM, "110107", "Import"), _GIVEN),
}
"""The type and subtypes of `exchange`: data of a patient given to or taken from another organisation."""


class Person(Protocol):
    """A professional: Dezi or UZI number or local account, name, role code, and who gave the mandate or
    ''."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def responsible(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of the log.

    `subtype` is a FHIR interaction or one of `token`, `consent`, `ground`, `erasure`, `log`, `exchange`;
    `reason` the code of a refusal or failure, `explanation` a sentence beside it. `requester` and `holder` are
    URAs (the client of a patient is known by its host name), `patient` a BSN ('' when none is known): an answer
    about several patients is one event for each. `query` is the request as it was made, `token` the id (jti) of
    the access token, `ground` and `rule` the ids of the ground and the authorisation rule that decided, `checks`
    what was checked in order. `resources` are the versions disclosed, as Type/id/_history/n. `network_address`
    is where the requester was seen,
    `holder_address` where it asked.
    """

    subtype: str
    action: Action
    outcome: Outcome
    requester: str
    holder: str
    reason: str = ""
    explanation: str = ""
    decision: str = field(default_factory=new_id)
    requester_name: str = ""
    holder_name: str = ""
    user: Person | None = None
    purpose: str = ""
    treatment_relation: str = ""
    patient: str = ""
    patient_name: str = ""
    query: str = ""
    request_id: str = ""
    token: str = ""
    ground: str = ""
    rule: str = ""
    checks: tuple[str, ...] = ()
    network_address: str = ""
    holder_address: str = ""
    resources: tuple[str, ...] = ()
    view: View = "source"

    @property
    def observer(self) -> str:
        """The URA of the organisation that writes the event down."""
        return self.holder if self.view == "source" else self.requester
