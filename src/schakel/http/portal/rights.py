"""Who may ask what of the portal: the one table of its routes and the role that each needs.

A route that has no row here is refused to everybody, and a test fails as long as there is one. A handler may need more
than its row says, when that depends on what is sent (to declare and to confirm are two roles at one address).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.visitors import Visitors
from schakel.http.reading import Handler
from schakel.kernel.outcomes import Forbidden
from schakel.portal.people import Role


@dataclass(frozen=True, slots=True)
class Right:
    """What a route needs: one of `roles`, for the organisation that the address names (`{ura}`) if it names one. None:
    nobody need be logged in."""

    roles: tuple[Role, ...] = ()
    public: bool = False
    """Whether it is open to everybody where the board is public (setting portal.public)."""


OPEN = Right()
READ = Right(("viewer",), public=True)
PROGRAMME = Right(("programme",))
DECLARE_OR_PROGRAMME = Right(("declarer", "programme"))
DECLARE_OR_CONFIRM = Right(("declarer", "reader"))

RIGHTS: Mapping[str, Right] = {
    "GET /portal/login": OPEN,
    "POST /portal/login": OPEN,
    "GET /portal/callback": OPEN,
    "GET /portal/logout": OPEN,
    "POST /portal/logout": OPEN,
    "GET /portal/about": OPEN,
    "GET /portal/": READ,
    "GET /portal/organisations/{ura}": READ,
    "GET /portal/items/{item}": READ,
    "GET /portal/items/{item}/{ura}": READ,
    "POST /portal/items/{item}/{ura}": DECLARE_OR_CONFIRM,
    "GET /portal/agenda": READ,
    "GET /portal/agenda/new": PROGRAMME,
    "POST /portal/agenda/new": PROGRAMME,
    "GET /portal/agenda/{year}": READ,
    "GET /portal/agenda/actions/{id}": READ,
    "POST /portal/agenda/actions/{id}": PROGRAMME,
    "GET /portal/trends": READ,
    "GET /portal/objectives": READ,
    "GET /portal/scans": READ,
    "GET /portal/scans/example": READ,
    "POST /portal/scans": DECLARE_OR_PROGRAMME,
    "GET /portal/runs": READ,
    "GET /portal/runs/{id}": READ,
    "GET /portal/trail": PROGRAMME,
    "GET /portal/versions": READ,
    "GET /portal/export.{form}": READ,
    "GET /portal/hybrid": READ,
    "GET /portal/hybrid/blocks/{number:int}": READ,
    "GET /portal/hybrid/{ura}": READ,
    "GET /portal/hybrid/{ura}/{pathway}": READ,
    "POST /portal/hybrid/{ura}/{pathway}": DECLARE_OR_PROGRAMME,
}
"""By method and path, as `routes` has them."""


def guarded(visitors: Visitors, path: str, handler: Handler) -> Handler:
    """`handler`, for those who have the right of its route alone, and for forms of ours alone. Raises as
    `Visitors.required` and `Visitors.form` do, and `Forbidden` for a route without a right."""

    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        right = RIGHTS.get(f"{method} {path}")
        if right is None:
            raise Forbidden("nobody has a right to this page yet", code="right-undeclared")
        await visitors.greeted(request)
        if right.roles and not (right.public and visitors.door.public):
            await visitors.one_of(request, right.roles, request.path_params.get("ura", ""))
        if right.roles and method == "POST":
            await visitors.form(request)
        return await handler(request)

    answer.__doc__ = handler.__doc__
    return answer
