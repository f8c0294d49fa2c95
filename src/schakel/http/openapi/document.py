"""The document: every route of a listener, and nothing else."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version as installed

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from schakel.fhir.definitions import VERSIONS
from schakel.generic.addressing.asking import QUERY_CLIENT
from schakel.generic.addressing.own import offers
from schakel.generic.authorisation import bundled, possible
from schakel.http.openapi import (
    consent,
    examples,
    fhir,
    hybrid,
    localisation,
    own,
    parts,
    professionals,
    roadmap,
    standing,
)
from schakel.http.openapi.parts import ID, ORGANISATION, OUTCOME_ANSWER, PROBLEM_ANSWER, Json, parameter
from schakel.http.reading import as_json
from schakel.patient_access import SERVICES
from schakel.server import Exchanged, Offer

WHOLE = "/{organisation}/fhir/{version}"
"""The FHIR door which, on the internal listener, does all that FHIR is asked; elsewhere it judges every request."""

OFFERS: Mapping[str, Offer] = {
    "/{organisation}/directory/fhir/r4": QUERY_CLIENT,
    "/{organisation}/administration/fhir/r4": offers.ADMINISTRATION,
    "/{organisation}/administration/update-client/fhir/r4": offers.UPDATE_CLIENT,
    "/directory/root/fhir/r4": offers.ROOT,
    "/directory/update-client/fhir/r4": offers.QUERY_DIRECTORY,
}
"""The doors (FHIR R4) that do what their offer says and no more, by path."""

_OWN = {
    **own.OPERATIONS,
    **consent.OPERATIONS,
    **professionals.OPERATIONS,
    **localisation.OPERATIONS,
    **standing.OPERATIONS,
    **roadmap.OPERATIONS,
    **hybrid.OPERATIONS,
}
_BELOW = "/{path:path}"
_ABOUT = {
    "front": "For other organisations, for people and for their apps.",
    "back": "For other organisations and for apps of people, who show a client certificate.",
    "internal": "For the organisation's own systems.",
}
_OPEN = re.compile(
    r"/health/|/openapi\.json|/metrics|/\.well-known/|/pages/|/professionals/(?!logins)|/oauth2/(?!introspect)"
    r"|/log/log(?:in|out)|/log/callback|/administration/fhir/|^/$|^/portal(?:/|$)"
)
"""What is asked without a key or token; the token endpoint has proof of its own in its form."""

_UPDATE_CLIENT = re.compile(r"/update-client/fhir/|/directory/root/")
"""What the ministry's update client asks: with a token or without anything, as the settings say."""


class OpenApi:
    """The handler that serves the document of a listener, made when it is first asked."""

    def __init__(self, listener: str, url: str, routes: Sequence[BaseRoute]) -> None:
        self._listener, self._url, self._routes = listener, url, routes
        self._body = b""

    def route(self) -> Route:
        """The route at which the document stands, which is in the document itself."""
        return Route("/openapi.json", self.answer)

    async def answer(self, _request: Request) -> Response:
        """This listener as an OpenAPI document."""
        if not self._body:
            routes = [*self._routes, self.route()]
            self._body = orjson.dumps(document(self._listener, self._url, routes))
        return as_json(self._body)


def document(listener: str, url: str, routes: Sequence[BaseRoute]) -> Json:
    """The document of `routes`, which listen at `url`; `listener` is front, internal or back."""
    paths: dict[str, Json] = {}
    for route in routes:
        assert isinstance(route, Route)
        if not route.include_in_schema:
            continue
        for method, path, operation in _operations(
            listener, route, {r.path for r in routes if isinstance(r, Route)}
        ):
            word = re.sub(r"\W+", "_", f"{method}{path}").strip("_").lower()
            paths.setdefault(path, {})[method.lower()] = {"operationId": word, **operation}
    schemas = {
        **parts.SCHEMAS,
        **own.SCHEMAS,
        **consent.SCHEMAS,
        **professionals.SCHEMAS,
        **roadmap.SCHEMAS,
        **hybrid.SCHEMAS,
    }
    examples.placed(paths, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Schakel: {listener}",
            "version": installed("schakel"),
            "description": _ABOUT[listener],
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "examples": examples.components(),
            "securitySchemes": parts.SECURITY,
        },
    }


def _operations(listener: str, route: Route, known: set[str]) -> Iterator[tuple[str, str, Json]]:
    """Method, path and operation of all that a route answers."""
    told = {"description": inspect.cleandoc(route.endpoint.__doc__ or "")}
    security = _security(listener, route.path)
    if route.path.endswith(_BELOW):
        for method, path, operation in _fhir(listener, route.path.removesuffix(_BELOW)):
            outer = _outer(path, {p["name"] for p in operation["parameters"] if p["in"] == "path"})
            parameters = [*outer, *operation["parameters"]]
            yield method, path, {**told, **operation, "parameters": parameters, "security": security}
    elif route.path + _BELOW not in known:  # The base of a FHIR door is described with what is below it.
        for method in sorted((route.methods or {"GET"}) - {"HEAD"}):
            operation = _OWN.get((method, route.path), {})
            is_fhir = "/fhir/" in route.path or route.path.startswith(localisation.KNOOPPUNT)
            refusal = OUTCOME_ANSWER if is_fhir else PROBLEM_ANSWER
            yield (
                method,
                route.path,
                {
                    "summary": told["description"].partition("\n\n")[0],
                    **told,
                    **operation,
                    "parameters": [*_outer(route.path, set()), *operation.get("parameters", [])],
                    "responses": {
                        **operation.get("responses", {"200": {"description": "Done."}}),
                        "default": refusal,
                    },
                    "security": security,
                },
            )


def _fhir(listener: str, prefix: str) -> Iterator[tuple[str, str, Json]]:
    """What a FHIR door answers; where the path has no version, the door tells by its service, and both are told."""
    if prefix in OFFERS:
        yield from fhir.paths(prefix, "r4", OFFERS[prefix])
        return
    for version in VERSIONS:
        at = prefix.replace("{version}", version)
        if prefix != WHOLE:
            yield from fhir.paths(at, version, _exchanged())
        else:
            guarded = None if listener == "internal" else possible(bundled(), version)
            yield from fhir.paths(at, version, guarded)
        if "{version}" not in prefix:
            return


def _exchanged() -> Exchanged:
    """What the data services of MedMij give and take together, with the origin of what they give."""
    none, services = frozenset[str](), SERVICES.values()
    return Exchanged(
        none.union({"Provenance"}, *(one.gives for one in services)),
        none.union(*(one.takes for one in services)),
        none.union(*(one.updates for one in services)),
    )


def _outer(path: str, named: set[str]) -> list[Json]:
    """The parameters of a path that are not in `named`."""
    known = {"organisation": ORGANISATION, "id": ID}
    names = [name for name in re.findall(r"\{(\w+)\}", path) if name not in named]
    return [known.get(name) or parameter(name, "path", name.capitalize()) for name in names]


def _security(listener: str, path: str) -> list[Json]:
    shown: Json = {"client certificate": []} if listener == "back" else {}
    if _OPEN.search(path):
        return [shown] if shown else []
    if _UPDATE_CLIENT.search(path):
        return [{"access token": []}, {}]
    if listener == "internal":
        return [{"organisation key": []}, {"client certificate": []}]
    return [{"access token": [], **shown}]
