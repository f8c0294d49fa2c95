"""What a facility is told: one TOML file each, and the keys that it makes for itself."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from joserfc.jwk import ECKey, RSAKey

from schakel.kernel.outcomes import Invalid

T = TypeVar("T")


def read(path: Path, build: Callable[[dict[str, Any]], T]) -> T:
    """What `build` makes of the TOML file at `path`. Raises `Invalid` naming the file."""
    try:
        return build(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise Invalid(f"the configuration {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise Invalid(f"the configuration {path} is not right: {error!r}") from error


def own_key(folder: Path, name: str) -> RSAKey:
    """The RSA key of the facility `name`, kept in `folder`; made at its first start."""
    return RSAKey.import_key(_kept(folder, name, lambda: RSAKey.generate_key(2048, private=True)))


def own_ec_key(folder: Path, name: str) -> ECKey:
    """The P-256 key of the facility `name`, kept in `folder`; made at its first start."""
    return ECKey.import_key(_kept(folder, name, lambda: ECKey.generate_key("P-256", private=True)))


def _kept(folder: Path, name: str, make: Callable[[], RSAKey | ECKey]) -> dict[str, Any]:
    path = folder / f"{name}.key.json"
    if not path.exists():
        made = make()
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({**made.as_dict(private=True), "kid": made.thumbprint()}, file)
        fresh.replace(path)
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept
