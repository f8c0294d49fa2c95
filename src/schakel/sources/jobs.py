"""Work of an organisation that goes on after the answer, as it is looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from schakel.fhir.definitions import Version


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    """A search parameter that an organisation has of its own. `failing` is on how many resources its expression fails
    now, whoever wrote them."""

    version: Version
    url: str
    code: str
    state: Literal["building", "ready", "failed", "removed"]
    failing: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job: what it is about, and how far it is. `total` is None until it is known; `attempts` are those that failed
    since it last went on, `error` says what of the last."""

    id: str
    kind: str
    parameter: ParameterStatus
    state: Literal["waiting", "running", "done", "failed"]
    done: int
    total: int | None
    attempts: int
    error: str
    made: datetime
    started: datetime | None
    ended: datetime | None


class ParameterJobs(Protocol):
    """The jobs behind the search parameters that one organisation has of its own."""

    async def newest(self) -> Sequence[JobStatus]:
        """The newest first."""
        ...

    async def get(self, name: str) -> JobStatus:
        """Raises `NotFound`."""
        ...

    async def restart(self, url: str = "") -> Sequence[JobStatus]:
        """Builds the parameter with this URL again, or all of them. Raises `NotFound`."""
        ...
