"""Changes to a resource by PATCH: `apply_json_patch` (RFC 6902), `apply_merge_patch` (RFC 7396) and
`apply_fhirpath_patch` (FHIR).

Source: R4 http.html, "patch", and fhirpatch.html; FHIRPath Patch is taken for STU3 too, whose own text leaves it
open. All work on a copy, and apply every operation or none. What results is not checked here: whoever
stores it does that. A patch may make more of a document than it is long itself, so both are bounded.
"""

from schakel.fhir.patch.fhirpath import apply_fhirpath_patch
from schakel.fhir.patch.json_patch import apply_json_patch
from schakel.fhir.patch.limits import PatchLimits
from schakel.fhir.patch.merge_patch import apply_merge_patch

__all__ = ["PatchLimits", "apply_fhirpath_patch", "apply_json_patch", "apply_merge_patch"]
