"""The region as a whole: brought up in order, watched while it runs, taken down in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from schakel.demo import cast, certificates, people, stand_ins
from schakel.demo.configuration import ensure_keys, write_configurations
from schakel.demo.doors import SECURED, STAND_INS, Client, Doors, doors, ensure_free, stand_in_address
from schakel.demo.folder import DemoFolder, opened, remove_leftovers
from schakel.demo.loading import load, subscribe, subscriptions, write_grounds
from schakel.demo.patients import NamedPatient, Region, named_patients, region
from schakel.demo.processes import RegionProcess
from schakel.demo.readiness import until_in_step, until_registered
from schakel.demo.roadmap import agenda, board, history, hybrid, records
from schakel.demo.roadmap import region as regional
from schakel.demo.screen import Screen
from schakel.kernel.outcomes import Fault, Invalid, Outcome, Upstream
from schakel.store.cluster_folder import last_lines
from schakel.store.embedded import EmbeddedServer

T = TypeVar("T")

_READY_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_DATABASE_SECONDS = 10.0
"""How long the nodes may be without their database before the region is given up."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for; `patients` and `seed` are None for what a kept folder holds, else 100 and 1."""

    data: Path | None = None
    patients: int | None = None
    seed: int | None = None
    port: int = 8400


class Running:
    """A region that is up. `published` is what stands in `demo.json`."""

    def __init__(
        self,
        folder: DemoFolder,
        published: dict[str, Any],
        server: EmbeddedServer,
        nodes: tuple[RegionProcess, ...],
        client: Client,
    ) -> None:
        self.folder = folder
        self.published = published
        self._database_log = server.home / "server.log"
        self._fronts = sorted({one["front"].rpartition("/")[0] for one in published["organisations"]})
        self._nodes = nodes
        self._client = client

    async def failed(self) -> Fault:
        """Returns, with what to say, when the region can no longer work: a node or the database is gone."""
        looking = asyncio.create_task(self._without_database())
        ended = [asyncio.create_task(node.ended()) for node in self._nodes]
        try:
            await asyncio.wait([looking, *ended], return_when=asyncio.FIRST_COMPLETED)
            for node in self._nodes:
                if not node.running:
                    return node.died()
            return Fault(f"the database of the region is gone. {self._last_words()}")
        finally:
            for task in (looking, *ended):
                task.cancel()

    async def _without_database(self) -> None:
        """Returns when a node has been without its database for too long."""
        since: float | None = None
        while since is None or time.monotonic() - since < _DATABASE_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            states = [await _ready(self._client, address) for address in self._fronts]
            since = None if all(states) else since or time.monotonic()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            if said := last_lines(self._database_log.read_text(errors="replace")):
                return f"Its log ends with:\n{said}"
        return f"Its log is {self._database_log}."


