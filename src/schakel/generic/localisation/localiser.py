"""The asking side: who has data of a patient."""

from __future__ import annotations

import structlog

from schakel.generic.localisation.client import NviClient
from schakel.generic.localisation.model import Found, Located
from schakel.kernel.values import Bsn

_log = structlog.get_logger("schakel.localisation")


class Localiser:
    """Asks the index on behalf of one organisation. Nothing is remembered: each question is asked."""

    def __init__(self, client: NviClient) -> None:
        self._client = client

    async def localise(self, patient: Bsn) -> tuple[Located, ...]:
        """The other providers that have data of the patient, each with each software once.

        Raises `FacilityAway` when there was no usable answer and other `Upstream` when the index or the PRS refuses:
        that nobody has data is said by an empty answer alone. A record that names no provider is told to the technical
        log; `search` gives it.
        """
        found = await self.search(patient)
        if found.unreadable:
            _log.warning(
                "localisation-record-unreadable", number=len(found.unreadable), what=found.unreadable[0]
            )
        located = {
            (one.ura, one.source): Located(one.ura, one.source, one.registered)
            for one in reversed(found.records)
            if one.ura != self._client.ura
        }
        return tuple(reversed(located.values()))

    async def search(self, patient: Bsn) -> Found:
        """All that the index knows of the patient, our own records and what cannot be read among it."""
        return await self._client.localise(patient)
