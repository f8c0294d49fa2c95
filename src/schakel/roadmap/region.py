"""A region as a file: REGION.toml, with its organisations and what is known of each.

Everything about an organisation but its number, name and sector may be left out: what is not there is not checked.
Paths are those beside the file. A key stands in the file, in a file of its own, or in a variable of the environment; it
is never shown.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn, Ura
from schakel.roadmap.evidence import Member

_TEST_RANGE = "999"
"""How the BSNs begin that are of nobody."""

_SELECTOR = r"^[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?)*$"
"""How a selector of DKIM is written (RFC 6376 section 3.1)."""

_LARGEST = 10_000_000
"""Bytes of a file."""


def _refused(what: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{what}", {"what": what})


def _ura(value: object) -> str:
    try:
        return str(Ura(str(value)))
    except Invalid as error:
        raise _refused(error.message) from None


def _bsn(value: str) -> str:
    try:
        return str(Bsn(value))
    except Invalid as error:
        raise _refused(error.message) from None


def _address(value: str) -> str:
    """An http(s) address without credentials, and without a slash at the end."""
    try:
        parts = urlsplit(value)
        readable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        readable = False
    if not readable or parts.username is not None or parts.password is not None:
        raise _refused("an address is needed, such as https://host.example/path, without a name or password")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
UraText = Annotated[str, BeforeValidator(_ura)]
BsnText = Annotated[str, AfterValidator(_bsn)]
FilePath = Annotated[Path, Field(strict=False)]
SuiteCheck = Literal[
    "conformance-bgz", "conformance-eoverdracht", "conformance-medication", "conformance-medmij"
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Defaults(_Part):
    """What holds for every organisation.

    `ca` are the authorities to trust beside the system's own when given, `certificate` and `key` what is shown to who
    asks for it. `seconds` is the time-out of one request, `resolver` an address (`host` or `host:port`) of the DNS
    server to ask, '' that of this machine. `dns_anchors` is a file with the keys (DS or DNSKEY) that DNSSEC is proved
    from, in place of those of the root, and `smtp_port` where mail servers are talked with. `private` are networks
    outside the public internet that an address out of a directory may lead to; `http_on_loopback` is for a demo.
    """

    ca: tuple[FilePath, ...] = Field((), strict=False)
    certificate: FilePath | None = None
    key: FilePath | None = None
    seconds: float = Field(10.0, gt=0, le=300, strict=False)
    resolver: str = ""
    dns_anchors: FilePath | None = None
    smtp_port: int = Field(25, ge=1, le=65535)
    private: tuple[IPvAnyNetwork, ...] = Field((), strict=False)
    http_on_loopback: bool = False
    core_data_days: int = Field(30, ge=1, le=366)
    core_data_most: int = Field(10_000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _pair(self) -> Defaults:
        if (self.certificate is None) != (self.key is None):
            raise _refused("certificate and key go together")
        return self


class Bases(_Part):
    """The guarded FHIR bases by version."""

    stu3: Address = ""
    r4: Address = ""

    def given(self) -> tuple[tuple[Literal["stu3", "r4"], str], ...]:
        """Those that there are."""
        pairs: tuple[tuple[Literal["stu3", "r4"], str], ...] = (("stu3", self.stu3), ("r4", self.r4))
        return tuple((version, base) for version, base in pairs if base)


class MedMij(_Part):
    """Where the lists of MedMij are published, what the provider is called there (`name@medmij`), and the ids of the
    data services that it must offer."""

    lists: Address
    name: str = Field(pattern=r"^[a-z0-9.-]+@medmij$")
    services: tuple[str, ...] = Field((), strict=False)


class Person(_Part):
    """On behalf of which professional the exchange is asked."""

    id: str
    name: str
    role: str


class Exchange(_Part):
    """An exchange for a test patient. The BSN stands here, in a file or in a variable of the environment."""

    patient: BsnText = ""
    patient_file: FilePath | None = None
    patient_env: str = ""
    holders: tuple[UraText, ...] = Field((), strict=False)
    user: Person
    purpose: str = "TREAT"
    treatment_relation: str = "current"


class Suite(_Part):
    """A published test suite for one endpoint, with the options of `schakel check`. The values of headers are never
    shown."""

    check: SuiteCheck
    folder: FilePath
    url: Address
    load: Address | None = None
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    load_headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    tokens: FilePath | None = None
    bsns: Mapping[str, BsnText] = Field(default_factory=dict)
    variables: Mapping[str, str] = Field(default_factory=dict)
    seconds: float = Field(60.0, gt=0, le=600, strict=False)


class Organisation(_Part):
    """One organisation of the region. `sector` is a code of the roadmap, `kind` its type as people call it."""

    ura: UraText
    name: str = Field(min_length=1, max_length=200)
    sector: str = Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$")
    kind: str = Field("", max_length=200)
    front: Address = ""
    back: Address = ""
    fhir: Bases = Bases()
    issuer: Address = ""
    internal: Address = ""
    internal_key: SecretStr = SecretStr("")
    internal_key_file: FilePath | None = None
    internal_key_env: str = ""
    directory: Address = ""
    medmij: MedMij | None = None
    mail_domain: str = Field("", pattern=r"^([a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9-]+)+)?$")
    dkim_selectors: tuple[Annotated[str, Field(pattern=_SELECTOR)], ...] = Field(
        (), max_length=20, strict=False
    )
    docs: Address = ""
    openapi: Address = ""
    api_declaration: FilePath | None = None
    suites: tuple[Suite, ...] = Field((), strict=False)
    exchange: Exchange | None = None

    @model_validator(mode="after")
    def _whole(self) -> Organisation:
        keys = [
            bool(self.internal_key.get_secret_value()),
            bool(self.internal_key_file),
            bool(self.internal_key_env),
        ]
        if sum(keys) > 1:
            raise _refused("give one of internal_key, internal_key_file and internal_key_env")
        if sum(keys) != bool(self.internal):
            raise _refused("internal goes together with internal_key, internal_key_file or internal_key_env")
        if self.exchange is not None and not self.internal:
            raise _refused("exchange is asked at the internal door: give internal and its key")
        return self

    @property
    def member(self) -> Member:
        """Who it is."""
        return Member(self.ura, self.name, self.sector, self.kind)


class Region(_Part):
    """A region. `by` names who measures it; `roadmap` is a file with another roadmap than the one that is shipped.

    With `real_patients`, and why, the patient of an exchange may be another than a test patient.
    """

    name: str = Field(min_length=1, max_length=200)
    by: str = Field(min_length=1, max_length=200)
    roadmap: FilePath | None = None
    real_patients: bool = False
    real_patients_reason: str = ""
    defaults: Defaults = Defaults()
    organisations: tuple[Organisation, ...] = Field(min_length=1, max_length=2000, strict=False)

    @model_validator(mode="after")
    def _consistent(self) -> Region:
        numbers = Counter(one.ura for one in self.organisations)
        twice = [ura for ura, count in numbers.items() if count > 1]
        if twice:
            raise _refused(f"organisation {twice[0]} stands in the file more than once")
        if self.real_patients != bool(self.real_patients_reason.strip()):
            raise _refused(
                "real_patients = true goes together with real_patients_reason, a sentence that says why"
            )
        return self

    @property
    def members(self) -> tuple[Member, ...]:
        """Who are in it, in the order of the file."""
        return tuple(one.member for one in self.organisations)

    def only(self, ura: str) -> Region:
        """The region with this organisation alone. Raises `Invalid` when it is not in it."""
        number = _ura_given(ura)
        chosen = tuple(one for one in self.organisations if one.ura == number)
        if not chosen:
            known = ", ".join(one.ura for one in self.organisations[:20])
            raise Invalid(f"the region has no organisation {ura[:20]!r}; it has {known}")
        return self.model_copy(update={"organisations": chosen})


def read(path: Path, environment: Mapping[str, str]) -> Region:
    """The region in the file `path`, with every key that it names read. Raises `Invalid` naming file and place."""
    try:
        with path.open("rb") as stream:
            body = stream.read(_LARGEST + 1)
    except OSError as error:
        raise Invalid(f"the region file {path} cannot be read: {error.strerror}") from error
    if len(body) > _LARGEST:
        raise Invalid(f"the region file {path} is larger than {_LARGEST} bytes: split the region in files")
    try:
        table = tomllib.loads(body.decode())
    except ValueError as error:
        raise Invalid(f"the region file {path} is no TOML: {error}") from None
    except RecursionError:
        raise Invalid(f"the region file {path} is nested far deeper than a region is") from None
    try:
        region = Region.model_validate(_placed(table, path.parent))
    except ValidationError as error:
        raise Invalid(f"{path}: {_told(error, table)}") from None
    organisations = tuple(_completed(one, region, path, environment) for one in region.organisations)
    return region.model_copy(update={"organisations": organisations})


def _ura_given(text: str) -> str:
    return str(Ura(text.strip()))


_FILES = frozenset(
    {
        "roadmap",
        "ca",
        "certificate",
        "key",
        "dns_anchors",
        "internal_key_file",
        "patient_file",
        "folder",
        "tokens",
        "api_declaration",
    }
)
"""Members that name a file or folder."""


def _placed(value: Any, folder: Path, name: str = "") -> Any:
    """`value` with every path of a file as one from where we are."""
    if isinstance(value, dict):
        return {key: _placed(one, folder, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_placed(one, folder, name) for one in value]
    return str(folder / value) if name in _FILES and isinstance(value, str) else value


def _told(error: ValidationError, table: Mapping[str, Any]) -> str:
    """What is wrong in the first place that is wrong; values are not repeated, for one may be a key."""
    first = error.errors(include_url=False, include_context=False)[0]
    more = error.error_count() - 1
    also = f" (and {more} more)" if more else ""
    return f"{_place(first['loc'], table)}: {_words(first)}{also}"


def _words(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return "this member is not known: take it out, or look at its spelling"
    if kind == "missing":
        return "this member is needed"
    return error["msg"]


def _place(where: Sequence[int | str], table: Mapping[str, Any]) -> str:
    """`organisations[2] (Name) fhir.r4`, as the file has it."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    named = table.get("organisations")
    if (
        len(where) > 1
        and where[0] == "organisations"
        and isinstance(where[1], int)
        and isinstance(named, list)
    ):
        one = named[where[1]]
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            text += f" ({one['name'][:60]})"
    return text or "the file as a whole"


