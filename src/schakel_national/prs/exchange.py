"""The services beside blinded evaluation: pseudonyms and references made of the number itself.

The PRS sees the number here, so a node of ours does not use them; a recipient's software may.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schakel_national.prs.register import USAGES
from schakel_national.prs.requests import Exchange, ExchangeRid, Receive, body_of
from schakel_national.prs.service import Refused, Service, certificate

JWE = "application/jwe"


class Exchanges:
    """The handlers, over one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def pseudonym(self, request: Request) -> Response:
        """A pseudonym for the recipient, sealed."""
        caller = self._service.caller(request)
        certificate(request)
        asked = await body_of(request, Exchange)
        recipient, scope = asked.recipient_organization, asked.recipient_scope
        make = self._service.pseudonymiser.irreversible
        if asked.pseudonym_type == "reversible":
            source = self._service.register.by_oin(caller)
            if source is None or not source.may("rp"):
                said = "Source organization is not allowed to exchange reversible pseudonyms."
                raise Refused(400, detail=said)
            make = self._service.pseudonymiser.reversible
        key = self._service.key(recipient, scope)
        subject = make(asked.person, recipient, scope)
        return Response(self._service.sealed(key, subject, recipient, scope), 201, media_type=JWE)

    async def rid(self, request: Request) -> Response:
        """A reference that the recipient may trade for so much of the person, sealed."""
        self._service.caller(request)
        asked = await body_of(request, ExchangeRid)
        recipient, scope = asked.recipient_organization, asked.recipient_scope
        key = self._service.key(recipient, scope)
        rid = self._service.pseudonymiser.reference(
            {"person": asked.person, "recipient": recipient, "scope": scope, "usage": asked.rid_usage}
        )
        jwe = self._service.sealed(key, rid, recipient, scope, ridUsage=asked.rid_usage)
        return Response(jwe, 201, media_type=JWE)

    async def receive(self, request: Request) -> Response:
        """What a reference stands for, for its recipient alone."""
        caller = self._service.caller(request)
        asked = await body_of(request, Receive)
        if asked.recipient_organization != f"oin:{caller}":
            raise Refused(403, detail="forbidden")
        prefix, _, text = asked.rid.partition(":")
        if prefix != "rid" or not text:
            raise Refused(400, detail="Invalid RID. Should start with 'rid:'")
        pseudonymiser = self._service.pseudonymiser
        try:
            known = pseudonymiser.referred(text)
        except ValueError:
            raise Refused(400, detail="Failed to decrypt RID") from None
        recipient, scope = asked.recipient_organization, asked.recipient_scope
        if (known["recipient"], known["scope"]) != (recipient, scope):
            raise Refused(400, detail="Invalid recipient organization and/or scope")
        kind = asked.pseudonym_type
        if USAGES.index(kind) > USAGES.index(known["usage"]):
            raise Refused(400, detail="Requested pseudonym type not allowed by RID usage")
        if kind == "bsn":
            told = known["person"]
        else:
            make = pseudonymiser.irreversible if kind == "irp" else pseudonymiser.reversible
            told = make(known["person"], recipient, scope)
        return JSONResponse({"pseudonym": told, "type": kind})
