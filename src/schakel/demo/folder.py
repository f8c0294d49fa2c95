"""The data folder of a demo region.

    schakel.lock    held by the one program that uses the folder
    region.json     what it holds: a folder without it is not ours, and is left alone
    postgres/       the database cluster of both operators
    keys/           the signing key of each organisation
    first.toml ...  the settings of each node, and first.log what it said
    demo.json       there only while the region is up and ready

A temporary folder is removed at the end. When an earlier run was killed its folder is removed by the next one;
a kept folder in which the loading was cut off is loaded anew.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

from schakel.demo import cast
from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import Busy, Fault, Invalid, Outcome
from schakel.store import cluster_folder
from schakel.store.cluster_folder import User

MARKER = "region.json"
_FORMAT = 2
_PREFIX = "schakel-demo-"
_ME = User(None, None)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a folder holds. `today` is the day for which the patients were written, `loaded` whether all are in."""

    temporary: bool
    patients: int
    seed: int
    today: date
    loaded: bool = False
    internal_keys: dict[str, str] = field(default_factory=dict)


@dataclass
class DemoFolder:
    """A data folder that is ours until the end of the block that opened it."""

    path: Path
    contents: Contents
    kept: bool
    """Whether the region was there already, loaded whole."""

    @property
    def internal_keys(self) -> dict[str, str]:
        """The key of each organisation for its internal door, by slug."""
        return self.contents.internal_keys

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def published(self) -> Path:
        """Where `demo.json` is."""
        return self.path / "demo.json"

    def write(self, path: Path, text: bytes) -> None:
        """Write a file that only this user can read, in one move."""
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def note(self) -> None:
        """Write down what the folder holds."""
        table = {**asdict(self.contents), "today": self.contents.today.isoformat()}
        self.write(self.path / MARKER, json.dumps({"schakel_demo": _FORMAT, **table}, indent=1).encode())

    def note_loaded(self) -> None:
        """Write down that all patients are in."""
        self.contents = replace(self.contents, loaded=True)
        self.note()


@contextmanager
def opened(data: Path | None, patients: int | None, seed: int | None) -> Iterator[DemoFolder]:
    """The folder `data`, or a temporary one, locked for us; `patients` and `seed` are None for what is there.

    Raises `Invalid` for a folder that is not a demo's or holds another region, `Busy` for one in use, `Fault`
    when it may not be used.
    """
    with contextlib.ExitStack() as undo:
        try:
            path = _temporary(undo) if data is None else _made(data.absolute())
            undo.enter_context(contextlib.closing(cluster_folder.lock(path, _ME)))
            folder = _known(path, data is None, patients, seed)
            folder.published.unlink(missing_ok=True)
            folder.note()
        except OSError as error:
            raise Fault(_explained(data, error), cause=str(error)) from error
        undo.callback(folder.published.unlink, missing_ok=True)
        yield folder


def remove_leftovers() -> list[Path]:
    """Remove the temporary folders of earlier runs that were killed; those in use stay."""
    removed = []
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        with contextlib.suppress(OSError, Outcome):
            if path.is_symlink() or path.stat().st_uid != os.geteuid() or not _read(path).temporary:
                continue
            with contextlib.closing(cluster_folder.lock(path, _ME)):
                _remove(path)
            removed.append(path)
    return removed


def _temporary(undo: contextlib.ExitStack) -> Path:
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    undo.callback(_remove, path)
    if os.geteuid() == 0:
        path.chmod(0o711)  # the database's user must be able to enter
    return path


def _made(path: Path) -> Path:
    """The folder, made when absent; refused before anything is written in it when it is not a demo's."""
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    elif not path.is_dir():
        raise Invalid(f"{path} is not a folder: --data names a folder.", expression="data")
    elif not (path / MARKER).exists() and {one.name for one in path.iterdir()} - {
        "schakel.lock",
        f".{MARKER}.new",
    }:
        raise Invalid(
            f"{path} is not empty and holds no demo region: choose an empty folder, or one that a demo made.",
            expression="data",
        )
    return path


def _known(path: Path, temporary: bool, patients: int | None, seed: int | None) -> DemoFolder:
    """What the folder holds, or what it will hold when it is new or was never loaded whole."""
    fresh = Contents(
        temporary,
        100 if patients is None else patients,
        1 if seed is None else seed,
        datetime.now(AMSTERDAM).date(),
        internal_keys={one.slug: secrets.token_urlsafe(24) for one in cast.ORGANISATIONS},
    )
    if not (path / MARKER).exists():
        return DemoFolder(path, fresh, kept=False)
    found = _read(path)
    if not found.loaded:
        return DemoFolder(path, replace(fresh, internal_keys=found.internal_keys), kept=False)
    for option, asked, held in (("patients", patients, found.patients), ("seed", seed, found.seed)):
        if asked is not None and asked != held:
            raise Invalid(
                f"{path} holds a region with --{option} {held}, not {asked}: leave --{option} out to start "
                "that one, or choose another folder.",
                expression=option,
            )
    return DemoFolder(path, found, kept=True)


def _read(path: Path) -> Contents:
    """The marker of a folder. Raises `Invalid` for one that cannot be understood."""
    try:
        table = json.loads((path / MARKER).read_bytes())
        if table.pop("schakel_demo") != _FORMAT:
            raise Invalid(f"{path} was made by another version of this program: choose another folder.")
        contents = Contents(**{**table, "today": date.fromisoformat(table["today"])})
        if set(contents.internal_keys) != {one.slug for one in cast.ORGANISATIONS}:
            raise ValueError("other organisations")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Invalid(
            f"{path / MARKER} is damaged, so that the region in {path} cannot be started: remove the folder, "
            "or choose another one.",
            cause=str(error),
        ) from error
    return contents


def _remove(path: Path) -> None:
    """Remove a temporary folder and what was put elsewhere for it."""
    home = path / "postgres"
    with contextlib.suppress(FileNotFoundError):
        home = Path((home / "moved-to").read_text().strip())
    with contextlib.suppress(OSError, Busy):
        if (home / "cluster").exists():
            cluster_folder.end_leftovers(home / "cluster")
        cluster_folder.release_socket_folder(home)
    for one in (home, path):
        shutil.rmtree(one, ignore_errors=True)


def _explained(data: Path | None, error: OSError) -> str:
    """One sentence about why the folder cannot be used."""
    folder = data or Path(tempfile.gettempdir())
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return (
                f"this user may not use {folder} or what is in it: start as the user that made it, or choose "
                "another folder with --data DIR."
            )
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk of {folder} is full: free some space, or choose another folder with --data DIR."
    return f"{folder} cannot be used ({error.strerror}): choose another folder with --data DIR."
