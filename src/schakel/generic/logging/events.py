"""What can be logged: the one place where an event is declared, with what each audience may see of it.

An event is kept as its fields. The AuditEvent, the patient's view and the officer's export are all made from `FIELDS`
and the event, so that a field that is added must be given its audiences first.

Source: NEN 7513:2018 and the decree of 2019 (fields), DICOM PS3.16 and FHIR R4 for codes, IHE BALP 1.1.3 for
the patterns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

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
_LOG_USED = (DCM, "110101", "Audit Log Used")

OWN: dict[str, tuple[Coded, tuple[Coded, ...]]] = {
    "token": (
        (DCM, "110114", "User Authentication"),
        ((IHE_TRANSACTION, "ITI-71", "Get Access Token"),),
    ),
    "consent": (_RECORD, ((OWN_EVENT, "consent", "Consent of the patient"),)),
    "ground": (_RECORD, ((OWN_EVENT, "ground", "Ground for disclosure"),)),
    "erasure": (_RECORD, ((LIFECYCLE, "destroy", "Destroy/Delete Record Lifecycle Event"),)),
    "log": (_LOG_USED, ((OWN_EVENT, "log", "Log read"),)),
    "log-export": (_LOG_USED, ((OWN_EVENT, "log-export", "Log exported"),)),
    "retention": (
        _LOG_USED,
        ((OWN_EVENT, "retention", "Events past their term removed"),),
    ),
    "login": (
        (DCM, "110114", "User Authentication"),
        ((DCM, "110122", "Login"),),
    ),
    "logout": (
        (DCM, "110114", "User Authentication"),
        ((DCM, "110123", "Logout"),),
    ),
    "token-withdrawn": (
        (DCM, "110114", "User Authentication"),
        ((OWN_EVENT, "token-withdrawn", "Access token withdrawn"),),
    ),
    "localised": (
        (DCM, "110112", "Query"),
        ((OWN_EVENT, "localised", "Organisations that have data of a patient looked up"),),
    ),
    "registered": (
        _RECORD,
        ((OWN_EVENT, "registered", "Told the national index that we have data of a patient"),),
    ),
    "consent-asked": (
        (DCM, "110112", "Query"),
        ((OWN_EVENT, "consent-asked", "Consent asked of the national register"),),
    ),
    "consent-notified": (
        _RECORD,
        ((OWN_EVENT, "consent-notified", "Change of consent told by the national register"),),
    ),
    "subscription": (_RECORD, ((OWN_EVENT, "subscription", "Subscription to changes of consent"),)),
    "break-glass": (
        (DCM, "110113", "Security Alert"),
        (
            (DCM, "110127", "Emergency Override Started"),
            (OWN_EVENT, "break-glass", "Access in an emergency without consent"),
        ),
    ),
    "break-glass-review": (
        (DCM, "110113", "Security Alert"),
        ((OWN_EVENT, "break-glass-review", "Access in an emergency judged by the holder"),),
    ),
}
"""The type and subtypes of events that are no FHIR interaction: a token asked for or withdrawn, a professional who
logged in or out (E), a patient's consent given (C) or withdrawn (U), a ground written (C), ended (U) or read (R), a
patient's data erased (D), who has data of a patient looked up (E), the national index told that we have (C) or no
longer have (D) data, the log read or exported, events removed from it at the end of their term (D); consent asked
(E) or notified (U) at the national register, a subscription there made (C) or ended (D), emergency access (E) and the
holder's second look at it (U)."""

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


@dataclass(frozen=True, slots=True)
class LoggedPerson:
    """A professional as an event keeps it; see `Person`."""

    id: str
    name: str = ""
    role: str = ""
    responsible: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of the log.

    `subtype` is a FHIR interaction or a name in `OWN` or `exchange`; `reason` the code of a refusal or failure,
    `explanation` a sentence beside it (of an emergency: the reason that was given). `requester` and `holder` are
    URAs (the client of a patient is known by its host name), `patient` a BSN ('' when none is known): an answer
    about several patients is one event for each. `user` is the professional, `account` the same one's account in the
    asking organisation, `assurance` the level at which that person proved who they are. `query` is the request as it
    was made, `token` the id (jti) of the access token.

    `rule` is the authorisation rule that decided and `policy` the digest of the policy it stands in, `ground` the id
    of the ground and `ground_kind` its kind, `checks` what was checked in order. `resources` are the versions
    disclosed, as Type/id/_history/n, `confidentiality` the code of their label (v3-Confidentiality).
    `network_address` is where the requester was seen, `holder_address` where it asked. `correlation` is what the
    events of one question have in common in all organisations, `trace` the W3C traceparent; the writer takes both
    from the request that is being answered when they are ''.
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
    account: str = ""
    assurance: str = ""
    purpose: str = ""
    treatment_relation: str = ""
    patient: str = ""
    patient_name: str = ""
    query: str = ""
    request_id: str = ""
    token: str = ""
    ground: str = ""
    ground_kind: str = ""
    rule: str = ""
    policy: str = ""
    checks: tuple[str, ...] = ()
    network_address: str = ""
    holder_address: str = ""
    resources: tuple[str, ...] = ()
    confidentiality: str = ""
    correlation: str = ""
    trace: str = ""
    view: View = "source"

    @property
    def observer(self) -> str:
        """The URA of the organisation that writes the event down."""
        return self.holder if self.view == "source" else self.requester


