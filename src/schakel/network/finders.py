"""The facilities that know who has data of a patient: the national index, and what patients allow in Mitz.

The index says who registered that they have data. Mitz says who may release them to us, and only of holders that have a
subscription on the patient; that it names nobody says nothing of who has data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schakel.generic.consent.mitz import OpenQuestion, PermittedHolder, asking
from schakel.kernel.values import Bsn
from schakel.network.locating import Finding, Wanted


class Registered(Protocol):
    """A record of the index: who registered it, and when as far as the index says."""

    @property
    def ura(self) -> str: ...
    @property
    def registered(self) -> str: ...


class Index(Protocol):
    """The index of who has data, such as `generic.localisation.Localiser`."""

    async def localise(self, patient: Bsn) -> Sequence[Registered]:
        """Raises `Outcome`."""
        ...


class IndexFinder:
    """Asks the national index (NVI)."""

    name = "nvi"

    def __init__(self, index: Index) -> None:
        self._index = index

    async def find(self, wanted: Wanted) -> Sequence[Finding]:
        """Those that registered. Raises `Outcome`."""
        records = await self._index.localise(wanted.patient)
        return [Finding(one.ura, {"registered": one.registered} if one.registered else {}) for one in records]


class OpenRegister(Protocol):
    """Who may release, such as `generic.consent.mitz.Mitz`."""

    async def holders(self, question: OpenQuestion) -> Sequence[PermittedHolder]:
        """Raises `Outcome`."""
        ...


class PermissionFinder:
    """Asks the open question of Mitz for the organisation `ura` of type `type_code`."""

    name = "mitz"

    def __init__(self, mitz: OpenRegister, ura: str, type_code: str) -> None:
        self._mitz = mitz
        self._ura = ura
        self._type_code = type_code

    async def find(self, wanted: Wanted) -> Sequence[Finding]:
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
        return [Finding(one.ura, {"categories": list(one.categories)}) for one in found]
