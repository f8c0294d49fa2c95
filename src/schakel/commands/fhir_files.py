"""FHIR resources in files: JSON, XML and NDJSON, packed with gzip or zstd or not, in folders; nothing lost in reading.

A Bundle of type collection, searchset or document gives its entries; a transaction stays whole. References to
the `fullUrl` of an entry become references to the entry's type and id, as in a FHIR transaction. NDJSON (one
resource a line, as of a bulk export) is read line by line: what is in memory is one line, whatever the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from schakel.fhir import definitions, json, xml
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Invalid, Outcome
from schakel.kernel.packing import coding_of, unpacked

_LINES = frozenset({".ndjson", ".jsonl"})
_SUFFIXES = _LINES | {".json", ".xml"}
_PACKED = frozenset({".gz", ".zst"})
_CHUNK = 1 << 16
_OPENED = frozenset({"collection", "searchset", "document"})
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_TYPE = re.compile(r"[A-Za-z]{1,64}")


@dataclass(frozen=True, slots=True)
class Item:
    """One resource as JSON. `id` is '' when the server must give one.

    `together` is not '' when it must be written in one transaction with all items that have the same: those
    refer to each other by `full_url`; they follow one another.
    """

    file: str
    type: str
    id: str
    body: bytes
    place: str = ""
    full_url: str = ""
    together: str = ""

    @property
    def key(self) -> bytes:
        """Type and id."""
        return f"{self.type}/{self.id}".encode()

    @property
    def name(self) -> str:
        """How a person finds it in the file."""
        named = f"{self.type}/{self.id}" if self.id else f"{self.type} without id"
        return f"{named} at {self.place}" if self.place else named


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction Bundle as JSON; `methods` are those of its entries."""

    file: str
    body: bytes
    methods: tuple[str, ...]
    place: str = ""

    @property
    def name(self) -> str:
        at = f" at {self.place}" if self.place else ""
        return f"transaction of {len(self.methods)} entries{at}, refused whole"


@dataclass(frozen=True, slots=True)
class Refused:
    """What was not written and why; it stands for `resources` resources."""

    file: str
    resource: str
    message: str
    resources: int = 1


def files(paths: Iterable[Path]) -> list[Path]:
    """The files that `paths` name: folders are walked, in the order of names, for .json, .xml and .ndjson (.jsonl),
    which may be packed (.gz, .zst).

    Hidden files and folders are left out. Raises `Invalid` for a path that is not there.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(_walked(path))
        elif path.exists():
            found[path] = None
        else:
            raise Invalid(f"there is no file or folder {path}")
    return list(found)


def _walked(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and _suffix(Path(name)) in _SUFFIXES:
                yield Path(here, name)


def _suffix(path: Path) -> str:
    """The suffix that says what is in a file, below that of its packing."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _PACKED else suffix


def read(path: Path, version: Version) -> Iterator[Item | Transaction | Refused]:
    """What stands in one file. Where a file breaks off, what stands before that is given."""
    if _suffix(path) in _LINES:
        yield from _lines(path)
        return
    try:
        data = b"".join(_content(path))
        is_xml = data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
        resource = xml.parse(data, definitions(version)) if is_xml else json.parse(data)
    except OSError as error:
        yield Refused(str(path), "file", f"cannot be read: {error.strerror}")
    except Outcome as outcome:
        yield Refused(str(path), "file", outcome.message)
    else:
        yield from _resources(str(path), resource)


def _content(path: Path) -> Iterator[bytes]:
    """The bytes in a file, unpacked when they open as packed data. Raises `OSError` and `Invalid`."""
    with path.open("rb") as file:
        opening = file.read(4)
        chunks = chain((opening,), iter(lambda: file.read(_CHUNK), b""))
        coding = coding_of(opening)
        yield from chunks if coding is None else unpacked(chunks, coding)


