"""Masking of BSNs: no BSN leaves by the MedMij door, whatever the resource.

`mask` takes a resource and the patient's BSN, and gives the resource without it. It is a function of its
arguments alone. What it looks for:

* an Identifier or Coding with the BSN system (address or OID), an Identifier whose `type` says BSN, an extension
  with that address as `url`: its value is left out, with `data-absent-reason` `masked` in its place;
* an Identifier without system and type whose value passes the 11-proef: the same;
* the patient's BSN, and every BSN found in this resource by the rules above, as a number of its own in any
  string (narrative, extensions, contained resources, links), also in groups (1234.56.789, with tags between):
  stars. In an id, a reference or an address stands `masked-id`, which a later request may use (`ALIAS`);
* in any string, nine digits behind the BSN system, and nine digits that pass the 11-proef shortly behind the
  word BSN or burgerservicenummer: stars;
* a number (JSON) equal to such a BSN: left out, with `data-absent-reason`;
* inside attachments of text: as in strings. Other attachments cannot be masked and are reported (`documents`).

All else stays as it was, decimals to the last digit. Nine digits that only happen to pass the 11-proef stay too:
they are UZI numbers, order numbers and the like.

Source: MedMij framework (no BSN in answers); Nictiz MedMij FHIR implementation guide (masked identifiers);
FHIR extension data-absent-reason.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from schakel.fhir.json import Resource
from schakel.kernel.values import Bsn
from schakel.patient_access.documents import Finding, search

DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
ALIAS = "masked-id"
"""Stands for the patient's BSN in an id: nine characters that are allowed there."""

STARS = "*********"

_SYSTEM = re.compile(
    r"(?i)(?:https?://(?:www\.)?fhir\.nl/fhir/namingsystem/bsn|(?:urn:oid:)?2\.16\.840\.1\.113883\.2\.4\.6\.3)/?"
)
_WORD = r"(?:\bbsn\b|burger\s?service\s?nummer|sofi[ -]?nummer)"
_SAYS_BSN = re.compile(rf"(?i){_WORD}|\bnnnld\b")
_GAP = r"(?:[ .\u00a0\u202f-]|&nbsp;|&#160;|&#[xX][aA]0;|</?[a-zA-Z][^<>]{0,200}>){0,4}"
_NINE = rf"(?<![0-9])[0-9](?:{_GAP}[0-9]){{8}}(?![0-9])"
_LABELLED = re.compile(rf"(?i){_WORD}(?:[^0-9<>]|<[^<>]{{0,200}}>){{0,60}}?(?P<number>{_NINE})")
_BEHIND_SYSTEM = re.compile(
    r"(?i)(?:namingsystem/bsn|113883\.2\.4\.6\.3)/?(?:\||%7c|[./:#^])(?P<number>[0-9]{9})(?![0-9])"
)
_MARKUP = re.compile(r"&[#a-zA-Z0-9]+;|<[^<>]*>|[0-9]")
_IDS = frozenset({"id", "reference", "url", "uri", "fullUrl", "valueUri", "valueUrl", "valueReference"})
_TEXT_MEDIA = re.compile(r"text/.+|application/(?:.+\+)?(?:json|xml)|application/xhtml\+xml|image/svg\+xml")
_NO_BASE64 = frozenset({"valueBase64Binary", "blob"})


@dataclass(frozen=True, slots=True)
class Document:
    """Data that was not masked: where it stands, and what was found in it."""

    path: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Masked:
    """A resource without BSNs, and the documents in it that hold one or that could not be read."""

    resource: Resource
    documents: tuple[Document, ...] = ()


def mask(resource: Resource, bsn: str, *, withhold: bool = False) -> Masked:
    """`resource` for the patient with this BSN; the argument itself is not changed. With `withhold` the data of
    a document that is reported is left out as well."""
    masker = _Masker(frozenset({bsn}) | _numbers(resource), withhold)
    masked = masker.members(resource, "", str(resource.get("resourceType", "")))
    return Masked(masked, tuple(masker.documents))