# -- who sees what -----------------------------------------------------------------------------------------

Audience: TypeAlias = Literal["patient", "officer", "technical"]
"""The patient whom an event is about, the organisation's privacy or security officer, and systems that watch over
the node (a SIEM), which learn nothing of a person."""

_ALL: frozenset[Audience] = frozenset({"patient", "officer", "technical"})
_PEOPLE: frozenset[Audience] = frozenset({"patient", "officer"})
_WATCH: frozenset[Audience] = frozenset({"officer", "technical"})
_OFFICER: frozenset[Audience] = frozenset({"officer"})


@dataclass(frozen=True, slots=True)
class Seen:
    """A field of `Event`: who may see it, and what NEN 7513 calls it ('' for what is ours)."""

    by: frozenset[Audience]
    nen: str


FIELDS: Mapping[str, Seen] = {
    "subtype": Seen(_ALL, "EventID, EventTypeCode"),
    "action": Seen(_ALL, "EventActionCode"),
    "outcome": Seen(_ALL, "EventOutcomeIndicator"),
    "reason": Seen(_ALL, "EventOutcomeIndicator"),
    "explanation": Seen(_PEOPLE, ""),
    "requester": Seen(_ALL, "userID"),
    "requester_name": Seen(_PEOPLE, "userName"),
    "holder": Seen(_ALL, "AuditEnterpriseSiteID"),
    "holder_name": Seen(_PEOPLE, "AuditSourceID"),
    "view": Seen(_ALL, "AuditSourceID"),
    "user": Seen(_PEOPLE, "userID, userName, userIsRequestor, roleIDCode, responsible user"),
    "account": Seen(_OFFICER, "alternateUserID"),
    "assurance": Seen(_PEOPLE, ""),
    "purpose": Seen(_ALL, "purposeOfUse"),
    "treatment_relation": Seen(_PEOPLE, "behandelrelatieProtocol"),
    "patient": Seen(_PEOPLE, "participantObjectID"),
    "patient_name": Seen(_PEOPLE, "participantObjectName"),
    "query": Seen(_PEOPLE, "participantObjectDetail"),
    "resources": Seen(_PEOPLE, "participantObjectID"),
    "confidentiality": Seen(_PEOPLE, "participantObjectSensitivity"),
    "request_id": Seen(_PEOPLE, "participantObjectDetail"),
    "token": Seen(_OFFICER, "participantObjectPermissionPolicySet"),
    "ground": Seen(_PEOPLE, "toestemmingsProfiel"),
    "ground_kind": Seen(_ALL, "toestemmingsProfiel"),
    "rule": Seen(_ALL, "autorisatieProtocol"),
    "policy": Seen(_ALL, "autorisatieProtocol"),
    "checks": Seen(_OFFICER, "controles"),
    "network_address": Seen(_OFFICER, "networkAccessPointID, networkAccessPointTypeCode"),
    "holder_address": Seen(_OFFICER, "networkAccessPointID, networkAccessPointTypeCode"),
    "decision": Seen(_ALL, ""),
    "correlation": Seen(_ALL, ""),
    "trace": Seen(_WATCH, ""),
}
"""Every field of `Event`, in the order in which an export gives them. `checks` may name records that were held back,
so that it is the officer's alone. The patient reads who it was and not on which network."""


def seen(event: Event, audience: Audience) -> Event:
    """`event` with only what this audience may see."""
    hidden: dict[str, Any] = {
        name: _EMPTY[name] for name, field in FIELDS.items() if audience not in field.by
    }
    return replace(event, **hidden)


_EMPTY = {name: () if name in ("checks", "resources") else None if name == "user" else "" for name in FIELDS}
