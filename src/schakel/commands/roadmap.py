"""`schakel roadmap`: measure a region, give a board another roadmap, and show what a roadmap asks.

Measuring needs no node: a file names the organisations and where they are reached. A run can be handed to the board of
a node, over the internal door of an organisation that keeps it.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from schakel.commands.chosen import chosen
from schakel.commands.doors import Answer, Client, Door, places, refusal
from schakel.commands.progress import Progress
from schakel.commands.tables import columns, count, shortened
from schakel.kernel.outcomes import Invalid
from schakel.roadmap import reading, region, report, wire
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Run, Verdict
from schakel.roadmap.model import Language, Roadmap
from schakel.roadmap.run import Step, measure

_WORDS: Mapping[Verdict, str] = {
    "holds": "holds",
    "fails": "FAILS",
    "unknown": "could not be checked",
    "not-applicable": "not applicable",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure: the checks and the organisation named, or all. `reports` says where each kind of report is
    written, in `language`; `board` is whose board gets the run."""

    only: Collection[str] = ()
    organisation: str = ""
    reports: Mapping[report.Kind, Path] = field(default_factory=dict)
    language: Language = "nl"
    board: Door | None = None


def keeper_of(data: Path | None, config: Path | None, name: str) -> Door:
    """The organisation that keeps the board of a region: `name` (a slug or URA), or the one that the settings name.

    Raises `Invalid`.
    """
    known = places(data, config)
    if name:
        return known.find(name)
    keepers = {slug for one in chosen(data, config, None) for slug in one.settings.roadmap.keepers}
    found = [door for door in known.organisations if door.slug in keepers]
    if not found:
        raise Invalid(f"{known.source} has no board of a region (setting roadmap.keepers)")
    return found[0]


def run(file: Path, wanted: Wanted) -> int:
    """Measures the region in `file` and prints what was found; 0 when anything could be measured, 1 when nothing could.

    Raises `Invalid` before anything is asked when a file, a check or an organisation is not there.
    """
    measuring = region.read(file, os.environ)
    roadmap = _roadmap(measuring.roadmap)
    members = measuring.members
    if wanted.organisation:
        measuring = measuring.only(wanted.organisation)
    report.writable(wanted.reports)
    progress = Progress()

    def shown(step: Step) -> None:
        finding = step.measured.finding
        progress.show(
            f"{step.done} of {step.of}: {step.measured.ura} {finding.check} {_WORDS[finding.verdict]}"
        )

    measured = asyncio.run(measure(measuring, roadmap, shown, only=wanted.only))
    progress.clear()
    for line in _told(measured):
        print(line)
    # Who was not measured this time is in the region all the same.
    measured = replace(measured, members=members)
    if wanted.reports:
        report.write(wanted.reports, report.of_run(measured, roadmap), wanted.language)
    if wanted.board is not None:
        asyncio.run(_post(wanted.board, "roadmap/runs", wire.dump(measured)))
        print(f"handed to the board of {wanted.board.name} ({wanted.board.ura})")
    return 0 if any(one.finding.verdict != "unknown" for one in measured.measured) else 1


def import_roadmap(file: Path, keeper: Door) -> int:
    """Gives the board of `keeper` the roadmap in `file`, and prints what differs. Raises `Invalid` when it is none."""
    body = _read(file)
    roadmap = _parsed(file, body)
    answer = asyncio.run(_post(keeper, "roadmap/versions", body)).table()
    print(
        f"{keeper.name} ({keeper.ura}) has roadmap {roadmap.version}: {count(len(roadmap.items), 'item')}, "
        f"{count(sum(len(item.steps) for item in roadmap.items), 'step')}"
    )
    for change in answer["changes"]:
        print(f"  {change['words']['en']}")
    return 0


def show(file: Path | None, item: str) -> int:
    """Prints the items of a roadmap, or the steps of one item and how each is measured."""
    roadmap = _roadmap(file)
    for line in _item(roadmap, item) if item else _items(roadmap):
        print(line)
    return 0


def _told(measured: Run) -> Iterator[str]:
    """Each organisation with its findings; why, for what does not hold."""
    for member in measured.members:
        yield f"{member.name} ({member.ura})"
        findings = [one.finding for one in measured.measured if one.ura == member.ura]
        if not findings:
            yield "  nothing to check: the file says nothing of where it is reached"
        rows = [(one.check, _WORDS[one.verdict]) for one in findings]
        for finding, line in zip(findings, columns(rows), strict=True):
            yield f"  {line}"
            if finding.verdict != "holds":
                yield f"      {finding.reason.en}"
    numbers = Counter(one.finding.verdict for one in measured.measured)
    counted = ", ".join(
        f"{numbers[verdict]:,} {word}" for verdict, word in _WORDS.items() if numbers[verdict]
    )
    yield f"{measured.region}: {count(len(measured.members), 'organisation')}; {counted or 'nothing measured'}"


def _items(roadmap: Roadmap) -> Iterator[str]:
    yield f"{roadmap.title.en}, version {roadmap.version}"
    rows = []
    for item in roadmap.items:
        by_machine = sum(bool(step.checks) for step in item.steps)
        rows.append(
            (item.id, f"{by_machine} of {len(item.steps)} steps by machine", shortened(item.title.en, 60))
        )
    yield from columns(rows)


def _item(roadmap: Roadmap, name: str) -> Iterator[str]:
    found = roadmap.by_id.get(name)
    if found is None:
        raise Invalid(f"the roadmap has no item {name[:40]!r}; it has {', '.join(roadmap.by_id)}")
    yield f"{found.id} {found.title.en}"
    yield found.plain.en
    for step in found.steps:
        yield f"{step.id} {step.text.en}"
        for check in step.checks:
            yield f"    {check}: {CHECKS[check].how.en if check in CHECKS else 'this version has no such check'}"
        if not step.checks:
            yield "    known by a declaration alone"
        if step.unseen is not None:
            yield f"    known by a declaration: {step.unseen.en}"


def _roadmap(file: Path | None) -> Roadmap:
    return reading.shipped() if file is None else _parsed(file, _read(file))


def _parsed(file: Path, body: bytes) -> Roadmap:
    try:
        return reading.read(body)
    except Invalid as error:
        raise Invalid(f"{file}: {error.message}", expression=error.expression) from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid(f"the roadmap {file} cannot be read: {error.strerror}") from error


async def _post(keeper: Door, path: str, body: bytes) -> Answer:
    async with Client(keeper) as client:
        answer = await client.send("POST", path, body=body)
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    return answer
