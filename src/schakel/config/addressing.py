"""Settings of addressing: where others are found, and what is told of our own organisations."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from schakel.config.base import Section
from schakel.config.entries import Publication, UpdateClient
from schakel.config.sources import DirectorySource


class Addressing(Section):
    """The directories that are followed, and who may ask ours."""

    sources: tuple[DirectorySource, ...] = Field(
        (), description="the directories that the query directory is kept in step with"
    )
    authority: tuple[str, ...] = Field(
        (),
        description="names of directories that are believed when several have an active organisation with the same "
        "URA, the first before the second; without it such a conflict is reported and nobody is believed",
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
        return self
