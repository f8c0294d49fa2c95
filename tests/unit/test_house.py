"""The house: what holds for every file of the project, whoever wrote it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import zstandard
from hatchling.builders.wheel import WheelBuilder
from tests.shared import ROOT

from schakel.fhir.definitions import VERSIONS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SOURCES = ROOT / "src"
MOST_LINES = 600
LICENCE = "Apache-2.0"

OUTSIDE = {"__pycache__", "build", "dist"}
"""Folders of the project that hold nothing written by hand; those that begin with '.' are others."""

FOREIGN = {
    "a machine's own folder": r"(?<![\w.])/(?:work|root|home|Users)/",
    "a package registry": r"registry\.npmjs\." + r"org|pypi\.org/" + r"simple|files\.pythonhosted\.",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY" + r"-----",
    "a secret of a known form": r"\b(?:ghp|gho|glpat|xox[bp]|AKIA)[-_A-Za-z0-9]{16,}",
}


def written() -> Iterator[Path]:
    """Every file of the project but lock files, generated tables and what others made beside them."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in OUTSIDE and (f == ".ci" or not f.startswith("."))]
        for name in names:
            if not name.endswith((".lock", ".zst", ".pyc")):
                yield Path(folder) / name


def python_files() -> list[Path]:
    """Every Python file of the project."""
    return [path for path in written() if path.suffix == ".py"]


def relative(path: Path) -> str:
    """A path as people of this project read it."""
    return str(path.relative_to(ROOT))


def found(text: str) -> list[str]:
    """What stands in a text that belongs in no file."""
    return [what for what, pattern in FOREIGN.items() if re.search(pattern, text)]


# -- what may not stand in a file ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("open('/home/jan/data')", "a machine's own folder"),
        ("https://registry.npmjs." + "org/fhir", "a package registry"),
        ("-----BEGIN EC PRIVATE KEY" + "-----", "a private key"),
        ("token = 'ghp" + "_0123456789abcdefghij'", "a secret of a known form"),
    ],
)
def test_what_belongs_in_no_file_is_seen(text: str, what: str) -> None:
    assert found(text) == [what]


def test_no_file_names_a_registry_a_machine_or_a_secret() -> None:
    here = Path(__file__)
    wrong = {
        relative(path): kinds
        for path in written()
        if path != here and (kinds := found(path.read_text("utf-8", errors="replace")))
    }
    assert not wrong


# -- modules ---------------------------------------------------------------------------------------------------


def test_no_module_is_longer_than_a_person_reads_at_once() -> None:
    sizes = {relative(path): len(path.read_text("utf-8").splitlines()) for path in python_files()}
    assert {path: size for path, size in sizes.items() if size > MOST_LINES} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        relative(path)
        for path in python_files()
        if path.is_relative_to(SOURCES) and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent


def test_the_command_line_loads_a_command_only_when_it_runs() -> None:
    heavy = ("schakel.store", "schakel.http", "schakel.fhir", "schakel.demo", "asyncpg", "aiohttp", "uvicorn")
    code = f"import sys, schakel.cli; print([m for m in {heavy!r} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


# -- imports ---------------------------------------------------------------------------------------------------


def test_packages_import_downwards_only() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    told = subprocess.run([program, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


# -- what the package carries ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_table_of_definitions_names_its_source_and_licence(version: str) -> None:
    packed = files("schakel.fhir.definitions").joinpath(f"{version}.json.zst").read_bytes()
    table = json.loads(zstandard.decompress(packed))
    assert re.fullmatch(r"[\w.]+@\d+\.\d+\.\d+", table["source"])
    assert table["licence"] == "CC0-1.0"
    assert table["version"] == version


def test_the_wheel_carries_everything_that_the_program_reads() -> None:
    carried = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    present = {
        str(path.relative_to(SOURCES)) for path in written() if path.is_relative_to(SOURCES / "schakel")
    }
    definitions = {f"schakel/fhir/definitions/{version}.json.zst" for version in VERSIONS}
    assert present | definitions <= carried
    assert any(name.endswith(".sql") for name in carried)


def test_the_licence_is_named_by_its_identifier() -> None:
    assert PROJECT["project"]["license"] == LICENCE
    assert LICENCE in (ROOT / "README.md").read_text("utf-8")
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")[:200]


# -- what a test run leaves out --------------------------------------------------------------------------------

PROBE = """
import pytest
from tests.shared import shared

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.shared
def test_marked(): pytest.skip("not today")

def test_absent(): shared("nowhere")

def test_other(): pytest.skip("nothing to do with shared data")
"""


def outcomes(folder: Path, shared: Path, *arguments: str, **environment: str) -> dict[str, int]:
    """How many tests of the probe ended how, in a run of their own."""
    (folder / "test_probe.py").write_text(PROBE)
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q", "-o",
         "addopts=--import-mode=importlib", *arguments, "--rootdir", str(ROOT), "-c", "pyproject.toml",
         str(folder)],
        cwd=ROOT,
        env={**{k: v for k, v in os.environ.items() if k != "CI"}, "SCHAKEL_SHARED": str(shared), **environment},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    counted = re.findall(r"(\d+) (passed|failed|skipped|deselected)", told.stdout.splitlines()[-1])
    return {what: int(number) for number, what in counted}


def test_slow_tests_wait_for_ci(tmp_path: Path) -> None:
    assert outcomes(tmp_path, tmp_path) == {"skipped": 3, "deselected": 1}
    assert outcomes(tmp_path, tmp_path, "-m", "slow") == {"passed": 1, "deselected": 3}


def test_in_ci_a_test_of_the_shared_data_that_did_not_run_has_failed(tmp_path: Path) -> None:
    assert outcomes(tmp_path, tmp_path, CI="1") == {"failed": 2, "passed": 1, "skipped": 1}
