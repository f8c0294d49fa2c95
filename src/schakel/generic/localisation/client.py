"""The client of the NVI (Nationale Verwijsindex), on the wire of its code of July 2026: List resources, reduced.

Records are deleted by id and in no other way. On this wire a DELETE without an id whose parameters are not complete
removes every record of the provider, so that there is no such call here.

A question about a patient has its pseudonym in the address: addresses are never logged, shown or put into an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin

import orjson

from schakel.facilities import Answer, Facility, FacilityAway, TokenSource, send_with_token
from schakel.generic.localisation import lists
from schakel.generic.localisation.model import Found, NviRefused, NviUnclear, PatientTokens, Record
from schakel.kernel.values import Bsn

_TYPE = "application/fhir+json"
_PAGES = 1000
"""Pages of an answer that are followed, at most."""


@dataclass(frozen=True, slots=True)
class NviRules:
    """What the installation wants: `source` names our software in each record, as an identifier of `source_system`; the
    scopes are those of the token for each kind of request."""

    source: str
    source_system: str = "urn:ietf:rfc:3986"
    create: str = "nvi:create"
    read: str = "nvi:read"
    delete: str = "nvi:delete"
    localise: str = "nvi:localize"


class NviClient:
    """Asks the index behind `facility`, whose base is that of its FHIR API, on behalf of provider `ura`; for all our
    records at once, which come in one answer, behind `whole`: the same with more patience.

    Every call raises `FacilityAway` when no usable answer came, and `NviRefused`, `TokenRefused` or what `pseudonyms`
    raises when they will not.
    """

    def __init__(
        self,
        facility: Facility,
        tokens: TokenSource | None,
        pseudonyms: PatientTokens,
        ura: str,
        rules: NviRules,
        whole: Facility | None = None,
    ) -> None:
        self._facility = facility
        self._whole = whole or facility
        self._tokens = tokens
        self.pseudonyms = pseudonyms
        self.ura = ura
        self.rules = rules

    async def create(self, patient: Bsn, category: str) -> Record | None:
        """Registers that we have data of this category; None when there is such a record already (409), of which the
        answer does not tell the id. `category` of the record is '' when the index did not keep it."""

        async def ask() -> Answer:
            token = (await self.pseudonyms.token(patient)).value
            body = orjson.dumps(lists.record(self.ura, token, self.rules, category))
            return await self._send("POST", "/List", self.rules.create, body)

        answer = await self._asked(ask)
        if answer.status == 409:
            return None
        if not 200 <= answer.status < 300:
            raise self._refusal(answer)
        made = lists.read(_json(answer.body))
        if isinstance(made, str):
            raise FacilityAway(self._facility.name, f"an answer to a registration in which {made}")
        if made.ura != self.ura:
            raise FacilityAway(self._facility.name, "an answer to a registration that names another provider")
        return made

    async def localise(self, patient: Bsn) -> Found:
        """The records of all providers."""
        return await self._of_patient(patient, "", self.rules.localise)

    async def own(self, patient: Bsn) -> Found:
        """Our own records of a patient, as far as they name our software."""
        return self._ours(
            await self._of_patient(patient, f"&source%3Aidentifier={self._source()}", self.rules.localise)
        )

    async def all_own(self) -> Found:
        """Our own records of all patients, as far as they name our software. They do not tell whose they are."""
        path = f"/List?source%3Aidentifier={self._source()}"
        answer = await self._send("GET", path, self.rules.localise, facility=self._whole)
        return self._ours(await self._found(answer))

    async def read(self, record: str) -> Record | None:
        """One of our own records; None when there is none with this id."""
        answer = await self._send("GET", f"/List/{_checked(record)}", self.rules.read)
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise self._refusal(answer)
        found = lists.read(_json(answer.body))
        if isinstance(found, str):
            raise FacilityAway(self._facility.name, f"a record in which {found}")
        return found

    async def delete(self, record: str) -> bool:
        """Deletes one of our own records; False when it was gone already. The index answers 201 for done."""
        answer = await self._send("DELETE", f"/List/{_checked(record)}", self.rules.delete)
        if answer.status in (404, 410):
            return False
        if not 200 <= answer.status < 300:
            raise self._refusal(answer)
        return True

    # -- the wire ------------------------------------------------------------------------------------------

    async def _of_patient(self, patient: Bsn, more: str, scope: str) -> Found:
        async def ask() -> Answer:
            token = (await self.pseudonyms.token(patient)).value
            subject = quote(f"{lists.SUBJECT_SYSTEM}|{token}", safe="")
            return await self._send("GET", f"/List?subject%3Aidentifier={subject}{more}", scope)

        return await self._found(await self._asked(ask))

    async def _asked(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to what is asked with a pseudonym, asked again with a fresh one when that was refused."""
        answer = await ask()
        if _doubts_pseudonym(answer):
            answer = await ask()
            if _doubts_pseudonym(answer):
                raise NviUnclear(self._facility.name, "it does not take our pseudonyms, or cannot open them")
        return answer

    async def _found(self, answer: Answer) -> Found:
        """The records of an answer and of the pages that follow it."""
        records: dict[tuple[str, str, str], Record] = {}
        unreadable: list[str] = []
        entries = 0
        for _ in range(_PAGES):
            if answer.status != 200:
                raise self._refusal(answer)
            page = lists.page(_json(answer.body))
            if isinstance(page, str):
                raise FacilityAway(self._facility.name, f"an answer {page}")
            for one in page.records:
                records.setdefault((one.id, one.ura, one.source), one)
            unreadable += page.unreadable
            entries += page.entries
            if not page.next:
                if page.total is not None and page.total > entries:
                    raise FacilityAway(self._facility.name, "an answer with fewer records than it counts")
                return Found(tuple(records.values()), tuple(unreadable))
            following = urljoin(f"{self._facility.base}/List", page.next)
            answer = await self._send("GET", following, self.rules.localise)
        raise FacilityAway(self._facility.name, "an answer without an end")

    def _ours(self, found: Found) -> Found:
        """The records with our number and our software: nothing else is taken to be ours."""
        mine = tuple(r for r in found.records if r.ura == self.ura and r.source == self.rules.source)
        return Found(mine, found.unreadable)

    def _source(self) -> str:
        return quote(f"{self.rules.source_system}|{self.rules.source}", safe="")

    async def _send(
        self, method: str, path: str, scopes: str, body: bytes = b"", facility: Facility | None = None
    ) -> Answer:
        headers = {"Accept": _TYPE, **({"Content-Type": _TYPE} if body else {})}
        return await send_with_token(
            facility or self._facility, self._tokens, scopes, method, path, body=body, headers=headers
        )

    def _refusal(self, answer: Answer) -> FacilityAway | NviRefused:
        name, status = self._facility.name, answer.status
        if status >= 500 or status in (408, 429):
            return FacilityAway(name, f"it answered {status}")
        said = lists.said(_json(answer.body))
        return NviRefused(name, f"status {status}{f': {said}' if said else ''}")


def _doubts_pseudonym(answer: Answer) -> bool:
    """Whether an answer refuses the pseudonym, which also is what comes when the index cannot open it just now."""
    return answer.status == 400 and "pseudonym" in lists.said(_json(answer.body)).lower()


def _checked(record: str) -> str:
    """`record` as a part of a path: an id that is none would name another address."""
    if not lists.is_id(record):
        raise ValueError("not the id of a record")
    return record


def _json(body: bytes) -> Mapping[str, Any]:
    """The JSON object in an answer; an empty one when there is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
