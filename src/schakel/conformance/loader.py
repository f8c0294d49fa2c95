"""Loading the fixtures of a unit: first the purges, then the Patients, then everything else.

A load script is a TestScript whose setup purges patients and whose test puts one fixture after another. Its
steps do not depend on each other within these three rounds, so each round runs over a few connections at
once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from schakel.conformance.client import Client, Door
from schakel.conformance.results import LoadFailure, LoadResult, Verdict
from schakel.conformance.runner import assertion_result, send
from schakel.conformance.scope import Document, Given, Scope, ScopeError
from schakel.conformance.script import Action, Assertion, Operation, Script, read_script
from schakel.conformance.suite import fhir_version
from schakel.fhir import json as fhir_json
from schakel.kernel.outcomes import Outcome, Upstream

_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Step:
    """A request of a load script and what it must answer."""

    operation: Operation
    assertions: tuple[Assertion, ...]

    @property
    def name(self) -> str:
        """What a report calls it."""
        o = self.operation
        return o.description or " ".join(word for word in (o.code, o.resource, o.params) if word)


async def load(path: Path, shown: str, given: Given, door: Door, client: Client) -> LoadResult:
    """Run the load script at `path` through `door`; every step that does not succeed is in the result.

    When the line breaks the rest is not tried, and the result says how many steps that are.
    """
    result = LoadResult(shown)
    started = time.monotonic()
    try:
        script = read_script(path, fhir_version(path))
    except Outcome as error:
        result.failures.append(LoadFailure("reading the load script", error.message))
        return result
    scope = Scope(script, given)
    left = sum(len(steps) for steps in rounds(script))
    for steps in rounds(script):
        if not await _round(steps, scope, door, client, result):
            left -= result.done + len(result.failures)
            if left:
                result.failures.append(LoadFailure("the rest", f"not tried: {left} steps more"))
            break
    result.seconds = time.monotonic() - started
    return result


def rounds(script: Script) -> list[list[Step]]:
    """The steps of a load script in three rounds: setup, Patients, all others."""
    steps = [step for test in script.tests for step in _steps(test.actions)]
    patients = [step for step in steps if step.operation.resource == "Patient"]
    others = [step for step in steps if step.operation.resource != "Patient"]
    return [list(_steps(script.setup.actions)), patients, others]


def _steps(actions: Iterable[Action]) -> Iterable[Step]:
    operation: Operation | None = None
    assertions: list[Assertion] = []
    for action in actions:
        if isinstance(action, Assertion):
            assertions.append(action)
            continue
        if operation:
            yield Step(operation, tuple(assertions))
        operation, assertions = action, []
    if operation:
        yield Step(operation, tuple(assertions))


async def _round(steps: list[Step], scope: Scope, door: Door, client: Client, result: LoadResult) -> bool:
    """Make the steps over a few connections; False when the line broke."""
    waiting = iter(steps)
    unbroken = True

    async def worker() -> None:
        nonlocal unbroken
        for step in waiting:
            if not unbroken:
                return
            try:
                failure = await _made(step, scope.fork(), door, client)
            except Upstream as error:
                unbroken = False
                failure = LoadFailure(step.name, error.message)
            if failure:
                result.failures.append(failure)
            else:
                result.done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(min(_CONNECTIONS, len(steps))):
            group.create_task(worker())
    return unbroken


def _with_bsn(operation: Operation, scope: Scope) -> None:
    """Puts the BSN of a Patient that is loaded in the place of a masked one."""
    if operation.source is None or operation.resource != "Patient":
        return
    published = scope.document(operation.source).resource
    patient = scope.patients.loaded(published)
    if patient is not published:
        document = Document(fhir_json.dump(patient), "application/fhir+json", scope.known)
        scope.made[operation.source] = document


async def _made(step: Step, scope: Scope, door: Door, client: Client) -> LoadFailure | None:
    try:
        _with_bsn(step.operation, scope)
        exchange = await send(step.operation, scope, door, client)
    except Upstream:
        raise
    except (ScopeError, Outcome) as error:
        return LoadFailure(step.name, error.message)
    for assertion in step.assertions:
        checked = assertion_result(assertion, scope, exchange)
        if checked.verdict in (Verdict.FAILED, Verdict.ERROR):
            return LoadFailure(step.name, f"{checked.expected}: found {checked.found}", exchange)
    return None
