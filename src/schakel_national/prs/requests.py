"""What may be asked. The real service checks with the same library, so its refusals (422) have the same shape: a list
that repeats what was sent."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.requests import Request

from schakel.kernel.clock import now
from schakel_national.prs.register import USAGES, public_pem

_OIN = re.compile(r"[0-9]{8}(?:[A-Za-z0-9]{8}0{4}|[A-Za-z0-9]{9}0{3})")
_MOST_BYTES = 100_000

M = TypeVar("M", bound=BaseModel)


class Unreadable(Exception):
    """A body that is not what is asked for: the answer's members."""

    def __init__(self, detail: list[dict[str, Any]]) -> None:
        super().__init__("not what is asked for")
        self.detail = detail


def is_oin(text: str) -> bool:
    """Whether the text has the form of an OIN."""
    return _OIN.fullmatch(text) is not None


def _recipient(value: str) -> str:
    kind, found, number = value.partition(":")
    if kind != "oin" or not found:
        raise PydanticCustomError(
            "invalid_recipient_organization", "Invalid recipient organization. Format: oin:<oin_number>"
        )
    if not is_oin(number):
        said = (
            f"Invalid OIN '{number}'. Expected 20 characters structured as 8 digit prefix + 8/9 alphanumeric "
            "mainnumber + 4/3 trailing zeros."
        )
        raise PydanticCustomError("invalid_recipient_organization", "{error}", {"error": said})
    return value


def _decodable(value: str) -> str:
    try:
        point_of(value)
    except ValueError as error:
        raise ValueError(f"must be base64url: {error}") from error
    return value


def point_of(text: str) -> bytes:
    """The bytes in base64, of either alphabet, with padding or without. Raises `ValueError`."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _zoned(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("datetime values must include a timezone offset")
    return value


def _public_key(value: str) -> str:
    try:
        return public_pem(load_pem_public_key(value.encode()))
    except ValueError as error:
        raise ValueError(f"must be a valid PEM encoded public key: {error}") from error


Recipient = Annotated[str, AfterValidator(_recipient)]
Blinded = Annotated[str, Field(min_length=2), AfterValidator(_decodable)]
Moment = Annotated[datetime, AfterValidator(_zoned)]


class _Camel(BaseModel):
    """Names on the wire are like `recipientScope`."""

    model_config = ConfigDict(alias_generator=to_camel)


class Evaluate(_Camel):
    """Body of /oprf/eval."""

    encrypted_personal_id: Blinded
    recipient_organization: Recipient
    recipient_scope: str


class EvaluateOld(Evaluate):
    """The same before June 2026: the recipient is looked at later."""

    recipient_organization: str


class EvaluateGuide(BaseModel):
    """Body of /evaluate."""

    blinded_input: Blinded
    recipient_organization: str
    recipient_scope: str


class _OfPerson(_Camel):
    personal_id: str | dict[str, Any]
    recipient_organization: Recipient
    recipient_scope: str

    @property
    def person(self) -> str:
        """The person as `NL:bsn:<n>`."""
        return ":".join(_person(self.personal_id))

    @model_validator(mode="after")
    def _known(self) -> Self:
        _person(self.personal_id)
        return self


class Exchange(_OfPerson):
    """Body of /exchange/pseudonym."""

    pseudonym_type: Literal["irreversible", "reversible"]


class ExchangeRid(_OfPerson):
    """Body of /exchange/rid."""

    rid_usage: str

    @model_validator(mode="after")
    def _usage(self) -> Self:
        if self.rid_usage not in USAGES:
            raise ValueError(f"'{self.rid_usage}' is not a valid RidUsage")
        return self


class Receive(_Camel):
    """Body of /receive."""

    rid: str
    recipient_organization: Recipient
    recipient_scope: str
    pseudonym_type: Literal["irp", "rp", "bsn"]


class RegisterKey(BaseModel):
    """Body of /administration/register/certificate."""

    scope: list[str]
    key_id: str | None = None


class ChangeKey(RegisterKey):
    """Body of PUT /administration/keys/{id}."""

    key_data: Annotated[str, AfterValidator(_public_key)]


class MakeVersion(BaseModel):
    """Body of POST /administration/key-versions."""

    from_dt: Moment
    until_dt: Moment | None = None

    @model_validator(mode="after")
    def _ahead(self) -> Self:
        if self.from_dt < now():
            raise ValueError("from_dt must not be earlier than now")
        if self.until_dt is not None and self.until_dt <= self.from_dt:
            raise ValueError("until_dt must be later than from_dt")
        return self


class ChangeVersion(BaseModel):
    """Body of PUT /administration/key-versions/{id}."""

    until_dt: Moment | None = None


class MakeOrganisation(BaseModel):
    """Body of POST /orgs, up to June 2026."""

    model_config = ConfigDict(str_min_length=1)

    ura: str
    name: str
    max_key_usage: Literal["irp", "rp", "bsn"]


async def body_of(request: Request, model: type[M]) -> M:
    """The body as `model`. Raises `Unreadable`."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MOST_BYTES:
            raise Unreadable([_problem("too_long", ["body"], "Body is too large", None)])
    try:
        if _is_json(request):
            value: Any = json.loads(data) if data else None
        else:
            value = data.decode("utf-8", "replace")
        return model.model_validate(value, from_attributes=True)
    except json.JSONDecodeError as error:
        problem = _problem("json_invalid", ["body", error.pos], "JSON decode error", {})
        raise Unreadable([problem | {"ctx": {"error": error.msg}}]) from error
    except ValidationError as error:
        raise Unreadable([_shown(one) for one in error.errors(include_url=False)]) from error
    except (ValueError, RecursionError) as error:  # numbers and nesting beyond what is read
        raise Unreadable([_problem("json_invalid", ["body"], "JSON decode error", {})]) from error


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _shown(found: ErrorDetails) -> dict[str, Any]:
    """As the framework of the real service tells it: where in the body, and no objects of the program."""
    shown: dict[str, Any] = {**found, "loc": ["body", *found["loc"]]}
    if isinstance(found.get("ctx", {}).get("error"), Exception):
        shown["ctx"] = {"error": {}}
    return shown


def _problem(kind: str, where: list[str | int], said: str, given: Any) -> dict[str, Any]:
    return {"type": kind, "loc": where, "msg": said, "input": given}


def _person(value: str | dict[str, Any]) -> tuple[str, str, str]:
    if isinstance(value, str):
        parts = value.split(":")
    else:
        parts = [str(value.get(name, "")) for name in ("landCode", "type", "value")]
    if len(parts) != 3:
        raise ValueError("personalId must be <land>:<type>:<value>")
    land, kind, number = parts[0].upper(), parts[1].lower(), parts[2]
    if kind != "bsn":
        raise ValueError("id_type must be one of: bsn")
    return land, kind, number
