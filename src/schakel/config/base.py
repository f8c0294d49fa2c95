"""What the sections of the settings share: kinds of values, and what a section is."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
)

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura

RESERVED_SLUGS = frozenset(
    {
        "directory",
        "portal",
        "service-provider",
        "health",
        "metrics",
        "static",
        "openapi.json",
        ".well-known",
    }
)


def _slug(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
        raise ValueError("a slug has lower-case letters, digits and '-'")
    if value in RESERVED_SLUGS:
        raise ValueError(f"the slug {value!r} is reserved")
    return value


def _ura(value: str) -> str:
    try:
        return str(Ura(value))
    except Invalid as error:
        raise ValueError(error.message) from error


def _address(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError("an http(s) address without query is needed")
    return value


def _url(value: str) -> str:
    return _address(value).rstrip("/")


Slug = Annotated[str, AfterValidator(_slug)]
UraNumber = Annotated[str, AfterValidator(_ura)]
Url = Annotated[str, AfterValidator(_url)]
Address = Annotated[str, AfterValidator(_address)]
"""As `Url`, kept as it is written: a name that others compare letter for letter."""


class Section(BaseModel):
    """A section: nothing in it that is not known, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)


def paired(model: M, certificate: str, key: str) -> M:
    """`model`, when it has both of these or none."""
    if (getattr(model, certificate) in (None, "")) != (getattr(model, key) in (None, "")):
        raise ValueError(f"{certificate} and {key} are given together or not at all")
    return model
