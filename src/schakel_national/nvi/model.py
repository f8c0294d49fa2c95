"""The shapes of requests. The real NVI reads them with the same library, so what is missing or wrong is told alike.

Members that are not named here are read over. What a List must hold beyond its shape is in `lists`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from schakel_national.nvi.outcomes import Malformed

VWS = "http://minvws.github.io/generiekefuncties-docs"
SUBJECT_SYSTEM = f"{VWS}/NamingSystem/nvi-identifier"
SOURCE_SYSTEM = "urn:ietf:rfc:3986"


class Identifier(BaseModel):
    """Identifier, as far as it is read."""

    system: str | None = None
    value: str | None = None


class Reference(BaseModel):
    """Reference, as far as it is read."""

    identifier: Identifier | None = None
    type: str | None = None


class Extension(BaseModel):
    """Extension, as far as it is read; nothing depends on its url."""

    url: str | None = None
    valueReference: Reference | None = None  # noqa: N815 # the name in FHIR


class Coding(BaseModel):
    """Coding, as far as it is read."""

    system: str | None = None
    code: str | None = None


class CodeableConcept(BaseModel):
    """CodeableConcept, as far as it is read."""

    coding: list[Coding] | None = None


class ListResource(BaseModel):
    """A registration as a List."""

    resourceType: Literal["List"] = "List"  # noqa: N815 # the name in FHIR
    extension: list[Extension]
    status: Literal["current", "retired", "entered-in-error"]
    mode: Literal["working", "snapshot", "changes"]
    subject: Reference | None = None
    source: Reference
    emptyReason: CodeableConcept  # noqa: N815 # the name in FHIR

    def written(self) -> dict[str, Any]:
        """What was read of it."""
        return self.model_dump(exclude_none=True)


class EntryRequest(BaseModel):
    """What an entry of a Bundle asks."""

    method: Literal["POST", "DELETE", "GET", "PUT"]
    url: str


class Entry(BaseModel):
    """An entry of a Bundle."""

    request: EntryRequest | None = None
    resource: ListResource | None = None


class BundleResource(BaseModel):
    """A transaction."""

    resourceType: Literal["Bundle"] = "Bundle"  # noqa: N815 # the name in FHIR
    type: Literal["searchset", "transaction"]
    entry: list[Entry] = Field(default_factory=list)


class Plain(BaseModel):
    """A token on the JSON routes."""

    pseudonym: str
    oprf_key: str


class Identified(BaseModel):
    """The id in a path."""

    id: uuid.UUID


class Parameters(BaseModel):
    """The parameters of a search or a conditional delete; '' is one that counts as absent."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field("", alias="subject:identifier")
    source: str = Field("", alias="source:identifier")

    @field_validator("subject")
    @classmethod
    def _of_subject(cls, text: str) -> str:
        return _token(text, "subject", SUBJECT_SYSTEM)

    @field_validator("source")
    @classmethod
    def _of_source(cls, text: str) -> str:
        return _token(text, "source", SOURCE_SYSTEM)

    @classmethod
    def parse(cls, pairs: Iterable[tuple[str, str]]) -> Parameters:
        """The last of each name counts. Raises `Malformed`."""
        try:
            return cls.model_validate(dict(pairs))
        except ValidationError as error:
            raise Malformed.of("query", error) from error


def _token(text: str, name: str, system: str) -> str:
    """The value of `value` and `system|value`; `|value`, `system|` and '' count as absent."""
    before, pipe, value = text.partition("|")
    if not pipe:
        return text
    if "|" in value:
        raise ValueError(
            f"Invalid {name} identifier: Invalid query format, unable to determine System for Identifier"
        )
    if before and before != system:
        raise ValueError(f"Invalid {name} identifier: Unrecognized system, value must be {system}")
    return value if before else ""
