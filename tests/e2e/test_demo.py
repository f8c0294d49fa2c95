"""The demo region from the outside: it does the main job, says where it is, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.region import Demo, free_ports, gone_within, launch, run, started, wait_until_said

from schakel.demo.check import STEPS
from schakel.demo.patients import versions_at
from schakel.kernel.values import Bsn

RESERVED_SUITE_RANGE = "9999"


@pytest.fixture(scope="module")
def small(open_folder: Path) -> Iterator[Demo]:
    with started(open_folder / "small", patients=3) as demo:
        yield demo


def get(address: str, key: str = "") -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(address, headers={"X-API-Key": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_check_proves_the_main_job_and_every_refusal(open_folder: Path) -> None:
    steps_file = open_folder / "steps.json"
    options = ("--patients", "10", "--port", str(free_ports()), "--check", "--json", str(steps_file))
    done = run(*options, seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = json.loads(steps_file.read_bytes())
    assert [step["name"] for step in steps] == [name for name, _ in STEPS]
    assert all(step["ok"] is True and step["proof"] and step["milliseconds"] > 0 for step in steps)
    assert all(set(step) == {"name", "ok", "proof", "milliseconds"} for step in steps)
    kinds = {step["name"].partition(":")[0] for step in steps}
    assert kinds == {
        "localise",
        "address",
        "identify",
        "authorise",
        "consent",
        "minimise",
        "log",
        "bgz",
        "medication",
        "refused",
        "roadmap",
    }
    assert f"All {len(STEPS)} steps proved." in done.stdout


def test_demo_json_says_where_everything_is(small: Demo) -> None:
    published = small.published
    assert len(published["organisations"]) == 8
    assert {one["operator"] for one in published["organisations"]} == {"first", "second"}
    services = {one["id"]: (one["kind"], one["fhir"]) for one in published["services"]}
    assert services["48"] == ("collect", "stu3") and services["63"] == ("collect", "r4")
    assert {kind for kind, _ in services.values()} == {"collect", "share"}
    assert len(published["patients"]) == 3
    for one in published["organisations"]:
        assert one["back"].startswith("https://")
        assert one["front"].endswith(f"/{one['slug']}") and one["internal"].endswith(f"/{one['slug']}")
        for version, number in (("stu3", "3.0.2"), ("r4", "4.0.1")):
            status, found = get(f"{one['internal']}/fhir/{version}/metadata", one["internal_key"])
            assert (status, found["resourceType"]) == (200, "CapabilityStatement")
            assert found["fhirVersion"].startswith(number[:4])
        origin = one["front"].rpartition("/")[0]
        status, metadata = get(f"{origin}/.well-known/oauth-authorization-server/{one['slug']}")
        assert (status, metadata["issuer"]) == (200, one["front"])
        assert Path(published["test_keys"][one["slug"]]).is_file()
    for patient in published["patients"]:
        assert Bsn(patient["bsn"]).startswith("999") and not patient["bsn"].startswith(RESERVED_SUITE_RANGE)


def test_a_patient_is_at_the_organisations_that_demo_json_names_and_no_others(small: Demo) -> None:
    system = "http://fhir.nl/fhir/NamingSystem/bsn"
    for patient in small.published["patients"]:
        known = set()
        for one in small.published["organisations"]:
            for version in ("stu3", "r4"):
                base = f"{one['internal']}/fhir/{version}"
                query = f"Patient?identifier={system}%7C{patient['bsn']}"
                status, bundle = get(f"{base}/{query}", one["internal_key"])
                assert status == 200
                held = version in versions_at(one["slug"])
                assert bool(bundle.get("entry")) == (held and one["slug"] in patient["known_at"])
                if bundle.get("entry"):
                    known.add(one["slug"])
        assert known == set(patient["known_at"])


def test_secrets_of_the_region_can_be_read_by_its_user_only(small: Demo) -> None:
    for name in ("demo.json", "region.json", "first.toml", "second.toml"):
        assert (small.folder / name).stat().st_mode & 0o077 == 0
    for key in small.published["test_keys"].values():
        assert Path(key).stat().st_mode & 0o077 == 0


def test_ctrl_c_ends_everything_and_leaves_nothing(open_folder: Path) -> None:
    home = open_folder / "temporary"
    home.mkdir(mode=0o711)
    output = open_folder / "ctrl-c.txt"
    port = free_ports()
    process = launch(output, "--patients", "0", "--port", str(port), environment={"TMPDIR": str(home)})
    demo = Demo(process, home, output, port, {})
    try:
        wait_until_said(demo, "Ready after")
        [folder] = home.glob("schakel-demo-*")
        demo.published = json.loads((folder / "demo.json").read_bytes())
        assert demo.published["patients"] == []
        one = demo.organisation("ziekenhuis-zuid")
        status, bundle = get(f"{one['internal']}/fhir/stu3/Patient", one["internal_key"])
        assert status == 200 and "entry" not in bundle
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(10)
    assert gone_within(home, 1)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_region_comes_up_ends_it_too(open_folder: Path, number: signal.Signals) -> None:
    home = open_folder / f"early-{number}"
    home.mkdir(mode=0o711)
    output = open_folder / f"early-{number}.txt"
    process = launch(output, "--port", str(free_ports()), environment={"TMPDIR": str(home)})
    try:
        wait_until_said(Demo(process, home, output, 0, {}), "starting the database")
        process.send_signal(number)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait(10)
    assert gone_within(home, 1)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--port", "65530"), "port"),
        (("--patients", "-1"), "patients"),
        (("--patients", "100000"), "patients"),
        (("--json", "steps.json"), "--json goes with --check"),
        (("--check", "--patients", "1"), "--patients 4 or more"),
    ],
)
def test_a_bad_value_ends_with_a_sentence_and_exit_code_2(options: tuple[str, ...], sentence: str) -> None:
    done = run(*options, seconds=30)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_settings_in_the_environment_do_not_reach_the_nodes(open_folder: Path) -> None:
    """A developer's SCHAKEL_DATABASE must not send synthetic patients to another database."""
    output = open_folder / "environment.txt"
    folder = open_folder / "environment"
    port = free_ports()
    process = launch(
        output,
        *("--patients", "0", "--port", str(port), "--data", str(folder)),
        environment={"SCHAKEL_DATABASE": "postgresql://nobody@127.0.0.1:1/nothing"},
    )
    try:
        wait_until_said(Demo(process, folder, output, port, {}), "Ready after")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(10)
    assert not (folder / "demo.json").exists()
    assert (folder / "region.json").exists()
