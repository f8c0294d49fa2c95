"""Registrations as Lists, and on the JSON routes: what may be made, found and taken away by whom."""

from __future__ import annotations

from typing import Any

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import URA_SYSTEM, Ura
from schakel_national.nvi.caller import CREATE, DELETE, LOCALISE, READ, Caller
from schakel_national.nvi.model import SOURCE_SYSTEM, SUBJECT_SYSTEM, VWS, Extension, ListResource, Parameters
from schakel_national.nvi.outcomes import Refused, Unauthorised
from schakel_national.nvi.pseudonyms import Away, Pseudonyms, Token, Unreadable
from schakel_national.nvi.register import Referral, Register, Where

_CUSTODIAN = f"{VWS}/StructureDefinition/nl-gf-localization-custodian"
_SAID_SOURCE_SYSTEM = "https://cp1-test.example.org/device-identifiers"
"""Not the system that a create must have: the real one has it written in its code."""

_EMPTY_REASON = "http://terminology.hl7.org/CodeSystem/list-empty-reason"


class Lists:
    """The FHIR side. Raises `Refused` (`Unauthorised` for what the caller may not do) and `Broken`."""

    def __init__(self, register: Register, pseudonyms: Pseudonyms) -> None:
        self._register = register
        self._pseudonyms = pseudonyms

    def create(self, caller: Caller, asked: ListResource) -> Referral:
        """A new registration."""
        caller.need(CREATE)
        caller.manage()
        self._pseudonyms.ensure_key()
        ura, subject, source = _custodian(asked.extension), _subject(asked), _source(asked)
        if ura != caller.ura:
            raise Unauthorised("Registration not linked to the authorized URA")
        made = self._register.add(ura, self._pseudonym(subject), source)
        if made is None:
            raise Refused(409, "conflict", "Record already exists")
        return made

    def read(self, caller: Caller, identifier: str) -> Referral:
        """A registration of the caller's own."""
        caller.need(READ)
        self._pseudonyms.ensure_key()
        found = self._register.get(identifier)
        if found is None or found.ura != caller.ura:
            raise Refused(404, "not-found", "Record not found")
        return found

    def search(self, caller: Caller, parameters: Parameters) -> list[Referral]:
        """With a subject alone those of all organisations, otherwise the caller's own."""
        caller.need(LOCALISE)
        self._pseudonyms.ensure_key()
        pseudonym = self._pseudonym(parameters.subject) if parameters.subject else ""
        everyone = pseudonym and not parameters.source
        return self._register.find(Where("" if everyone else caller.ura, pseudonym, parameters.source))

    def delete(self, caller: Caller, identifier: str) -> None:
        """Takes a registration of the caller's own away."""
        caller.need(DELETE)
        self._pseudonyms.ensure_key()
        found = self._register.get(identifier)
        if found is None:
            raise Refused(404, "not-found", "Record not found")
        if found.ura != caller.ura:
            raise Refused(404, "warning", f"Resource {identifier} does not exist")
        self._register.delete_one(identifier)

    def delete_where(self, caller: Caller, parameters: Parameters) -> None:
        """Takes what matches away of the caller's own: without a parameter that counts, all of it."""
        caller.need(DELETE)
        caller.manage()
        self._pseudonyms.ensure_key()
        pseudonym = self._pseudonym(parameters.subject, deleting=True) if parameters.subject else ""
        self._register.delete(Where(caller.ura, pseudonym, parameters.source))

    def _pseudonym(self, value: str, deleting: bool = False) -> str:
        try:
            return self._pseudonyms.of(Token.read(value), deleting)
        except (Unreadable, Away) as error:
            # The real one does not tell an outage of its crypto service from a token that is wrong.
            raise Refused(400, "invalid", "Invalid pseudonym in subject:identifier") from error


def written(referral: Referral) -> dict[str, Any]:
    """A registration as a List; the patient is left out."""
    return {
        "id": referral.id,
        "resourceType": "List",
        "extension": [
            {
                "url": _CUSTODIAN,
                "valueReference": {"identifier": {"system": URA_SYSTEM, "value": referral.ura}},
            }
        ],
        "status": "current",
        "mode": "working",
        "source": {
            "identifier": {"system": _SAID_SOURCE_SYSTEM, "value": referral.source},
            "type": "Device",
        },
        "emptyReason": {"coding": [{"system": _EMPTY_REASON, "code": "withheld"}]},
    }


def searchset(referrals: list[Referral]) -> dict[str, Any]:
    """What was found, on one page."""
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(referrals),
        "entry": [{"resource": written(one)} for one in referrals],
    }


def _custodian(extensions: list[Extension]) -> str:
    """The URA in the first extension that has one."""
    for one in extensions:
        identifier = one.valueReference.identifier if one.valueReference else None
        if identifier is not None and identifier.system == URA_SYSTEM:
            try:
                return str(Ura(identifier.value or ""))
            except Invalid as error:
                raise _wrong("Invalid URA Number in List.extension") from error
    raise _wrong(f"Missing identifier with naming system {URA_SYSTEM} in List.extension")


def _subject(asked: ListResource) -> str:
    if asked.subject is None:
        raise _wrong("List.subject is required")
    identifier = asked.subject.identifier
    if identifier is None or identifier.system != SUBJECT_SYSTEM:
        raise _wrong(f"List.subject.identifier.system must be {SUBJECT_SYSTEM}")
    return identifier.value or ""


def _source(asked: ListResource) -> str:
    identifier = asked.source.identifier
    if identifier is None or identifier.system != SOURCE_SYSTEM:
        raise _wrong(f"List.source.identifier should include system {SOURCE_SYSTEM}")
    if not identifier.value:
        raise _wrong("List.source.identifier.value is required")
    return identifier.value


def _wrong(text: str) -> Refused:
    return Refused(400, "invalid", text)
