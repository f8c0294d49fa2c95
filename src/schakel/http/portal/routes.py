"""The routes of the portal, below `/portal/`. Whoever adds a page adds it here; the menu shows a part that has one."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from schakel.http.node import Node
from schakel.http.portal.frame import Frame
from schakel.portal.pages import Pages


def portal(node: Node, pages: Pages) -> list[BaseRoute]:
    """Every page of the portal; what is not there is a page as well."""
    frame = Frame(pages, node)
    routes: list[BaseRoute] = [
        Route("/portal/", frame.shown(frame.about), methods=["GET"]),
        Route("/portal/about", frame.shown(frame.about), methods=["GET"]),
    ]
    frame.present = sections(routes)
    return [
        Route("/", frame.start, methods=["GET"]),
        Route("/portal", frame.start, methods=["GET"]),
        *routes,
        Route("/portal/{path:path}", frame.shown(frame.missing), include_in_schema=False),
    ]


def sections(routes: list[BaseRoute]) -> frozenset[str]:
    """The parts of the portal that have a page: 'agenda' of `/portal/agenda`, '' for the first page."""
    return frozenset(one.path.split("/")[2] for one in routes if isinstance(one, Route))
