"""A demo that is killed, started twice, or given a folder or port that it cannot use."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path

from tests.region import Demo, free_ports, gone_within, launch, run, started, wait_until_said

KILLED_SECONDS = 10.0


def patients_at(demo: Demo, slug: str) -> int:
    one = demo.organisation(slug)
    request = urllib.request.Request(
        f"{one['internal']}/fhir/stu3/Patient", headers={"X-API-Key": one["internal_key"]}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return len(json.load(answer).get("entry", []))


def test_a_killed_demo_leaves_no_process_and_its_folder_starts_again(open_folder: Path) -> None:
    folder = open_folder / "killed"
    with started(folder, patients=2) as demo:
        keys = {one["slug"]: one["internal_key"] for one in demo.published["organisations"]}
        demo.process.kill()
        demo.process.wait(10)
        assert gone_within(folder, KILLED_SECONDS)
        assert (folder / "demo.json").exists()
    with started(folder) as demo:
        assert "was not loaded again" in demo.said
        assert patients_at(demo, "huisartsen-aabrink") == 2
        assert {one["slug"]: one["internal_key"] for one in demo.published["organisations"]} == keys

        second = run("--data", str(folder), "--port", str(free_ports()))
        assert second.returncode == 1
        assert f"{folder} is already in use" in second.stderr and str(demo.process.pid) in second.stderr

        taken = run("--data", str(open_folder / "unused"), "--port", str(demo.port))
        assert taken.returncode == 1
        assert f"port {demo.port} on 127.0.0.1 cannot be used" in taken.stderr
        assert not (open_folder / "unused").exists()
    assert not (folder / "demo.json").exists()

    other = run("--data", str(folder), "--patients", "5", "--port", str(free_ports()))
    assert other.returncode == 2
    assert "holds a region with --patients 2, not 5" in other.stderr


def test_a_load_that_was_cut_off_is_done_anew(open_folder: Path) -> None:
    folder, output = open_folder / "cut-off", open_folder / "cut-off.txt"
    process = launch(output, "--data", str(folder), "--port", str(free_ports()), "--patients", "4")
    wait_until_said(Demo(process, folder, output, 0, {}), "database and nodes are up")
    process.kill()
    process.wait(10)
    assert not (folder / "demo.json").exists()
    with started(folder, patients=3) as demo:
        assert "3 patients are in" in demo.said
        assert patients_at(demo, "huisartsen-aabrink") == 3


def test_the_temporary_folder_of_a_killed_demo_is_removed_by_the_next(open_folder: Path) -> None:
    home, output = open_folder / "left-over", open_folder / "left-over.txt"
    home.mkdir(mode=0o711)
    environment = {"TMPDIR": str(home)}
    options = ("--patients", "0", "--port", str(free_ports()))
    process = launch(output, *options, environment=environment)
    wait_until_said(Demo(process, home, output, 0, {}), "Ready after")
    process.kill()
    process.wait(10)
    [left] = home.iterdir()
    assert gone_within(home, KILLED_SECONDS)
    process = launch(output, *options, environment=environment)
    demo = Demo(process, home, output, 0, {})
    try:
        wait_until_said(demo, "Ready after")
        assert f"Removed {left}" in demo.said
        assert left not in home.iterdir()
        assert demo.stop() == 0
    finally:
        process.kill()
        process.wait(10)
    assert list(home.iterdir()) == []


def test_a_node_that_dies_ends_the_demo_with_a_sentence(open_folder: Path) -> None:
    folder = open_folder / "node-dies"
    with started(folder, patients=0) as demo:
        [node] = [one["pid"] for one in demo.published["processes"] if one["name"] == "node-second"]
        os.kill(node, signal.SIGKILL)
        assert demo.process.wait(30) == 1
        assert "the node of the second operator ended by signal 9. Its log ends with:" in demo.said
        assert "Traceback" not in demo.said
        assert gone_within(folder, 1)


def test_a_folder_that_is_not_a_demos_is_left_alone(open_folder: Path) -> None:
    folder = open_folder / "thesis"
    folder.mkdir()
    (folder / "chapter-1.txt").write_text("mine")
    done = run("--data", str(folder), "--port", str(free_ports()))
    assert done.returncode == 2
    assert f"{folder} is not empty and holds no demo region" in done.stderr
    assert [one.name for one in folder.iterdir()] == ["chapter-1.txt"]


def test_a_file_is_no_folder(open_folder: Path) -> None:
    file = open_folder / "a-file"
    file.write_text("")
    done = run("--data", str(file), "--port", str(free_ports()))
    assert done.returncode == 2
    assert f"{file} is not a folder" in done.stderr


def test_a_damaged_folder_is_named_with_what_to_do(open_folder: Path) -> None:
    folder = open_folder / "damaged"
    folder.mkdir()
    (folder / "region.json").write_text('{"schakel_demo": 1')
    done = run("--data", str(folder), "--port", str(free_ports()))
    assert done.returncode == 2
    assert "region.json is damaged" in done.stderr and "remove the folder" in done.stderr


def test_a_port_taken_by_a_later_listener_of_the_region_is_found_before_anything_starts(
    open_folder: Path,
) -> None:
    port = free_ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 3))
        taken.listen()
        done = run("--data", str(open_folder / "never"), "--port", str(port))
    assert done.returncode == 1
    assert f"port {port + 3} on 127.0.0.1 cannot be used" in done.stderr
    assert not (open_folder / "never").exists()
