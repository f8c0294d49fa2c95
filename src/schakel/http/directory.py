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
            version, door = self._version(request), self._node.directory
            if door is None or version != "r4":
                raise NotFound("the directory is served in FHIR R4", code="fhir-version-unknown")
            base = f"{self._url}/{organisation.slug}/directory/fhir/{version}"
            asked, form = await self._asked(request, version, self._node.max_body, "limits.body")
            answer = await door.answer(asked, base, f"directory:{organisation.slug}")
            return self._given(answer, form, version)
        except Exception as error:
            return fhir_error(request, error)
