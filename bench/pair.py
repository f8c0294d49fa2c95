"""Two nodes of two operators as real processes on one embedded PostgreSQL, as `schakel serve` runs them."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import orjson

from bench.credentials import HOST, Credentials
from bench.facilities import Facilities, answering
from schakel.demo import cast, toml
from schakel.demo.processes import RegionProcess
from schakel.generic.identity import AssertionSigner, User, new_key
from schakel.generic.identity.dpop_key import DpopKey
from schakel.store.embedded import EmbeddedServer
from schakel_national.__main__ import FACILITIES

USER = User("999900001", "B. Ench", "01.015", "")
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Place:
    """One node with its one organisation."""

    organisation: cast.Organisation
    front_port: int
    internal_port: int
    back_port: int
    dsn: str
    key_file: Path
    shown: Credentials
    process: RegionProcess | None = None

    @property
    def slug(self) -> str:
        return self.organisation.slug

    @property
    def internal_key(self) -> str:
        return f"bench-internal-key-{self.slug}"

    @property
    def issuer(self) -> str:
        return f"http://{HOST}:{self.front_port}/{self.slug}"

    @property
    def back(self) -> str:
        """Address of its part of the back listener."""
        return f"https://{HOST}:{self.back_port}/{self.slug}"

    @property
    def configuration(self) -> Path:
        """Its settings."""
        return self.key_file.with_name(f"{self.slug}.toml")

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
    """The holder of the data and the one that asks; `bare_tls_port` is the bare server's for those who show a
    certificate."""

    holder: Place
    asker: Place
    bare_port: int
    bare_tls_port: int
    facilities: Facilities
    session: aiohttp.ClientSession

    async def post(self, url: str, body: object, headers: dict[str, str]) -> dict[str, object]:
        """The JSON answer to a request that must succeed."""
        async with self.session.post(url, data=orjson.dumps(body), headers=headers) as response:
            text = await response.read()
            if response.status not in (200, 201):
                raise RuntimeError(f"{url} answered {response.status}: {text[:500].decode(errors='replace')}")
            return dict(orjson.loads(text))

    async def token(self) -> str:
        """A real bearer token of the asker at the holder's authorisation server."""
        return await self._token(f"{self.holder.issuer}/oauth2/token")

    async def bound_token(self, key: DpopKey) -> str:
        """One asked on back: bound to the asker's certificate, and to `key`."""
        return await self._token(f"{self.holder.back}/oauth2/token", key)

    async def _token(self, url: str, key: DpopKey | None = None) -> str:
        signer = AssertionSigner(self.asker.organisation.ura, self.asker.key_file)
        form = {
            "grant_type": "client_credentials",
            "scope": "bgz",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signer.assertion(self.holder.issuer, USER, "TREAT", "current"),
        }
        proof = {} if key is None else {"DPoP": key.proof("POST", url)}
        shown = True if key is None else self.asker.shown.client()
        async with self.session.post(url, data=form, headers=proof, ssl=shown) as response:
            answer = await response.json()
            if response.status != 200:
                raise RuntimeError(f"no token: {answer}")
            return str(answer["access_token"])


@asynccontextmanager
async def running() -> AsyncIterator[Pair]:
    """Both nodes and the bare server, empty and ready; all of it is gone at the end."""
    async with AsyncExitStack() as undo:
        folder = temporary_folder()
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        server = await EmbeddedServer.start(folder / "postgres")
        undo.push_async_callback(server.stop)
        session = await undo.enter_async_context(aiohttp.ClientSession())
        facilities = Facilities(folder, free_row(len(FACILITIES)))
        await facilities.start_authority(undo, session)
        bare_port, bare_tls_port, *ports = _free_ports(8)
        places = []
        for number, organisation in enumerate((cast.HOSPITAL_NORTH, cast.HOSPITAL_SOUTH)):
            name = f"bench_{number}"
            key_file = folder / f"{name}.jwk.json"
            key_file.write_bytes(orjson.dumps(new_key()))
            dsn = await server.ensure_database(name, name, "bench")
            shown = await facilities.credentials(session, organisation)
            front, internal, back = ports[3 * number : 3 * number + 3]
            places.append(Place(organisation, front, internal, back, dsn, key_file, shown))
        started = [await _start(undo, place, places, facilities) for place in places]
        await _start_bare(undo, places[0], bare_port, bare_tls_port)
        for place in started:
            assert place.process is not None
            await answering(session, place.process, f"http://{HOST}:{place.internal_port}/health/ready")
        yield Pair(started[0], started[1], bare_port, bare_tls_port, facilities, session)


