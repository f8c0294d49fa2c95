"""The MedMij resource interface, and the inbox behind it for the organisation's own EHR.

Source: MedMij framework, resource interface (core.rscint.200-202).
"""

from __future__ import annotations

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schakel.fhir.definitions import Version
from schakel.gateway import Call
from schakel.generic.identity.patient import REQUEST_ID
from schakel.http import binary
from schakel.http.errors import fhir_error
from schakel.http.fhir import Fhir
from schakel.http.peer import caller
from schakel.kernel.outcomes import NotFound, Outcome
from schakel.patient_access import SERVICES
from schakel.patient_access.headers import check_version, said


class MedMij(Fhir):
    """Handlers of the MedMij door; it reads and writes HTTP as the other FHIR doors do."""

    async def resource(self, request: HttpRequest) -> Response:
        """A data service of MedMij: collect or share with a patient's token."""
        version: Version | None = None
        try:
            slug, number = request.path_params["organisation"], request.path_params["service"]
            organisation = self._node.organisation(slug)
            service, data = SERVICES.get(number), organisation.data
            if service is None or data is None or service.id not in data.services:
                raise NotFound("there is no such data service here", code="service-unknown")
            version = service.version
            check_version(", ".join(request.headers.getlist("accept")), version)
            asked, form = await self._asked(request, version, self._node.max_body, "limits.body")
            base = f"{self._url}/{slug}/medmij/{service.id}/fhir"
            call = Call(asked, caller(request, self._url))
            response = self._given(await data.door.answer(call, service, base), form, version)
        except Exception as error:
            response = fhir_error(request, _said(error), version)
        if (given := request.headers.get(REQUEST_ID)) and len(given) <= 64 and given.isascii():
            response.headers[REQUEST_ID] = given
        return response

    async def inbox(self, request: HttpRequest) -> Response:
        """What patients sent, for the organisation's own EHR."""
        try:
            organisation = self._node.own(request)
            version, data = self._version(request), organisation.data
            if data is None:
                raise NotFound("this organisation has no inbox: it takes no part in MedMij")
            base = f"{self._url}/{organisation.slug}/inbox/fhir/{version}"
            asked, form = await self._asked(request, version, self._node.max_body, "limits.body")
            answer = await data.inbox.answer(binary.received(asked), base, "internal")
            return self._given(answer, form, version)
        except Exception as error:
            return fhir_error(request, error)


def _said(error: Exception) -> Exception:
    return said(error) if isinstance(error, Outcome) else error
