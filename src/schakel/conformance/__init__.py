"""Does an endpoint conform? Published test suites (FHIR TestScript) run against any FHIR server.

`check(CheckOptions(...))` finds the scripts, loads their data when asked, runs them and returns a
`SuiteResult`; `report` writes that as text, JUnit XML or JSON. What cannot be checked is counted apart and
never as passed, and what goes wrong on this side is an error and never a failure of the system under test.

Read `runner` for the course of one script, `asserts` for what an assertion means, `scope` for variables.
"""

from schakel.conformance.check import CheckOptions, check
from schakel.conformance.patients import Giver, Granted
from schakel.conformance.results import LoadResult, ScriptResult, SuiteResult, Verdict, exit_code
from schakel.conformance.suite import suite_version

__all__ = [
    "CheckOptions",
    "Giver",
    "Granted",
    "LoadResult",
    "ScriptResult",
    "SuiteResult",
    "Verdict",
    "check",
    "exit_code",
    "suite_version",
]
