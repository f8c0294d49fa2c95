"""The published validator cases as data, and what our validation says about each."""

from __future__ import annotations

import json as plain
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.shared import shared

from schakel.fhir import json, xml
from schakel.fhir.definitions import Definitions, definitions
from schakel.fhir.json import Resource
from schakel.fhir.validation import Find, validate_bytes
from schakel.kernel.outcomes import Issue, Outcome


class Case(NamedTuple):
    """One case, validated against the specification; `errors` is how many errors the reference finds."""

    name: str
    kind: str
    module: str
    contested: bool
    known: Definitions
    file: Path
    supporting: tuple[Path, ...]
    errors: int

    def issues(self) -> list[Issue]:
        """What we find."""
        media = "json" if self.file.suffix == ".json" else "xml"
        return validate_bytes(
            self.file.read_bytes(),
            media,  # type: ignore[arg-type]
            self.known,
            find=_finder(self.supporting, self.known),
        )


def cases() -> Iterator[Case]:
    """The base steps of every class whose verdict does not hang on a terminology server."""
    folder = shared("suites", "validator")
    for raw in plain.loads((folder / "index.json").read_text("utf-8")):
        kind = "terminology" if raw["needs_tx"] else "option" if raw["options"] else "plain"
        for step in raw["steps"]:
            if step["step"] != "base" or (kind == "terminology" and step["tx_errors"]):
                continue
            version = "stu3" if raw["fhir"].startswith("3") else "r4"
            yield Case(
                name=raw["name"],
                kind=kind,
                module=raw["module"] or "",
                contested=bool(raw["contested"]),
                known=definitions(version),
                file=folder / raw["file"],
                supporting=tuple(folder / name for name in [*raw["supporting"], *step["supporting"]]),
                errors=step["errors"],
            )


def _finder(paths: tuple[Path, ...], known: Definitions) -> Find:
    found: dict[str, Resource] = {}
    for path in paths:
        for resource in _resources(path, known):
            for address in (resource.get("url"), f"{resource.get('resourceType')}/{resource.get('id')}"):
                if isinstance(address, str):
                    found.setdefault(address, resource)
                    found.setdefault(f"{address}|{resource.get('version')}", resource)
    return lambda address: found.get(address)


def _resources(path: Path, known: Definitions) -> Iterator[Resource]:
    try:
        data = path.read_bytes()
        resource = json.parse(data) if path.suffix == ".json" else xml.parse(data, known)
    except (OSError, Outcome):
        return
    yield resource
    entries: Any = resource.get("entry", ()) if resource.get("resourceType") == "Bundle" else ()
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
            yield entry["resource"]
