"""Finding the scripts of a suite on disk.

Folders whose name starts with `_` hold no tests: `_reference` the fixtures, `_LoadResources` the scripts
that load them. The nearest `_LoadResources` above a script is its unit: units share ids, so one is loaded
and run before the next. `properties.json`, nearest above a script, tells the FHIR version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from schakel.conformance.script import Script, is_script, parse_xml, read_script
from schakel.fhir.definitions import VERSIONS, Version
from schakel.kernel.outcomes import Invalid, Outcome

LOAD_FOLDER = "_LoadResources"
_LEVELS_UP = 6


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that is meant to be a script and cannot be read."""

    path: Path
    reason: str


@dataclass(slots=True)
class Folder:
    """The scripts that stand in one folder."""

    path: Path
    scripts: list[Script | Broken] = field(default_factory=list)


@dataclass(slots=True)
class Unit:
    """Folders that share one set of loaded data; `loads` are the load scripts, none when there is no such
    folder.
    """

    root: Path
    loads: list[Path]
    folders: list[Folder] = field(default_factory=list)


def discover(suite: Path) -> list[Unit]:
    """The units below `suite`, a folder or one script, in order of path.

    Raises `Invalid` when there is no script, or when scripts for different FHIR versions stand together:
    one base speaks one version.
    """
    suite = suite.resolve()
    if not suite.exists():
        raise Invalid(f"there is no suite at {suite}", expression="suite")
    units: dict[Path, Unit] = {}
    versions: set[Version] = set()
    files = [suite] if suite.is_file() else sorted(suite.rglob("*.xml"))
    for path in files:
        if suite.is_dir() and any(part.startswith("_") for part in path.relative_to(suite).parts[:-1]):
            continue
        script = _read(path)
        if script is None:
            continue
        if isinstance(script, Script):
            versions.add(script.version)
        root, loads = _loads(path)
        unit = units.setdefault(root, Unit(root, loads))
        if not unit.folders or unit.folders[-1].path != path.parent:
            unit.folders.append(Folder(path.parent))
        unit.folders[-1].scripts.append(script)
    if not units:
        raise Invalid(f"no FHIR TestScript (XML) is found below {suite}", expression="suite")
    if len(versions) > 1:
        raise Invalid(
            f"{suite} holds scripts for {' and '.join(sorted(versions))}; name a folder of one FHIR version",
            expression="suite",
        )
    return list(units.values())


def suite_version(suite: Path) -> Version:
    """The FHIR version of a suite, as `properties.json` of its first script tells it. Raises `Invalid`."""
    suite = suite.resolve()
    files = [suite] if suite.is_file() else sorted(suite.rglob("*.xml"))
    for path in files:
        if suite.is_file() or not any(part.startswith("_") for part in path.relative_to(suite).parts[:-1]):
            return fhir_version(path)
    raise Invalid(f"no FHIR TestScript (XML) is found below {suite}", expression="suite")


def fhir_version(path: Path) -> Version:
    """The FHIR version that the nearest `properties.json` tells. Raises `Invalid` when none does."""
    for folder in list(path.parents)[:_LEVELS_UP]:
        file = folder / "properties.json"
        if file.is_file():
            try:
                word = str(json.loads(file.read_bytes()).get("fhirVersion", "")).lower()
            except (ValueError, AttributeError) as error:
                raise Invalid(f"{file} cannot be read: {error}") from None
            for version in VERSIONS:
                if word == version:
                    return version
            raise Invalid(f"{file}: fhirVersion '{word}' is not one of {', '.join(VERSIONS)}")
    raise Invalid(f"no properties.json beside or above {path} tells the FHIR version")


def _read(path: Path) -> Script | Broken | None:
    """The script; None for XML that is something else."""
    try:
        if not is_script(parse_xml(path.read_bytes(), str(path))):
            return None
        return read_script(path, fhir_version(path))
    except Outcome as error:
        return Broken(path, error.message)


def _loads(path: Path) -> tuple[Path, list[Path]]:
    """The root of the unit of a script, and its load scripts."""
    for folder in list(path.parents)[:_LEVELS_UP]:
        if (folder / LOAD_FOLDER).is_dir():
            return folder, sorted((folder / LOAD_FOLDER).glob("*.xml"))
    return path.parent, []
