"""What an organisation manages: the keys its pseudonyms are sealed for, and versions of the evaluating key."""

from __future__ import annotations

from datetime import UTC

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schakel_national.prs.register import Key, KeyVersion, Organisation, public_pem
from schakel_national.prs.requests import ChangeKey, ChangeVersion, MakeVersion, RegisterKey, body_of
from schakel_national.prs.service import Refused, Service, certificate


class Administration:
    """The handlers, over one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def register(self, request: Request) -> Response:
        """Registers the key of the client's certificate, whoever that names."""
        owner = self._service.owner(request)
        shown = certificate(request)
        asked = await body_of(request, RegisterKey)
        scopes = _scopes(asked.scope)
        if owner.overlapping(scopes):
            raise _overlap()
        try:
            pem = public_pem(shown.public_key())
        except ValueError:
            raise Refused(400, detail="The client certificate has no RSA key") from None
        owner.keys.append(Key(scopes, pem, asked.key_id))
        return JSONResponse({"message": "Key created successfully"}, 201)

    async def keys(self, request: Request) -> Response:
        """The caller's keys."""
        return JSONResponse([one.shown() for one in self._service.owner(request).keys])

    async def change_key(self, request: Request) -> Response:
        """Another key, name and scopes in the place of one."""
        owner = self._service.owner(request)
        asked = await body_of(request, ChangeKey)
        key = _key(owner, request)
        scopes = _scopes(asked.scope)
        if owner.overlapping(scopes, but=key.id):
            raise _overlap()
        key.scopes, key.pem, key.key_id = scopes, asked.key_data, asked.key_id
        return JSONResponse(key.shown())

    async def delete_key(self, request: Request) -> Response:
        """Ends a key."""
        owner = self._service.owner(request)
        owner.keys.remove(_key(owner, request))
        return JSONResponse({"message": "key deleted"})

    async def versions(self, request: Request) -> Response:
        """The caller's versions."""
        return JSONResponse([one.shown() for one in self._service.owner(request).versions])

    async def make_version(self, request: Request) -> Response:
        """One more version."""
        owner = self._service.owner(request)
        asked = await body_of(request, MakeVersion)
        end = asked.until_dt.astimezone(UTC) if asked.until_dt else None
        made = KeyVersion(len(owner.versions) + 1, asked.from_dt.astimezone(UTC), end)
        owner.versions.append(made)
        return JSONResponse(made.shown(), 201)

    async def change_version(self, request: Request) -> Response:
        """Another end for a version."""
        owner = self._service.owner(request)
        asked = await body_of(request, ChangeVersion)
        for version in owner.versions:
            if version.id == request.path_params["id"]:
                version.end = asked.until_dt.astimezone(UTC) if asked.until_dt else None
                return JSONResponse(version.shown())
        raise Refused(403, detail="forbidden")


def _scopes(asked: list[str]) -> list[str]:
    return sorted({one.lower() for one in asked})


def _key(owner: Organisation, request: Request) -> Key:
    """The caller's key of that id: another's and an unknown one are refused alike."""
    for key in owner.keys:
        if key.id == request.path_params["id"]:
            return key
    raise Refused(403, detail="forbidden")


def _overlap() -> Refused:
    return Refused(409, detail="key for this org/scope already exists")
