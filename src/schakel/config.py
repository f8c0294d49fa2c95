"""Every setting: type, default and meaning. Nothing else reads a configuration file or the environment.

A node is configured by one TOML file (`schakel serve --config FILE`); a variable `SCHAKEL_<NAME>` wins over the
file for the top-level settings.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura

RESERVED_SLUGS = frozenset({"portal", "health", "metrics", "static", "openapi.json", ".well-known"})


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


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError("an http(s) address without query is needed")
    return value.rstrip("/")


Slug = Annotated[str, AfterValidator(_slug)]
UraNumber = Annotated[str, AfterValidator(_ura)]
Url = Annotated[str, AfterValidator(_url)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Organisation(_Model):
    """One care organisation of this node."""

    slug: Slug = Field(description="name in paths")
    ura: UraNumber = Field(description="URA number, eight digits")
    name: str = Field(description="name as people know it", min_length=1)
    type_code: str = Field("", description="organisation type (2.16.840.1.113883.2.4.15.1060), such as V6")
    internal_key: str = Field(description="the EHR's key on the internal door (X-API-Key)", min_length=16)
    signing_key: Path = Field(description="private EC P-256 key (JWK file) that signs our assertions")
    write_check: Literal["strict", "lenient"] = Field(
        "strict", description="lenient keeps more elements than the maximum, with a warning"
    )
    erasure: Literal["off", "test"] = Field("off", description="test lets $purge run bare (demo only)")


class Peer(_Model):
    """One care organisation in the configured directory: where it is found and what it signs with."""

    ura: UraNumber = Field(description="URA number")
    name: str = Field(description="name as people know it")
    issuer: Url = Field(description="issuer of its authorisation server")
    token_endpoint: Url = Field(description="token endpoint")
    fhir: dict[Literal["stu3", "r4"], Url] = Field(description="FHIR base per version")
    jwks: dict[str, Any] = Field(description="public keys (JWK Set) with which it signs assertions")


class Limits(_Model):
    """Bounds; each names itself in the error of a caller who passes it."""

    body: int = Field(20_000_000, description="bytes of a request body", ge=1000)
    depth: int = Field(64, description="levels of nesting in a body", ge=8, le=200)
    page: int = Field(200, description="matches on a page when _count is not given", ge=1)
    page_max: int = Field(1000, description="most matches on a page", ge=1)
    remembered: int = Field(20_000, description="most matches in all pages of a search", ge=1)
    entries: int = Field(5000, description="entries in a transaction", ge=1)
    query_seconds: float = Field(20, description="seconds one database statement may take", gt=0)


class Settings(BaseSettings):
    """Settings of one node."""

    model_config = SettingsConfigDict(env_prefix="SCHAKEL_", extra="forbid", frozen=True)

    database: str = Field(description="PostgreSQL URL, version 15 or newer")
    connections: int = Field(10, description="database connections of one process", ge=2)
    public_url: Url = Field(description="address of the front listener as others see it")
    internal_url: Url = Field(description="address of the internal listener as the EHR sees it")
    host: str = Field("127.0.0.1", description="address the listeners bind to")
    front_port: int = Field(8400, description="port of the front listener", ge=1, le=65535)
    internal_port: int = Field(8401, description="port of the internal listener", ge=1, le=65535)
    guarded_on_front: bool = Field(
        False, description="demo only: the guarded FHIR door on the front listener, for bearer tokens"
    )
    organisations: tuple[Organisation, ...] = Field(
        description="the organisations of this node", min_length=1
    )
    directory: tuple[Peer, ...] = Field((), description="where other organisations are found")
    source_timeout: float = Field(10, description="seconds one holder may take in an exchange", gt=0)
    token_lifetime: int = Field(300, description="seconds an access token is valid", ge=30, le=3600)
    limits: Limits = Field(Limits(), description="bounds")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings, init_settings)


def load(path: Path) -> Settings:
    """The settings in the TOML file at `path`; paths in it are relative to it.

    Raises `Invalid` naming the file, the setting and what is wrong.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Invalid(f"the configuration {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the configuration {path} is not TOML: {error}") from error
    try:
        settings = Settings(**table)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise Invalid(f"the configuration {path} is not right:\n  " + "\n  ".join(lines)) from error
    except SettingsError as error:
        raise Invalid(f"a variable SCHAKEL_... is not right: {error}") from error
    _check_unique(path, settings)
    organisations = tuple(
        o.model_copy(update={"signing_key": path.parent / o.signing_key}) for o in settings.organisations
    )
    return settings.model_copy(update={"organisations": organisations})


def _check_unique(path: Path, settings: Settings) -> None:
    for what in ("slug", "ura", "internal_key"):
        values = [getattr(o, what) for o in settings.organisations]
        if len(set(values)) < len(values):
            raise Invalid(f"the configuration {path} is not right:\n  two organisations share a {what}")
