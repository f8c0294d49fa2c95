"""What an expression may ask of others: profiles and terminology. The caller of `Expression.evaluate` gives them.

Sources: FHIR R4, FHIRPath "Additional functions": `conformsTo()`, `memberOf()`, `subsumes()`, `subsumedBy()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from schakel.fhir.fhirpath.nodes import Node


class Profiles(Protocol):
    """Who knows profiles."""

    def conforms(self, resource: dict[str, Any], profile: str) -> bool:
        """Whether `resource` conforms to the profile with this canonical URL.

        Raises `NotSupported` when that cannot be checked, such as for a profile that is not known.
        """


class Terminology(Protocol):
    """Who knows code systems and value sets. A coded node is a code, string, uri, Coding or CodeableConcept."""

    def member_of(self, coded: Node, value_set: str) -> bool:
        """Whether `coded` is in the value set. Raises `NotSupported` when that cannot be checked."""

    def subsumes(self, ancestor: Node, descendant: Node) -> bool:
        """Whether `descendant` is `ancestor` or below it. Raises `NotSupported` when that cannot be checked."""
