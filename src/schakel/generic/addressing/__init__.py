"""Addressing: where another organisation is found and what it signs with.

For now a directory that the operator configures: `ConfiguredDirectory` holds one `Address` per organisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schakel.kernel.outcomes import Invalid, NotFound

__all__ = ["Address", "ConfiguredDirectory"]


@dataclass(frozen=True, slots=True)
class Address:
    """One organisation: `fhir` has its FHIR base per version (stu3, r4), `jwks` its public keys (JWK Set),
    `metadata` is where those of its authorisation server are read, '' when that is where its issuer says. `type_code`
    is its type (2.16.840.1.113883.2.4.15.1060), '' when not known."""

    ura: str
    name: str
    issuer: str
    token_endpoint: str
    fhir: Mapping[str, str]
    jwks: Mapping[str, Any]
    metadata: str = ""
    type_code: str = ""


class ConfiguredDirectory:
    """The organisations that the configuration names. Raises `Invalid` when one stands in it twice."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._addresses: dict[str, Address] = {}
        for address in addresses:
            if address.ura in self._addresses:
                raise Invalid(f"the directory names URA {address.ura} twice", code="directory-double")
            self._addresses[address.ura] = address

    def find(self, ura: str) -> Address:
        """The organisation with this URA. Raises `NotFound`."""
        address = self._addresses.get(ura)
        if address is None:
            raise NotFound(
                f"no organisation with URA {ura[:20]} is in the directory of this node", code="holder-unknown"
            )
        return address

    def fhir_base(self, ura: str, version: str) -> str:
        """The FHIR base of an organisation for a FHIR version; '' when the directory does not say."""
        address = self._addresses.get(ura)
        return address.fhir.get(version, "") if address else ""

    def jwks(self, ura: str) -> Mapping[str, Any] | None:
        """The public keys of the organisation with this URA, or None when it is not known."""
        address = self._addresses.get(ura)
        return address.jwks if address else None

    def facility_type(self, ura: str) -> str:
        """The type of the organisation with this URA; '' when the directory does not say."""
        address = self._addresses.get(ura)
        return address.type_code if address else ""

    def all(self) -> tuple[Address, ...]:
        """Every organisation, in the order of the configuration."""
        return tuple(self._addresses.values())
