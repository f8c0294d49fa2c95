"""Writes resources over the internal door in transactions, so that a bad one does not take others with it.

A refused transaction names its bad entries (`Bundle.entry[n]`): those are reported and the rest is sent again.
A refusal that names none is divided in halves until the one resource is found that it is about.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from schakel.commands.doors import Answer, Client, refusal, words
from schakel.commands.fhir_files import Item, Refused, Transaction
from schakel.fhir import json
from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import Upstream

LARGEST = 200
"""Resources in one transaction."""

_BYTES = 4_000_000
_WORKERS = 4
_PATIENCE = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait before each new attempt at a busy node."""

_entry_of = re.compile(r"Bundle\.entry\[([0-9]+)\]\.?").match


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning with which a resource was written."""

    file: str
    resource: str
    expression: str
    message: str


@dataclass(slots=True)
class Report:
    """What became of an import; `same` counts resources that stood there more than once, identical. `warnings` has
    the first resource of each warning by element and text, and how many there are."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    same: int = 0
    refused: list[Refused] = field(default_factory=list)
    warnings: dict[tuple[str, str], tuple[Warned, int]] = field(default_factory=dict)

    @property
    def refused_resources(self) -> int:
        return sum(one.resources for one in self.refused)

    @property
    def warned(self) -> int:
        return sum(number for _, number in self.warnings.values())

    @property
    def done(self) -> int:
        """Resources of which it is known what became of them."""
        return self.created + self.updated + self.deleted + self.refused_resources

    def warn(self, warning: Warned) -> None:
        """Notes a warning; of the same one more resources are counted only."""
        key = warning.expression, warning.message
        first, number = self.warnings.get(key, (warning, 0))
        self.warnings[key] = first, number + 1