@asynccontextmanager
async def served_by(pair: Pair, number: int) -> AsyncIterator[Place]:
    """The holder's node at ports of its own, served by so many processes, beside the one that runs: before the same
    database, under the same names."""
    holder = pair.holder
    front, internal, back = _free_ports(3)
    settings = _settings(holder, [holder, pair.asker], pair.facilities)
    at_back = settings["back"]
    assert isinstance(at_back, Mapping)
    settings |= {
        "front_port": front,
        "internal_port": internal,
        "back": {**at_back, "port": back},
        "processes": number,
    }
    file = holder.configuration.with_name(f"{holder.slug}-{number}.toml")
    file.write_text(toml.document(settings))
    program = [sys.executable, "-P", "-m", "schakel", "serve", "--config", str(file)]
    what = f"the node of {holder.slug} with {number} processes"
    process = await RegionProcess.start(f"node-{number}", what, program, file.with_suffix(".log"))
    try:
        await answering(pair.session, process, f"http://{HOST}:{internal}/health/ready")
        yield replace(holder, front_port=front, internal_port=internal, back_port=back, process=process)
    finally:
        await process.stop()


def temporary_folder() -> Path:
    """A temporary folder that the database's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="schakel-bench-"))
    folder.chmod(0o711)
    return folder


async def _start(undo: AsyncExitStack, place: Place, places: list[Place], facilities: Facilities) -> Place:
    place.configuration.write_text(toml.document(_settings(place, places, facilities)))
    program = [sys.executable, "-P", "-m", "schakel", "serve", "--config", str(place.configuration)]
    log = place.configuration.with_suffix(".log")
    process = await RegionProcess.start(f"node-{place.slug}", f"the node of {place.slug}", program, log)
    undo.push_async_callback(process.stop)
    return replace(place, process=process)


def _settings(place: Place, places: list[Place], facilities: Facilities) -> dict[str, toml.Value]:
    directory: list[toml.Value] = [
        {
            "ura": one.organisation.ura,
            "name": one.organisation.name,
            "issuer": one.issuer,
            "token_endpoint": f"{one.back}/oauth2/token",
            "fhir": {"stu3": f"{one.back}/fhir/stu3"},
            "jwks": AssertionSigner(one.organisation.ura, one.key_file).jwks(),
        }
        for one in places
    ]
    return {
        "database": place.dsn,
        "public_url": f"http://{HOST}:{place.front_port}",
        "internal_url": f"http://{HOST}:{place.internal_port}",
        "front_port": place.front_port,
        "internal_port": place.internal_port,
        "guarded_on_front": True,
        "portal": {"public": True},
        "roadmap": {"region": "Bench", "keepers": [place.slug]},
        "back": {
            "port": place.back_port,
            "public_url": f"https://{HOST}:{place.back_port}",
            "certificate": place.shown.certificate,
            "key": place.shown.key,
            "client_ca": [place.shown.anchors],
        },
        "certificates": {"uzi": "test", "sources": [facilities.authority]},
        "peer_ca": [place.shown.anchors],
        "organisations": [
            {
                "slug": place.slug,
                "ura": place.organisation.ura,
                "name": place.organisation.name,
                "internal_key": place.internal_key,
                "signing_key": place.key_file,
                "type_code": place.organisation.type_code,
                "tls_certificate": place.shown.certificate,
                "tls_key": place.shown.key,
            }
        ],
        "directory": directory,
    }


async def _start_bare(undo: AsyncExitStack, place: Place, port: int, tls_port: int) -> None:
    shown = place.shown
    files = [str(one) for one in (shown.certificate, shown.key, shown.anchors)]
    program = [sys.executable, "-m", "bench.bare", place.dsn, place.slug, str(port), str(tls_port), *files]
    process = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, cwd=_ROOT)

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


def _free_ports(number: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def free_row(number: int) -> int:
    """The first of so many ports in a row that were free a moment ago, below those that the system gives to connections
    which go out (on Linux from 32768)."""
    while True:
        first = random.randrange(12_000, 32_000 - number)
        if all(_free(port) for port in range(first, first + number)):
            return first


def _free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True
