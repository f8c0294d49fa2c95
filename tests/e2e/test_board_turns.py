"""What breaks in the region turns its board within one run, with the reason (`schakel roadmap run --board`)."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from tests.certificates import Authority, server_context
from tests.region import Demo, free_ports, started

from schakel.demo import toml

pytestmark = pytest.mark.slow

KEEPER = "ziekenhuis-noord"
SOUTH, GP = "99000102", "99000103"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with started(tmp_path_factory.mktemp("turns") / "region", patients=4) as one:
        yield one


def measured(demo: Demo, *options: str, file: Path | None = None) -> str:
    """What `schakel roadmap run` says, of a run that is handed to the board."""
    command = [sys.executable, "-m", "schakel", "roadmap", "run", str(file or demo.published["region"])]
    command += ["--board", "--data", str(demo.folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert "handed to the board" in done.stdout, done.stdout + done.stderr
    return done.stdout


def standing(demo: Demo, ura: str, step: str) -> dict[str, Any]:
    """How a step stands at an organisation, as the board tells."""
    keeper = demo.organisation(KEEPER)
    answer = httpx.get(f"{keeper['internal']}/roadmap/board", headers={"X-API-Key": keeper["internal_key"]})
    assert answer.status_code == 200, answer.text
    item = step.partition(".")[0]
    [cell] = [one for one in answer.json()["cells"] if (one["ura"], one["item"]) == (ura, item)]
    [found] = [one for one in cell["steps"] if one["id"] == step]
    return dict(found)


def page(demo: Demo, item: str, ura: str) -> str:
    """The words of the page on an item at an organisation."""
    answer = httpx.get(f"{demo.published['portal']}items/{item}/{ura}?lang=nl")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


@contextmanager
def away(demo: Demo, name: str) -> Iterator[None]:
    """A facility that is down."""
    switch = demo.folder / "stand-ins" / f"{name}.down"
    switch.touch()
    try:
        yield
    finally:
        switch.unlink()


@contextmanager
def hanging(demo: Demo, name: str) -> Iterator[None]:
    """A node that answers nobody."""
    [pid] = [one["pid"] for one in demo.published["processes"] if one["name"] == name]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def withdrawn(demo: Demo, slug: str) -> None:
    """An organisation takes its endpoints out of use in the national directory, with its own certificate."""
    ura = demo.organisation(slug)["ura"]
    address = next(one["address"] for one in demo.published["stand_ins"] if one["name"] == "lrza")
    pair = demo.published["certificates"][slug]
    context = ssl.create_default_context(cafile=demo.published["anchors"])
    context.load_cert_chain(pair["certificate"], pair["key"])
    with httpx.Client(base_url=f"{address}/fhir", verify=context, trust_env=False) as client:
        query = {"identifier": f"http://fhir.nl/fhir/NamingSystem/ura|{ura}"}
        [entry] = client.get("/Organization", params=query).raise_for_status().json()["entry"]
        for reference in entry["resource"]["endpoint"]:
            path = "/" + "/".join(reference["reference"].split("/")[-2:])
            endpoint = client.get(path).raise_for_status().json() | {"status": "off"}
            known = {"If-Match": f'W/"{endpoint["meta"]["versionId"]}"'}
            client.put(path, json=endpoint, headers=known).raise_for_status()


def changed(demo: Demo, folder: Path, ura: str, **values: toml.Value) -> Path:
    """The region's file with other values for one organisation."""
    table = tomllib.loads(Path(demo.published["region"]).read_text())
    [one] = [each for each in table["organisations"] if each["ura"] == ura]
    one |= values
    file = folder / "region.toml"
    file.write_text(toml.document(table))
    return file


