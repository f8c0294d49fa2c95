"""The program with the stand-ins of the national facilities: one of them, and taking it away for a while."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tests.region import free_ports

from schakel_national.__main__ import FACILITIES

NAME = "uzi-ca"


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def until(address: str, wanted: bool) -> None:
    end = time.monotonic() + 30
    while answers(address) is not wanted:
        assert time.monotonic() < end, f"{address} {'is not there' if wanted else 'is still there'}"
        time.sleep(0.05)


def test_a_file_takes_a_facility_away_for_as_long_as_it_is_there(tmp_path: Path) -> None:
    first = free_ports(len(FACILITIES))
    address = f"http://127.0.0.1:{first + list(FACILITIES).index(NAME)}"
    options = ["--folder", str(tmp_path), "--port", str(first), "--only", NAME]
    with subprocess.Popen([sys.executable, "-m", "schakel_national", *options]) as process:
        try:
            until(address, True)
            root = (tmp_path / NAME / "anchors.pem").read_bytes()
            down = tmp_path / f"{NAME}.down"
            down.touch()
            until(address, False)
            down.unlink()
            until(address, True)
            assert (tmp_path / NAME / "anchors.pem").read_bytes() == root
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(("options", "status"), [([], 400), (["--test-bsn", "999940003"], 303)])
def test_a_person_with_a_test_number_logs_in_where_the_program_was_told_of_it(
    tmp_path: Path, options: list[str], status: int
) -> None:
    first = free_ports(len(FACILITIES))
    address = f"http://127.0.0.1:{first + list(FACILITIES).index('mitz-page')}"
    whole = ["--folder", str(tmp_path), "--port", str(first), "--only", "mitz-page", *options]
    with subprocess.Popen([sys.executable, "-m", "schakel_national", *whole]) as process:
        try:
            until(address, True)
            answer = httpx.post(f"{address}/login", data={"bsn": "999940003"}, trust_env=False)
            assert answer.status_code == status
        finally:
            process.kill()