def text_mask(bsn: str) -> Callable[[str], str]:
    """What takes this BSN, and what says that it is one, out of a text; made once for many texts."""
    return _Masker(frozenset({bsn}), withhold=False).text


def mask_text(text: str, bsn: str) -> str:
    """`text` without this BSN, and without what says that it is one."""
    return text_mask(bsn)(text)


def pattern(numbers: frozenset[str]) -> re.Pattern[str]:
    """Finds these numbers in a text, each as a number of its own, also in groups."""
    short = {n.lstrip("0") for n in numbers if n.startswith("0")}  # A leading zero is often not written.
    ways = (_GAP.join(number) for number in sorted(numbers | {n for n in short if len(n) > 6}))
    return re.compile(rf"(?<![0-9])(?:{'|'.join(ways)})(?![0-9])")


def _numbers(value: object, owner: str = "") -> frozenset[str]:
    """Every BSN that stands as such in an Identifier, Coding or extension."""
    found: set[str] = set()
    for one, name in _objects(value, owner):
        if _is_bsn(one, name):
            for member in _values_of(one):
                if isinstance(one[member], str | int) and re.fullmatch("[0-9]{9}", str(one[member])):
                    found.add(str(one[member]))
    return frozenset(found)


def _objects(value: object, owner: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every object in `value`, with the name of the member it stands in."""
    if isinstance(value, dict):
        yield value, owner
        for name, member in value.items():
            yield from _objects(member, name)
    elif isinstance(value, list):
        for member in value:
            yield from _objects(member, owner)


def _is_bsn(value: Mapping[str, Any], owner: str) -> bool:
    """Whether an object says that its value is a BSN, or is an Identifier that looks like one."""
    system, url = value.get("system"), value.get("url")
    if isinstance(system, str) and _SYSTEM.fullmatch(system.strip()):
        return True
    if isinstance(url, str) and _SYSTEM.fullmatch(url.strip()):
        return True
    if "value" not in value:
        return False
    kind = value.get("type")
    if isinstance(kind, dict):
        return any(_SAYS_BSN.search(text) for text in _words(kind))
    number = value["value"]
    return (
        system is None
        and owner.lower().endswith("identifier")
        and isinstance(number, str)
        and Bsn.fits(number)
    )


def _words(concept: Mapping[str, Any]) -> Iterator[str]:
    codings = concept.get("coding")
    for one in (concept, *(codings if isinstance(codings, list) else ())):
        if isinstance(one, dict):
            yield from (one[n] for n in ("text", "code", "display") if isinstance(one.get(n), str))


def _values_of(value: Mapping[str, Any]) -> list[str]:
    """The members of such an object that hold the number."""
    if "url" in value and "system" not in value:
        return [n for n in value if n.startswith("value") and isinstance(value[n], str | int)]
    return [n for n in ("value", "code") if n in value]


@dataclass(slots=True)
class _Masker:
    numbers: frozenset[str]
    withhold: bool
    documents: list[Document] = field(default_factory=list)
    found: re.Pattern[str] = field(init=False)
    whole: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.found = pattern(self.numbers)
        self.whole = frozenset(int(number) for number in self.numbers)

    def members(self, value: Mapping[str, Any], path: str, owner: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        hidden: list[str] = []
        left_out = _values_of(value) if _is_bsn(value, owner) else []
        if not left_out and "value" in value and ("system" in value or owner.lower().endswith("identifier")):
            number = value["value"]
            left_out = ["value"] if isinstance(number, str) and number.strip() in self.numbers else []
        for name, member in value.items():
            several = member if isinstance(member, list) else [member]
            if name in left_out or any(self._is_number(one) for one in several):
                hidden.append(name)
            else:
                out[name] = self._value(member, f"{path}.{name}" if path else name, name)
        self._attachment(out, value, path, hidden)
        for name in hidden:
            out.pop(name, None)
            reason = absent(out.get(f"_{name}"))
            out[f"_{name}"] = [reason] if isinstance(value[name], list) and name not in left_out else reason
        return out

    def _is_number(self, value: object) -> bool:
        return isinstance(value, int | Decimal) and not isinstance(value, bool) and value in self.whole

    def _value(self, value: Any, path: str, name: str) -> Any:
        if isinstance(value, str):
            return self.address(value) if name in _IDS else self.text(value)
        if isinstance(value, dict):
            return self.members(value, path, name)
        if isinstance(value, list):
            return [self._value(one, f"{path}[{place}]", name) for place, one in enumerate(value)]
        return None if self._is_number(value) else value

    def text(self, text: str) -> str:
        """A string without BSNs."""
        if len(text) < 7:
            return text
        if "/" in text and not re.search(r"\s|<", text):
            return self.address(text)
        text = self.found.sub(lambda match: _starred(match[0]), text)
        text = _BEHIND_SYSTEM.sub(_number_starred, text)
        return _LABELLED.sub(lambda match: _number_starred(match) if _passes(match) else match[0], text)

    def address(self, text: str) -> str:
        """An id, a reference or an address without BSNs."""
        text = _BEHIND_SYSTEM.sub(_number_starred, text)
        return self.found.sub(
            lambda match: ALIAS if len(match[0]) == len(ALIAS) else _starred(match[0]), text
        )

    def _attachment(
        self, out: dict[str, Any], value: Mapping[str, Any], path: str, hidden: list[str]
    ) -> None:
        """Looks into the data of an Attachment, a Binary (STU3 `content`) or another base64 member."""
        for name in ("data", "content", *_NO_BASE64, "query"):
            encoded = value.get(name)
            if not isinstance(encoded, str) or name in hidden:
                continue
            if name in ("data", "content") and "contentType" not in value:
                continue
            media = value.get("contentType", "text/plain" if name == "query" else "")
            media = media.partition(";")[0].strip().lower() if isinstance(media, str) else ""
            out[name] = encoded
            try:
                data = base64.b64decode("".join(encoded.split()), validate=True)
            except (binascii.Error, ValueError):
                continue  # Only a lenient write lets it in; it is no data that anything could show.
            if _TEXT_MEDIA.fullmatch(media):
                self._text_data(out, name, data)
                continue
            finding = search(data, media, self.found)
            if finding != "clean":
                self.documents.append(Document(f"{path}.{name}" if path else name, finding))
                if self.withhold:
                    hidden.append(name)

    def _text_data(self, out: dict[str, Any], name: str, data: bytes) -> None:
        try:
            coding, text = "utf-8", data.decode("utf-8")
        except UnicodeDecodeError:
            coding, text = "latin-1", data.decode("latin-1")
        masked = self.text(text).encode(coding)
        if masked == data:
            return
        out[name] = base64.b64encode(masked).decode()
        out.pop("hash", None)
        if "size" in out:
            out["size"] = len(masked)


def _starred(text: str, star: str = "*") -> str:
    """The digits of `text` as stars; tags and character references stay."""
    return _MARKUP.sub(lambda part: star if part[0].isdigit() else part[0], text)


def _number_starred(match: re.Match[str]) -> str:
    start, end = match.start("number") - match.start(), match.end("number") - match.start()
    return match[0][:start] + _starred(match[0][start:end]) + match[0][end:]


def _passes(match: re.Match[str]) -> bool:
    digits = "".join(part for part in _MARKUP.findall(match["number"]) if part.isdigit())
    return Bsn.fits(digits)


def absent(sibling: object) -> dict[str, Any]:
    """What stands in the place of a value: the reason, beside what was said about it already."""
    kept = sibling if isinstance(sibling, dict) else {}
    extensions = kept.get("extension")
    others = [
        e
        for e in (extensions if isinstance(extensions, list) else ())
        if not (isinstance(e, dict) and e.get("url") == DATA_ABSENT_REASON)
    ]
    return {**kept, "extension": [*others, {"url": DATA_ABSENT_REASON, "valueCode": "masked"}]}
