"""The query directory, for the organisation's own EHR (IHE mCSD, ITI-90)."""

from __future__ import annotations

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schakel.http.errors import fhir_error
from schakel.http.fhir import Fhir
from schakel.kernel.outcomes import NotFound


class Directory(Fhir):
    """Handlers of the query directory; it reads and writes HTTP as the other FHIR doors do."""

    async def query(self, request: HttpRequest) -> Response:
        """Who and what is in the directories that this node follows: read and search."""
        try:
            organisation = self._node.own(request)
            if (door := self._node.directory) is None:
                raise NotFound("this node has no query directory")
            base = f"{self._url}/{organisation.slug}/directory/fhir/r4"
            asked, form = await self._asked(request, "r4", self._node.max_body, "limits.body")
            answer = await door.answer(asked, base, f"directory:{organisation.slug}")
            return self._given(answer, form, "r4")
        except Exception as error:
            return fhir_error(request, error)
