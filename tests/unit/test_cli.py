"""The command line: help, and wrong usage ends in a sentence and exit code 2, never in a stack trace."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from tests.shared import ROOT
from typer.testing import CliRunner, Result

from schakel import cli, technical_log
from schakel.commands.doors import Door, Person, Places
from schakel.commands.reasons import REASONS
from schakel.commands.who import user
from schakel.kernel.outcomes import Upstream

PATIENT = "999229588"
NODE = """
database = "postgresql://u:p@127.0.0.1:1/none"
public_url = "http://127.0.0.1:1"
internal_url = "http://127.0.0.1:1"
[[organisations]]
slug = "noord"
ura = "99000101"
name = "Ziekenhuis Noord"
internal_key = "0123456789abcdef"
signing_key = "noord.jwk"
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def refused(result: Result) -> str:
    """What stands on stderr of a command that ended with exit code 2 and no trace."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr and result.stderr.strip()
    return result.stderr


@pytest.fixture
def node_file(tmp_path: Path) -> Path:
    """The configuration of a node that does not run."""
    path = tmp_path / "node.toml"
    path.write_text(NODE)
    return path


def test_help_names_every_command() -> None:
    shown = run("--help")
    assert shown.exit_code == 0
    for name in ("serve", "demo", "check", "import", "fetch", "ground", "explain", "token"):
        assert re.search(rf"^  {name} ", shown.stdout, re.MULTILINE), name


def test_help_is_shown_without_loading_the_program_behind_it() -> None:
    heavy = {"aiohttp", "asyncpg", "lxml", "starlette", "pydantic", "schakel.fhir", "schakel.conformance"}
    code = f"import sys, schakel.cli; print(sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_the_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"schakel \d+\.\d+\.\d+\S*\n", run("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "nonsense"),
        (("serve",), "--config"),
        (("serve", "--config", "/nowhere/node.toml"), "/nowhere/node.toml cannot be read"),
        (("demo", "--patients", "-1"), "--patients"),
        (("demo", "--json", "x.json"), "--json goes with --check"),
        (("check", "ftp://a", "--suite", "."), "not an http(s) address"),
        (("check", "http://a", "--suite", ".", "--header", "X"), "--header takes NAME=VALUE"),
        (("check", "http://a", "--suite", ".", "--load-header", "=X"), "--load-header takes NAME=VALUE"),
        (("check", "http://a", "--suite", ".", "--var", "X"), "--var takes NAME=VALUE"),
        (("import", "a.json", "--organisation", "x"), "--data DIR"),
        (("import", "a.json", "--organisation", "x", "--data", "/nowhere"), "/nowhere/demo.json"),
        (("fetch", "bgz", "--organisation", "x"), "--patient"),
        (("ground", "add", "--organisation", "x"), "--requester"),
        (("ground", "list"), "--organisation"),
        (("explain", "1", "--data", "/nowhere", "--config", "/nowhere"), "one of the two"),
        (("token", "--data", "/nowhere", "--organisation", "x", "--patient", PATIENT), "/nowhere/demo.json"),
        (
            ("token", "--data", "/nowhere", "--organisation", "x", "--patient", PATIENT, "--for", "y"),
            "one of the two",
        ),
        (
            ("token", "--data", "/nowhere", "--organisation", "x", "--patient", PATIENT, "--dpop", "k"),
            "--dpop is for --for REQUESTER",
        ),
        (("token", "--data", "/nowhere", "--organisation", "x"), "--for REQUESTER"),
    ],
)
def test_wrong_usage_is_refused_in_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(run(*arguments))


def test_a_setting_that_is_wrong_is_named(node_file: Path) -> None:
    node_file.write_text(NODE.replace("99000101", "URA"))
    assert "organisations.0.ura" in refused(run("serve", "--config", node_file))


def test_a_log_level_that_does_not_exist_is_refused(node_file: Path) -> None:
    assert "debug, info" in refused(run("serve", "--config", node_file, "--log-level", "loud"))


def test_an_organisation_that_is_unknown_is_refused_with_those_that_are_known(node_file: Path) -> None:
    said = refused(run("ground", "list", "--config", node_file, "--organisation", "zuid"))
    assert "'zuid'" in said and "noord" in said


def test_a_fhir_version_that_does_not_exist_is_refused(node_file: Path) -> None:
    assert "stu3 or r4" in refused(
        run("import", ".", "--config", node_file, "--organisation", "noord", "--fhir", "r5")
    )


def test_a_path_that_is_not_there_is_refused(node_file: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert str(absent) in refused(run("import", absent, "--config", node_file, "--organisation", "noord"))


def test_a_bsn_that_cannot_exist_is_refused_before_anything_is_sent(node_file: Path) -> None:
    person = ("--user-id", "900000008", "--user-name", "J. Jansen", "--role", "01.015")
    asked = ("--organisation", "noord", "--patient", "123456789", "--holder", "99000102")
    assert "11-proef" in refused(run("fetch", "bgz", "--config", node_file, *asked, *person))


def test_who_asks_must_be_said_when_there_is_no_demo_to_take_it_from(node_file: Path) -> None:
    asked = ("--organisation", "noord", "--patient", PATIENT, "--holder", "99000102")
    said = refused(run("fetch", "bgz", "--config", node_file, *asked, "--role", "01.015"))
    assert "--user-id" in said and "--user-name" in said and "--role" not in said


@pytest.mark.parametrize(
    ("mandate", "said"),
    [
        (
            ("--responsible-role", "01.015"),
            "user.responsible_role is the role of user.responsible, which is missing",
        ),
        (("--responsible", "900000009", "--responsible-role", "doctor"), "user.responsible_role"),
    ],
    ids=["of-nobody", "no-role-code"],
)
def test_the_role_of_who_gave_the_mandate_is_checked(
    node_file: Path, mandate: tuple[str, ...], said: str
) -> None:
    person = ("--user-id", "900000008", "--user-name", "J. Jansen", "--role", "30.000")
    asked = ("--organisation", "noord", "--patient", PATIENT, "--holder", "99000102")
    assert said in refused(run("fetch", "bgz", "--config", node_file, *asked, *person, *mandate))


def test_who_gave_the_mandate_has_the_role_that_is_given_or_the_one_the_demo_knows() -> None:
    door = Door("noord", "99000101", "Ziekenhuis Noord", "", "", "")
    doctor = Person("noord", "900000009", "P. Arts", "01.015")
    asking: dict[str, Any] = {
        "id": "900000008",
        "name": "J. Jansen",
        "role": "30.000",
        "responsible": doctor.id,
    }
    at_a_node, demo = Places("node.toml", (door,)), Places("demo.json", (door,), (doctor,))
    assert user(at_a_node, door, **asking, responsible_role="01.010").responsible_role == "01.010"
    assert user(at_a_node, door, **asking, responsible_role=None).responsible_role == ""
    assert user(demo, door, **asking, responsible_role=None).responsible_role == "01.015"
    assert user(demo, door, **asking, responsible_role="01.010").responsible_role == "01.010"


def test_a_node_that_does_not_run_is_a_failed_job(node_file: Path) -> None:
    result = run("ground", "list", "--config", node_file, "--organisation", "99000101")
    assert result.exit_code == 1
    assert result.stderr == "schakel: no node answers at http://127.0.0.1:1/noord: is it running?\n"


def test_a_demo_file_of_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"organisations": [{}]}')
    assert "start the demo again" in refused(run("explain", "1", "--data", tmp_path))


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (ExceptionGroup("several", [Upstream("the node is away")]), 1, "schakel: the node is away\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "schakel: /x: Permission denied\n"),
    ],
)
def test_whatever_stops_a_command_ends_in_an_exit_code(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, node_file: Path
) -> None:
    def fails(*_: object) -> int:
        raise error

    monkeypatch.setattr("schakel.commands.serve.serve", fails)
    result = run("serve", "--config", node_file)
    assert (result.exit_code, result.stderr) == (code, said)


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "schakel", "--help"]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert "Traceback" not in result.stderr and "BrokenPipe" not in result.stderr


def test_every_reason_that_a_refusal_can_have_in_the_log_has_words() -> None:
    # What goes wrong before a patient has a token is in the chain log, not in the log that is explained.
    of_patients = {"authorisation_request", "broker", "flows", "patient", "patient_tokens"}
    sources = [
        path.read_text()
        for folder in ("gateway", "generic/authorisation", "generic/identity")
        for path in (ROOT / "src/schakel" / folder).glob("*.py")
        if path.stem not in of_patients
    ]
    codes = {code for text in sources for code in re.findall(r'(?:_Refused\(|code=)\s*"([a-z-]+)"', text)}
    never_logged = {"signing-key-invalid", "token-invalid", "token-missing", "token-scheme"}
    assert len(codes) > 20
    assert codes - never_logged - set(REASONS) == set()


# -- the technical log ------------------------------------------------------------------------------------


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """Where the technical log goes during the test."""
    out = StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    for handler in before:
        root.removeHandler(handler)
    technical_log.configure("info", out)
    yield out
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


def _raise(text: str) -> None:
    raise ValueError(text)


def test_the_technical_log_has_the_kind_and_place_of_an_error_and_not_its_text(logged: StringIO) -> None:
    try:
        _raise(f"patient {PATIENT}")
    except ValueError:
        structlog.get_logger("schakel.http").exception("fault", id="f1")
        logging.getLogger("asyncio").exception("Task failed\nfuture: %s", PATIENT)
    ours, theirs = (orjson.loads(line) for line in logged.getvalue().splitlines())
    assert PATIENT not in logged.getvalue()
    assert (ours["event"], ours["id"], ours["kind"], ours["level"]) == ("fault", "f1", "ValueError", "error")
    assert (theirs["event"], theirs["kind"]) == ("Task failed", "ValueError")
    assert ours["file"].endswith("test_cli.py") and theirs["line"] == ours["line"]


def test_what_is_below_the_level_is_not_logged(logged: StringIO) -> None:
    technical_log.configure("error", logged)
    structlog.get_logger().warning("outcome")
    logging.getLogger("uvicorn").warning("slow")
    assert logged.getvalue() == ""