def _completed(one: Organisation, region: Region, path: Path, environment: Mapping[str, str]) -> Organisation:
    """The organisation with its key and its patient in place. Raises `Invalid`."""
    changed: dict[str, Any] = {}
    where = f"{path}: {one.name} ({one.ura})"
    if one.internal_key_file is not None or one.internal_key_env:
        key = _said(one.internal_key_file, one.internal_key_env, environment, where, "internal_key")
        changed = {"internal_key": SecretStr(key), "internal_key_file": None, "internal_key_env": ""}
    if one.exchange is not None:
        changed["exchange"] = _with_patient(one.exchange, region, environment, where)
    return one.model_copy(update=changed)


def _with_patient(exchange: Exchange, region: Region, environment: Mapping[str, str], where: str) -> Exchange:
    given = [bool(exchange.patient), exchange.patient_file is not None, bool(exchange.patient_env)]
    if sum(given) != 1:
        raise Invalid(f"{where}: exchange needs one of patient, patient_file and patient_env")
    number = exchange.patient or _said(
        exchange.patient_file, exchange.patient_env, environment, where, "exchange.patient"
    )
    try:
        patient = Bsn(number)
    except Invalid as error:
        raise Invalid(f"{where}: exchange.patient: {error.message}") from None
    if not patient.startswith(_TEST_RANGE) and not region.real_patients:
        raise Invalid(
            f"{where}: exchange.patient is no test patient: those have a BSN that begins with {_TEST_RANGE}. To ask "
            "for a real one, set real_patients = true and real_patients_reason in the file"
        )
    return exchange.model_copy(update={"patient": str(patient), "patient_file": None, "patient_env": ""})


def _said(file: Path | None, variable: str, environment: Mapping[str, str], where: str, what: str) -> str:
    """What a file or a variable holds, without the space around it. Raises `Invalid`."""
    if file is None:
        text, source = environment.get(variable, ""), f"the variable {variable}"
    else:
        source = str(file)
        try:
            text = file.read_text("utf-8")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Invalid(f"{where}: {what}_file {file} cannot be read: {why}") from None
    if not (text := text.strip()):
        raise Invalid(f"{where}: {source} is empty or not set, but {what} is to be found there")
    return text
