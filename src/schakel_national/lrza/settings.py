"""What `lrza.toml` says (see the package), and the first contents that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from schakel.fhir import json
from schakel.fhir.json import Resource
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura
from schakel_national import configuration
from schakel_national.lrza.parties import KVK, URA, Party
from schakel_national.lrza.resources import HELD

NAME = "lrza"
_WITH_DECIMALS = (b'"position"', b'xtension"')
"""Where a resource of these types can have a decimal: the position of a Location, and extensions."""

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Which bearer tokens are taken: our own, and those of `issuer` for `audience`, by the keys at `jwks`."""

    jwks: str
    issuer: str
    audience: str
    seconds: int


class Settings:
    """See the package for what each is."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.tls = bool(table.get("tls", True))
        self.open_reading = bool(table.get("open_reading", False))
        self.seven_types = bool(table.get("seven_types", False))
        self.signed = bool(table.get("signed", False))
        self.clients = frozenset(str(one).lower() for one in table.get("clients", ()))
        self.signers = tuple(str(one) for one in table.get("signers", ("uzi-ca/anchors.pem",)))
        self.page_size = _whole(table, "page_size", 100)
        self.rate = int(table.get("rate", 0))
        self.rate_seconds = _whole(table, "rate_seconds", 60)
        self.seed = str(table.get("seed", ""))
        self.parties: dict[str, frozenset[Party]] = {}
        for one in table.get("parties", ()):
            kind, value = (URA, str(Ura(one["ura"]))) if "ura" in one else (KVK, str(one["kvk"]))
            who = str(one["certificate"]).lower()
            self.parties[who] = self.parties.get(who, frozenset()) | {Party(kind, value)}
        tokens = table.get("tokens")
        self.tokens = None if tokens is None else _tokens(tokens)


def _whole(table: Mapping[str, Any], name: str, default: int) -> int:
    value = int(table.get(name, default))
    if value < 1:
        raise ValueError(f"{name} must be 1 or more")
    return value


def _tokens(table: Mapping[str, Any]) -> Tokens:
    return Tokens(
        str(table.get("jwks", "")),
        str(table.get("issuer", "")),
        str(table.get("audience", "")),
        _whole(table, "seconds", 300),
    )


def settings(folder: Path) -> Settings:
    """The configuration in `folder`; without one an empty directory with a client certificate. Raises `Invalid`."""
    path = folder / f"{NAME}.toml"
    return configuration.read(path, Settings) if path.exists() else Settings({})


def seed(path: Path) -> Iterator[Resource]:
    """The resources in a file: a Bundle, or one resource a line (NDJSON). They are taken as they are, so that a
    directory of another making can be given; ids that they do not have are made. Raises `Invalid` naming the file."""
    try:
        with path.open("rb") as file:
            first = file.readline()
            if first.strip() and b'"Bundle"' not in first[:200] and _whole_object(first):
                file.seek(0)
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield _checked(_read(line), f"line {number}")
                return
            file.seek(0)
            yield from _of_bundle(json.parse(file.read()))
    except OSError as error:
        raise Invalid(f"the seed {path} of {NAME}.toml cannot be read: {error.strerror}") from error
    except Invalid as error:
        raise Invalid(f"the seed {path} of {NAME}.toml is not right: {error.message}") from error


def _read(line: bytes) -> Resource:
    """The resource on a line; in the faster way when it can have no decimal, which that would not keep to the digit."""
    if any(name in line for name in _WITH_DECIMALS):
        return json.parse(line)
    try:
        read = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"a line is not JSON: {error}") from error
    return read if isinstance(read, dict) else {}


def _whole_object(line: bytes) -> bool:
    try:
        return bool(json.parse(line))
    except Invalid:
        return False


def _of_bundle(bundle: Resource) -> Iterator[Resource]:
    """The resources of a transaction (or of any other Bundle), with references to entries made literal."""
    if bundle.get("resourceType") != "Bundle":
        raise Invalid("a Bundle, or a resource on each line, is needed")
    taken, names = [], {}
    for place, entry in enumerate(bundle.get("entry", ())):
        resource = dict(entry.get("resource", {}))
        if "id" not in resource:
            resource["id"] = new_id()
        taken.append(_checked(resource, f"entry[{place}]"))
        names[str(entry.get("fullUrl", ""))] = f"{resource['resourceType']}/{resource['id']}"
    for resource in taken:
        made = referring(resource, names)
        assert isinstance(made, dict)
        yield made


def referring(value: Any, names: Mapping[str, str]) -> Any:
    """A copy of `value` in which each reference that is in `names` is what that says."""
    if isinstance(value, dict):
        return {
            name: names.get(member, member)
            if name == "reference" and isinstance(member, str)
            else referring(member, names)
            for name, member in value.items()
        }
    return [referring(member, names) for member in value] if isinstance(value, list) else value


def _checked(resource: Resource, where: str) -> Resource:
    if resource.get("resourceType") not in HELD:
        raise Invalid(f"{where} is no {', '.join(HELD)}")
    if not _ID.fullmatch(str(resource.get("id", ""))):
        raise Invalid(f"{where} has no FHIR id")
    return resource
