"""Where another organisation is found, and what every directory can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import NotFound


@dataclass(frozen=True, slots=True)
class Part:
    """An endpoint that is for some of the data categories of an exchange: its address, and which these are."""

    endpoint: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """One organisation as a directory has it.

    `issuer` is its authorisation server, '' when the directory names none; `token_endpoint` is '' when the metadata of
    that server tell it, and `metadata` is where these are read, '' for where RFC 8414 says. `fhir` has its FHIR base
    per version (stu3, r4), and `endpoint` the address of the exchange that was asked for, '' when none was. `jwks` are
    its public keys (JWK Set), `type_code` its type (2.16.840.1.113883.2.4.15.1060), '' when not known.

    When no one endpoint is for the whole of the exchange, `endpoint` is '' and `parts` has those that are for some of
    its data categories, none of them twice; `missing` are the categories that no endpoint of this organisation has.

    `source` names the directory that says so, `as_of` is when that was last known to be in step (None when nobody
    knows), and `stale` whether that is longer ago than the operator wants.
    """

    ura: str
    name: str
    issuer: str
    token_endpoint: str
    fhir: Mapping[str, str]
    jwks: Mapping[str, Any]
    metadata: str = ""
    type_code: str = ""
    endpoint: str = ""
    parts: tuple[Part, ...] = ()
    missing: tuple[str, ...] = ()
    source: str = ""
    as_of: datetime | None = None
    stale: bool = False


class Addresses(Protocol):
    """A directory, or several as one."""

    async def find(self, ura: str, exchange: str = "") -> Address:
        """The organisation with this URA; with an exchange (`exchanges.EXCHANGES`) its address for that one, or
        its addresses for the parts of it.

        Raises `NotFound` with code `holder-unknown` for an organisation that is not there and `no-endpoint` for one
        that has no endpoint for any part of the exchange, `Conflict` with code `directory-conflict` when directories
        say different things, `Busy` with code `directory-not-read` when the directory that has it was not read to its
        end yet, and `Invalid` for an exchange that nobody knows.
        """
        ...

    async def name(self, ura: str) -> str:
        """The name of the organisation with this URA; '' when it is not known, or directories differ."""
        ...

    async def facility_type(self, ura: str) -> str:
        """The type of the organisation with this URA; '' as in `name`."""
        ...

    async def fhir_base(self, ura: str, version: Version) -> str:
        """The one FHIR base of an organisation for a FHIR version; '' when there is none or there are several."""
        ...

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        """The public keys of the organisation with this URA, None when none are known."""
        ...


def unknown(ura: str) -> NotFound:
    """No directory has this organisation."""
    return NotFound(
        f"no organisation with URA {ura[:20]} is in the directory of this node", code="holder-unknown"
    )


def without_endpoint(who: str, exchange: str) -> NotFound:
    """The organisation is there, and has no endpoint for an exchange."""
    return NotFound(f"provider {who} has no endpoint for exchange {exchange}", code="no-endpoint")
