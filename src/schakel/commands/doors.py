"""Where the organisations are that a command names, and how to speak to them.

A demo says it in `demo.json` in its data folder (`--data DIR`), a node in its configuration (`--config FILE`).
Organisations are named by slug or URA. Commands go over the internal door, as the organisation's EHR does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import orjson

from schakel import config
from schakel.kernel.outcomes import Forbidden, Invalid, NotFound, Outcome, Upstream
from schakel.kernel.values import Bsn, Ura, taking_test_numbers

_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Door:
    """One organisation: `internal` and `front` are its addresses, slug included; `key` opens the internal one, and
    `test_bsns` are the test numbers that its node takes."""

    slug: str
    ura: str
    name: str
    internal: str
    front: str
    key: str
    medmij_name: str = ""
    test_bsns: tuple[str, ...] = ()

    def bsn(self, text: str) -> Bsn:
        """A BSN as this organisation's node takes it. Raises `Invalid`."""
        with taking_test_numbers(self.test_bsns):
            return Bsn(text)


@dataclass(frozen=True, slots=True)
class PatientClient:
    """A client (PGO) of patients: its host name, and where a browser goes back to it."""

    client_id: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who may log in at the organisation `organisation` (a slug). `responsible` gave the mandate."""

    organisation: str
    id: str
    name: str
    role: str
    responsible: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """The organisations known from `source`; of a demo also its people, its test keys by slug and its clients."""

    source: str
    organisations: tuple[Door, ...]
    people: tuple[Person, ...] = ()
    keys: Mapping[str, Path] | None = None
    clients: tuple[PatientClient, ...] = ()

    def find(self, name: str) -> Door:
        """The organisation with this slug or URA. Raises `Invalid` with the names that are known."""
        for door in self.organisations:
            if name == door.slug or (name.isascii() and name.isdigit() and name.zfill(8) == door.ura):
                return door
        known = ", ".join(door.slug for door in self.organisations)
        raise Invalid(f"{self.source} has no organisation {name!r}; it has {known}")

    def ura(self, name: str) -> str:
        """The URA of an organisation that need not be known here: a URA stands for itself."""
        if name.isascii() and name.isdigit():
            return str(Ura(name))
        return self.find(name).ura

    def named(self, ura: str) -> str:
        """An organisation as people read it."""
        return next((f"{door.name} ({ura})" for door in self.organisations if door.ura == ura), ura)


def places(data: Path | None, config_file: Path | None) -> Places:
    """The organisations of a demo's folder or of a node's configuration. Raises `Invalid`."""
    if (data is None) == (config_file is None):
        raise Invalid("give --data DIR (the folder of a demo) or --config FILE (of a node), one of the two")
    if data is not None:
        return _of_demo(data)
    assert config_file is not None
    settings = config.load(config_file)
    doors = tuple(
        Door(
            slug=one.slug,
            ura=one.ura,
            name=one.name,
            internal=f"{settings.internal_url}/{one.slug}",
            front=f"{settings.public_url}/{one.slug}",
            key=one.internal_key,
            test_bsns=settings.test_bsns,
        )
        for one in settings.organisations
    )
    return Places(str(config_file), doors)


def _of_demo(folder: Path) -> Places:
    path = folder / "demo.json"
    try:
        table = orjson.loads(path.read_bytes())
        doors = tuple(
            Door(
                slug=str(one["slug"]),
                ura=str(one["ura"]),
                name=str(one["name"]),
                internal=str(one["internal"]),
                front=str(one["front"]),
                key=str(one["internal_key"]),
                medmij_name=str(one.get("medmij_name", "")),
            )
            for one in table["organisations"]
        )
        people = tuple(
            Person(
                **{name: str(one[name]) for name in ("organisation", "id", "name", "role")},
                responsible=str(one.get("responsible") or ""),
            )
            for one in table["people"]
        )
        clients = tuple(
            PatientClient(str(one["client_id"]), str(one["redirect_uri"])) for one in table.get("clients", ())
        )
        keys = {slug: path.parent / file for slug, file in table["test_keys"].items()}
    except FileNotFoundError:
        raise Invalid(
            f"there is no {path}: a demo writes it when it is ready (schakel demo --data {folder})"
        ) from None
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"{path} is not what a demo of this version writes; start the demo again") from error
    return Places(str(path), doors, people, keys, clients)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def table(self) -> dict[str, Any]:
        """The JSON object in the body. Raises `Upstream` for anything else."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            raise Upstream(f"the node gave an answer that is no JSON object (status {self.status})")
        return value


class Client:
    """Requests over the internal door of one organisation; an async context manager."""

    def __init__(self, door: Door, seconds: float = _SECONDS) -> None:
        self.door = door
        self._timeout = aiohttp.ClientTimeout(total=seconds, connect=5)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            headers={"X-API-Key": self.door.key}, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        media: str = "application/json",
    ) -> Answer:
        """The answer to a request below the organisation's internal address, whatever its status.

        Raises `Upstream` when there is none.
        """
        assert self._session is not None, "a Client is used inside `async with`"
        url = f"{self.door.internal}/{path}"
        headers = {"Content-Type": media} if body is not None else {}
        try:
            async with self._session.request(
                method, url, params=list(params), data=body, headers=headers, allow_redirects=False
            ) as response:
                return Answer(response.status, await response.read(), response.headers)
        except aiohttp.InvalidURL as error:
            raise Invalid(f"{url} is not an address") from error
        except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
            raise Upstream(f"no node answers at {self.door.internal}: is it running?") from error
        except TimeoutError as error:
            raise Upstream(f"the node at {self.door.internal} gave no answer in time") from error
        except aiohttp.ClientError as error:
            raise Upstream(
                f"the connection to {self.door.internal} broke ({type(error).__name__})"
            ) from error

    async def good(
        self,
        method: str,
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        json: object = None,
    ) -> Answer:
        """As `send`, with `json` as the body; raises the `Outcome` that fits when the node refuses."""
        body = None if json is None else orjson.dumps(json)
        answer = await self.send(method, path, params=params, body=body)
        if not 200 <= answer.status < 300:
            raise refusal(answer)
        return answer


def refusal(answer: Answer) -> Outcome:
    """A node's refusal as an outcome with the node's own words."""
    text = f"the node refused: {words(answer)}"
    kinds: dict[int, type[Outcome]] = {
        400: Invalid,
        401: Invalid,
        403: Forbidden,
        404: NotFound,
        422: Invalid,
    }
    return kinds.get(answer.status, Upstream)(text)


def words(answer: Answer) -> str:
    """What a problem document, an OperationOutcome or an OAuth error says."""
    try:
        table = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        table = None
    if isinstance(table, dict):
        for issue in table.get("issue") or ():
            if isinstance(issue, dict) and issue.get("diagnostics"):
                return str(issue["diagnostics"])
        for name in ("detail", "error_description", "error", "title"):
            if table.get(name):
                return str(table[name])
    return f"status {answer.status}"