@asynccontextmanager
async def running(wanted: Wanted, screen: Screen) -> AsyncIterator[Running]:
    """The region, up and loaded, until the end of the block; then nothing of it is left but a kept folder.

    Raises `Invalid`, `Busy` and `Fault`, each with what is wrong and what to do.
    """
    all_doors = doors(wanted.port)
    if wanted.patients is not None and not 0 <= wanted.patients <= people.MAX_PERSONS:
        raise Invalid(f"--patients is a number from 0 to {people.MAX_PERSONS}, not {wanted.patients}")
    ensure_free(all_doors)
    _without_core_files()
    for path in remove_leftovers():
        screen.line(f"Removed {path}, which an earlier run that was killed had left behind.")
    async with contextlib.AsyncExitStack() as undo:
        folder = undo.enter_context(opened(wanted.data, wanted.patients, wanted.seed))
        contents = folder.contents
        what = "no patients" if not contents.patients else f"{contents.patients} synthetic patients"
        screen.line(f"A region of eight care organisations with {what}, at two operators.")
        screen.line(f"Data in {folder.path} ({'removed at the end' if contents.temporary else 'kept'}).")
        where = region(contents.patients, contents.seed, today=contents.today)
        named = named_patients(where)
        stand_ins.write(folder, all_doors, named)
        national = await RegionProcess.start(
            "stand-ins",
            "the stand-ins of the national facilities",
            stand_ins.command(folder, all_doors),
            folder.path / "stand-ins.log",
        )
        undo.push_async_callback(national.stop)
        screen.progress("starting the database")
        server = await EmbeddedServer.start(folder.postgres, fsync=not contents.temporary)
        undo.push_async_callback(server.stop)
        client = await undo.enter_async_context(Client())
        # A node that starts fetches the lists first.
        plain = [stand_in_address(all_doors, name) for name in STAND_INS if name not in SECURED]
        await _await_ready(client, (national,), plain)
        await certificates.ensure(client, folder, stand_in_address(all_doors, "uzi-ca"))
        issuer, dids = (
            stand_in_address(all_doors, "credential-issuer"),
            stand_ins.organisation_dids(all_doors),
        )
        await certificates.ensure_credentials(client, folder, issuer, dids)
        databases = await _databases(folder, server)
        nodes = (national, *await _nodes(undo, folder, databases, all_doors, screen))
        listeners = [address for one in all_doors for address in (one.front, one.internal)]
        await _await_ready(client, nodes, listeners)
        screen.progress("database and nodes are up", last=True)
        in_step = asyncio.ensure_future(until_in_step(client, all_doors, folder.internal_keys))
        undo.callback(in_step.cancel)
        await _guarded(nodes, _loaded(client, folder, all_doors, screen, where, named))
        screen.progress("bringing the directories in step, and registering the named patients")
        await _guarded(nodes, _awaited(in_step))
        await _guarded(nodes, until_registered(databases, named, subscriptions(named)))
        screen.progress("directories in step, named patients registered", last=True)
        file = regional.write(folder, all_doors, named)
        await _guarded(nodes, _history(client, folder, all_doors, where))
        published = await _describe(client, folder, all_doors, nodes, named)
        folder.write(folder.published, orjson.dumps(published, option=orjson.OPT_INDENT_2))
        measuring = asyncio.create_task(_measured(client, folder, all_doors, file, screen))
        undo.callback(measuring.cancel)
        yield Running(folder, published, server, nodes, client)


async def _databases(folder: DemoFolder, server: EmbeddedServer) -> dict[cast.Operator, str]:
    """The database of each operator, with a role of its own."""
    databases: dict[cast.Operator, str] = {}
    for operator in cast.OPERATORS:
        name = f"schakel_{operator}"
        if not folder.kept:
            await server.drop_database(name, name)
        databases[operator] = await server.ensure_database(name, name, secrets.token_urlsafe(24))
    return databases


async def _nodes(
    undo: contextlib.AsyncExitStack,
    folder: DemoFolder,
    databases: Mapping[cast.Operator, str],
    all_doors: tuple[Doors, ...],
    screen: Screen,
) -> tuple[RegionProcess, ...]:
    """The node of each operator, started."""
    screen.progress("starting the nodes")
    configurations = write_configurations(folder, all_doors, databases, ensure_keys(folder))
    nodes = []
    for operator, path in configurations.items():
        program = [sys.executable, "-P", "-m", "schakel", "serve", "--config", str(path)]
        what = f"the node of the {operator} operator"
        node = await RegionProcess.start(f"node-{operator}", what, program, path.with_suffix(".log"))
        undo.push_async_callback(node.stop)
        nodes.append(node)
    return tuple(nodes)


async def _await_ready(client: Client, nodes: tuple[RegionProcess, ...], waiting: Sequence[str]) -> None:
    """Returns when every listener says that it is ready. Raises `Fault` when a process ends or takes too long."""
    end = time.monotonic() + _READY_SECONDS
    while waiting:
        for node in nodes:
            if not node.running:
                raise node.died()
        if time.monotonic() > end:
            raise Fault(f"{waiting[0]} was not ready within {_READY_SECONDS:.0f} seconds")
        waiting = [address for address in waiting if not await _ready(client, address)]
        if waiting:
            await asyncio.sleep(0.05)


