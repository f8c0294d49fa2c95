"""`schakel check URL --api-requirements`: its options and exit codes."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from tests.nodes import free_ports
from typer.testing import CliRunner

from schakel import cli


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--suite names the suite"),
        (["--level", "open"], "need --api-requirements"),
        (["--allow-writes"], "need --api-requirements"),
        (["--api-requirements", "--suite", "x"], "runs no suite"),
        (["--api-requirements", "--level", "high"], "--level is one of open, technical, full"),
        (["--api-requirements", "--docs", "docs"], "is not an http(s) address"),
        (["--api-requirements", "--answers", "absent.toml"], "cannot be read"),
        (["--api-requirements", "--declaration", "absent/declaration.json"], "there is no folder"),
    ],
)
def test_wrong_options_end_in_a_sentence_and_2(options: list[str], told: str) -> None:
    result = CliRunner().invoke(cli.app, ["check", "http://127.0.0.1:1/fhir", *options])
    assert result.exit_code == 2, result.output
    assert told in " ".join(result.stderr.split())


def test_an_endpoint_that_is_not_there_is_not_wrong_and_the_files_are_written(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}/fhir"
    names = {"--json": "r.json", "--html": "r.html", "--junit": "r.xml", "--declaration": "d.json"}
    options = [part for name, file in names.items() for part in (name, str(tmp_path / file))]
    result = CliRunner().invoke(cli.app, ["check", url, "--api-requirements", *options])
    assert result.exit_code == 2, result.output
    assert "40 requirements: 0 fail, 0 pass" in result.stdout
    assert "d.json lacks" in result.stdout
    assert all((tmp_path / file).stat().st_size for file in names.values())
    assert orjson.loads((tmp_path / "r.json").read_bytes())["counts"]["fail"] == 0