def _lines(path: Path) -> Iterator[Item | Transaction | Refused]:
    """The resources of an NDJSON file, each with its line; empty lines are passed over."""
    number = 0
    try:
        for number, line in enumerate(_split(_content(path)), start=1):
            if text := line.removeprefix(b"\xef\xbb\xbf").strip():
                yield from _line(str(path), f"line {number}", text)
    except OSError as error:
        yield Refused(str(path), f"after line {number}", f"cannot be read: {error.strerror}")
    except Invalid as outcome:
        yield Refused(str(path), f"after line {number}", outcome.message)


def _line(file: str, place: str, line: bytes) -> Iterator[Item | Transaction | Refused]:
    try:
        resource = json.parse(line)
    except Outcome as outcome:
        yield Refused(file, place, outcome.message)
    else:
        yield from _resources(file, resource, place)


def _split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in a stream of pieces; the last one need not end."""
    rest: list[bytes] = []
    for piece in pieces:
        first, *lines = piece.split(b"\n")
        rest.append(first)
        if lines:
            yield b"".join(rest)
            yield from lines[:-1]
            rest = [lines[-1]]
    if last := b"".join(rest):
        yield last


def _resources(file: str, resource: Resource, place: str = "") -> Iterator[Item | Transaction | Refused]:
    if resource.get("resourceType") == "Bundle":
        yield from _bundle(file, resource, place)
    else:
        yield _item(file, resource, place)


def _bundle(file: str, bundle: Resource, place: str) -> Iterator[Item | Transaction | Refused]:
    kind = bundle.get("type")
    entries = bundle.get("entry", [])
    named = f"Bundle at {place}" if place else "Bundle"
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        yield Refused(file, named, "Bundle.entry is not a list of entries")
    elif kind == "transaction":
        requests = [entry.get("request") for entry in entries]
        methods = tuple(str(r.get("method")) if isinstance(r, dict) else "" for r in requests)
        yield Transaction(file, json.dump(bundle), methods, place)
    elif kind not in _OPENED:
        yield Refused(
            file,
            named,
            f"a Bundle of type {str(kind)[:40]!r} is not imported; transaction, collection, searchset and "
            "document are",
        )
    else:
        yield from _entries(file, entries, f"{place}, " if place else "")


def _entries(file: str, entries: list[Resource], line: str) -> Iterator[Item | Refused]:
    """The resources of a Bundle, their references to each other's `fullUrl` resolved."""
    resolved: dict[str, str] = {}
    left = False
    for entry in entries:
        resource, url = entry.get("resource"), entry.get("fullUrl")
        if isinstance(resource, dict) and isinstance(url, str):
            if resource.get("id"):
                resolved[url] = f"{resource.get('resourceType')}/{resource['id']}"
            else:
                left = True
    for number, entry in enumerate(entries):
        search = entry.get("search")
        if isinstance(search, dict) and search.get("mode") == "outcome":
            continue
        place = f"{line}entry[{number}]"
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            yield Refused(file, place, "the entry has no resource")
            continue
        _resolve(resource, resolved)
        url = entry.get("fullUrl")
        together = f"{file} {line}" if left else ""
        yield _item(file, resource, place, url if left and isinstance(url, str) else "", together)


def _resolve(value: object, resolved: Mapping[str, str]) -> None:
    """Replaces, in place, every `reference` to one of these addresses."""
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str) and reference in resolved:
            value["reference"] = resolved[reference]
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            _resolve(member, resolved)


def _item(
    file: str, resource: Resource, place: str = "", full_url: str = "", together: str = ""
) -> Item | Refused:
    kind, logical_id = resource.get("resourceType"), resource.get("id", "")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        return Refused(file, place or "file", "not a FHIR resource: resourceType is missing")
    if not isinstance(logical_id, str) or (logical_id and not _ID.fullmatch(logical_id)):
        return Refused(file, place or kind, "the id is no FHIR id: 1 to 64 letters, digits, '-' and '.'")
    body = bytes(memoryview(json.dump(resource)))  # A copy: orjson leaves much room behind what it writes.
    return Item(file, kind, logical_id, body, place, full_url, together)