async def _ready(client: Client, address: str) -> bool:
    try:
        return (await client.send("GET", f"{address}/health/ready")).status == 200
    except Upstream:
        return False


async def _guarded(nodes: tuple[RegionProcess, ...], work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; when a node ends meanwhile, that is the error."""
    task = asyncio.create_task(work)
    ended = [asyncio.create_task(node.ended()) for node in nodes]
    try:
        await asyncio.wait([task, *ended], return_when=asyncio.FIRST_COMPLETED)
        for node in nodes:
            if not node.running:
                raise node.died()
        return await task
    finally:
        for one in (task, *ended):
            one.cancel()
        await asyncio.gather(task, *ended, return_exceptions=True)


async def _history(client: Client, folder: DemoFolder, all_doors: tuple[Doors, ...], where: Region) -> None:
    """Gives the board the months before, the inventory of hybrid care, and what the staff declares and plans, and the
    records who takes part in hybrid care, unless they have it."""
    if folder.kept:
        return
    today, keeper = folder.contents.today, _keeper(folder, all_doors)
    await board.send(client, *keeper, history.runs(today))
    await hybrid.send(client, *keeper, today, folder.contents.seed)
    for organisation in cast.ORGANISATIONS:
        address = _addresses(all_doors)[organisation.slug][1]
        await records.send(client, address, folder.internal_keys[organisation.slug], where, organisation)
    await agenda.fill(all_doors[0].front, stand_in_address(all_doors, "workplace"), today)


async def _measured(
    client: Client, folder: DemoFolder, all_doors: tuple[Doors, ...], file: Path, screen: Screen
) -> None:
    """Measures the region once it is up; who looks at the board before that sees the months before."""
    try:
        await board.measured(client, *_keeper(folder, all_doors), file)
    except Outcome as error:
        screen.line(f"The region could not be measured: {error.message}")


def _keeper(folder: DemoFolder, all_doors: tuple[Doors, ...]) -> tuple[str, str]:
    """Internal address and key of who keeps the board."""
    slug = board.KEEPER.slug
    return _addresses(all_doors)[slug][1], folder.internal_keys[slug]


async def _awaited(task: asyncio.Future[None]) -> None:
    await task


async def _loaded(
    client: Client,
    folder: DemoFolder,
    all_doors: tuple[Doors, ...],
    screen: Screen,
    where: Region,
    named: tuple[NamedPatient, ...],
) -> None:
    """Load what the folder does not hold yet."""
    contents = folder.contents
    if folder.kept:
        screen.progress("the region is there already, and was not loaded again", last=True)
        return
    addresses = {slug: internal for slug, (_, internal) in _addresses(all_doors).items()}

    def told(charts: int, expected: int, resources: int) -> None:
        screen.progress(f"loading: {charts} of {expected} charts, {resources} resources")

    resources = await load(client, where, addresses, folder.internal_keys, told)
    await write_grounds(client, named, addresses, folder.internal_keys)
    await subscribe(client, named, addresses, folder.internal_keys)
    folder.note_loaded()
    if contents.patients:
        screen.progress(f"{contents.patients} patients are in: {resources} resources", last=True)


def _addresses(all_doors: tuple[Doors, ...]) -> dict[str, tuple[str, str]]:
    """Front and internal address of each organisation, by slug."""
    by_operator = {one.operator: one for one in all_doors}
    return {
        one.slug: (
            f"{by_operator[one.operator].front}/{one.slug}",
            f"{by_operator[one.operator].internal}/{one.slug}",
        )
        for one in cast.ORGANISATIONS
    }


async def _describe(
    client: Client,
    folder: DemoFolder,
    all_doors: tuple[Doors, ...],
    nodes: tuple[RegionProcess, ...],
    named: tuple[NamedPatient, ...],
) -> dict[str, Any]:
    """What `demo.json` says."""
    addresses = _addresses(all_doors)
    by_operator = {one.operator: one.back for one in all_doors}
    backs = {one.slug: f"{by_operator[one.operator]}/{one.slug}" for one in cast.ORGANISATIONS}
    processes = [{"name": "demo", "pid": os.getpid()}]
    processes += [{"name": node.name, "pid": node.pid} for node in nodes]
    return {
        "processes": processes,
        "organisations": [
            {
                "slug": one.slug,
                "name": one.name,
                "ura": one.ura,
                "sector": one.sector,
                "operator": one.operator,
                "front": addresses[one.slug][0],
                "internal": addresses[one.slug][1],
                "back": backs[one.slug],
                "directory": f"{addresses[one.slug][1]}/directory/fhir/r4",
                "localisation": f"{addresses[one.slug][1]}/localisation/fhir/r4",
                "administration": f"{backs[one.slug]}/administration/fhir/r4",
                "update_client": f"{addresses[one.slug][0]}/administration/update-client/fhir/r4",
                "root_directory": f"{addresses[one.slug][0].rpartition('/')[0]}/directory/root/fhir/r4",
                "internal_key": folder.internal_keys[one.slug],
                "medmij_name": one.medmij_name,
            }
            for one in cast.ORGANISATIONS
        ],
        "services": stand_ins.services(),
        "stand_ins": [{"name": name, "address": stand_in_address(all_doors, name)} for name in STAND_INS],
        "clients": [dict(stand_ins.CLIENT)],
        "people": [
            {
                "organisation": place.slug,
                "id": who.number,
                "name": who.name,
                "role": who.role_code,
                "function": who.function,
                "responsible": who.responsible or None,
            }
            for place, who in cast.people()
        ],
        "staff": stand_ins.staff(),
        "patients": [
            {
                "bsn": one.bsn,
                "name": one.name,
                "birth_date": one.birth_date.isoformat(),
                "known_at": list(one.known_at),
                "story": one.story,
                "grounds": await _grounds(client, one, addresses, folder.internal_keys),
            }
            for one in named
        ],
        "test_keys": {slug: str(path) for slug, path in ensure_keys(folder).items()},
        "certificates": {
            one.slug: {"certificate": str(pair.certificate), "key": str(pair.key)}
            for one in cast.ORGANISATIONS
            if (pair := certificates.organisation_pair(folder, one))
        },
        "anchors": str(certificates.anchors(folder)),
        "portal": f"{all_doors[0].front}/portal/",
        "region": str(regional.path(folder)),
    }


async def _grounds(
    client: Client,
    patient: NamedPatient,
    addresses: Mapping[str, tuple[str, str]],
    keys: Mapping[str, str],
) -> list[dict[str, str]]:
    """The grounds that hold now for a patient, as the holders list them: who may get what from whom."""
    found = []
    for slug in patient.known_at:
        reply = await client.send(
            "GET",
            f"{addresses[slug][1]}/grounds?patient={patient.bsn}&active=true",
            headers={"X-API-Key": keys[slug]},
        )
        if reply.status != 200:
            raise Fault(f"{slug} does not list its grounds: {reply.said()}")
        found += [
            {
                "holder": slug,
                "requester": _slug_of(ground["requester"]),
                "what": ground.get("exchange") or "; ".join(ground["queries"]),
                "until": ground["until"],
            }
            for ground in reply.json()["grounds"]
        ]
    return found


def _slug_of(ura: str) -> str:
    """The slug of an organisation of the region, else its URA."""
    with contextlib.suppress(KeyError):
        return cast.organisation(ura).slug
    return ura


def _without_core_files() -> None:
    """Processes that must end at once are ended by SIGQUIT, which would leave a core file."""
    import resource  # not on Windows, where the database refuses with a sentence

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
