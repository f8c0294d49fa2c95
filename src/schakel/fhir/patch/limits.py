"""What a patch may ask."""

from __future__ import annotations

from dataclasses import dataclass

from schakel.fhir.json import MAX_DEPTH
from schakel.kernel.outcomes import TooCostly


@dataclass(frozen=True, slots=True)
class PatchLimits:
    """Bounds of one patch: its operations, the steps of each expression, and how deep the result may nest."""

    operations: int = 1000
    steps: int = 100_000
    depth: int = MAX_DEPTH

    def check_length(self, operations: int) -> None:
        """Raises `TooCostly` for a patch with more operations than it may have."""
        if operations > self.operations:
            raise TooCostly(
                f"a patch has at most {self.operations} operations (setting limits.patch_operations), this one has "
                f"{operations}"
            )


DEFAULT = PatchLimits()
