"""The facilities that know who has data of a patient: the national index, and what patients allow in Mitz.

The index says who registered that they have data. Mitz says who may release them to us, and only of holders that have a
subscription on the patient; that it names nobody says nothing of who has data.
"""

from __future__ import annotations

from schakel.generic.consent.mitz import Mitz, OpenQuestion, asking
from schakel.generic.localisation import Localiser
from schakel.network.locating import Finding, Findings, Wanted


class IndexFinder:
    """Asks the national index (NVI)."""

    name = "nvi"

    def __init__(self, index: Localiser) -> None:
        self._index = index

    async def find(self, wanted: Wanted) -> Findings:
        """Those that registered. Raises `Outcome`."""
        found = await self._index.search(wanted.patient)
        unnamed = len(found.unreadable)
        return Findings(
            [
                Finding(one.ura, {"registered": one.registered} if one.registered else {})
                for one in found.records
            ],
            f"{unnamed} of its records without a provider" if unnamed else "",
        )


class PermissionFinder:
    """Asks the open question of Mitz for the organisation `ura` of type `type_code`."""

    name = "mitz"

    def __init__(self, mitz: Mitz, ura: str, type_code: str) -> None:
        self._mitz = mitz
        self._ura = ura
        self._type_code = type_code

    async def find(self, wanted: Wanted) -> Findings:
        """Those that may release to us. Raises `Outcome`, also when Mitz cannot be asked for this professional."""
        user = wanted.user
        who = asking(
            user.id, user.role, user.responsible, user.responsible_role, wanted.purpose, self._type_code
        )
        question = OpenQuestion(
            patient=wanted.patient,
            requester=self._ura,
            requester_type=self._type_code,
            provider=who.provider,
            role=who.role,
            mandated=who.mandated,
            purpose=who.purpose,
        )
        found = await self._mitz.holders(question)
        return Findings([Finding(one.ura, {"categories": list(one.categories)}) for one in found])
