"""How the organisation's own EHR finds others: the query directory (IHE mCSD, ITI-90), and one address at once."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schakel.generic.addressing import Address
from schakel.http.errors import fhir_error
from schakel.http.fhir import Fhir
from schakel.http.node import DirectoryDoor
from schakel.http.reading import as_json
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Invalid, NotFound, naming
from schakel.kernel.values import Ura

_ASKED = frozenset({"ura", "reference", "exchange"})


class Directory(Fhir):
    """Handlers of the query directory; it reads and writes HTTP as the other FHIR doors do."""

    async def query(self, request: HttpRequest) -> Response:
        """Who and what is in the directories that this node follows: read and search."""
        try:
            organisation = self._node.own(request)
            base = f"{self._url}/{organisation.slug}/directory/fhir/r4"
            asked, form = await self._asked(request, "r4", self._node.max_body, "limits.body")
            answer = await self._doors().door.answer(asked, base, f"directory:{organisation.slug}")
            return self._given(answer, form, "r4")
        except Exception as error:
            return fhir_error(request, error)

    async def address(self, request: HttpRequest) -> Response:
        """The address of an organisation for an exchange: as this node would use it, and where it is from."""
        self._node.own(request)
        asked = request.query_params
        for name in asked:
            if name not in _ASKED or len(asked.getlist(name)) > 1:
                raise Invalid(f"{name[:40]!r} is not known, or given twice", expression=name[:40])
        ura, reference, exchange = (asked.get(name, "") for name in ("ura", "reference", "exchange"))
        if bool(ura) == bool(reference):
            raise Invalid("give ura or reference, one of the two", expression="ura")
        doors = self._doors()
        if reference:
            return as_json(_shown(await doors.query.at(reference, exchange), exchange))
        with naming("ura"):
            number = Ura(ura)
        return as_json(_shown(await doors.addresses.find(number, exchange), exchange))

    def _doors(self) -> DirectoryDoor:
        if (doors := self._node.directory) is None:
            raise NotFound("this node has no query directory")
        return doors


def _shown(address: Address, exchange: str) -> dict[str, Any]:
    return {
        "ura": address.ura,
        "name": address.name,
        "type": address.type_code or None,
        "exchange": exchange or None,
        "endpoint": address.endpoint or None,
        "parts": [{"endpoint": one.endpoint, "categories": list(one.categories)} for one in address.parts],
        "missing": list(address.missing),
        "fhir": dict(address.fhir),
        "issuer": address.issuer or None,
        "source": address.source,
        "as_of": instant(address.as_of) if address.as_of else None,
        "stale": address.stale,
    }
