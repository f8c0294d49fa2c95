"""A region is measured as a whole: in order, within bounds, whatever one check does; and the command that does it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.measuring import capabilities, region, roadmap, saying, silent
from tests.nodes import MakeDatabase, running_node

from schakel.commands.doors import Door
from schakel.commands.roadmap import Wanted, show
from schakel.commands.roadmap import run as run_command
from schakel.kernel.outcomes import Invalid
from schakel.roadmap import run as running
from schakel.roadmap import wire
from schakel.roadmap.checks import CHECKS, Check, Silent, Target, Tools
from schakel.roadmap.checks.model import found
from schakel.roadmap.checks.tools import AT_ONCE
from schakel.roadmap.evidence import Finding, Run
from schakel.roadmap.model import Text
from schakel.roadmap.region import Defaults
from schakel.roadmap.run import Step, measure

SAID = Text("gezien", "seen")


@contextmanager
def checked(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> Iterator[None]:
    """These are the checks that there are."""
    with monkeypatch.context() as patched:
        patched.setattr(running, "CHECKS", {one.id: one for one in checks})
        yield


def made(id: str, measured: Any, seconds: float = 5.0) -> Check:
    return Check(id, SAID, SAID, timedelta(days=1), lambda _: True, measured, seconds)


async def sees(target: Target, tools: Tools) -> Finding:
    return found("sees", "holds", SAID)


def verdicts(run: Run) -> list[tuple[str, str, str]]:
    return [(one.ura, one.finding.check, one.finding.verdict) for one in run.measured]


# -- measuring -----------------------------------------------------------------------------------------------


async def test_a_check_that_breaks_or_hangs_is_unknown_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def breaks(target: Target, tools: Tools) -> Finding:
        raise ValueError("with a name in it: Achterberg")

    async def hangs(target: Target, tools: Tools) -> Finding:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits this long")

    checks = made("breaks", breaks), made("hangs", hangs, 0.05), made("sees", sees)
    with checked(monkeypatch, *checks), capture_logs() as logs:
        run = await measure(region({}, {}), roadmap())
    assert verdicts(run) == [
        (ura, check, verdict)
        for ura in ("90000001", "90000002")
        for check, verdict in (("breaks", "unknown"), ("hangs", "unknown"), ("sees", "holds"))
    ]
    [broke, hung] = [one.finding for one in run.measured[:2]]
    assert "fault in the program" in broke.reason.en
    assert "not done after 0.05 seconds" in hung.reason.en
    assert "Achterberg" not in str(run)
    assert [(one["event"], one["check"], one["organisation"]) for one in logs] == [
        ("check-broke", "breaks", "90000001"),
        ("check-broke", "breaks", "90000002"),
    ]


async def test_results_are_in_the_order_of_the_file_whatever_is_done_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def late(target: Target, tools: Tools) -> Finding:
        await asyncio.sleep(0.2 if target.organisation.ura == "90000001" else 0)
        return found("late", "holds", SAID)

    steps: list[Step] = []
    with checked(monkeypatch, made("late", late), made("sees", sees)):
        run = await measure(region({}, {}), roadmap(), steps.append)
    assert [(one.ura, one.finding.check) for one in run.measured] == [
        ("90000001", "late"),
        ("90000001", "sees"),
        ("90000002", "late"),
        ("90000002", "sees"),
    ]
    assert [(one.done, one.of) for one in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (steps[-1].measured.ura, steps[-1].measured.finding.check) == ("90000001", "late")
    assert run.started <= run.measured[0].at <= run.finished


async def test_one_host_gets_no_more_than_so_many_requests_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most = 0, 0

    async def asks(target: Target, tools: Tools) -> Finding:
        nonlocal now, most
        async with tools.place("https://one.example/x"):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
        return found("asks", "holds", SAID)

    with checked(monkeypatch, made("asks", asks)):
        await measure(region(*({} for _ in range(20))), roadmap())
    assert most == AT_ONCE


async def test_when_nothing_answers_at_all_nothing_is_said_to_fail() -> None:
    alone = await measure(region({"fhir": {"r4": f"{silent()}/fhir"}}), roadmap())
    [finding] = [one.finding for one in alone.measured]
    assert finding.verdict == "unknown"
    assert "perhaps this machine has no connection" in finding.reason.en
    async with saying() as peer:
        peer.says("/fhir/metadata", capabilities("r4"))
        bases = f"{silent()}/fhir", f"{peer.url}/fhir"
        both = await measure(region(*({"fhir": {"r4": base}} for base in bases)), roadmap())
    assert [one.finding.verdict for one in both.measured] == ["fails", "holds"]


async def test_what_was_asked_at_a_silent_address_is_not_repeated() -> None:
    async with Tools.open(Defaults()) as tools:
        with pytest.raises(Silent) as told:
            await tools.get(f"{silent()}/path?state=secret")
    assert "/path gave no answer" in told.value.reason.en
    assert "secret" not in f"{told.value.reason} {told.value.detail}"


async def test_a_check_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match=r"no check 'tlz'; there are .*tls"):
        await measure(region({}), roadmap(), only=("tlz",))


def test_every_check_of_the_roadmap_is_there_and_says_in_two_languages_what_it_does() -> None:
    named = {check for item in roadmap().items for step in item.steps for check in step.checks}
    assert named <= set(CHECKS)
    for id, check in CHECKS.items():
        assert id == check.id
        assert check.fresh >= timedelta(days=7)
        assert check.how.nl != check.how.en


def test_a_roadmap_is_shown_with_how_each_step_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(None, "") == 0
    listed = capsys.readouterr().out
    assert all(f"\n{item.id} " in listed for item in roadmap().items)
    [item, *_] = [one for one in roadmap().items if any("tls" in step.checks for step in one.steps)]
    assert show(None, item.id) == 0
    assert f"tls: {CHECKS['tls'].how.en}" in capsys.readouterr().out
    with pytest.raises(Invalid, match="no item 'XX-1'; it has"):
        show(None, "XX-1")


# -- the command ---------------------------------------------------------------------------------------------


async def command(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code and what was said by `schakel roadmap run` in `folder`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schakel", "roadmap", "run", *arguments),
        cwd=folder,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def test_the_command_measures_a_region_of_two_and_turns_when_one_is_withdrawn(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with running_node(make_database, ("a",), write_check="lenient") as node, saying() as peer:
        a = node["a"]
        peer.says("/fhir/metadata", capabilities("r4"))
        (tmp_path / "REGION.toml").write_text(
            f"""
