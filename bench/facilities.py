"""The national facilities that the benchmark needs, as stand-ins in processes of their own: the authority of the UZI
register, which also says what was withdrawn, and Mitz."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.credentials import HOST, Credentials
from schakel.demo import cast, toml
from schakel.demo.processes import RegionProcess
from schakel_national.__main__ import FACILITIES

_AUTHORITY, _MITZ = "uzi-ca", "mitz"
_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Facilities:
    """Stand-ins of this run: their folder, and the port of the first of all there could be."""

    folder: Path
    first_port: int

    @property
    def authority(self) -> str:
        """Address of the authority."""
        return f"http://{HOST}:{self._port(_AUTHORITY)}"

    @property
    def mitz(self) -> str:
        """Address of Mitz."""
        return f"https://{HOST}:{self._port(_MITZ)}"

    def _port(self, name: str) -> int:
        return self.first_port + list(FACILITIES).index(name)

    async def start_authority(self, undo: AsyncExitStack, session: aiohttp.ClientSession) -> None:
        """Returns when it answers."""
        process = await self._start(undo, _AUTHORITY)
        await answering(session, process, f"{self.authority}/health/ready")

    async def start_mitz(
        self,
        undo: AsyncExitStack,
        session: aiohttp.ClientSession,
        shown: Credentials,
        choices: list[toml.Value],
    ) -> None:
        """Returns when it answers who shows these credentials; `choices` are those that patients made (`choices` of
        `mitz.toml`)."""
        (self.folder / "mitz.toml").write_text(toml.document({"choices": choices}))
        process = await self._start(undo, _MITZ)
        await answering(session, process, f"{self.mitz}/health/ready", shown.client())

    async def _start(self, undo: AsyncExitStack, name: str) -> RegionProcess:
        options = [
            "--folder",
            str(self.folder),
            "--host",
            HOST,
            "--port",
            str(self.first_port),
            "--only",
            name,
        ]
        program = [sys.executable, "-P", "-m", "schakel_national", *options]
        process = await RegionProcess.start(
            name, f"the stand-in {name}", program, self.folder / f"{name}.log"
        )
        undo.push_async_callback(process.stop)
        return process

    async def credentials(
        self, session: aiohttp.ClientSession, organisation: cast.Organisation
    ) -> Credentials:
        """An UZI server certificate of the authority, with RSA as in the register, and its key."""
        key = await asyncio.to_thread(rsa.generate_private_key, 65537, 2048)
        request = (
            x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        )
        asked: dict[str, Any] = {
            "kind": "uzi-server",
            "organisation": organisation.name,
            "locality": organisation.city,
            "ura": organisation.ura,
            "uzi": f"9901{organisation.ura[-5:]}",
            "csr": request.public_bytes(serialization.Encoding.PEM).decode(),
            "hosts": [HOST, "localhost"],
            "seconds": _SECONDS,
        }
        async with session.post(f"{self.authority}/certificates", data=orjson.dumps(asked)) as response:
            given = await response.json()
            if response.status != 201:
                raise RuntimeError(f"no certificate: {given}")
        slug = organisation.slug
        made = Credentials(
            self.folder / f"{slug}.pem", self.folder / f"{slug}.key", self.folder / "anchors.pem"
        )
        made.certificate.write_text(given["chain"])
        made.anchors.write_text(given["anchor"])
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made


async def answering(
    session: aiohttp.ClientSession,
    process: RegionProcess,
    url: str,
    shown: ssl.SSLContext | None = None,
    seconds: float = 60,
) -> None:
    """Returns when `url` answers with 200. Raises the error of a process that died, and `RuntimeError` after so many
    seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not process.running:
            raise process.died()
        try:
            async with session.get(url, ssl=True if shown is None else shown) as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    raise RuntimeError(f"{url} was not ready within {seconds:.0f} seconds")
