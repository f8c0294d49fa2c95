"""The definitions with which the resources of one organisation are indexed and searched."""

from __future__ import annotations

from schakel.fhir.definitions import Definitions, Version, definitions


class Tables(dict[Version, Definitions]):
    """The definitions of each FHIR version: those of the version itself, until others are put in their place (an
    organisation may have search parameters of its own)."""

    def __missing__(self, version: Version) -> Definitions:
        return definitions(version)