class Index:
    """What was seen in a first reading: for each type and id digests of its content and where it stood.

    Some 250 bytes a resource, so that files larger than memory can be imported.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, bytes] = {}
        self._ambiguous: dict[bytes, tuple[str, str]] = {}
        self._files: dict[str, int] = {}
        self.resources = 0

    def add(self, item: Item) -> None:
        """Notes one resource; those without an id are never the same. `resources` counts what differs."""
        if not item.id:
            self.resources += 1
            return
        key, content = _digest(item.key), _digest(_canonical(item.body))
        first = self._seen.get(key)
        if first is None:
            number = self._files.setdefault(item.file, len(self._files))
            self._seen[key] = content + number.to_bytes(4, "big") + item.place.encode()
            self.resources += 1
        elif key in self._ambiguous:
            self.resources += 1
        elif first[:_DIGEST] != content:
            self._ambiguous[key] = self._where(first), f"{item.file} {item.place}".strip()
            self.resources += 1

    def unambiguous(self, items: Iterable[Item], report: Report) -> Iterator[Item]:
        """`items`, read once more, with each type and id once: identical ones are counted, others refused by
        name."""
        given: set[bytes] = set()
        for item in items:
            if not item.id:
                yield item
                continue
            key = _digest(item.key)
            if key in self._ambiguous:
                here = f"{item.file} {item.place}".strip()
                other = next((place for place in self._ambiguous[key] if place != here), "another")
                why = f"ambiguous: {other} has another content for the same id"
                report.refused.append(Refused(item.file, item.name, why))
            elif key in given:
                report.same += 1
            else:
                given.add(key)
                yield item

    def _where(self, seen: bytes) -> str:
        names = list(self._files)
        number = int.from_bytes(seen[_DIGEST : _DIGEST + 4], "big")
        return f"{names[number]} {seen[_DIGEST + 4 :].decode()}".strip()


_DIGEST = 16


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST).digest()


def _canonical(body: bytes) -> bytes:
    """The same bytes for the same content, whatever the order of members."""

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: ordered(value[name]) for name in sorted(value)}
        return [ordered(one) for one in value] if isinstance(value, list) else value

    return json.dump(ordered(json.parse(body)))


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """`items` divided into transactions: at most 200 resources and 4 MB, but what must stay together does."""
    batch: list[Item] = []
    size = 0
    for item in items:
        bound = batch[-1].together if batch else ""
        full = len(batch) == LARGEST or size + len(item.body) > _BYTES
        if batch and (item.together != bound or (full and not bound)):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.body)
    if batch:
        yield batch


class Loader:
    """Writes to one organisation through `client`; `progress` is called after each answer."""

    def __init__(
        self, client: Client, version: Version, report: Report, progress: Callable[[], None] = lambda: None
    ) -> None:
        self._client = client
        self._path = f"fhir/{version}"
        self._report = report
        self._progress = progress

    async def load(self, transactions: Iterable[Transaction], items: Iterable[Item]) -> None:
        """Writes the transactions in their order, then the items; both are taken as they are needed.

        Raises `Upstream` when the node is away, and what fits when it refuses everything (no such key, no such
        FHIR version).
        """
        for transaction in transactions:
            await self._whole(transaction)
        waiting = batches(items)

        async def worker() -> None:
            for batch in waiting:
                await self._batch(batch)

        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(worker())

    async def _whole(self, transaction: Transaction) -> None:
        answer = await self._post(transaction.body)
        if answer.status == 200:
            for method, entry in zip(transaction.methods, answer.table().get("entry", []), strict=False):
                self._note(method, entry, transaction.file, f"Bundle.entry ({method})")
        else:
            errors = _errors(answer)
            if not any(_entry_of(where) for where, _ in errors) and answer.status in (401, 403, 404):
                raise refusal(answer)
            text = "\n".join(message for _, message in errors) or words(answer)
            self._refuse_whole(transaction, text)
        self._progress()

    def _refuse_whole(self, transaction: Transaction, text: str) -> None:
        entries = max(1, len(transaction.methods))
        self._report.refused.append(Refused(transaction.file, transaction.name, text, entries))

    async def _batch(self, batch: list[Item]) -> None:
        """Writes what can be written of `batch`."""
        while batch:
            answer = await self._post(_bundle(batch))
            if answer.status == 200:
                entries = answer.table().get("entry", [])
                for item, entry in zip(batch, entries, strict=True):
                    self._note("PUT" if item.id else "POST", entry, item.file, item.name)
                break
            bad = _bad(answer, len(batch))
            if not bad:
                await self._unnamed(batch, answer)
                return
            for number, message in bad.items():
                self._refuse(batch[number], message)
            batch = [item for number, item in enumerate(batch) if number not in bad]
        self._progress()

    async def _unnamed(self, batch: list[Item], answer: Answer) -> None:
        """A refusal that names no entry."""
        if answer.status in (401, 403, 404):
            raise refusal(answer)
        if len(batch) == 1 or batch[0].together:
            for item in batch:
                self._refuse(item, words(answer))
            self._progress()
            return
        middle = len(batch) // 2
        await self._batch(batch[:middle])
        await self._batch(batch[middle:])

    def _refuse(self, item: Item, message: str) -> None:
        self._report.refused.append(Refused(item.file, item.name, message))

    def _note(self, method: str, entry: dict[str, Any], file: str, name: str) -> None:
        """Counts one entry of a transaction-response."""
        response = entry.get("response", {})
        status = str(response.get("status", ""))[:3]
        if method == "DELETE":
            self._report.deleted += 1
        elif method in ("PUT", "POST"):
            self._report.created += status == "201"
            self._report.updated += status != "201"
        for issue in response.get("outcome", {}).get("issue", []):
            where = (issue.get("expression") or [""])[0]
            self._report.warn(Warned(file, name, where, str(issue.get("diagnostics", ""))))

    async def _post(self, body: bytes) -> Answer:
        """The answer to a transaction; a busy node is asked again a few times. Raises `Upstream`."""
        for wait in (*_PATIENCE, None):
            answer = await self._client.send("POST", self._path, body=body, media="application/fhir+json")
            if answer.status not in (429, 502, 503, 504):
                return answer
            if wait is not None:
                await asyncio.sleep(wait)
        raise Upstream(f"the node stays busy: {words(answer)}")


def _bundle(batch: Sequence[Item]) -> bytes:
    """A transaction Bundle: PUT for resources with an id, POST for others."""
    return b'{"resourceType":"Bundle","type":"transaction","entry":[%b]}' % b",".join(
        b'{%b"resource":%b,"request":%b}'
        % (
            b'"fullUrl":%b,' % orjson.dumps(item.full_url) if item.full_url else b"",
            item.body,
            orjson.dumps(
                {"method": "PUT", "url": f"{item.type}/{item.id}"}
                if item.id
                else {"method": "POST", "url": item.type}
            ),
        )
        for item in batch
    )


def _errors(answer: Answer) -> list[tuple[str, str]]:
    """Expression and message of each error in an OperationOutcome."""
    try:
        issues = orjson.loads(answer.body).get("issue", [])
        return [
            ((issue.get("expression") or [""])[0], str(issue.get("diagnostics", "")))
            for issue in issues
            if issue.get("severity") in ("error", "fatal")
        ]
    except (orjson.JSONDecodeError, AttributeError, TypeError, IndexError):
        return []


def located(element: str, message: str) -> str:
    """`message` led by the element it is about, unless it says so itself."""
    return message if not element or message.startswith(element) else f"{element}: {message}"


def _bad(answer: Answer, size: int) -> dict[int, str]:
    """The entries that a refusal names, with why: one line for each error, led by the element."""
    found: dict[int, list[str]] = defaultdict(list)
    for expression, message in _errors(answer):
        named = _entry_of(expression)
        if named and int(named[1]) < size:
            element = expression[named.end() :]
            text = message.removeprefix(f"Bundle.entry[{named[1]}]: ")
            found[int(named[1])].append(located(element, text))
    return {number: "\n".join(lines) for number, lines in found.items()}
