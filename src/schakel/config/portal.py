"""Settings of the portal and of the board of the roadmap."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from schakel.config.base import Address, Section, Slug, UraNumber
from schakel.kernel.values import NAME_LENGTH
from schakel.portal.people import Role


class PortalLogin(Section):
    """The OpenID Connect provider at which the people of the portal log in."""

    issuer: Address = Field(description="its issuer, letter for letter as in its metadata")
    client_id: str = Field(description="our client id there", min_length=1)
    key: Path = Field(description="private RSA key (JWK or PEM file) that proves us there")
    certificate: Path | None = Field(
        None,
        description="certificate of that key (PEM file), for a provider that knows us by one, as Entra does",
    )


class PortalPerson(Section):
    """Someone who may do more in the portal than read what is public."""

    subject: str = Field(
        description="what the provider calls this person (claim sub)", min_length=1, max_length=NAME_LENGTH
    )
    name: str = Field(
        "", description="name on the pages; what the provider says when not given", max_length=NAME_LENGTH
    )
    roles: tuple[Role, ...] = Field(
        description="programme: the work agenda, imports, and second reader everywhere; declarer: states how things "
        "stand at these organisations; reader: is the second who looks at that; viewer: only reads",
        min_length=1,
    )
    organisations: tuple[UraNumber, ...] = Field(
        (), description="URA numbers of the organisations for which declarer and reader hold"
    )

    @model_validator(mode="after")
    def _roles_have_organisations(self) -> Self:
        needing = sorted({"declarer", "reader"} & set(self.roles))
        if needing and not self.organisations:
            raise ValueError(f"the role {needing[0]} needs organisations: for which it holds")
        return self


class Portal(Section):
    """The portal of this node, in which a region sees itself."""

    public: bool = Field(False, description="its pages can be read without a login")
    login: PortalLogin | None = Field(None, description="where people log in; nobody can without it")
    people: tuple[PortalPerson, ...] = Field((), description="who may do what (needs login)")
    login_seconds: int = Field(900, description="seconds somebody may take to log in", ge=60, le=3600)
    logins: int = Field(
        10_000, description="logins that may be under way at once; the oldest make place", ge=1
    )
    session_hours: float = Field(10, description="hours after which one must log in again", gt=0, le=24)
    idle_minutes: float = Field(
        60, description="minutes without use after which one must log in again", ge=1, le=1440
    )
    sessions: int = Field(
        5, description="browsers in which one person can be logged in; the oldest makes place", ge=1, le=100
    )
    upload: int = Field(5_000_000, description="bytes of a form with a file in it", ge=100_000)
    scan_rows: int = Field(1000, description="declarations in a file with self-scans", ge=1)

    @model_validator(mode="after")
    def _somebody_can_read_it(self) -> Self:
        if self.login is None and self.people:
            raise ValueError("people needs login: without it nobody can log in")
        if self.login is None and not self.public:
            raise ValueError("nobody could read this portal: give login, or public = true")
        twice = [name for name, times in Counter(one.subject for one in self.people).items() if times > 1]
        if twice:
            raise ValueError(
                f"two of people have the subject {twice[0]!r}: give one person all roles in one entry"
            )
        return self


class Roadmap(Section):
    """The board of the roadmap of a region: where each of its organisations stands."""

    region: str = Field("", description="name of the region", max_length=200)
    keepers: tuple[Slug, ...] = Field(
        (),
        description="organisations of this node that may write about the whole region at their own door; others write "
        "about themselves. Without one there is no board",
    )
    members: int = Field(1000, description="organisations in one run", ge=1)
    findings: int = Field(50_000, description="findings in one run", ge=1)
    file_bytes: int = Field(4_000_000, description="bytes of a roadmap that is imported", ge=10_000)
    pseudonym_key: Path | None = Field(
        None,
        description="key of the region (a file of 32 bytes or more) that turns a BSN in the inventory of hybrid care "
        "into a pseudonym; without it only pseudonyms are taken",
    )
    small: int = Field(
        5,
        description="fewest people whose number the pages on hybrid care show to somebody who is not logged in; 0 "
        "shows every number",
        ge=0,
    )
    trail_days: int = Field(
        730, description="days that the board knows who logged in at the portal, and who did what there", ge=1
    )
    items: int = Field(500, description="items in a roadmap that is imported", ge=1)
    characters: int = Field(2000, description="characters in a text of a roadmap that is imported", ge=100)
