"""The FHIR standard itself, without I/O: definitions of STU3 and R4, JSON and XML, base structure, FHIRPath.

Start at `definitions(version)`: everything else in this package is driven by that table, nothing by hand per
resource type.
"""

from schakel.fhir.definitions import Definitions, definitions

__all__ = ["Definitions", "definitions"]
