"""Writes the pages of `docs/reference` from the code that they describe.

    python -m scripts.build_reference

A test compares the pages in the repository with what this makes.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Union, cast, get_args, get_origin

import typer.main
from pydantic import BaseModel, IPvAnyNetwork
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from scripts import matrix_page
from starlette.routing import BaseRoute, Route

from schakel.cli import app
from schakel.commands import refusals
from schakel.config import (
    Back,
    Broker,
    Certificates,
    InternalCertificate,
    InternalTls,
    Limits,
    MedMij,
    Organisation,
    Peer,
    Portal,
    PortalLogin,
    PortalPerson,
    Settings,
)
from schakel.fhir.definitions import VERSIONS, SearchParameter, corrections
from schakel.fhir.definitions.added import ADDED
from schakel.fhir.search.conditions import MODIFIERS
from schakel.generic.authorisation import bundled
from schakel.http.node import Node
from schakel.http.routes import back, front, internal
from schakel.patient_access import SERVICES
from schakel.server.operations import OPERATIONS, Operation

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
_MADE = "<!-- Made by scripts/build_reference.py from the code; change it there. -->"


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    return {
        "commands.md": _page("Commands", _commands()),
        "configuration.md": _page("Configuration", _configuration()),
        "routes.md": _page("Routes", _routes()),
        "authorisation-matrix.md": _page("Matrix of authorisation", matrix_page.page(bundled(), _table)),
        "medmij-services.md": _page("Data services of MedMij", _medmij_services()),
        "refusal-codes.md": _page("Refusal codes", _refusals()),
        "operations.md": _page("Operations", _operations()),
        "search-parameters.md": _page("Search parameters: additions and corrections", _search_parameters()),
    }


def _page(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {title}", "", _MADE, "", *lines]).rstrip() + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |"
    yield ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


# -- refusals ---------------------------------------------------------------------------------------------


def _refusals() -> Iterator[str]:
    yield "What a refusal means and what to do, by the door that tells it. A code is stable; its sentence may improve."
    yield ""
    for door in refusals.DOORS:
        yield f"## {door.title}"
        yield ""
        yield door.text
        yield ""
        yield from _table(
            ("code", "status", "meaning", "what to do"),
            [(_code(code), status, means, todo) for code, status, means, todo in refusals.rows(door)],
        )


# -- commands ---------------------------------------------------------------------------------------------


def _commands() -> Iterator[str]:
    yield "Exit codes: 0 done; 1 the job failed; 2 wrong usage or configuration; 130 stopped with Ctrl-C."
    yield "(`schakel check`: 0 nothing failed, 1 an assertion failed, 2 errors or nothing was run.)"
    yield ""
    program: Any = typer.main.get_command(app)
    yield "`schakel --version` shows the version, `--help` with any command its options."
    yield ""
    yield from _group("schakel", program)


def _group(name: str, group: Any) -> Iterator[str]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _group(f"{name} {word}", command)
        else:
            yield from _command(f"{name} {word}", command)


def _command(name: str, command: Any) -> Iterator[str]:
    parameters = [p for p in command.params if p.name != "help"]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    yield f"## {name}"
    yield ""
    yield inspect.cleandoc(command.help or "")
    yield ""
    yield f"    {' '.join([name, *(str(p.metavar) for p in arguments), '[options]'])}"
    yield ""
    yield from _table(("option", "meaning", "default"), (_parameter(p) for p in parameters))


def _parameter(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        name = str(parameter.metavar)
    else:
        value = "" if parameter.is_flag else f" {parameter.metavar}"
        name = f"{parameter.opts[0]}{value}"
    default = parameter.default
    if parameter.required:
        shown = "needed"
    elif default in (None, False, ()) or callable(default):
        shown = ""
    else:
        shown = _code(str(default))
    return _code(name), parameter.help, shown


# -- configuration ----------------------------------------------------------------------------------------


def _configuration() -> Iterator[str]:
    yield "A node has one TOML file (`schakel serve --config FILE`); paths in it are relative to it. A variable of"
    yield "the environment wins over the file, for the settings at the top level only; lists and tables are given"
    yield "in it as JSON. An unknown name is refused."
    yield ""
    prefix = str(Settings.model_config.get("env_prefix"))
    yield from _table(
        ("setting", "type", "default", "meaning", "environment"),
        ((*_setting(n, f), _code(f"{prefix}{n.upper()}")) for n, f in Settings.model_fields.items()),
    )
    for title, model in (
        ("`[[organisations]]`", Organisation),
        ("`[[directory]]`", Peer),
        ("`[medmij]`", MedMij),
        ("`[medmij.broker]`", Broker),
        ("`[back]`", Back),
        ("`[certificates]`", Certificates),
        ("`[internal_tls]`", InternalTls),
        ("`[[organisations.internal_certificates]]`", InternalCertificate),
        ("`[portal]`", Portal),
        ("`[portal.login]`", PortalLogin),
        ("`[[portal.people]]`", PortalPerson),
        ("`[limits]`", Limits),
    ):
        yield f"## {title}"
        yield ""
        yield inspect.cleandoc(model.__doc__ or "").partition("\n")[0]
        yield ""
        yield from _table(
            ("setting", "type", "default", "meaning"),
            (_setting(n, f) for n, f in cast(type[BaseModel], model).model_fields.items()),
        )


def _setting(name: str, info: FieldInfo) -> tuple[str, str, str, str]:
    default = info.default
    if info.is_required():
        shown = "needed"
    elif default is PydanticUndefined or isinstance(default, BaseModel):
        shown = "see below"
    elif default in ((), None):
        shown = "none"
    else:
        shown = _code(str(default).lower() if isinstance(default, bool) else str(default) or '""')
    return _code(name), _type(info.annotation), shown, info.description or ""


_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true or false",
    Path: "path",
    Any: "anything",
    IPvAnyNetwork: "network address",
}


def _type(annotation: Any) -> str:
    """A type as the writer of a TOML file knows it."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(_code(str(word)) for word in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments if one is not type(None))
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"table of {_type(arguments[1])} by {_type(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"table ({annotation.__name__})"
    return _type(annotation.__origin__) if hasattr(annotation, "__origin__") else str(annotation)


