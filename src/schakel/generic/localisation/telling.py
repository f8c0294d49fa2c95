"""Telling the index what became of one patient: registers what is waiting, withdraws what must go.

It may be cut off anywhere, and done again from the start. What the index was told and we did not write down is found
there again: a registration that is there already is looked up, and a withdrawal looks for what is left. Each step says
first that it is still ours, and moves the time ahead at which another takes over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import asyncpg
import structlog

from schakel.facilities import FacilityAway
from schakel.generic.localisation.client import NviClient
from schakel.generic.localisation.model import NviRefused, Record
from schakel.generic.localisation.register import COLUMNS, Claim, Objecting, Registration, Rule, registration
from schakel.kernel.background import pause
from schakel.kernel.outcomes import Outcome
from schakel.kernel.values import Bsn
from schakel.store.connection import acquire

REFUSED_PAUSE = timedelta(days=1)
"""After which something that the index refused is tried again."""

Witness = Callable[[Literal["C", "D"], Registration], Awaitable[None]]
"""Writes down that the index was told of a registration (C) or of its end (D)."""

_log = structlog.get_logger("schakel.localisation")


@dataclass(frozen=True, slots=True)
class Registrar:
    """What registering needs of one organisation: the client of the index, its rules, who knows of objections, and who
    writes down what was told."""

    client: NviClient
    rules: tuple[Rule, ...]
    objecting: Objecting
    witness: Witness


class _TakenOverError(Exception):
    """Another worker has this patient now."""


class Telling:
    """One turn with one patient, whose registrations are `rows` as they were judged."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        client: NviClient,
        witness: Witness,
        claimed: Claim,
        rows: Sequence[Registration],
        lease: timedelta,
    ) -> None:
        self._pool = pool
        self._client = client
        self._witness = witness
        self._claimed = claimed
        self._rows = {row.id: row for row in rows}
        self._lease = lease
        self._patient = Bsn.kept(claimed.patient)

    async def tell(self) -> Outcome | None:
        """Tells everything that can be told, and says when to go on. What stood in the way, if anything did."""
        trouble: Outcome | None = None
        refused: Outcome | None = None
        try:
            for row in self._in("waiting", "refused"):
                try:
                    await self._register(row)
                except NviRefused as error:
                    refused = error
                    await self._written(replace(row, state="refused", error=error.message))
                except Outcome as error:
                    trouble = error
                    break
            for row in self._in("withdrawing"):
                try:
                    await self._withdraw(row)
                except Outcome as error:
                    trouble = trouble or error
            await self._settle(trouble, refused)
        except _TakenOverError:
            return None
        if trouble or refused:
            outcome = trouble or refused
            assert outcome is not None
            _log.warning(
                "localisation", attempt=self._claimed.attempts, code=outcome.kind, cause=outcome.cause
            )
        return trouble or refused

    def _in(self, *states: str) -> list[Registration]:
        return [row for row in self._rows.values() if row.state in states]

    # -- one registration ----------------------------------------------------------------------------------

    async def _register(self, row: Registration) -> None:
        held = self._shared(row)
        if held is not None:
            record, shared = held.record, True
        else:
            found = await self._created(row)
            record, shared = found.id, not found.category
        pseudonyms = self._client.pseudonyms
        told = replace(
            row,
            state="active",
            record=record,
            shared=shared,
            recipient=pseudonyms.recipient,
            scope=pseudonyms.scope,
            source=self._client.rules.source,
            error="",
        )
        await self._witness("C", told)
        await self._written(told)

    def _shared(self, row: Registration) -> Registration | None:
        """A registration whose record there stands for this category too. Not one that is being withdrawn: its record
        may be deleted there already, by a turn that was cut off before it could write that down."""
        key = (
            self._client.pseudonyms.recipient,
            self._client.pseudonyms.scope,
            self._client.rules.source,
        )
        return next(
            (
                one
                for one in self._in("active")
                if one.shared and one.record and (one.recipient, one.scope, one.source) == key
            ),
            None,
        )

    async def _created(self, row: Registration) -> Record:
        """The record of a registration, made or found. Others that say the same are deleted."""
        await self._still_ours()
        made = await self._client.create(self._patient, row.category)
        if made is not None and self._claimed.attempts == 1:
            return made
        found = await self._client.own(self._patient)
        same = [one for one in found.records if one.category in ("", row.category)]
        if made is not None and all(one.id != made.id for one in same):
            same.append(made)
        if not same:
            raise FacilityAway("NVI", "it says that it has a record, and does not show it")
        known = self._records()
        kept = next((one for one in same if one.id in known), made or same[0])
        for one in same:
            if one.id != kept.id and one.id not in known:
                await self._deleted(one.id)
        return kept

    async def _withdraw(self, row: Registration) -> None:
        """Deletes the record of a registration unless another one stands on it, and what else is left of it there."""
        known = self._records()
        if row.record and row.record not in known:
            await self._deleted(row.record)
        if not any(one.shared for one in self._in("active")):
            await self._still_ours()
            for one in (await self._client.own(self._patient)).records:
                if one.id not in known and one.category in ("", row.category):
                    await self._deleted(one.id)
        ended = replace(row, state="withdrawn", record="", error="")
        await self._witness("D", replace(ended, record=row.record))
        await self._written(ended)

    def _records(self) -> set[str]:
        """The records there that active registrations stand on."""
        return {row.record for row in self._in("active") if row.record}

    async def _deleted(self, record: str) -> None:
        await self._still_ours()
        await self._client.delete(record)

    # -- what is written down ------------------------------------------------------------------------------

    async def _still_ours(self) -> None:
        """Moves the time ahead at which another takes over. Raises `_TakenOverError` when one did."""
        async with acquire(self._pool) as connection:
            ours = await connection.fetchval(
                "UPDATE localisation_patient SET run_after = clock_timestamp() + $4 "
                "WHERE tenant = $1 AND patient = $2 AND turn = $3 RETURNING true",
                self._claimed.tenant,
                self._claimed.patient,
                self._claimed.turn,
                self._lease,
            )
        if not ours:
            raise _TakenOverError

    async def _written(self, row: Registration) -> None:
        async with acquire(self._pool) as connection:
            found = await connection.fetchrow(
                "UPDATE localisation_record SET state = $3, record = $4, shared = $5, recipient = $6, scope = $7, "
                "source = $8, error = $9, changed = clock_timestamp(), "
                "registered = CASE WHEN $3 = 'active' THEN clock_timestamp() ELSE registered END, "
                "withdrawn = CASE WHEN $3 = 'withdrawn' THEN clock_timestamp() END "
                "WHERE tenant = $1 AND id = $2 AND EXISTS (SELECT FROM localisation_patient p "
                "WHERE p.tenant = $1 AND p.patient = $10 AND p.turn = $11) "
                f"RETURNING {COLUMNS}",
                self._claimed.tenant,
                row.id,
                row.state,
                row.record,
                row.shared,
                row.recipient,
                row.scope,
                row.source,
                row.error,
                self._claimed.patient,
                self._claimed.turn,
            )
        if found is None:
            raise _TakenOverError
        self._rows[row.id] = registration(found)

    async def _settle(self, trouble: Outcome | None, refused: Outcome | None) -> None:
        """Says when this patient is looked at again, and forgets who is not here and not there any more."""
        tenant, patient, turn = self._claimed.tenant, self._claimed.patient, self._claimed.turn
        outcome = trouble or refused
        async with acquire(self._pool) as connection, connection.transaction():
            again = await connection.fetchrow(
                "UPDATE localisation_patient SET attempts = CASE WHEN $4 THEN attempts ELSE 0 END, error = $5, "
                "run_after = CASE WHEN $4 THEN clock_timestamp() + $6 "
                "WHEN changed <> $7 THEN clock_timestamp() "
                "WHEN $8 THEN clock_timestamp() + $9 END "
                "WHERE tenant = $1 AND patient = $2 AND turn = $3 RETURNING run_after",
                tenant,
                patient,
                turn,
                trouble is not None,
                outcome.message if outcome else "",
                pause(self._claimed.attempts),
                self._claimed.changed,
                refused is not None,
                REFUSED_PAUSE,
            )
            if again is None or again["run_after"] is not None:
                return
            await connection.execute(
                "DELETE FROM localisation_record WHERE tenant = $1 AND patient = $2 AND state = 'withdrawn' "
                "AND NOT EXISTS (SELECT FROM localisation_subject WHERE tenant = $1 AND patient = $2)",
                tenant,
                patient,
            )
            await connection.execute(
                "DELETE FROM localisation_patient WHERE tenant = $1 AND patient = $2 AND NOT EXISTS "
                "(SELECT FROM localisation_record WHERE tenant = $1 AND patient = $2)",
                tenant,
                patient,
            )
