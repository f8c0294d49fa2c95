"""`schakel import`: FHIR files into an organisation, with a report of what was refused and why."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from schakel.commands.doors import Client, Door
from schakel.commands.fhir_files import Item, Refused, Transaction, files, read
from schakel.commands.loading import Loader, Report, Warned, located, unambiguous
from schakel.commands.tables import count
from schakel.fhir.definitions import Version


def import_files(door: Door, paths: Sequence[Path], version: Version) -> int:
    """Imports and prints the report; 0 when all was written, 1 when something was refused."""
    found = files(paths)
    report = Report()
    transactions: list[Transaction] = []
    items: list[Item] = []
    for path in found:
        for one in read(path, version):
            if isinstance(one, Transaction):
                transactions.append(one)
            elif isinstance(one, Item):
                items.append(one)
            else:
                report.refused.append(one)
    items = unambiguous(items, report)
    expected = len(items) + sum(len(t.methods) for t in transactions) + report.refused_resources
    try:
        asyncio.run(_load(door, version, transactions, items, report, expected))
    finally:
        for line in lines(report, len(found), expected):
            print(line)
    return 1 if report.refused else 0


async def _load(
    door: Door,
    version: Version,
    transactions: Sequence[Transaction],
    items: Sequence[Item],
    report: Report,
    expected: int,
) -> None:
    terminal = sys.stderr.isatty()

    def progress() -> None:
        if terminal:
            print(f"\r\x1b[K{report.done:,} of {expected:,} resources", end="", file=sys.stderr, flush=True)

    progress()
    try:
        async with Client(door) as client:
            await Loader(client, version, report, progress).load(transactions, items)
    finally:
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def lines(report: Report, number_of_files: int, expected: int) -> Iterator[str]:
    """The report as text; the totals come last."""
    if report.refused:
        yield "Refused"
        yield from _refused(report.refused)
        yield ""
    if report.warnings:
        yield "Written with a warning"
        yield from _warnings(report.warnings)
        yield ""
    parts = [
        f"{count(report.created + report.updated, 'resource')} written "
        f"({report.created:,} created, {report.updated:,} updated)"
    ]
    parts += [f"{report.deleted:,} deleted"] if report.deleted else []
    parts.append(f"{report.refused_resources:,} refused")
    parts += [f"{count(len(report.warnings), 'warning')}"] if report.warnings else []
    parts += [f"{report.same:,} left out that stood there more than once"] if report.same else []
    parts += [f"{expected - report.done:,} not tried"] if expected > report.done else []
    yield f"{count(number_of_files, 'file')}: {', '.join(parts)}"


def _refused(refused: Sequence[Refused]) -> Iterator[str]:
    for one in refused:
        yield f"  {one.file}: {one.resource}"
        for line in one.message.splitlines():
            yield f"    {line}"


def _warnings(warnings: Sequence[Warned]) -> Iterator[str]:
    """Each warning once, with the first resource that it is about and how many more."""
    same: dict[tuple[str, str], list[Warned]] = defaultdict(list)
    for one in warnings:
        same[one.expression, one.message].append(one)
    for (expression, message), about in same.items():
        more = f" and {len(about) - 1:,} more" if len(about) > 1 else ""
        yield f"  {located(expression, message)}"
        yield f"    {about[0].file}: {about[0].resource}{more}"
