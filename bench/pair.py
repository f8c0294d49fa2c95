"""Two nodes of two operators as real processes on one embedded PostgreSQL, as `schakel serve` runs them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from schakel.demo import cast, toml
from schakel.demo.processes import RegionProcess
from schakel.generic.identity import AssertionSigner, User, new_key
from schakel.store.embedded import EmbeddedServer

USER = User("999900001", "B. Ench", "01.015", "")
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Place:
    """One node with its one organisation."""

    organisation: cast.Organisation
    front_port: int
    internal_port: int
    dsn: str
    key_file: Path
    process: RegionProcess | None = None

    @property
    def slug(self) -> str:
        return self.organisation.slug

    @property
    def internal_key(self) -> str:
        return f"bench-internal-key-{self.slug}"

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.front_port}/{self.slug}"

    @property
    def headers(self) -> dict[str, str]:
        """Of a request at the internal door."""
        return {"X-API-Key": self.internal_key}

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def memory(self) -> float:
        """Resident memory of the process in MB, as the kernel counts it (VmRSS)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(one for one in status.splitlines() if one.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@dataclass(frozen=True, slots=True)
class Pair:
    """The holder of the data and the one that asks."""

    holder: Place
    asker: Place
    bare_port: int
    session: aiohttp.ClientSession

    async def post(self, url: str, body: object, headers: dict[str, str]) -> dict[str, object]:
        """The JSON answer to a request that must succeed."""
        async with self.session.post(url, data=orjson.dumps(body), headers=headers) as response:
            text = await response.read()
            if response.status not in (200, 201):
                raise RuntimeError(f"{url} answered {response.status}: {text[:500].decode(errors='replace')}")
            return dict(orjson.loads(text))

    async def token(self) -> str:
        """A real token of the asker at the holder's authorisation server."""
        signer = AssertionSigner(self.asker.organisation.ura, self.asker.key_file)
        form = {
            "grant_type": "client_credentials",
            "scope": "bgz",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signer.assertion(self.holder.issuer, USER, "TREAT", "current"),
        }
        async with self.session.post(f"{self.holder.issuer}/oauth2/token", data=form) as response:
            answer = await response.json()
            if response.status != 200:
                raise RuntimeError(f"no token: {answer}")
            return str(answer["access_token"])


@asynccontextmanager
async def running() -> AsyncIterator[Pair]:
    """Both nodes and the bare server, empty and ready; all of it is gone at the end."""
    async with AsyncExitStack() as undo:
        folder = _folder()
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        server = await EmbeddedServer.start(folder / "postgres")
        undo.push_async_callback(server.stop)
        ports = _free_ports(5)
        places = []
        for number, organisation in enumerate((cast.HOSPITAL_NORTH, cast.HOSPITAL_SOUTH)):
            name = f"bench_{number}"
            key_file = folder / f"{name}.jwk.json"
            key_file.write_bytes(orjson.dumps(new_key()))
            dsn = await server.ensure_database(name, name, "bench")
            places.append(Place(organisation, ports[2 * number], ports[2 * number + 1], dsn, key_file))
        started = [await _start(undo, folder, place, places) for place in places]
        await _start_bare(undo, places[0].dsn, ports[4])
        session = await undo.enter_async_context(aiohttp.ClientSession())
        for place in started:
            await _ready(session, place)
        yield Pair(started[0], started[1], ports[4], session)


def _folder() -> Path:
    """A temporary folder that the database's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="schakel-bench-"))
    folder.chmod(0o711)
    return folder


async def _start(undo: AsyncExitStack, folder: Path, place: Place, places: list[Place]) -> Place:
    configuration = folder / f"{place.slug}.toml"
    configuration.write_text(toml.document(_settings(place, places)))
    program = [sys.executable, "-P", "-m", "schakel", "serve", "--config", str(configuration)]
    log = folder / f"{place.slug}.log"
    process = await RegionProcess.start(f"node-{place.slug}", f"the node of {place.slug}", program, log)
    undo.push_async_callback(process.stop)
    return Place(
        place.organisation, place.front_port, place.internal_port, place.dsn, place.key_file, process
    )


def _settings(place: Place, places: list[Place]) -> dict[str, toml.Value]:
    directory: list[toml.Value] = [
        {
            "ura": one.organisation.ura,
            "name": one.organisation.name,
            "issuer": one.issuer,
            "token_endpoint": f"{one.issuer}/oauth2/token",
            "fhir": {"stu3": f"{one.issuer}/fhir/stu3"},
            "jwks": AssertionSigner(one.organisation.ura, one.key_file).jwks(),
        }
        for one in places
    ]
    return {
        "database": place.dsn,
        "public_url": f"http://127.0.0.1:{place.front_port}",
        "internal_url": f"http://127.0.0.1:{place.internal_port}",
        "front_port": place.front_port,
        "internal_port": place.internal_port,
        "guarded_on_front": True,
        "organisations": [
            {
                "slug": place.slug,
                "ura": place.organisation.ura,
                "name": place.organisation.name,
                "internal_key": place.internal_key,
                "signing_key": place.key_file,
            }
        ],
        "directory": directory,
    }


async def _start_bare(undo: AsyncExitStack, dsn: str, port: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.bare", dsn, str(port), stdin=PIPE, stdout=PIPE, cwd=_ROOT
    )

    async def stop() -> None:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()

    undo.push_async_callback(stop)
    assert process.stdout is not None
    if (await process.stdout.readline()).strip() != b"ready":
        raise RuntimeError("the bare server did not start")


async def _ready(session: aiohttp.ClientSession, place: Place) -> None:
    assert place.process is not None
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if not place.process.running:
            raise place.process.died()
        try:
            async with session.get(f"http://127.0.0.1:{place.internal_port}/health/ready") as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    raise RuntimeError(f"node {place.slug} was not ready within a minute")


def _free_ports(number: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