name = "Regio Noord"
by = "Programmabureau"

[defaults]
seconds = 5
http_on_loopback = true

[[organisations]]
ura = "{a.ura}"
name = "Ziekenhuis Noord"
sector = "MSZ"
issuer = "{a.front_root}/a"
fhir = {{ stu3 = "{a.front_root}/a/fhir/stu3", r4 = "{a.front_root}/a/fhir/r4" }}
internal = "{a.internal_root}/a"
internal_key_env = "NOORD_KEY"

[[organisations]]
ura = "90000002"
name = "Huisarts Zuid"
sector = "HA"
fhir = {{ r4 = "{peer.url}/fhir" }}
"""
        )
        asked = ("REGION.toml", "--json", "run.json")
        code, out, errors = await command(tmp_path, *asked, NOORD_KEY=a.key)
        assert (code, errors) == (0, ""), (out, errors)
        run = wire.read((tmp_path / "run.json").read_bytes())
        first = {(ura, check): verdict for ura, check, verdict in verdicts(run)}
        assert first[a.ura, "fhir-metadata"] == first[a.ura, "token-metadata"] == "holds"
        assert first[a.ura, "nvi-registration"] == "fails"
        assert first["90000002", "fhir-metadata"] == "holds"
        assert (run.region, run.by, run.roadmap) == ("Regio Noord", "Programmabureau", roadmap().version)
        assert "Huisarts Zuid (90000002)" in out
        assert a.key not in out
        assert a.key not in (tmp_path / "run.json").read_text()

        peer.answers.clear()
        code, out, _ = await command(tmp_path, *asked, "--only", "fhir-metadata", NOORD_KEY=a.key)
        assert code == 0
        run = wire.read((tmp_path / "run.json").read_bytes())
        assert verdicts(run) == [
            (a.ura, "fhir-metadata", "holds"),
            ("90000002", "fhir-metadata", "fails"),
        ]
        assert "status 404" in out

        code, out, _ = await command(
            tmp_path, *asked, "--organisation", "90000002", "--only", "fhir-metadata", NOORD_KEY=a.key
        )
        assert code == 0
        assert "Ziekenhuis Noord" not in out


async def test_a_run_is_handed_to_the_board_that_the_settings_name(
    make_database: MakeDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = {"keepers": ["a"], "region": "Noord"}
    async with running_node(make_database, ("a",), roadmap=board) as node:
        a = node["a"]
        file = tmp_path / "REGION.toml"
        file.write_text(
            'name = "Noord"\nby = "x"\n[defaults]\nhttp_on_loopback = true\n'
            f'[[organisations]]\nura = "{a.ura}"\nname = "A"\nsector = "MSZ"\nissuer = "{a.front_root}/a"\n'
        )
        door = Door(a.slug, a.ura, "Organisation a", f"{a.internal_root}/a", f"{a.front_root}/a", a.key)
        assert await asyncio.to_thread(run_command, file, Wanted(board=door)) == 0
        assert "handed to the board of Organisation a" in capsys.readouterr().out
        answer = await a.internal.get(f"{a.internal_root}/a/roadmap/runs")
        assert answer.status_code == 200, answer.text
        assert "Noord" in answer.text
        refused = dataclasses.replace(door, key="another")
        with pytest.raises(Invalid, match="the node refused"):
            await asyncio.to_thread(run_command, file, Wanted(board=refused))


async def test_the_command_says_when_nothing_could_be_measured_and_what_is_wrong_with_its_input(
    tmp_path: Path,
) -> None:
    file = tmp_path / "REGION.toml"
    head = 'name = "R"\nby = "x"\n[[organisations]]\nura = "90000001"\nname = "A"\nsector = "MSZ"\n'
    file.write_text(f'{head}fhir = {{ r4 = "{silent()}/fhir" }}\n')
    kinds = ("html", "pdf", "xlsx", "csv", "json")
    reports = [part for kind in kinds for part in (f"--{kind}", f"R.{kind}")]
    code, out, _ = await command(tmp_path, "REGION.toml", *reports, "--language", "en")
    assert (code, "1 could not be checked" in out) == (1, True), out
    assert set(os.listdir(tmp_path)) == {file.name, *(f"R.{kind}" for kind in kinds)}
    assert "R: where the region stands with the roadmap" in (tmp_path / "R.html").read_text()
    assert wire.read((tmp_path / "R.json").read_bytes()).region == "R"
    for arguments, said in (
        (("REGION.toml", "--only", "tlz"), "there is no check 'tlz'"),
        (("REGION.toml", "--organisation", "90000009"), "no organisation '90000009'"),
        (("REGION.toml", "--json", "none/run.json"), "there is no folder"),
        (("REGION.toml", "--pdf", "none/run.pdf"), "there is no folder"),
        (("REGION.toml", "--html", "run", "--xlsx", "run"), "--html and --xlsx name the same file"),
        (("REGION.toml", "--html", "run.html", "--language", "fr"), "language"),
        (("REGION.toml", "--data", "."), "give --board too"),
        (("OTHER.toml",), "OTHER.toml cannot be read"),
    ):
        code, out, errors = await command(tmp_path, *arguments)
        assert (code, out) == (2, ""), (arguments, out)
        assert said in errors, errors
    file.write_text(head + 'frunt = "x"\n')
    code, _, errors = await command(tmp_path, "REGION.toml")
    assert (code, "organisations[0].frunt (A): this member is not known" in errors) == (2, True)
