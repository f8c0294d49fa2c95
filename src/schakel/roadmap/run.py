"""Measuring a region: every check at every organisation, many at a time, each with a time-out of its own.

No check ends the run. One that raises or is too slow is `unknown`, and so is every silence in a run in which nobody
answered at all: then it is probably this machine that has no connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import structlog

from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.checks import CHECKS, Check, Silent, Target, Tools, Unclear
from schakel.roadmap.checks.model import found
from schakel.roadmap.evidence import Finding, Measured, Run
from schakel.roadmap.model import Roadmap, Text
from schakel.roadmap.region import Region

AT_ONCE = 16
"""Checks at the same time, all organisations together; at one host it is `tools.AT_ONCE` requests."""

_log = structlog.get_logger("schakel.roadmap")


@dataclass(frozen=True, slots=True)
class Step:
    """What was just measured, the how-manieth that is, and of how many."""

    done: int
    of: int
    measured: Measured


Progress = Callable[[Step], None]


async def measure(
    region: Region, roadmap: Roadmap, progress: Progress | None = None, *, only: Collection[str] = ()
) -> Run:
    """Measures the region by all checks, or by those in `only`. The results are in the order of the file and of
    `CHECKS`, whatever was done first. Raises `Invalid` for a check or a file that is not there."""
    wanted = _wanted(only)
    started = now()
    async with Tools.open(region.defaults) as tools:
        targets = [Target(one, region.defaults) for one in region.organisations]
        pairs = [
            (check, target) for target in targets for check in wanted if check.wants(target.organisation)
        ]
        results = await _all(pairs, tools, progress)
        measured = [one.measured(heard=tools.heard) for one in results]
    # A clock that was set back during the run puts nothing before its beginning or after its end.
    measured = [replace(one, at=max(one.at, started)) for one in measured]
    finished = max([now(), *(one.at for one in measured)], default=started)
    return Run(
        new_id(), region.name, roadmap.version, region.by, started, finished, region.members, tuple(measured)
    )


def _wanted(only: Collection[str]) -> list[Check]:
    if unknown := sorted(set(only) - set(CHECKS)):
        raise Invalid(f"there is no check {unknown[0][:60]!r}; there are {', '.join(CHECKS)}")
    return [check for check in CHECKS.values() if not only or check.id in only]


@dataclass(frozen=True, slots=True)
class _Result:
    """What a check found; `silent` is why it fails, when that is because an address did not answer."""

    one: Measured
    silent: Silent | None = None

    def measured(self, *, heard: bool) -> Measured:
        """What was measured in a run in which anybody was `heard`, or nobody."""
        if self.silent is None or heard:
            return self.one
        reason = Text(
            f"{self.silent.reason.nl} In deze meting antwoordde niets: misschien heeft deze machine geen verbinding.",
            f"{self.silent.reason.en} Nothing answered in this run: perhaps this machine has no connection.",
        )
        finding = found(self.one.finding.check, "unknown", reason, self.silent.detail)
        return replace(self.one, finding=finding)


async def _all(
    pairs: Sequence[tuple[Check, Target]], tools: Tools, progress: Progress | None
) -> list[_Result]:
    gate = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def one(check: Check, target: Target) -> _Result:
        nonlocal done
        async with gate:
            result = await _measured(check, target, tools)
        done += 1
        if progress is not None:
            progress(Step(done, len(pairs), result.one))
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(check, target)) for check, target in pairs]
    return [task.result() for task in tasks]


async def _measured(check: Check, target: Target, tools: Tools) -> _Result:
    silent: Silent | None = None
    ura = target.organisation.ura
    try:
        async with asyncio.timeout(check.seconds):
            finding = await check.measure(target, tools)
    except Unclear as error:
        silent = error if isinstance(error, Silent) and check.in_service else None
        finding = found(check.id, "fails" if silent else "unknown", error.reason, error.detail)
    except TimeoutError:
        finding = _too_slow(check)
    except Exception as error:
        # Whatever a peer sends, or we do wrong with it, the other checks go on.
        _log.warning("check-broke", check=check.id, organisation=ura, exc_info=error)
        finding = found(
            check.id,
            "unknown",
            Text(
                "Deze controle is door een fout in het programma niet afgemaakt; zie het technische log.",
                "This check was not finished by a fault in the program; see the technical log.",
            ),
            type(error).__name__,
        )
    return _Result(Measured(ura, finding, now()), silent)


def _too_slow(check: Check) -> Finding:
    seconds = f"{check.seconds:g}"
    reason = Text(
        f"Deze controle was na {seconds} seconden niet klaar.",
        f"This check was not done after {seconds} seconds.",
    )
    return found(check.id, "unknown", reason)
