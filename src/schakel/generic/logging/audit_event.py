"""The FHIR form of an event: an R4 AuditEvent.

Source: FHIR R4 AuditEvent; IHE BALP 1.1.3 (Query, Read, Create, Update, Delete and their Patient forms,
PrivacyDisclosure); the field table of NEN 7513. A BALP profile is claimed only when the event has all that it
asks: success, both network addresses, and the patient, query or data it is about. BALP allows one entity of
type 2 (the query, or the resource read), so that other entities have a type of their own.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from schakel.fhir.json import Resource
from schakel.generic.logging.events import (
    DCM,
    EXCHANGE,
    OWN,
    OWN_EVENT,
    REST,
    RESTFUL,
    RESTFUL_INTERACTION,
    Coded,
    Event,
    Person,
)
from schakel.kernel.clock import instant
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM, UZI_SYSTEM

_PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_BALP_ENTITY = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
_OWN_ENTITY = "urn:schakel:audit-entity"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_ROLES = "urn:oid:2.16.840.1.113883.2.4.15.111"
_SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"

_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle"
_LIFECYCLES: dict[str, tuple[str, str]] = {
    "C": ("1", "Origination / Creation"),
    "R": ("6", "Access / Use"),
    "U": ("3", "Amendment"),
    "D": ("14", "Logical deletion"),
    "E": ("6", "Access / Use"),
    "source": ("11", "Disclosure"),
    "recipient": ("12", "Receipt of disclosure"),
}
"""What was done to the data, by action; of an exchange by who writes it down."""

_SENDER: Coded = (DCM, "110153", "Source Role ID")
_RECEIVER: Coded = (DCM, "110152", "Destination Role ID")

_PROFILES = {
    "read": "Read",
    "vread": "Read",
    "search-type": "Query",
    "search-system": "Query",
    "create": "Create",
    "update": "Update",
    "delete": "Delete",
}
_DATA_COMES_BACK = frozenset({"read", "vread", "exchange"})
"""BALP: the requester is the destination in these, in all others (also a query) the source."""

_UZI_NUMBER = re.compile(r"[0-9]{9}")
_READING_ACTIONS = frozenset({"R", "E"})


def audit_event(event: Event, recorded: datetime, logical_id: str) -> Resource:
    """`event` as AuditEvent with this id, recorded at this moment; made to be written, not to be changed."""
    kind, subtypes = _codes(event)
    return _present(
        {
            "resourceType": "AuditEvent",
            "id": logical_id,
            "meta": {"profile": [profile]} if (profile := _profile(event)) else None,
            "type": _coding(kind),
            "subtype": [_coding(one) for one in subtypes],
            "action": event.action,
            "recorded": instant(recorded),
            "outcome": event.outcome,
            "outcomeDesc": event.reason,
            "purposeOfEvent": _purpose(event),
            "agent": _agents(event),
            "source": _source(event),
            "entity": _entities(event),
        }
    )


def _codes(event: Event) -> tuple[Coded, tuple[Coded, ...]]:
    """The type and the subtypes."""
    if event.subtype == "exchange":
        return EXCHANGE[event.view]
    if event.subtype in OWN:
        return OWN[event.subtype]
    system = RESTFUL_INTERACTION if event.subtype in RESTFUL else OWN_EVENT
    return REST, ((system, event.subtype, ""),)


def _profile(event: Event) -> str:
    """The BALP profile that the event meets, or ''."""
    if event.outcome != "0" or not (event.network_address and event.holder_address):
        return ""
    patient = bool(event.patient)
    if event.subtype == "exchange":
        action = "R" if event.view == "source" else "C"
        whole = event.action == action and patient and bool(event.resources or event.query)
        return f"{_PROFILE}PrivacyDisclosure.{event.view.capitalize()}" if whole else ""
    name = _PROFILES.get(event.subtype)
    if name is None or not (event.query if name == "Query" else len(event.resources) == 1):
        return ""
    return f"{_PROFILE}{'Patient' if patient else ''}{name}"


# -- who ---------------------------------------------------------------------------------------------------


def _agents(event: Event) -> list[dict[str, Any]]:
    """The requester's system, the holder's system, the user and who gave the user the mandate."""
    asks, answers = (_RECEIVER, _SENDER) if event.subtype in _DATA_COMES_BACK else (_SENDER, _RECEIVER)
    policy = [f"urn:jti:{event.token}"] if event.token else None
    agents = [
        _organisation(asks, event.requester, event.requester_name, event.network_address),
        _organisation(answers, event.holder, event.holder_name, event.holder_address),
    ]
    if event.user is None:
        agents[0] |= _present({"policy": policy, "purposeOfUse": _purpose(event)})
        return agents
    agents.append(_user(event, event.user, policy))
    if event.user.responsible:
        mandate = (_PARTICIPATION, "RESP", "responsible party")
        agents.append({"type": _concept(mandate), "who": _person(event.user.responsible), "requestor": False})
    return agents


def _organisation(kind: Coded, ura: str, name: str, address: str) -> dict[str, Any]:
    return _present(
        {
            "type": _concept(kind),
            "who": _present({"identifier": _party(ura), "display": name}),
            "requestor": False,
            "network": {"address": _printable(address), "type": _network_type(address)} if address else None,
        }
    )


def _party(number: str) -> dict[str, str]:
    """An organisation by its URA; the client of a patient, which has none, by its host name."""
    if number.isdigit():
        return {"system": URA_SYSTEM, "value": number}
    return {"system": "urn:ietf:rfc:3986", "value": f"https://{number}"}


def _user(event: Event, user: Person, policy: list[str] | None) -> dict[str, Any]:
    if event.action in _READING_ACTIONS or event.subtype == "exchange":
        part = (_PARTICIPATION, "IRCP", "information recipient")
    else:
        part = (_PARTICIPATION, "AUT", "author (originator)")
    return _present(
        {
            "type": _concept(part),
            "role": [{"coding": [{"system": _ROLES, "code": user.role}]}] if user.role else None,
            "who": _person(user.id),
            "altId": _printable(event.account)
            if event.account
            else ("" if _UZI_NUMBER.fullmatch(user.id) else user.id),
            "name": user.name,
            "requestor": True,
            "policy": policy,
            "purposeOfUse": _purpose(event),
        }
    )


def _person(number: str) -> dict[str, Any]:
    """A reference to a professional: a Dezi or UZI number has nine digits, all else is a local account."""
    system = {"system": UZI_SYSTEM} if _UZI_NUMBER.fullmatch(number) else {}
    return {"identifier": {**system, "value": number}}


def _source(event: Event) -> dict[str, Any]:
    """The organisation that writes the event down, and its kind of system."""
    name = event.holder_name if event.view == "source" else event.requester_name
    return {
        "site": event.observer,
        "observer": _present(
            {"identifier": {"system": URA_SYSTEM, "value": event.observer}, "display": name}
        ),
        "type": [{"system": _SOURCE_TYPE, "code": "4", "display": "Application Server"}],
    }


@lru_cache(maxsize=1024)
def _network_type(address: str) -> str:
    """1 name of a machine, 2 IP address, 5 URI (R4 network-type)."""
    if "://" in address:
        return "5"
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return "1"
    return "2"


# -- what --------------------------------------------------------------------------------------------------


def _entities(event: Event) -> list[dict[str, Any]]:
    """Patient, query, resources disclosed, request id, and the decision with its grounds."""
    entities = []
    if event.patient:
        entities.append(
            _present(
                {
                    "what": {
                        "type": "Patient",
                        "identifier": {"system": BSN_SYSTEM, "value": event.patient},
                    },
                    "type": _coding((_ENTITY_TYPE, "1", "Person")),
                    "role": _coding((_OBJECT_ROLE, "1", "Patient")),
                    "name": event.patient_name,
                }
            )
        )
    # The type of BALP's one query or data entity; see the head of this module.
    system_object = _coding((_ENTITY_TYPE, "2", "System Object"))
    about_data = event.subtype in _PROFILES and _PROFILES[event.subtype] != "Query"
    if event.query:
        text = event.query.encode(errors="backslashreplace")
        entities.append(
            {
                "type": _coding((_OWN_ENTITY, "request", "Request")) if about_data else system_object,
                "role": _coding((_OBJECT_ROLE, "24", "Query")),
                "query": base64.b64encode(text).decode(),
            }
        )
    for resource in event.resources:
        name = resource.partition("/")[0]
        entities.append(
            {
                "what": {"reference": resource},
                "type": system_object if about_data else {"system": _RESOURCE_TYPES, "code": name},
                "lifecycle": _coding(
                    (_LIFECYCLE, *_LIFECYCLES[event.view if event.subtype == "exchange" else event.action])
                ),
                "role": _coding((_OBJECT_ROLE, "4", "Domain Resource")),
                **({"securityLabel": [labelled]} if (labelled := _label(event)) else {}),
            }
        )
    if event.request_id:
        entities.append(
            {
                "what": {"identifier": {"value": _printable(event.request_id)}},
                "type": {"system": _BALP_ENTITY, "code": "XrequestId"},
            }
        )
    if event.correlation:
        entities.append(
            {
                "what": {"identifier": {"value": _printable(event.correlation)}},
                "type": _coding((_OWN_ENTITY, "correlation", "Correlation")),
                **({"detail": [{"type": "traceparent", "valueString": event.trace}]} if event.trace else {}),
            }
        )
    return [*entities, _decision(event)]


def _label(event: Event) -> dict[str, str]:
    return {"system": _CONFIDENTIALITY, "code": event.confidentiality} if event.confidentiality else {}


def _decision(event: Event) -> dict[str, Any]:
    """The decision: its id and, under the names of NEN 7513, what it rests on."""
    pairs = (
        ("autorisatieProtocol", event.rule),
        ("autorisatieProtocolVersie", event.policy),
        ("behandelrelatieProtocol", event.treatment_relation),
        ("toestemmingsProfiel", "/".join(part for part in (event.ground_kind, event.ground) if part)),
        ("controles", "; ".join(event.checks)),
        ("betrouwbaarheidsniveau", event.assurance),
        ("toelichting", event.explanation),
    )
    return _present(
        {
            "what": {"identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{event.decision}"}},
            "type": _coding((_OWN_ENTITY, "decision", "Decision")),
            "role": _coding((_OBJECT_ROLE, "13", "Security Resource")),
            "detail": [{"type": name, "valueString": value} for name, value in pairs if value],
        }
    )


def _purpose(event: Event) -> list[dict[str, Any]]:
    if not event.purpose:
        return []
    return [{"coding": [{"system": _ACT_REASON, "code": event.purpose}]}]


def _printable(text: str) -> str:
    """`text` of a caller as a FHIR string: escaped where it cannot be printed, cut off when too long."""
    if text.isprintable() and len(text) <= 200:
        return text.strip() or "-"
    shown = (one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:200])
    return "".join(shown).strip() or "-"


@cache
def _coding(coded: Coded) -> dict[str, str]:
    """The same object each time: codes are few and events many. Nobody changes it."""
    system, code, display = coded
    return _present({"system": system, "code": code, "display": display})


@cache
def _concept(coded: Coded) -> dict[str, Any]:
    return {"coding": [_coding(coded)]}


def _present(members: dict[str, Any]) -> dict[str, Any]:
    """`members` without those that are empty; FHIR has no empty elements."""
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}
