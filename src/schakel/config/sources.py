"""Settings of the directories that are followed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from schakel.config.base import Section, Url, paired
from schakel.config.localisation import MinvwsOAuth


class DirectorySource(Section):
    """A directory that the query directory is kept in step with."""

    name: str = Field(
        description="name under which it is told of, in `authority` too; with another name it is another directory, "
        "and what was taken before goes",
        pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$",
    )
    kind: Literal["central", "distributed", "files"] = Field(
        description="central: one FHIR server with everybody (LRZa); distributed: a root directory that names the "
        "directory of each provider; files: a FHIR Bundle in `file`"
    )
    base: Url | None = Field(
        None,
        description="FHIR base (R4); of a file the base that its references are relative to, if it has one",
    )
    file: Path | None = Field(
        None, description="Bundle (JSON; collection, searchset, transaction or batch), for kind files"
    )
    certificate: Path | None = Field(
        None, description="the certificate that we show there, with those above it (PEM file)"
    )
    key: Path | None = Field(None, description="its private key (PEM file)")
    ca: tuple[Path, ...] = Field(
        (),
        description="authorities of its certificate (PEM files); the system's when empty. For kind distributed also "
        "those of the directories of providers",
    )
    oauth: MinvwsOAuth | None = Field(
        None,
        description="where tokens for it come from; without it none is sent. No other directory ever gets one",
    )
    scopes: str = Field(
        "system/Organization.rs system/Location.rs system/HealthcareService.rs system/Endpoint.rs "
        "system/OrganizationAffiliation.rs",
        description="scopes of a token for it, blanks between them",
    )
    interval_seconds: float = Field(900, description="seconds between two runs", ge=1, le=86_400)
    seconds: float = Field(30, description="seconds an answer may take", gt=0, le=600)
    page_size: int | None = Field(
        None,
        description="resources on a page (_count); when not given the server's own for kind central, and 100 for kind "
        "distributed; 0 is the server's own",
        ge=0,
        le=10_000,
    )
    pages: int = Field(50_000, description="most pages of one type in one reading", ge=1)
    bytes: int = Field(20_000_000, description="bytes of a page; of a file ten times as many", ge=1000)
    held: int = Field(
        100_000,
        description="most resources of one type that may have changed between two runs; they are held in memory",
        ge=100,
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "files" and self.file is None:
            raise ValueError("kind files needs file")
        if self.kind != "files" and (self.base is None or self.file is not None):
            raise ValueError(f"kind {self.kind} needs base, and no file")
        if self.oauth is not None and self.oauth.form != "secret" and not self.oauth.organisation:
            raise ValueError("oauth needs organisation: for whom the directory is read")
        return paired(self, "certificate", "key")
