"""The OpenAPI document of a listener holds every route of the one list, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from starlette.routing import BaseRoute, Match, Route

from schakel.fhir.definitions import VERSIONS, definitions
from schakel.http.node import Node
from schakel.http.openapi import document
from schakel.http.routes import back, front, internal
from schakel.server import capabilities
from schakel.server.operations import OPERATIONS
from schakel.server.service import WriteRules

Lists = dict[str, Callable[[Node], list[BaseRoute]]]
LISTS: Lists = {"front": front, "internal": internal, "back": back}
METHODS = {"get", "put", "post", "delete", "patch"}


def node(guarded: bool = True) -> Node:
    """All that the list of routes asks of a node."""
    told = {
        "guarded_on_front": guarded,
        "versions": VERSIONS,
        "public_url": "http://f",
        "internal_url": "http://i",
        "back_url": "https://b",
    }
    doors = SimpleNamespace(on="front", query=True, tokens=True)
    return cast(
        Node, SimpleNamespace(**told, update_client=doors, board=object(), inventory=object(), small=0)
    )


def made(listener: str, guarded: bool = True) -> dict[str, Any]:
    return document(listener, "http://here", LISTS[listener](node(guarded)))


def filled(path: str) -> str:
    """A path as a caller would ask it."""
    values = {
        "type": "Patient",
        "id": "x",
        "vid": "1",
        "organisation": "a",
        "service": "48",
        "compartment": "Patient",
    }
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m[1], "x"), path)


@pytest.mark.parametrize("listener", LISTS)
@pytest.mark.parametrize("guarded", [True, False])
def test_what_is_in_the_document_is_a_route(listener: str, guarded: bool) -> None:
    routes = LISTS[listener](node(guarded))
    for path, item in made(listener, guarded)["paths"].items():
        for method in item:
            scope = {"type": "http", "method": method.upper(), "path": filled(path), "root_path": ""}
            assert any(route.matches(scope)[0] is Match.FULL for route in routes), (method, path)


@pytest.mark.parametrize("listener", LISTS)
@pytest.mark.parametrize("guarded", [True, False])
def test_what_is_a_route_is_in_the_document(listener: str, guarded: bool) -> None:
    paths = made(listener, guarded)["paths"]
    routes = LISTS[listener](node(guarded))
    doors = 0
    for route in routes:
        assert isinstance(route, Route)
        if not route.include_in_schema:  # What is not there.
            assert route.path not in paths
            continue
        if route.path.endswith("/{path:path}"):
            doors += "/update-client/" not in route.path and not route.path.startswith("/directory/")
            for version in VERSIONS if "{version}" in route.path else VERSIONS[:1]:
                prefix = route.path.removesuffix("/{path:path}").replace("{version}", version)
                assert {f"{prefix}/metadata", f"{prefix}/{{type}}", f"{prefix}/{{type}}/{{id}}"} <= set(paths)
        elif any(one.path == f"{route.path}/{{path:path}}" for one in routes if isinstance(one, Route)):
            continue
        else:
            methods = {m.lower() for m in route.methods or {"GET"}} - {"head"}
            assert methods <= set(paths[route.path])
            for method in methods:
                assert paths[route.path][method]["description"], route.path
    assert doors == (0 if listener == "front" and not guarded else doors) and "/openapi.json" in paths


@pytest.mark.parametrize("listener", LISTS)
def test_the_document_is_whole(listener: str) -> None:
    told = made(listener)
    names: list[str] = []
    for path, item in told["paths"].items():
        assert set(item) <= METHODS
        for operation in item.values():
            names.append(operation["operationId"])
            in_path = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
            assert sorted(in_path) == sorted(re.findall(r"\{(\w+)\}", path)), path
            keys = [(p["in"], p["name"]) for p in operation["parameters"]]
            assert len(set(keys)) == len(keys), (path, keys)
            assert "default" in operation["responses"]
            known = set(told["components"]["securitySchemes"])
            assert all(set(one) <= known for one in operation["security"])
    assert len(set(names)) == len(names)
    text = orjson.dumps(told).decode()
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert referred <= set(told["components"]["schemas"])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_capability_statement_says_is_in_the_document(version: str) -> None:
    paths = made("internal")["paths"]
    rest = orjson.loads(capabilities.statement(version, "http://x", WriteRules()))["rest"][0]
    base = f"/{{organisation}}/fhir/{version}"
    places = {
        "read": ("get", "/{type}/{id}"),
        "vread": ("get", "/{type}/{id}/_history/{vid}"),
        "update": ("put", "/{type}/{id}"),
        "patch": ("patch", "/{type}/{id}"),
        "delete": ("delete", "/{type}/{id}"),
        "history-instance": ("get", "/{type}/{id}/_history"),
        "history-type": ("get", "/{type}/_history"),
        "create": ("post", "/{type}"),
        "search-type": ("get", "/{type}"),
        "transaction": ("post", ""),
        "batch": ("post", ""),
        "search-system": ("get", ""),
        "history-system": ("get", "/_history"),
    }
    said = {i["code"] for one in [rest, *rest["resource"]] for i in one.get("interaction", [])}
    for code in said:
        method, path = places[code]
        assert method in paths[base + path], code
    named = {path.rpartition("$")[2] for path in paths if path.startswith(base) and "$" in path}
    assert named == {one.name for one in OPERATIONS if version in one.versions}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_type_is_one_parameter_with_the_types_of_the_version(version: str) -> None:
    told = made("internal")["paths"][f"/{{organisation}}/fhir/{version}/{{type}}"]["get"]
    [kind] = [p for p in told["parameters"] if p["name"] == "type"]
    assert kind["schema"]["enum"] == sorted(definitions(version).resource_types)


def test_the_internal_door_asks_a_key_and_health_does_not() -> None:
    paths = made("internal")["paths"]
    proved: list[dict[str, list[str]]] = [{"organisation key": []}, {"client certificate": []}]
    assert paths["/{organisation}/grounds"]["get"]["security"] == proved
    assert paths["/health/live"]["get"]["security"] == []
    assert paths["/{organisation}/oauth2/introspect"]["post"]["security"] == proved
    front_paths = made("front")["paths"]
    assert front_paths["/{organisation}/fhir/stu3/{type}"]["get"]["security"] == [{"access token": []}]


def test_the_back_door_asks_a_certificate_and_for_data_a_token_too() -> None:
    paths = made("back")["paths"]
    both: list[dict[str, list[str]]] = [{"access token": [], "client certificate": []}]
    assert paths["/{organisation}/fhir/stu3/{type}"]["get"]["security"] == both
    assert paths["/{organisation}/oauth2/token"]["post"]["security"] == [{"client certificate": []}]
