"""The JSON routes: the same registrations without FHIR. Organisation and source are those of the caller's token."""

from __future__ import annotations

from typing import Any

from schakel_national.nvi.caller import CREATE, DELETE, LOCALISE, READ, Caller
from schakel_national.nvi.model import Plain
from schakel_national.nvi.outcomes import Broken, Refused
from schakel_national.nvi.pseudonyms import Away, Pseudonyms, Token, Unreadable
from schakel_national.nvi.register import Referral, Register, Where


class Registrations:
    """Raises `Refused` and `Broken`."""

    def __init__(self, register: Register, pseudonyms: Pseudonyms) -> None:
        self._register = register
        self._pseudonyms = pseudonyms

    def create(self, caller: Caller, asked: Plain) -> dict[str, Any]:
        """A new registration."""
        caller.need(CREATE)
        source = _source(caller)
        made = self._register.add(caller.ura, self._pseudonym(asked), source)
        if made is None:
            raise Refused(409, "conflict", "Record already exists")
        return _told(made)

    def own(self, caller: Caller, asked: Plain) -> dict[str, Any]:
        """The caller's own about this patient, of every source."""
        caller.need(READ)
        found = self._register.find(Where(caller.ura, self._pseudonym(asked)))
        return {"registrations": [_told(one) for one in found], "total": len(found)}

    def delete(self, caller: Caller, asked: Plain) -> None:
        """Takes the caller's own of its own source away, if there is one."""
        caller.need(DELETE)
        source = _source(caller)
        self._register.delete(Where(caller.ura, self._pseudonym(asked), source))

    def localise(self, caller: Caller, asked: Plain) -> list[dict[str, Any]]:
        """Those of all organisations."""
        caller.need(LOCALISE)
        return [_told(one) for one in self._register.find(Where(pseudonym=self._pseudonym(asked)))]

    def _pseudonym(self, asked: Plain) -> str:
        try:
            return self._pseudonyms.of(Token(asked.pseudonym, asked.oprf_key))
        except Away as error:
            raise Broken from error
        except Unreadable as error:
            raise Refused(400, "invalid", "Invalid pseudonym or oprf_key") from error


def _source(caller: Caller) -> str:
    if not caller.source_id:
        raise Refused(400, "invalid", "source_id is required to complete transaction")
    return caller.source_id


def _told(referral: Referral) -> dict[str, Any]:
    return {"ura_number": referral.ura, "source_id": referral.source, "created_at": referral.created_at}
