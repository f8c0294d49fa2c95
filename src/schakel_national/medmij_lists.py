"""The lists of MedMij, as its list node publishes them.

`medmij-lists.toml` is read again whenever it has changed:

    number = 7                                             # Volgnummer; the time of the last change when absent
    [[clients]]    hostname, organisation                  # OAuthclientlist
    [[nodes]]      hostname                                # Whitelist
    [[services]]   id, name                                # Gegevensdienstnamenlijst
    [[providers]]  name, type, services = [{id, authorization, token, roles = [{code, resource}]}]

Source: MedMij framework 2.2.x, "Interfaces lijsten" (names, namespaces and order of the elements).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lxml import etree
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel.kernel.outcomes import Invalid
from schakel_national import configuration

NAME = "medmij-lists"
_NAMESPACE = "xmlns://afsprakenstelsel.medmij.nl/"
Table = Mapping[str, Any]


def application(folder: Path, address: str) -> ASGIApp:
    """The facility. Raises `Invalid` when its configuration is not right."""
    path = folder / f"{NAME}.toml"
    for make in _LISTS.values():
        configuration.read(path, make)

    async def answer(request: Request) -> Response:
        make = _LISTS.get(request.path_params["file"])
        if make is None:
            return PlainTextResponse("there is no such list", 404)
        if request.query_params.get("api") != "2":
            return PlainTextResponse("the parameter api must be 2", 400)
        changed = int(path.stat().st_mtime)
        try:
            table = configuration.read(path, lambda found: {"number": changed, "changed": changed, **found})
            return Response(configuration.read(path, lambda _: make(table)), media_type="application/xml")
        except Invalid as error:
            return PlainTextResponse(error.message, 500)

    async def ready(request: Request) -> Response:
        return PlainTextResponse("ready")

    return Starlette(routes=[Route("/health/ready", ready), Route("/{file}", answer)])


def _list(name: str, release: str, table: Table) -> etree._Element:
    namespace = f"{_NAMESPACE}{name.lower()}/{release}/"
    root = etree.Element(f"{{{namespace}}}{name}", nsmap={None: namespace})  # type: ignore[dict-item]
    stamp = datetime.fromtimestamp(table.get("changed", 0), UTC).isoformat(timespec="seconds")
    _add(root, "Tijdstempel", stamp)
    _add(root, "Volgnummer", str(table.get("number", 1)))
    return root


def _add(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    """A new last child in the namespace of `parent`."""
    child = etree.SubElement(parent, f"{{{etree.QName(parent).namespace}}}{name}")
    child.text = text
    return child


def _text(root: etree._Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _clients(table: Table) -> bytes:
    root = _list("OAuthclientlist", "release2", table)
    group = _add(root, "OAuthclients")
    for one in table.get("clients", ()):
        entry = _add(group, "OAuthclient")
        _add(entry, "Hostname", one["hostname"])
        _add(entry, "OAuthclientOrganisatienaam", one["organisation"])
    return _text(root)


def _nodes(table: Table) -> bytes:
    root = _list("Whitelist", "release2", table)
    group = _add(root, "MedMijNodes")
    for one in table.get("nodes", ()):
        _add(_add(group, "MedMijNode"), "Hostname", one["hostname"])
    return _text(root)


def _services(table: Table) -> bytes:
    root = _list("Gegevensdienstnamenlijst", "release1", table)
    group = _add(root, "Gegevensdiensten")
    for one in table.get("services", ()):
        entry = _add(group, "Gegevensdienst")
        _add(entry, "GegevensdienstId", one["id"])
        _add(entry, "Weergavenaam", one["name"])
    return _text(root)


def _providers(table: Table) -> bytes:
    root = _list("Zorgaanbiederslijst", "release3", table)
    group = _add(root, "Zorgaanbieders")
    for one in table.get("providers", ()):
        entry = _add(group, "Zorgaanbieder")
        _add(entry, "Zorgaanbiedernaam", one["name"])
        _add(entry, "Aanbiedertype", one.get("type", "ZA"))
        version = _add(_add(entry, "Interfaceversies"), "Interfaceversie")
        _add(version, "InterfaceversieId", "2")
        services = _add(version, "Gegevensdiensten")
        for service in one["services"]:
            found = _add(services, "Gegevensdienst")
            _add(found, "GegevensdienstId", service["id"])
            _add(_add(found, "AuthorizationEndpoint"), "AuthorizationEndpointuri", service["authorization"])
            _add(_add(found, "TokenEndpoint"), "TokenEndpointuri", service["token"])
            roles = _add(found, "Systeemrollen")
            for role in service["roles"]:
                made = _add(roles, "Systeemrol")
                _add(made, "Systeemrolcode", role["code"])
                _add(_add(made, "ResourceEndpoint"), "ResourceEndpointuri", role["resource"])
    return _text(root)


_LISTS: dict[str, Callable[[Table], bytes]] = {
    "MedMij_OAuthclientlist.xml": _clients,
    "MedMij_Whitelist.xml": _nodes,
    "MedMij_Gegevensdienstnamenlijst.xml": _services,
    "MedMij_Zorgaanbiederslijst.xml": _providers,
}
