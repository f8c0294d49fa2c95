"""The presentation definition of each scope: the ones in `definitions/`, or an organisation's own."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from schakel.fhir.json import parse
from schakel.generic.identity.credentials.definition import Definition
from schakel.generic.identity.errors import InvalidScopeError
from schakel.kernel.outcomes import Invalid

_FOLDER = Path(__file__).parent / "definitions"


class Definitions:
    """Definitions by scope; `client` is what a service provider presents beside a care organisation."""

    def __init__(self, by_scope: Mapping[str, Definition], client: Definition) -> None:
        self.by_scope = MappingProxyType(dict(by_scope))
        self.client = client

    @classmethod
    def load(cls, own: Mapping[str, Path] = MappingProxyType({})) -> Definitions:
        """The definitions of the program, with the files `own` by scope in place of them.

        Raises `Invalid` that names the file and what in it is not right.
        """
        table = _table()
        by_scope = {scope: _shipped(name) for scope, name in table["scopes"].items()}
        by_scope |= {scope: read_file(path) for scope, path in own.items()}
        return cls(by_scope, _shipped(table["client"]["definition"]))

    def of(self, scopes: Iterable[str]) -> Definition:
        """The one definition that `scopes` ask for.

        Raises `InvalidScopeError` for a scope without a definition, and when two of them ask for different ones.
        """
        found: dict[str, Definition] = {}
        for scope in scopes:
            definition = self.by_scope.get(scope)
            if definition is None:
                raise InvalidScopeError(
                    f"no presentation gives the scope {scope[:40]!r}; there are definitions for "
                    f"{', '.join(sorted(self.by_scope))}",
                    code="scope",
                    expression="scope",
                )
            found[definition.id] = definition
        if len(found) != 1:
            raise InvalidScopeError(
                "these scopes ask for different credentials: ask for them one by one"
                if found
                else "the parameter scope is missing",
                code="scope-several" if found else "scope-missing",
                expression="scope",
            )
        return next(iter(found.values()))


def read_file(path: Path) -> Definition:
    """The definition in the JSON file `path`. Raises `Invalid` naming the file."""
    try:
        return Definition.read(parse(path.read_bytes()))
    except OSError as error:
        raise Invalid(
            f"the presentation definition {path} cannot be read: {error.strerror}", code="definition-invalid"
        ) from error
    except Invalid as error:
        raise Invalid(
            f"the presentation definition {path} is not right: {error.message}",
            code="definition-invalid",
            expression=error.expression,
        ) from error


@cache
def _table() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = tomllib.loads((_FOLDER / "scopes.toml").read_text("utf-8"))
    return table


@cache
def _shipped(name: str) -> Definition:
    return read_file(_FOLDER / f"{name}.json")
