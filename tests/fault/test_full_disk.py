"""When the disk of the database is full, writes are refused whole and reads go on; space is all it needs."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from tests.fault.processes import OBSERVATION, Site, check_log, ehr, timed

SMALL = 22
"""Megabytes of the disk with the tables; a new database takes about 10."""

ALONE = ("unshare", "-m", "sh", "-c")
"""Runs a command with mounts that no other program sees."""

CHILD = """
import asyncio, os, subprocess, sys
from pathlib import Path
from schakel.store.embedded import EmbeddedServer

async def main():
    folder, small = Path(sys.argv[1]), sys.argv[2]
    server = await EmbeddedServer.start(folder, settings={"max_wal_size": "256MB"})
    address = await server.ensure_database("noord", "noord", "secret")
    owner = (server.home / "cluster").stat()
    os.chown(small, owner.st_uid, owner.st_gid)
    async with server._superuser() as connection:
        await connection.execute(f"CREATE TABLESPACE small LOCATION '{small}'")
        await connection.execute("ALTER DATABASE noord SET TABLESPACE small")
    print(address, flush=True)
    while size := (await asyncio.to_thread(sys.stdin.readline)).strip():
        subprocess.run(["mount", "-o", f"remount,size={size}m", small], check=True)
        print("done", flush=True)
    await server.stop()

asyncio.run(main())
"""
"""A server with its tables on a disk of their own, which has the size that is read from standard input."""


@contextmanager
def _small_disk(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """CHILD where only it sees the small disk; skips where this may not be done."""
    small = folder / "small"
    small.mkdir(parents=True)
    mount = f"mount -t tmpfs -o size={SMALL}m,mode=700 none {small}"
    if os.geteuid() or subprocess.run([*ALONE, mount], check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    with subprocess.Popen(
        [
            *ALONE,
            f'{mount} && exec "$0" "$@"',
            sys.executable,
            "-c",
            CHILD,
            str(folder / "postgres"),
            str(small),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.communicate(timeout=30)


async def test_a_full_disk_stops_writes_whole_and_lets_reads_go_on(open_folder: Path, tmp_path: Path) -> None:
    folder = open_folder / "full"
    with _small_disk(folder) as process:
        assert process.stdin is not None and process.stdout is not None
        address = (await asyncio.to_thread(process.stdout.readline)).strip()
        site = Site(tmp_path, address)
        await site.start()
        try:
            async with ehr() as client:
                bearer = await site.let_in(client)
                stored, status, body = 0, 200, ""
                while status == 200:
                    assert stored < SMALL, "the disk does not fill"
                    status, _, body, _ = await timed(client, "POST", site.fhir, json=_bulky(stored))
                    stored += status == 200
                assert status == 503 and "disk of the database is full" in body, body
                for _ in range(3):
                    status, _, body, _ = await timed(client, "POST", site.fhir, json=_bulky(stored))
                    assert status == 503 and '"OperationOutcome"' in body
                assert await _numbers(client, site) == stored
                process.stdin.write(f"{2 * SMALL}\n")
                process.stdin.flush()
                assert await asyncio.to_thread(process.stdout.readline) == "done\n"
                status, _, body, _ = await timed(client, "POST", site.fhir, json=_bulky(stored))
                assert status == 200, body
                assert await _numbers(client, site) == stored + 1
                check_log(site, bearer)
        finally:
            await site.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _bulky(number: int) -> dict[str, Any]:
    """A transaction of two resources with a megabyte each that cannot be made smaller."""
    entries = [
        {
            "resource": {
                "resourceType": "Binary",
                "contentType": "application/octet-stream",
                "content": base64.b64encode(os.urandom(500_000)).decode(),
            },
            "request": {"method": "POST", "url": "Binary"},
        },
        {
            "resource": {
                **OBSERVATION,
                "comment": os.urandom(250_000).hex(),
                "valueQuantity": {"value": number},
            },
            "request": {"method": "POST", "url": "Observation"},
        },
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def _numbers(client: aiohttp.ClientSession, site: Site) -> int:
    """How many of the transactions are there, each with both resources."""
    counts = []
    for kind in ("Binary", "Observation"):
        status, _, body, _ = await timed(client, "GET", f"{site.fhir}/{kind}?_count=0")
        assert status == 200, body
        counts.append(orjson.loads(body)["total"])
        status, _, body, _ = await timed(client, "GET", f"{site.fhir}/{kind}?_count=100")
        assert len(orjson.loads(body)["entry"]) == counts[-1]
    assert counts[0] == counts[1]
    return int(counts[0])
