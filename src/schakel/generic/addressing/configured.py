"""The organisations that the operator entered, and these together with the query directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from schakel.fhir.definitions import Version
from schakel.generic.addressing.exchanges import AUTHORISATION_SERVERS, exchange
from schakel.generic.addressing.model import Address, Addresses, unknown, without_endpoint
from schakel.kernel.outcomes import Invalid, NotFound

CONFIGURED = "configuration"
"""The source of what the operator entered."""


class ConfiguredDirectory:
    """The organisations that the configuration names. Implements `Addresses`. Raises `Invalid` when one stands in it
    twice."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._addresses: dict[str, Address] = {}
        for address in addresses:
            if address.ura in self._addresses:
                raise Invalid(f"the directory names URA {address.ura} twice", code="directory-double")
            self._addresses[address.ura] = replace(address, source=address.source or CONFIGURED)

    def entry(self, ura: str) -> Address | None:
        """What the operator entered of an organisation, whole or not."""
        return self._addresses.get(ura)

    async def find(self, ura: str, exchange_name: str = "") -> Address:
        """As `Addresses.find`. An entry has no endpoints of its own for exchanges: its FHIR base of that version is
        meant, and its authorisation server."""
        address = self._addresses.get(ura)
        if address is None:
            raise unknown(ura)
        if not exchange_name:
            return address
        endpoint = _for_exchange(address, exchange_name)
        if not endpoint:
            raise without_endpoint(f"{ura} ({address.name})", exchange(exchange_name).names[0])
        return replace(address, endpoint=endpoint)

    async def name(self, ura: str) -> str:
        """As `Addresses.name`."""
        return address.name if (address := self._addresses.get(ura)) else ""

    async def facility_type(self, ura: str) -> str:
        """As `Addresses.facility_type`."""
        return address.type_code if (address := self._addresses.get(ura)) else ""

    async def fhir_base(self, ura: str, version: Version) -> str:
        """As `Addresses.fhir_base`."""
        return address.fhir.get(version, "") if (address := self._addresses.get(ura)) else ""

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        """As `Addresses.jwks`."""
        return address.jwks if (address := self._addresses.get(ura)) else None


class Directories:
    """What the operator entered, and a directory behind it. Implements `Addresses`.

    An entry stands before what the directory says. What it does not have (an entry may hold keys alone) is that of the
    directory, which is not asked when nothing is missing.
    """

    def __init__(self, configured: ConfiguredDirectory, behind: Addresses) -> None:
        self._configured = configured
        self._behind = behind

    async def find(self, ura: str, exchange_name: str = "") -> Address:
        """As `Addresses.find`."""
        entry = self._configured.entry(ura)
        if entry is None:
            return await self._behind.find(ura, exchange_name)
        endpoint = _for_exchange(entry, exchange_name) if exchange_name else ""
        if entry.issuer and (endpoint or (not exchange_name and entry.fhir)):
            return replace(entry, endpoint=endpoint)
        try:
            # With an endpoint of our own only the rest is asked, which need not be for that exchange.
            found = await self._behind.find(ura, "" if endpoint else exchange_name)
        except NotFound as missing:
            if exchange_name and not endpoint:
                who = f"{ura} ({entry.name})"
                raise without_endpoint(who, exchange(exchange_name).names[0]) from missing
            return replace(entry, endpoint=endpoint)
        return _over(entry, replace(found, endpoint=endpoint or found.endpoint))

    async def name(self, ura: str) -> str:
        """As `Addresses.name`."""
        return await self._configured.name(ura) or await self._behind.name(ura)

    async def facility_type(self, ura: str) -> str:
        """As `Addresses.facility_type`."""
        return await self._configured.facility_type(ura) or await self._behind.facility_type(ura)

    async def fhir_base(self, ura: str, version: Version) -> str:
        """As `Addresses.fhir_base`."""
        return await self._configured.fhir_base(ura, version) or await self._behind.fhir_base(ura, version)

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        """As `Addresses.jwks`."""
        entry = self._configured.entry(ura)
        return entry.jwks if entry else await self._behind.jwks(ura)


def _for_exchange(entry: Address, name: str) -> str:
    """The address of an entry for an exchange; '' when it has none."""
    wanted = exchange(name)
    if wanted in AUTHORISATION_SERVERS:
        return entry.issuer
    return entry.fhir.get(wanted.version, "") if wanted.version else ""


def _over(entry: Address, found: Address) -> Address:
    """What an entry has, and for the rest what was found. Where the metadata and the token endpoint of a server are
    belongs to its issuer."""
    server = entry if entry.issuer else found
    return replace(
        found,
        name=entry.name or found.name,
        issuer=server.issuer,
        token_endpoint=server.token_endpoint,
        metadata=server.metadata,
        fhir={**found.fhir, **entry.fhir},
        jwks=entry.jwks,
        type_code=entry.type_code or found.type_code,
        source=f"{entry.source}, {found.source}",
    )
