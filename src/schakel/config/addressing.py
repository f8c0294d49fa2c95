"""Settings of addressing: where others are found, and what is told of our own organisations."""

from __future__ import annotations

from pydantic import Field

from schakel.config.base import Section
from schakel.config.entries import Publication, UpdateClient


class Addressing(Section):
    """The directories that are followed, and who may ask ours."""

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
