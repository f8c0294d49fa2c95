"""Every requirement by its code, read from `catalogue.toml` beside this file, and the version they are of."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from schakel.conformance.api_requirements.model import Level, Requirement, Standard, Sub
from schakel.kernel.texts import Text

VERSION = "1.2.0"


@cache
def catalogue() -> Mapping[str, Requirement]:
    """All requirements by code, in their own order."""
    table = tomllib.loads(files(__package__).joinpath("catalogue.toml").read_text("utf-8"))
    if table["version"] != VERSION:
        raise RuntimeError(f"catalogue.toml is of version {table['version']}, not {VERSION}")
    return {row["code"]: _requirement(row) for row in table["requirement"]}


def at(standard: Standard) -> tuple[Requirement, ...]:
    """The requirements that count at this level of standardisation."""
    return tuple(one for one in catalogue().values() if one.since in standard.included)


@cache
def keys() -> frozenset[str]:
    """The keys of all requirements and their parts."""
    return frozenset(key for one in catalogue().values() for key in one.keys)


def _requirement(row: Mapping[str, Any]) -> Requirement:
    return Requirement(
        code=row["code"],
        level=Level(row["level"]),
        roles=frozenset(row["roles"]),
        since=Standard(row["from"]),
        how=row["how"],
        short=Text(row["nl"], row["en"]),
        subs=tuple(_sub(number, *sub) for number, sub in enumerate(row.get("sub", ()), 1)),
        why=Text(*row["why"]) if "why" in row else None,
    )


def _sub(number: int, level: str, nl: str, en: str, binds: str = "") -> Sub:
    return Sub(f"{number:03}", Level(level), Text(nl, en), binds == "client")
