"""Settings of addressing: where others are found, and what is told of our own organisations."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from schakel.config.base import Section
from schakel.config.entries import Publication, UpdateClient
from schakel.config.sources import DirectorySource
from schakel.generic.addressing.receiving import UPDATE_CLIENT


class Addressing(Section):
    """The directories that are followed, and who may ask ours."""

    sources: tuple[DirectorySource, ...] = Field(
        (), description="the directories that the query directory is kept in step with"
    )
    authority: tuple[str, ...] = Field(
        (),
        description="names of directories that are believed when several have an active organisation with the same "
        "URA, the first before the second, a root in what the directories that it names say (update-client is what the "
        "ministry's update client wrote); without it such a conflict is reported and nobody is believed",
    )
    stale_hours: float = Field(
        24,
        description="hours after which a directory that was not in step any more is told as stale with each address "
        "that is from it; the address is used all the same",
        gt=0,
    )
    update_client: UpdateClient = Field(
        UpdateClient(), description="the ministry's update client at our doors"
    )
    publication: Publication = Field(Publication(), description="publishing our own entries")

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [one.name for one in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("two sources share a name")
        if UPDATE_CLIENT in names:
            raise ValueError(f"no source is named {UPDATE_CLIENT}: that is what the update client writes")
        read: dict[tuple[str, str], str] = {}
        for one in self.sources:
            if (
                one.base
                and (other := read.setdefault((one.kind, one.base.rstrip("/")), one.name)) != one.name
            ):
                raise ValueError(f"the sources {other} and {one.name} are the same directory: {one.base}")
        for name in self.authority:
            if name not in (*names, UPDATE_CLIENT):
                raise ValueError(
                    f"authority names {name!r}, which is no source: {', '.join(names) or 'there is none'}"
                )
        return self
