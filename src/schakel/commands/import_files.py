"""`schakel import`: FHIR files into an organisation, with a report of what was refused and why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schakel.commands.doors import Client, Door
from schakel.commands.fhir_files import Item, Refused, Transaction, files, read
from schakel.commands.loading import Index, Loader, Report, Warned, located
from schakel.commands.progress import Progress
from schakel.commands.tables import count
from schakel.fhir.definitions import Version


@dataclass(slots=True)
class Sources:
    """Files that are read more than once: to see what stands in them, and to write it. None is held in memory."""

    files: list[Path]
    version: Version
    expected: int = 0
    index: Index = field(default_factory=Index)
    with_transactions: list[Path] = field(default_factory=list)

    def survey(self, progress: Callable[[int], None] = lambda number: None) -> None:
        """Reads everything once: how many resources to expect, and which ids have more than one content."""
        others = 0
        for path in self.files:
            for one in read(path, self.version):
                if isinstance(one, Item):
                    self.index.add(one)
                elif isinstance(one, Transaction):
                    others += len(one.methods)
                    if path not in self.with_transactions[-1:]:
                        self.with_transactions.append(path)
                else:
                    others += one.resources
                self.expected = others + self.index.resources
                progress(self.expected)

    def transactions(self) -> Iterator[Transaction]:
        """The transactions, in the order of the files."""
        for path in self.with_transactions:
            yield from (one for one in read(path, self.version) if isinstance(one, Transaction))

    def items(self, report: Report) -> Iterator[Item]:
        """Each resource that is not part of a transaction, once; what is refused in reading goes in the report."""
        return self.index.unambiguous(self._items(report), report)

    def _items(self, report: Report) -> Iterator[Item]:
        for path in self.files:
            for one in read(path, self.version):
                if isinstance(one, Item):
                    yield one
                elif isinstance(one, Refused):
                    report.refused.append(one)


def import_files(door: Door, paths: Sequence[Path], version: Version) -> int:
    """Imports and prints the report; 0 when all was written, 1 when something was refused."""
    sources = Sources(files(paths), version)
    report = Report()
    progress = Progress()
    try:
        sources.survey(lambda number: progress.show(f"{number:,} resources read"))
        asyncio.run(_load(door, sources, report, progress))
    finally:
        progress.clear()
        for line in lines(report, len(sources.files), sources.expected):
            print(line)
    return 1 if report.refused else 0


async def _load(door: Door, sources: Sources, report: Report, progress: Progress) -> None:
    def shown() -> None:
        progress.show(f"{report.done:,} of {sources.expected:,} resources")

    async with Client(door) as client:
        loader = Loader(client, sources.version, report, shown)
        await loader.load(sources.transactions(), sources.items(report))


def lines(report: Report, number_of_files: int, expected: int) -> Iterator[str]:
    """The report as text; the totals come last."""
    if report.refused:
        yield "Refused"
        yield from _refused(report.refused)
        yield ""
    if report.warnings:
        yield "Written with a warning"
        yield from _warnings(report.warnings.values())
        yield ""
    parts = [
        f"{count(report.created + report.updated, 'resource')} written "
        f"({report.created:,} created, {report.updated:,} updated)"
    ]
    parts += [f"{report.deleted:,} deleted"] if report.deleted else []
    parts.append(f"{report.refused_resources:,} refused")
    parts += [f"{count(report.warned, 'warning')}"] if report.warnings else []
    parts += [f"{report.same:,} left out that stood there more than once"] if report.same else []
    parts += [f"{expected - report.done:,} not tried"] if expected > report.done else []
    yield f"{count(number_of_files, 'file')}: {', '.join(parts)}"


def _refused(refused: Sequence[Refused]) -> Iterator[str]:
    for one in refused:
        yield f"  {one.file}: {one.resource}"
        for line in one.message.splitlines():
            yield f"    {line}"


def _warnings(warnings: Iterable[tuple[Warned, int]]) -> Iterator[str]:
    """Each warning once, with the first resource that it is about and how many more."""
    for first, number in warnings:
        more = f" and {number - 1:,} more" if number > 1 else ""
        yield f"  {located(first.expression, first.message)}"
        yield f"    {first.file}: {first.resource}{more}"
