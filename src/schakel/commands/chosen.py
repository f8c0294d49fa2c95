"""The organisations of nodes that a command works on through their database, whether the nodes run or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import asyncpg

from schakel import config
from schakel.config import Organisation, Settings
from schakel.demo.cast import OPERATORS
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura
from schakel.store.connection import acquire


@dataclass(frozen=True, slots=True)
class Chosen:
    """An organisation and the node it is of."""

    settings: Settings
    organisation: Organisation

    @property
    def title(self) -> str:
        """Name and number, as a heading."""
        return f"{self.organisation.name} ({self.organisation.ura})"


def chosen(data: Path | None, config_file: Path | None, name: str | None) -> list[Chosen]:
    """The organisations of a node or of a demo's nodes, or the one with this slug or URA. Raises `Invalid`."""
    if (data is None) == (config_file is None):
        raise Invalid("give --data DIR (the folder of a demo) or --config FILE (of a node), one of the two")
    files = [config_file] if config_file else [data / f"{name}.toml" for name in OPERATORS] if data else []
    known = [Chosen(s, one) for s in map(config.load, files) for one in s.organisations]
    if name is None:
        return known
    number = str(Ura(name)) if name.isascii() and name.isdigit() else ""
    found = [one for one in known if name == one.organisation.slug or number == one.organisation.ura]
    if not found:
        slugs = ", ".join(one.organisation.slug for one in known)
        raise Invalid(f"there is no organisation {name!r} here; there are {slugs}")
    return found


async def tenant_of(pool: asyncpg.Pool, organisation: Organisation) -> int:
    """Its tenant in the database. Raises `Invalid` when no node ever ran for it there."""
    async with acquire(pool) as connection:
        number: int | None = await connection.fetchval(
            "SELECT id FROM tenant WHERE ura = $1", organisation.ura
        )
    if number is None:
        raise Invalid(f"the database knows no organisation {organisation.ura}: its node never ran on it")
    return number