# -- routes -----------------------------------------------------------------------------------------------


def _routes() -> Iterator[str]:
    everywhere, demo = (_listed(front(_node(guarded))) for guarded in (False, True))
    yield "Every path that is not listed is 404."
    yield ""
    for title, routes, about in (
        ("Front", everywhere, "For people, OAuth and metadata."),
        ("Front, with `guarded_on_front`", [r for r in demo if r not in everywhere], "In the demo only."),
        ("Back", _listed(back(_node(False))), "For others, who show a client certificate."),
        ("Internal", _listed(internal(_node(False))), "For the organisation's own systems: `X-API-Key`."),
    ):
        yield f"## {title}"
        yield ""
        yield about
        yield ""
        yield from _table(("path", "methods", "what"), routes)


def _node(guarded: bool) -> Node:
    """All that the list of routes asks of a node."""
    told = {"guarded_on_front": guarded, "versions": (), "public_url": "", "internal_url": "", "back_url": ""}
    doors = SimpleNamespace(on="front", query=True, tokens=True)
    return cast(
        Node, SimpleNamespace(**told, update_client=doors, board=object(), inventory=object(), small=0)
    )


def _listed(routes: Iterable[BaseRoute]) -> list[tuple[str, str, str]]:
    return [
        (
            _code(route.path.replace(":path}", "}")),
            ", ".join(sorted(route.methods or ("any",))),
            inspect.cleandoc(route.endpoint.__doc__ or "").partition("\n\n")[0],
        )
        for route in routes
        if isinstance(route, Route) and route.path != "/{path:path}"
    ]


# -- exchanges and search ---------------------------------------------------------------------------------


def _kind(parameter: SearchParameter) -> str:
    """The kind of a parameter, and what is special about it."""
    return f"{parameter.type} ({parameter.special})" if parameter.special else parameter.type


