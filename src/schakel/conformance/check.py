"""A whole run: find the scripts, load the data, run, and count.

Scripts run one after another, and within a unit the folders in which every script does nothing but read come
first: what a script of another folder writes would change what they find. Only in such a folder may several run
at once (`concurrency`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from schakel.conformance.client import Client, Door, Headers
from schakel.conformance.loader import load
from schakel.conformance.macros import Calendar
from schakel.conformance.patients import Giver, Patients
from schakel.conformance.results import LoadFailure, LoadResult, ScriptResult, SuiteResult, Verdict
from schakel.conformance.runner import Doors, Progress, only_reads, run_script
from schakel.conformance.scope import Given, date_t
from schakel.conformance.script import Script
from schakel.conformance.suite import LOAD_FOLDER, Broken, Folder, Unit, discover
from schakel.conformance.tokens import Tokens, read_tokens
from schakel.kernel.clock import AMSTERDAM, now

_SILENT_SCRIPTS = 3
_CLIENT_ROLE = "the system under test is the client here; this run tests servers"


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What the tester asks.

    `url` is the FHIR base under test, `suite` a folder (or file) of TestScripts. With `load` the data of
    the suite are first loaded through that base with `load_headers`; writing requests of setup and teardown
    go there too. `headers` go on every tested request and win over a header of the same name in a script.
    `variables` win over the tokens file, which wins over a script's defaults. `bsns` are BSNs by logical id of the
    Patients that are loaded masked, and `giver` gets the tokens instead (see `patients`). `seconds` is the time-out of
    one request. `moment` is the start of the run (default: now); its date in Amsterdam is date T unless
    `variables` has `T`.
    """

    url: str
    suite: Path
    load: str | None = None
    headers: Headers = ()
    load_headers: Headers = ()
    tokens: Path | None = None
    bsns: Mapping[str, str] = field(default_factory=dict)
    giver: Giver | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    cacerts: tuple[Path, ...] = ()
    cert: Path | None = None
    key: Path | None = None
    seconds: float = 60.0
    concurrency: int = 4
    moment: datetime | None = None


async def check(
    options: CheckOptions,
    progress: Progress | None = None,
    loaded: Callable[[LoadResult], None] | None = None,
) -> SuiteResult:
    """Run the suite. `progress` hears of each script, `loaded` of each load script, as soon as it is done.

    Raises `Invalid` for options that cannot be used; nothing was sent then.
    """
    started = time.monotonic()
    moment = (options.moment or now()).astimezone(AMSTERDAM)
    tested = Door(options.url, options.headers)
    doors = Doors(tested, Door(options.load, options.load_headers) if options.load else tested)
    given = Given(
        dates=Calendar(moment, date_t(options.variables, moment.date())),
        variables=options.variables,
        patients=Patients(
            read_tokens(options.tokens) if options.tokens else Tokens(), options.bsns, options.giver
        ),
        base=tested.root,
    )
    units = discover(options.suite)
    result = SuiteResult(options.url, str(options.suite), moment)
    client = Client(seconds=options.seconds, cacerts=options.cacerts, cert=options.cert, key=options.key)
    run = _Run(options, given, doors, client, progress)
    async with client:
        for unit in units:
            if options.load and unit_serves(unit):
                for done in await run.loading(unit):
                    done.unit = run.named(unit)
                    result.loads.append(done)
                    if loaded:
                        loaded(done)
            tokens = LoadResult("access tokens", unit=run.named(unit))
            for folder in sorted(unit.folders, key=lambda folder: not folder_reads(folder)):
                await run.opening(folder, tokens)
                for script in await run.folder(folder):
                    script.unit = run.named(unit)
                    result.scripts.append(script)
            if tokens.done or tokens.failures:
                result.loads.append(tokens)
    result.seconds = time.monotonic() - started
    return result


def unit_serves(unit: Unit) -> bool:
    """Whether any script of the unit tests a server, so that its data are needed."""
    return any(isinstance(s, Script) and s.serves for folder in unit.folders for s in folder.scripts)


def folder_reads(folder: Folder) -> bool:
    """Whether no script that would run in the folder writes."""
    return only_reads([s for s in folder.scripts if isinstance(s, Script) and s.serves])


class _Run:
    def __init__(
        self,
        options: CheckOptions,
        given: Given,
        doors: Doors,
        client: Client,
        progress: Progress | None,
    ) -> None:
        self.options, self.given, self.doors, self.client = options, given, doors, client
        self.progress = progress
        self.suite = options.suite.resolve()
        self.silent = 0

    async def loading(self, unit: Unit) -> list[LoadResult]:
        """Run the load scripts of a unit, one after another."""
        if not unit.loads:
            lack = LoadFailure("finding what to load", f"there is no {LOAD_FOLDER} at or above {unit.root}")
            return [LoadResult(self.shown(unit.root), failures=[lack])]
        return [
            await load(path, self.shown(path), self.given, self.doors.preparing, self.client)
            for path in unit.loads
        ]

    async def opening(self, folder: Folder, result: LoadResult) -> None:
        """Gets the tokens that the scripts of a folder need, if this run gets any; `result` says how it went."""
        serving = [s for s in folder.scripts if isinstance(s, Script) and s.serves]
        started = time.monotonic()
        got, failures = await self.given.patients.opened(serving, self.options.variables.get("BSN", ""))
        result.done += got
        result.failures += failures
        result.seconds += time.monotonic() - started

    async def folder(self, folder: Folder) -> list[ScriptResult]:
        """Run the scripts of one folder; the results in the order of the files."""
        width = max(1, self.options.concurrency) if folder_reads(folder) else 1
        gate = asyncio.Semaphore(width)

        async def one(script: Script | Broken) -> ScriptResult:
            async with gate:
                done = await self.script(script)
            if self.progress:
                self.progress(done)
            return done

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(script)) for script in folder.scripts]
        return [task.result() for task in tasks]

    async def script(self, script: Script | Broken) -> ScriptResult:
        """Run one script, or say why it is not run."""
        if isinstance(script, Broken):
            return self.not_run(script.path, script.path.stem, "", Verdict.ERROR, script.reason)
        if not script.serves:
            return self.not_run(script.path, script.title, script.version, Verdict.SKIPPED, _CLIENT_ROLE)
        if self.silent >= _SILENT_SCRIPTS:
            reason = f"not run: the last {self.silent} scripts had no answer from the system under test"
            return self.not_run(script.path, script.title, script.version, Verdict.ERROR, reason)
        done = await run_script(script, self.shown(script.path), self.given, self.doors, self.client)
        self.silent = self.silent + 1 if done.reason else 0
        return done

    def not_run(self, path: Path, title: str, version: str, verdict: Verdict, reason: str) -> ScriptResult:
        """The result of a script that was not run."""
        return ScriptResult(path.stem, title, self.shown(path), version, [], verdict, reason)

    def named(self, unit: Unit) -> str:
        """What the report calls a unit: its path in the suite, or the end of it for the suite as a whole."""
        below = self.suite in unit.root.parents
        return self.shown(unit.root) if below else "/".join(unit.root.parts[-2:])

    def shown(self, path: Path) -> str:
        """`path` as the report names it: relative to the suite."""
        root = self.suite if self.suite.is_dir() else self.suite.parent
        return os.path.relpath(path, root)
