"""A node as an operator runs it: `schakel serve --config FILE` in a process of its own, on a PostgreSQL that
keeps what it acknowledged. Both can be killed and started again, with the same commands and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from tests.nodes import free_ports

from schakel.generic.identity import AssertionSigner, User, new_key
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.kernel.clock import now
from schakel.store.cluster_folder import processes_of, wait_until
from schakel.store.embedded import EmbeddedServer

KEY = "the-key-of-the-ehr-of-noord"
URA, REQUESTER = "90000001", "90000002"
BSN, NAME = "999229588", "Achterberg"
DOCTOR = User("900000008", "Jan Jansen", "01.015")
STARTS_WITHIN = 60.0
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "Achterberg heeft koorts"},
    "identifier": [{"system": "https://example.org/bsn", "value": BSN}],
}
"""An Observation with what a technical log may not hold."""

_numbers = itertools.count(1)


def free_port() -> int:
    """A port on which nothing listens now."""
    [port] = free_ports(1)
    return port


def launch(config: Path, errors: Path) -> subprocess.Popen[str]:
    """Runs `schakel serve --config`; standard error is added to the file `errors`."""
    with errors.open("a") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "schakel", "serve", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("SCHAKEL_")},
        )


async def refused(config: Path) -> tuple[str, float]:
    """What the command says before it gives up with exit code 2, and after how many seconds."""
    start = time.monotonic()
    errors = config.with_name("refusal")
    process = launch(config, errors)
    try:
        code = await asyncio.to_thread(process.wait, 60)
    finally:
        process.kill()
        process.communicate()
    said = errors.read_text()
    assert code == 2 and said.startswith("schakel: ") and "Traceback" not in said, (code, said)
    return said, time.monotonic() - start


def toml(table: Mapping[str, Any]) -> str:
    """`table` as TOML."""
    return "".join(f"{name} = {_value(value)}\n" for name, value in table.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(n)} = {_value(v)}" for n, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return orjson.dumps(value).decode()


class Database:
    """A PostgreSQL server with fsync in `folder`, and one database in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: EmbeddedServer | None = None
        self.address = ""

    @property
    def server(self) -> EmbeddedServer:
        """The running server."""
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        """Starts the server as it was left."""
        self._server = await EmbeddedServer.start(self._folder)
        if not self.address:
            self.address = await self._server.ensure_database("noord", "noord", "secret")

    async def stop(self) -> None:
        """Stops the server, if it runs."""
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def kill(self) -> None:
        """kill -9 of every process of the server."""
        self.signal(signal.SIGKILL)
        cluster = self.server.home / "cluster"
        assert await asyncio.to_thread(wait_until, lambda: not processes_of(cluster), 10.0)
        await self.stop()

    def signal(self, number: int) -> None:
        """Sends a signal to every process of the server."""
        processes = processes_of(self.server.home / "cluster")
        assert processes
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


