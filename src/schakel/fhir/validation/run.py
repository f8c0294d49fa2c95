"""The state of one validation: what it is told, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schakel.fhir.definitions import Definitions
from schakel.fhir.fhirpath import Node
from schakel.fhir.json import Resource
from schakel.fhir.places import At, path_of
from schakel.kernel.outcomes import Issue

Find = Callable[[str], Resource | None]
"""Finds a resource (a Questionnaire, a ValueSet) by canonical URL, or by reference; None for an unknown one."""


@dataclass(frozen=True, slots=True)
class Options:
    """How strict a validation is.

    `best_practice` adds the rules that are advice only (dom-6). `lenient` is that of `structure.check`.
    `max_issues` bounds what is reported, `expression_steps` the work of one expression in a resource that was sent.
    """

    best_practice: bool = False
    lenient: bool = False
    max_issues: int = 200
    expression_steps: int = 100_000


class EnoughError(Exception):
    """As many issues were found as are reported."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The resource in which the walk is.

    `container` is where `#id` is looked up: the resource itself, or the one that contains it. `at` is its place
    and `entry` its index when it stands in a Bundle.
    """

    resource: Resource
    container: Resource
    at: At
    variables: Mapping[str, object]
    root: Node
    entry: int | None = None


@dataclass(slots=True)
class Run:
    """One validation of the resource `root`."""

    known: Definitions
    root: Resource
    options: Options
    find: Find | None = None
    issues: list[Issue] = field(default_factory=list)
    unchecked: set[str] = field(default_factory=set)
    cache: dict[str, Any] = field(default_factory=dict)

    def add(self, severity: str, code: str, message: str, at: At | str) -> None:
        """Report an issue at a place. Raises `EnoughError` when it is the last one that is reported."""
        path = at if isinstance(at, str) else path_of(at)
        self.take(Issue(severity, code, f"{path}: {message}", path))

    def take(self, issue: Issue) -> None:
        """Report an issue. Raises `EnoughError` when it is the last one that is reported."""
        self.issues.append(issue)
        if len(self.issues) >= self.options.max_issues:
            raise EnoughError

    def error(self, code: str, message: str, at: At | str) -> None:
        self.add("error", code, message, at)

    def warning(self, code: str, message: str, at: At | str) -> None:
        self.add("warning", code, message, at)

    def could_not_check(self, what: str, at: At | str, severity: str = "information") -> None:
        """Report once that something could not be checked, which says nothing against the resource."""
        if what not in self.unchecked:
            self.unchecked.add(what)
            self.add(severity, "not-supported", f"could not check {what}", at)


def dicts(value: object) -> list[dict[str, Any]]:
    """The objects in what should be a list of objects; none when it is something else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """A text, empty for anything else."""
    return value if isinstance(value, str) else ""
