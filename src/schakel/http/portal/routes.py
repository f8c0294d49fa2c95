"""The routes of the portal, below `/portal/`. Whoever adds a page adds it here; the menu shows a part that has one."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from schakel.http.node import Node
from schakel.http.portal.agenda import AgendaPages
from schakel.http.portal.board import BoardPages
from schakel.http.portal.declaring import DeclaringForms
from schakel.http.portal.export import Exports
from schakel.http.portal.frame import Frame
from schakel.http.portal.hybrid import HybridPages
from schakel.http.portal.login import PortalLogin
from schakel.http.portal.rights import guarded
from schakel.http.portal.scans import ScanPages
from schakel.http.portal.trail import TrailPage
from schakel.http.portal.trends import TrendPages
from schakel.portal.pages import Pages


def portal(node: Node, pages: Pages) -> list[BaseRoute]:
    """Every page of the portal; what is not there is a page as well."""
    frame = Frame(pages, node)
    login = PortalLogin(frame, node.board)
    routes = [
        *_board(node, frame),
        *_hybrid(node, frame),
        Route("/portal/about", frame.shown(frame.about), methods=["GET"]),
        Route("/portal/login", frame.shown(login.page), methods=["GET"]),
        Route("/portal/login", frame.shown(login.begin), methods=["POST"]),
        Route("/portal/callback", frame.shown(login.callback), methods=["GET"]),
        Route("/portal/logout", frame.shown(login.logout), methods=["GET", "POST"]),
    ]
    frame.present = sections(routes)
    return [
        Route("/", frame.start, methods=["GET"]),
        Route("/portal", frame.start, methods=["GET"]),
        *(_with_right(frame, one) for one in routes),
        Route("/portal/{path:path}", frame.shown(frame.missing), include_in_schema=False),
    ]


def _board(node: Node, frame: Frame) -> list[Route]:
    """The pages of the board; a node that keeps none begins with what the portal is."""
    if node.board is None:
        return [Route("/portal/", frame.shown(frame.about), methods=["GET"])]
    pages = BoardPages(frame, node.board)
    declaring = DeclaringForms(frame, node.board, pages)
    agenda = AgendaPages(frame, node.board)
    adding = TrendPages(frame, node.board, pages, hybrid=node.inventory is not None)
    scans = ScanPages(frame, node.board)
    trail = TrailPage(frame, node.board)
    one = "/portal/agenda/actions/{id}"
    return [
        Route("/portal/", frame.shown(pages.region), methods=["GET"]),
        Route("/portal/organisations/{ura}", frame.shown(pages.organisation), methods=["GET"]),
        Route("/portal/items/{item}", frame.shown(pages.item), methods=["GET"]),
        Route("/portal/items/{item}/{ura}", frame.shown(pages.cell), methods=["GET"]),
        Route("/portal/items/{item}/{ura}", frame.shown(declaring.send), methods=["POST"]),
        Route("/portal/agenda", frame.shown(agenda.page), methods=["GET"]),
        Route("/portal/agenda/new", frame.shown(agenda.new), methods=["GET"]),
        Route("/portal/agenda/new", frame.shown(agenda.write), methods=["POST"]),
        Route("/portal/agenda/{year}", frame.shown(agenda.year), methods=["GET"]),
        Route(one, frame.shown(agenda.one), methods=["GET"]),
        Route(one, frame.shown(agenda.write), methods=["POST"]),
        Route("/portal/trends", frame.shown(adding.trends), methods=["GET"]),
        Route("/portal/objectives", frame.shown(adding.objectives), methods=["GET"]),
        Route("/portal/scans", frame.shown(scans.page), methods=["GET"]),
        Route("/portal/scans", frame.shown(scans.send), methods=["POST"]),
        Route("/portal/scans/example", frame.shown(scans.example), methods=["GET"]),
        Route("/portal/runs", frame.shown(pages.runs), methods=["GET"]),
        Route("/portal/runs/{id}", frame.shown(pages.run), methods=["GET"]),
        Route("/portal/trail", frame.shown(trail.page), methods=["GET"]),
        Route("/portal/versions", frame.shown(pages.versions), methods=["GET"]),
        Route("/portal/export.{form}", frame.shown(Exports(frame, node.board).export), methods=["GET"]),
    ]


def _hybrid(node: Node, frame: Frame) -> list[Route]:
    """The pages on hybrid care, of a node that keeps a board."""
    if node.board is None or node.inventory is None:
        return []
    pages = HybridPages(frame, node.board, node.inventory, node.small)
    one = "/portal/hybrid/{ura}/{pathway}"
    return [
        Route("/portal/hybrid", frame.shown(pages.region), methods=["GET"]),
        Route("/portal/hybrid/blocks/{number:int}", frame.shown(pages.blocks), methods=["GET"]),
        Route("/portal/hybrid/{ura}", frame.shown(pages.organisation), methods=["GET"]),
        Route(one, frame.shown(pages.pathway), methods=["GET"]),
        Route(one, frame.shown(pages.decide), methods=["POST"]),
    ]


def _with_right(frame: Frame, route: Route) -> Route:
    """The route for those who have its right alone (`rights.RIGHTS`)."""
    handler = frame.shown(guarded(frame.visitors, route.path, route.endpoint))
    return Route(route.path, handler, methods=route.methods)


def sections(routes: list[Route]) -> frozenset[str]:
    """The parts of the portal that have a page: 'agenda' of `/portal/agenda`, '' for the first page."""
    return frozenset(one.path.split("/")[2] for one in routes)