@asynccontextmanager
async def answering(port: int, context: ssl.SSLContext) -> AsyncIterator[None]:
    """Something that answers at a port with this certificate."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        yield
    finally:
        await runner.cleanup()


FACILITIES = {
    "nvi": ("nvi-registration", "GF-5.S1"),
    "prs": ("nvi-registration", "GF-5.S1"),
    "minvws-oauth": ("nvi-registration", "GF-5.S1"),
    "mitz": ("mitz-subscription", "GF-3.S2"),
    "lrza": ("directory-entry", "GF-6.S3"),
    "medmij-lists": ("medmij-list", "PGO-1.S3"),
}
"""By stand-in the check that depends on it, and a step that this check measures."""


def found(demo: Demo, check: str, step: str, wanted: str) -> dict[str, Any]:
    """How the step stands at the hospital in the south, once a run of the check finds what is wanted there. Work that
    goes on meanwhile has its time."""
    deadline = time.monotonic() + 240
    while True:
        measured(demo, "--only", check, "--organisation", SOUTH)
        stands = standing(demo, SOUTH, step)
        [told] = [one for one in stands["checks"] if one["check"] == check]
        if told["verdict"] == wanted:
            return stands
        assert time.monotonic() < deadline, (told, stands["reason"])
        time.sleep(1)


@pytest.mark.parametrize("name", FACILITIES)
def test_a_facility_that_is_down_leaves_what_it_knows_unknown_and_not_wrong(demo: Demo, name: str) -> None:
    check, step = FACILITIES[name]
    before = found(demo, check, step, "holds")
    with away(demo, name):
        turned = found(demo, check, step, "unknown")
        said = page(demo, step.partition(".")[0], SOUTH)
    assert turned["state"] == "unknown"
    assert turned["last_true"] is None or turned["last_true"] >= (before["last_true"] or "")
    assert turned["reason"]["nl"] in said and "niet te controleren" in said
    assert found(demo, check, step, "holds")["state"] == before["state"]


def test_a_node_that_answers_nobody_is_not_in_service_and_the_rest_is_unknown(demo: Demo) -> None:
    checks = ("--only", "fhir-metadata", "--only", "token-metadata")
    measured(demo, *checks)
    assert standing(demo, GP, "ET-3.S1")["state"] == "proved"
    with hanging(demo, "node-second"):
        measured(demo, *checks)
    assert standing(demo, GP, "ET-3.S1")["state"] == "fails"
    assert standing(demo, GP, "GF-1.S1")["state"] == "unknown"
    assert standing(demo, "99000101", "ET-3.S1")["state"] == "proved"
    assert standing(demo, GP, "ET-3.S1")["reason"]["nl"] in page(demo, "ET-3", GP)
    measured(demo, *checks)
    assert standing(demo, GP, "ET-3.S1")["state"] == "proved"


async def test_a_certificate_that_has_expired_fails_with_its_day(demo: Demo, tmp_path: Path) -> None:
    issued = Authority.new("Test Root").issue("127.0.0.1", hosts=["127.0.0.1"], days=(-30, -3))
    end, expired = issued.certificate.not_valid_after_utc, issued.write(tmp_path, "expired")
    port = free_ports(1)
    file = changed(demo, tmp_path, SOUTH, front=f"https://127.0.0.1:{port}/ziekenhuis-zuid")
    async with answering(port, server_context(expired)):
        await asyncio.to_thread(measured, demo, "--only", "certificate", file=file)
    turned = standing(demo, SOUTH, "LDN-2.S2")
    assert turned["state"] == "fails" and f"{end:%d-%m-%Y}" in turned["reason"]["nl"]
    assert f"{end:%d-%m-%Y}" in page(demo, "LDN-2", SOUTH)


def test_an_organisation_that_withdraws_its_endpoints_is_not_found_any_more(demo: Demo) -> None:
    measured(demo, "--only", "directory-entry", "--organisation", SOUTH)
    # Measured; nobody declared what the directory does not show.
    assert standing(demo, SOUTH, "GF-6.S3")["state"] == "partly"
    withdrawn(demo, "ziekenhuis-zuid")
    deadline = time.monotonic() + 60
    while (turned := standing(demo, SOUTH, "GF-6.S3"))["state"] == "partly":
        assert time.monotonic() < deadline, "the directories never told it"
        time.sleep(1)
        measured(demo, "--only", "directory-entry", "--organisation", SOUTH)
    assert turned["state"] == "fails"
    assert "adres" in turned["reason"]["nl"] and turned["reason"]["nl"] in page(demo, "GF-6", SOUTH)
    assert standing(demo, "99000101", "GF-6.S3")["state"] == "partly"


def test_what_a_check_of_one_endpoint_finds_is_on_the_board_too(demo: Demo) -> None:
    keeper = demo.organisation(KEEPER)
    before = [one["run"] for one in standing(demo, keeper["ura"], "LDN-2.S2")["checks"]]
    command = [
        sys.executable,
        "-m",
        "schakel",
        "check",
        f"{keeper['internal']}/fhir/r4",
        "--api-requirements",
    ]
    command += ["--header", f"X-API-Key={keeper['internal_key']}", "--board", "--data", str(demo.folder)]
    command += ["--organisation", KEEPER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert "told the board of the region: api-requirements" in done.stdout, done.stdout + done.stderr
    ura = keeper["ura"]
    told = [one for one in standing(demo, ura, "LDN-2.S2")["checks"] if one["check"] == "api-requirements"]
    assert len(told) == 1 and told[0]["run"] not in before
    assert standing(demo, GP, "ET-3.S1")["state"] == "proved"


def test_who_is_not_measured_this_time_stays_on_the_board(demo: Demo) -> None:
    measured(demo, "--only", "tls", "--organisation", SOUTH)
    assert standing(demo, GP, "ET-3.S1")["state"] == "proved"
