"""One script, from setup to teardown, against one system under test.

Writing requests of setup and teardown, and fixtures that a script wants created, prepare the system under
test rather than test it: they go through the tester's loading door when there is one.

A line that breaks ends the script as an error. A step that lacks a value says whose fault that is: an error
when the tester must give it, a failure when the peer's own answer lacks it, skipped when that answer never
came because of an earlier failure, unchecked when the system under test had to send something that nobody
listened for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from schakel.conformance import asserts
from schakel.conformance.client import Client, Door, Request, Response
from schakel.conformance.requests import READS, build, method
from schakel.conformance.results import AssertionResult, CaseResult, Exchange, ScriptResult, Verdict
from schakel.conformance.scope import (
    Document,
    EmptyAnswerError,
    Given,
    Message,
    NeedsTesterError,
    NoAnswerError,
    Scope,
    UnsupportedError,
)
from schakel.conformance.script import Assertion, Fixture, Operation, Script, Test
from schakel.kernel.outcomes import Outcome, Upstream

_NOT_HEARD = (
    "this needs a sender: the system under test must send the request itself, "
    "and this run does not listen for it"
)
_SHOWN_WITH_EXCHANGE = (Verdict.FAILED, Verdict.WARNING, Verdict.ERROR)
_BROKEN = (Verdict.FAILED, Verdict.ERROR)


Progress = Callable[[ScriptResult], None]


@dataclass(frozen=True, slots=True)
class Doors:
    """Where requests go: the base under test, and the base through which data are prepared (perhaps the
    same).
    """

    tested: Door
    preparing: Door


async def send(operation: Operation, scope: Scope, door: Door, client: Client) -> Exchange:
    """Make the request, and keep it and the answer in `scope`.

    Raises a `ScopeError` when it cannot be made, `Upstream` with `request` noted when no answer came.
    """
    scope.request = scope.response = None
    request = build(operation, scope, door)
    scope.request = message_of(request, scope)
    if operation.request:
        scope.messages[operation.request] = scope.request
    response = await client.send(request)
    scope.response = message_of(response, scope)
    if operation.response:
        scope.messages[operation.response] = scope.response
    return Exchange.of(request, response)


def message_of(http: Request | Response, scope: Scope) -> Message:
    """The message with its body as a document."""
    return Message(http, Document(http.body or b"", http.header("Content-Type") or "", scope.known))


def assertion_result(assertion: Assertion, scope: Scope, exchange: Exchange | None) -> AssertionResult:
    """Look at one assertion; a mistake of this program becomes an error and never a failure of the peer."""
    try:
        checked = asserts.check(assertion, scope)
    except Exception as error:
        checked = asserts.Checked(Verdict.ERROR, "", f"this program failed: {type(error).__name__}: {error}")
    shown = exchange if checked.verdict in _SHOWN_WITH_EXCHANGE else None
    return AssertionResult(checked.verdict, assertion.description, checked.expected, checked.found, shown)


async def run_script(script: Script, path: str, given: Given, doors: Doors, client: Client) -> ScriptResult:
    """Run `script`; `path` names it in the report."""
    result = ScriptResult(script.id, script.title, path, script.version)
    started = time.monotonic()
    try:
        await _Run(script, given, doors, client, result).whole()
    except Outcome as error:
        result.reason = error.message
    except Exception as error:
        result.reason = f"this program failed: {type(error).__name__}: {error}"
    result.seconds = time.monotonic() - started
    return result


class _Run:
    def __init__(
        self, script: Script, given: Given, doors: Doors, client: Client, result: ScriptResult
    ) -> None:
        self.script, self.doors, self.client, self.result = script, doors, client, result
        self.scope = Scope(script, given)
        self.exchange: Exchange | None = None
        self.lost = ""

    async def whole(self) -> None:
        """Fixtures, setup, tests, teardown, fixtures away."""
        await self.fixtures("autocreate")
        if self.script.setup.actions and not self.lost:
            await self.part(self.script.setup, self.doors.preparing)
        hindered = self.lost or ("the setup did not succeed" if self.broken else "")
        for test in self.script.tests:
            if hindered or self.lost:
                self.result.tests.append(CaseResult(test.id, test.name, reason=hindered or self.lost))
            else:
                await self.part(test, self.doors.tested)
        if not self.lost:
            if self.script.teardown.actions:
                await self.part(self.script.teardown, self.doors.preparing)
            await self.fixtures("autodelete")
        self.result.reason = self.lost

    @property
    def broken(self) -> bool:
        """Whether anything failed or went wrong so far."""
        return any(test.verdict in _BROKEN for test in self.result.tests)

    async def fixtures(self, when: str) -> None:
        """Create or delete the fixtures for which the script says so."""
        chosen = [fixture for fixture in self.script.fixtures if getattr(fixture, when)]
        if chosen and not self.lost:
            actions = tuple(a for fixture in chosen for a in self.fixture_actions(fixture, when))
            await self.part(Test(when, when, "", actions), self.doors.preparing)

    def fixture_actions(self, fixture: Fixture, when: str) -> tuple[Operation, Assertion]:
        resource = self.scope.document(fixture.id).resource
        kind, known = resource["resourceType"], "id" in resource
        if when == "autocreate":
            operation = Operation("update" if known else "create", resource=kind, source=fixture.id)
        else:
            operation = Operation("delete", resource=kind, target=fixture.id)
        codes = "200,201" if when == "autocreate" else "200,202,204,404,410"
        return operation, Assertion(f"{when} of fixture {fixture.id}", operator="in", response_code=codes)

    async def part(self, test: Test, preparing: Door) -> None:
        """Run the actions of a test (or setup, or teardown) in order."""
        result = CaseResult(test.id, test.name)
        self.result.tests.append(result)
        started = time.monotonic()
        unheard = ""
        for action in test.actions:
            if isinstance(action, Operation):
                if not result.reason:
                    unheard = await self.operation(action, preparing, result)
            elif result.reason:
                result.assertions.append(
                    AssertionResult(Verdict.SKIPPED, action.description, "", result.reason)
                )
            elif unheard:
                result.assertions.append(AssertionResult(Verdict.UNCHECKED, action.description, "", unheard))
            else:
                self.assertion(action, result)
                await asyncio.sleep(0)
        result.seconds = time.monotonic() - started

    async def operation(self, operation: Operation, preparing: Door, result: CaseResult) -> str:
        """Make a request. Returns why its assertions cannot be checked, or an empty text.

        Sets `result.reason` when the rest of the test makes no sense any more.
        """
        if operation.origin in self.script.peers:
            self.scope.request = self.scope.response = None
            return _NOT_HEARD
        door = self.doors.tested if method(operation) in READS else preparing
        what = f"request: {operation.description or operation.code}"

        def note(verdict: Verdict, found: str, exchange: Exchange | None = None) -> None:
            result.assertions.append(
                AssertionResult(verdict, what, "the request can be made", found, exchange)
            )
            if verdict is not Verdict.UNCHECKED:
                result.reason = found

        try:
            self.exchange = await send(operation, self.scope, door, self.client)
        except NoAnswerError as error:
            if not self.broken:
                return error.message
            result.reason = error.message
        except UnsupportedError as error:
            note(Verdict.UNCHECKED, error.message)
            return error.message
        except EmptyAnswerError as error:
            note(Verdict.FAILED, error.message, self.exchange)
        except (NeedsTesterError, Upstream, Outcome) as error:
            request = self.scope.request.http if self.scope.request else None
            sent = Exchange.of(request, None) if isinstance(request, Request) else None
            note(Verdict.ERROR, error.message, sent)
            if isinstance(error, Upstream):
                self.lost = error.message
        return ""

    def assertion(self, assertion: Assertion, result: CaseResult) -> None:
        checked = assertion_result(assertion, self.scope, self.exchange)
        if checked.verdict is Verdict.SKIPPED and not self.broken:
            checked = AssertionResult(Verdict.UNCHECKED, checked.description, checked.expected, checked.found)
        result.assertions.append(checked)
        if assertion.stop_test and checked.verdict in _BROKEN:
            result.reason = f"stopped after: {assertion.description or checked.expected}"


def only_reads(scripts: list[Script]) -> bool:
    """Whether no script sends anything but GET, HEAD and OPTIONS, so that none can influence another."""
    return all(
        method(operation) in READS and not any(f.autocreate for f in script.fixtures)
        for script in scripts
        for operation in script.operations
    )