def _operations() -> Iterator[str]:
    yield "What the internal door of an organisation carries out; the guarded doors refuse all but `$lastn`, which is a"
    yield "search. The CapabilityStatement lists them with their definitions."
    yield ""
    yield from _table(
        ("operation", "on", "by", "versions", "definition"),
        (
            (
                _code(f"${o.name}"),
                _where(o),
                ", ".join(sorted(o.methods)),
                ", ".join(version.upper() for version in VERSIONS if version in o.versions),
                _code(o.definition),
            )
            for o in OPERATIONS
        ),
    )
    for module, operations in _by_module().items():
        yield f"## {', '.join(f'${name}' for name in dict.fromkeys(o.name for o in operations))}"
        yield ""
        yield inspect.cleandoc(module.__doc__ or "")
        yield ""
        takes = {p: None for o in operations for p in o.takes if p.name != "_page"}
        if takes:
            rows = ((_code(p.name), p.type, "any number" if p.repeats else "one") for p in takes)
            yield from _table(("parameter", "type", "times"), rows)


def _by_module() -> dict[types.ModuleType, list[Operation]]:
    """The operations by the module that carries them out."""
    found: dict[types.ModuleType, list[Operation]] = {}
    for operation in OPERATIONS:
        if (module := inspect.getmodule(operation.run)) is not None:
            found.setdefault(module, []).append(operation)
    return found


def _where(operation: Operation) -> str:
    on = ", ".join(sorted(operation.types)) or "any type"
    places = {"system": "the system", "type": on, "instance": f"one resource ({on})"}
    return "; ".join(text for level, text in places.items() if level in operation.levels)


def _search_parameters() -> Iterator[str]:
    yield "Beside the parameters of FHIR itself. A parameter that no table of either knows is refused by name, or left"
    yield "out and named with `Prefer: handling=lenient`."
    yield ""
    yield "## Modifiers"
    yield ""
    yield "A reference also takes a resource type as modifier. `:of-type` is there for R4; `:in` and `:not-in` know the"
    yield "value sets that the definitions of FHIR enumerate. What needs a terminology server (`:above` and `:below` of"
    yield "codes), full text (`_text`, `_content`), `_filter`, `_query`, `near` and contained resources is refused."
    yield ""
    yield from _table(
        ("kind", "modifiers"),
        ((kind, " ".join(_code(f":{m}") for m in sorted(found) if m)) for kind, found in MODIFIERS.items()),
    )
    yield "## Added"
    yield ""
    yield from _table(
        ("version", "type", "parameter", "kind", "expression"),
        (
            (version.upper(), ", ".join(p.base), _code(p.code), _kind(p), _code(p.expression))
            for version in VERSIONS
            for p in ADDED[version]
        ),
    )
    yield "## Corrected in search expressions"
    yield ""
    yield from _table(
        ("version", "published", "read as", "reason"),
        (
            (version.upper(), _code(wrong), _code(right), reason)
            for version in VERSIONS
            for wrong, right, reason in corrections._CORRECTIONS[version]
        ),
    )
    yield "## Corrected in invariants"
    yield ""
    yield from _table(
        ("version", "invariant", "published", "read as", "reason"),
        (
            (version.upper(), key, _code(wrong), _code(right) or "dropped", reason)
            for version in VERSIONS
            for key, wrong, right, reason in corrections._INVARIANTS[version]
        ),
    )


# -- data services of MedMij --------------------------------------------------------------------------------


def _medmij_services() -> Iterator[str]:
    yield "Each is a FHIR base at `/{organisation}/medmij/{id}/fhir`, opened by a patient's token for it. A search may"
    yield "use every parameter of the types that the service gives, and finds this patient's records alone; a read also"
    yield "opens what these refer to. What the service takes goes as a Bundle to the base, and from there into the"
    yield "organisation's inbox."
    yield ""
    yield "Numbers from 900 up are not of MedMij: the number of that service is not public, so it is invented here."
    yield ""
    yield from _table(
        ("id", "name", "kind", "FHIR", "gives", "takes", "updates", "system roles"),
        (
            (
                s.id + (" (invented)" if s.invented else ""),
                s.name,
                s.kind,
                s.version.upper(),
                ", ".join(sorted(s.gives)),
                ", ".join(sorted(s.takes)),
                ", ".join(sorted(s.updates)),
                ", ".join(s.roles) or f"{s.system_roles[0]} (ours)",
            )
            for s in SERVICES.values()
        ),
    )


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
