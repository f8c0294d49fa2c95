"""`schakel serve` with certificates: what it cannot use it names and does not start; what it can, it serves."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.certificates import Authority, client_context, uzi_name
from tests.fault.processes import KEY, Site, free_port, refused, toml
from tests.nodes import MakeDatabase


def with_back(folder: Path, address: str, **changes: Any) -> tuple[Site, Authority]:
    """A node with a back listener, whose files are all right unless `changes` (of `[back]`) say else."""
    authority = Authority.new("Root")
    folder.mkdir(parents=True)
    (folder / "root.pem").write_text(authority.pem)
    authority.issue("node", hosts=("127.0.0.1",)).write(folder, "node")
    authority.issue("other").write(folder, "other")
    (folder / "empty.pem").write_text("")
    (folder / "leaf.pem").write_text(authority.issue("leaf").pem)
    port = free_port()
    back = {
        "port": port,
        "public_url": f"https://127.0.0.1:{port}",
        "certificate": "node.pem",
        "key": "node.key",
        "client_ca": ["root.pem"],
        **changes,
    }
    return Site(folder, address, back=back, certificates={"uzi": "test", "revocation": "off"}), authority


async def test_a_file_of_certificates_that_cannot_be_used_stops_the_start(
    tmp_path: Path, make_database: MakeDatabase
) -> None:
    address = await make_database()
    cases: dict[str, dict[str, Any]] = {
        "none.pem": {"certificate": "none.pem"},
        "other.key": {"key": "other.key"},
        "empty.pem": {"client_ca": ["empty.pem"]},
        "leaf.pem": {"client_ca": ["root.pem", "leaf.pem"]},
    }
    sites = [with_back(tmp_path / name, address, **changes)[0] for name, changes in cases.items()]
    taken, _ = with_back(tmp_path / "port", address)
    taken.config.write_text(
        toml(taken.settings | {"back": taken.settings["back"] | {"port": taken.front_port}})
    )
    ends = await asyncio.gather(*(refused(site.config) for site in (*sites, taken)))
    for name, (said, _) in zip([*cases, "back.port"], ends, strict=True):
        assert name in said, said


async def test_a_node_serves_back_and_internal_over_tls(tmp_path: Path, make_database: MakeDatabase) -> None:
    site, authority = with_back(tmp_path / "good", await make_database())
    internal = {"certificate": "node.pem", "key": "node.key"}
    site.config.write_text(toml(site.settings | {"internal_tls": internal}))
    own = authority.issue("them", uzi=uzi_name("90000002")).write(tmp_path, "them")
    back = f"{site.settings['back']['public_url']}/noord"
    await site.start()
    try:
        async with httpx.AsyncClient(verify=client_context(authority, own=own), trust_env=False) as client:
            assert (await client.get(f"{back}/fhir/r4/metadata")).status_code == 200
        async with httpx.AsyncClient(verify=client_context(authority), trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"{back}/fhir/r4/metadata")
            grounds = f"{site.internal.replace('http:', 'https:')}/noord/grounds"
            assert (await client.get(grounds, headers={"X-API-Key": KEY})).status_code == 200
            with pytest.raises(httpx.TransportError):
                await client.get(grounds.replace("https:", "http:"), headers={"X-API-Key": KEY})
        site.process.terminate()
        assert await site.ended() == 0
    finally:
        await site.stop()


async def test_connections_on_every_listener_leave_files_for_the_next(
    tmp_path: Path, make_database: MakeDatabase
) -> None:
    """Each listener may have `limits.connections`; a shell gives a program too few files for that."""
    site, authority = with_back(tmp_path / "many", await make_database())
    site.config.write_text(toml(site.settings | {"limits": {"connections": 300}}))
    own = authority.issue("them", uzi=uzi_name("90000002")).write(tmp_path, "them")
    ports = (site.front_port, site.internal_port, site.settings["back"]["port"])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        await site.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    lines: list[asyncio.StreamWriter] = []
    try:
        for port in ports:  # On back, none of them gets through TLS.
            opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(290)))
            lines += [writer for _, writer in opened]
        async with httpx.AsyncClient(verify=client_context(authority, own=own), trust_env=False) as client:
            for root in (site.front, site.internal, site.settings["back"]["public_url"]):
                assert (await client.get(f"{root}/health/live")).status_code == 200
    finally:
        for line in lines:
            line.close()
        await site.stop()
