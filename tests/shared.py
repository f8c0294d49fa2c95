"""Where the shared data are: profiles, recordings and published suites that the project does not hold itself.

`SCHAKEL_SHARED` names the folder (default: `shared` beside the project's folder). A test that needs it carries
`pytest.mark.shared` and calls `shared(...)`; without the folder it is skipped by name.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def shared_root() -> Path:
    """The folder of shared data, whether it exists or not."""
    return Path(os.environ.get("SCHAKEL_SHARED") or ROOT.parent / "shared")


def shared(*parts: str) -> Path:
    """The path below the shared folder; skips the calling test when it is absent."""
    path = shared_root().joinpath(*parts)
    if not path.exists():
        pytest.skip(f"shared data are absent: {'/'.join(parts)} (set SCHAKEL_SHARED)")
    return path
