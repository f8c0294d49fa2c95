"""The library behind the pseudonyms is loaded when it is needed, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schakel.kernel import ristretto


def ran(folder: Path, *command: str) -> str:
    """What Python prints that keeps its temporary files in `folder`."""
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a loaded library cannot be removed on Windows")
def test_the_library_leaves_no_file_behind(tmp_path: Path) -> None:
    told = ran(
        tmp_path,
        "-c",
        "from schakel.kernel import ristretto\n"
        "point = ristretto.point_from(bytes(range(64)))\n"
        "scalar = ristretto.random_scalar()\n"
        "there = ristretto.multiplied(point, scalar)\n"
        "print(ristretto.multiplied(there, ristretto.inverse(scalar)) == point)",
    )
    assert (told.strip(), list(tmp_path.iterdir())) == ("True", [])


def test_a_command_without_pseudonyms_does_not_load_it(tmp_path: Path) -> None:
    told = ran(
        tmp_path,
        "-c",
        "import sys\n"
        "import schakel.commands.serve, schakel_national.nvi.routes, schakel_national.prs.routes\n"
        "print('rbcl' in sys.modules)",
    )
    assert (told.strip(), list(tmp_path.iterdir())) == ("False", [])


@pytest.mark.parametrize("scalar", [bytes(32), b"\x01" * 31], ids=["zero", "31 bytes"])
def test_what_is_no_scalar_has_no_inverse(scalar: bytes) -> None:
    with pytest.raises(ValueError, match="scalar"):
        ristretto.inverse(scalar)


def test_only_64_bytes_make_a_point() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        ristretto.point_from(bytes(32))