class Site:
    """The node of organisation `noord`: configuration and keys in `folder`, on the database at `address`.

    The organisation with URA `REQUESTER` may ask for tokens. `settings` are laid over the configuration.
    """

    def __init__(self, folder: Path, address: str, **settings: Any) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.front_port, self.internal_port = free_port(), free_port()
        self.front = f"http://127.0.0.1:{self.front_port}"
        self.internal = f"http://127.0.0.1:{self.internal_port}"
        self.fhir = f"{self.internal}/noord/fhir/stu3"
        self.guarded = f"{self.front}/noord/fhir/stu3"
        self.config = folder / "node.toml"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "noord.jwk").write_bytes(orjson.dumps(new_key()))
        requester = new_key()
        (folder / "requester.jwk").write_bytes(orjson.dumps(requester))
        self.settings: dict[str, Any] = {
            "database": address,
            "public_url": self.front,
            "internal_url": self.internal,
            "front_port": self.front_port,
            "internal_port": self.internal_port,
            "guarded_on_front": True,
            "token_lifetime": 3600,
            "organisations": [
                {
                    "slug": "noord",
                    "ura": URA,
                    "name": "Ziekenhuis Noord",
                    "internal_key": KEY,
                    "signing_key": "noord.jwk",
                }
            ],
            "directory": [
                {
                    "ura": REQUESTER,
                    "name": "Ziekenhuis Zuid",
                    "issuer": "http://127.0.0.1:1/zuid",
                    "token_endpoint": "http://127.0.0.1:1/zuid/oauth2/token",
                    "fhir": {"stu3": "http://127.0.0.1:1/zuid/fhir/stu3"},
                    "jwks": {"keys": [{n: v for n, v in requester.items() if n != "d"}]},
                }
            ],
            **settings,
        }
        self.config.write_text(toml(self.settings))

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running process."""
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        """The standard error of all starts together."""
        return (self._folder / "stderr").read_text()

    async def start(self) -> None:
        """Runs the command and waits until it says that it is ready."""
        self._process = launch(self.config, self._folder / "stderr")
        assert self._process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self._process.stdout.readline), STARTS_WITHIN)
        assert line.startswith("ready"), self.log

    async def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        await self.ended()

    async def ended(self, within: float = 10.0) -> int:
        """The exit code, once the process has ended."""
        code = await asyncio.to_thread(self.process.wait, within)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    async def stop(self) -> None:
        """Ends the process, if it runs."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    async def until_ready(self, client: aiohttp.ClientSession) -> None:
        """Returns when the node says that it is ready, within ten seconds."""
        async with asyncio.timeout(10):
            while True:
                async with client.get(f"{self.front}/health/ready") as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.05)

    def token_form(self) -> dict[str, str]:
        """The form with which the requester asks for a token."""
        signer = AssertionSigner(REQUESTER, self._folder / "requester.jwk")
        return {
            "grant_type": "client_credentials",
            "scope": "bgz",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": signer.assertion(f"{self.front}/noord", DOCTOR, "TREAT", "current"),
        }

    async def let_in(self, client: aiohttp.ClientSession) -> dict[str, str]:
        """Records the patient BSN and a ground for the requester; the requester's headers with a token."""
        patient = {
            "resourceType": "Patient",
            "id": "known",
            "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": BSN}],
            "name": [{"family": NAME}],
        }
        ground = {
            "requester": REQUESTER,
            "patient": BSN,
            "exchange": "bgz",
            "until": (now() + timedelta(days=300)).date().isoformat(),
            "reason": "test",
        }
        async with client.put(f"{self.fhir}/Patient/known", json=patient) as answer:
            assert answer.status in (200, 201), await answer.text()
        async with client.post(f"{self.internal}/noord/grounds", json=ground) as answer:
            assert answer.status == 201, await answer.text()
        async with client.post(f"{self.front}/noord/oauth2/token", data=self.token_form()) as answer:
            assert answer.status == 200, await answer.text()
            return {"Authorization": f"Bearer {(await answer.json())['access_token']}"}

    @property
    def guarded_patient(self) -> str:
        """A request that the requester may make."""
        return f"{self.guarded}/Patient?identifier=http://fhir.nl/fhir/NamingSystem/bsn|{BSN}"


def ehr() -> aiohttp.ClientSession:
    """The client of the organisation's own EHR."""
    return aiohttp.ClientSession(
        headers={"X-API-Key": KEY},
        timeout=aiohttp.ClientTimeout(total=30),
    )


@asynccontextmanager
async def running_site(open_folder: Path, **settings: Any) -> AsyncIterator[tuple[Site, Database]]:
    """A node and its database, both running; ended and removed afterwards."""
    folder = open_folder / f"site-{next(_numbers)}"
    database = Database(folder / "postgres")
    site: Site | None = None
    try:
        await database.start()
        site = Site(folder / "node", database.address, **settings)
        await site.start()
        yield site, database
    finally:
        if site is not None:
            await site.stop()
        await database.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def timed(
    client: aiohttp.ClientSession, method: str, url: str, **options: Any
) -> tuple[int, str, str, float]:
    """Status, media type, body and seconds of an answer."""
    start = time.monotonic()
    if "json" in options:  # As a stream, for aiohttp warns about a large body.
        options["data"] = BytesIO(orjson.dumps(options.pop("json")))
        options["headers"] = {"Content-Type": "application/fhir+json"}
    async with client.request(method, url, **options) as answer:
        body = await answer.text()
    return answer.status, answer.content_type, body, time.monotonic() - start


async def verified(site: Site) -> tuple[int, str]:
    """Exit code and output of `schakel log verify`."""
    command = [sys.executable, "-m", "schakel", "log", "verify", "--config", str(site.config)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def check_log(site: Site, bearer: dict[str, str]) -> None:
    """What the node said on stderr is technical."""
    token = bearer["Authorization"].split()[1]
    for secret in (BSN, NAME, "koorts", "secret", KEY, token, site.token_form()["client_assertion"][:20]):
        assert secret not in site.log
    wrong = [line for line in site.log.splitlines() if '"fault"' in line or not line.startswith("{")]
    assert wrong == []
