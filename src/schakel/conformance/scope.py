"""What a script knows while it runs: its fixtures, the requests and responses so far, its variables.

A variable's value is taken, in this order, from the tester (`--var`), from the tokens of the patients for the names
`patient-token-...` and `auth-token`, from its default, and from the fixture or response it names. Four ways
of having no value are kept apart, because they are the fault of different parties: see the exceptions below.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from xml.sax.saxutils import escape as escape_xml

from schakel.conformance import evaluation
from schakel.conformance.client import Request, Response
from schakel.conformance.macros import Calendar, substitute
from schakel.conformance.patients import Patients
from schakel.conformance.script import Fixture, Script, Variable
from schakel.fhir import json as fhir_json
from schakel.fhir import xml as fhir_xml
from schakel.fhir.definitions import Definitions, definitions
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Invalid, Outcome


class ScopeError(Exception):
    """A text cannot be completed. `message` is for the tester."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NeedsTesterError(ScopeError):
    """Only the tester can give this value: an error of the run."""


class NoAnswerError(ScopeError):
    """The value comes from a response that was never received: the step is skipped."""


class EmptyAnswerError(ScopeError):
    """The peer's response was received and does not hold the value: a failure of the peer."""


class UnsupportedError(ScopeError):
    """This runner cannot work out the value: the step is left unchecked."""


class Document:
    """A body: the bytes as they are, and the resource in them, read when it is first needed."""

    def __init__(self, raw: bytes, content_type: str, known: Definitions) -> None:
        self.raw = raw
        self.content_type = content_type
        self._known = known

    @cached_property
    def format(self) -> str | None:
        """`json` or `xml` by content type, or else by the first character; None when it is neither."""
        kind = self.content_type.lower()
        for word in ("json", "xml"):
            if word in kind:
                return word
        start = self.raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        return {b"{": "json", b"<": "xml"}.get(start) if not kind or kind.startswith("text/plain") else None

    @cached_property
    def resource(self) -> Resource:
        """The resource in its JSON shape. Raises `Invalid` with the reason when there is none."""
        if not self.raw.strip():
            raise Invalid("the body is empty")
        if self.format == "json":
            found = fhir_json.parse(self.raw)
        elif self.format == "xml":
            found = fhir_xml.parse(self.raw, self._known)
        else:
            raise Invalid(f"the body is neither FHIR JSON nor FHIR XML (Content-Type '{self.content_type}')")
        if not isinstance(found.get("resourceType"), str):
            raise Invalid("the body has no resourceType")
        return found

    def written_as(self, form: str) -> bytes:
        """The bytes in `json` or `xml`: untouched when they already are."""
        if self.format == form or form not in ("json", "xml"):
            return self.raw
        return fhir_json.dump(self.resource) if form == "json" else fhir_xml.dump(self.resource, self._known)


@dataclass(frozen=True, slots=True)
class Message:
    """A request that was sent, or a response that came back, with its body as a document."""

    http: Request | Response
    body: Document


@dataclass(frozen=True, slots=True)
class Given:
    """What the tester gave for the whole run."""

    dates: Calendar
    variables: Mapping[str, str]
    patients: Patients
    base: str


class Scope:
    """The state of one script."""

    def __init__(self, script: Script, given: Given) -> None:
        self.known = definitions(script.version)
        self.request: Message | None = None
        self.response: Message | None = None
        self.messages: dict[str, Message] = {}
        self.made: dict[str, Document] = {}
        self._script = script
        self._given = given
        self._fixtures = {fixture.id: fixture for fixture in script.fixtures}
        self._variables = {variable.name: variable for variable in script.variables}
        self._defaults: dict[str, str] = {}
        self._dates = given.dates

    @property
    def patients(self) -> Patients:
        """The patients of the run."""
        return self._given.patients

    def fork(self) -> Scope:
        """The same fixtures, variables and stored messages, with a last request and response of its own."""
        other = copy.copy(self)
        other.request = other.response = None
        return other

    def text(self, template: str, escape: Callable[[str], str] = str) -> str:
        """`template` with its `${...}` replaced. Raises a `ScopeError`, or `Invalid` for a macro that is
        wrong.
        """
        return substitute(template, self._dates, self.value, escape)

    def value(self, name: str) -> str:
        """The value of a variable. Raises the `ScopeError` that tells why there is none."""
        if name in self._given.variables:
            return self._given.variables[name]
        variable = self._variables.get(name)
        default = (variable.default if variable else None) or ""
        token = self.patients.tokens.value(name, self._given.variables.get("BSN", ""), default)
        if token is not None:
            return token
        if variable is None:
            return self._undeclared(name)
        if variable.default is not None:
            if name not in self._defaults:
                self._defaults[name] = substitute(variable.default, self._dates, self.value)
            return self._defaults[name]
        if variable.expression or variable.path or variable.header:
            return self._taken(variable)
        hint = f" ({variable.hint})" if variable.hint else ""
        raise NeedsTesterError(f"this needs a person: give --var {name}=VALUE{hint}")

    def document(self, name: str) -> Document:
        """The fixture, stored request body or stored response body called `name`.

        Raises `NeedsTesterError` for an unknown name or unreadable file, `NoAnswerError` for a response
        that did not come.
        """
        if name in self.made:
            return self.made[name]
        if name in self.messages:
            return self.messages[name].body
        if name in self._fixtures:
            self.made[name] = self._fixture(self._fixtures[name])
            return self.made[name]
        if name in self.awaited:
            raise NoAnswerError(f"nothing was received as '{name}'")
        raise NeedsTesterError(f"the script names a fixture '{name}' that it does not have")

    def of_peer(self, name: str) -> bool:
        """Whether `name` was received from, or made from an answer of, the peer."""
        return name not in self._fixtures

    @cached_property
    def awaited(self) -> frozenset[str]:
        """The names the script gives to what it will send, receive or make."""
        names = {n for o in self._script.operations for n in (o.request, o.response) if n}
        for part in (self._script.setup, *self._script.tests, self._script.teardown):
            for action in part.actions:
                rule = getattr(action, "rule", None)
                if rule is not None and rule.param("fixtureId"):
                    names.add(rule.param("fixtureId"))
        return frozenset(names)

    def _undeclared(self, name: str) -> str:
        if name == "T":
            return self._dates.t.isoformat()
        if name == "server-base":
            return self._given.base
        raise NeedsTesterError(
            f"the script uses '{name}' without declaring it: this needs a person, who gives --var {name}=VALUE"
        )

    def _fixture(self, fixture: Fixture) -> Document:
        try:
            raw = fixture.path.read_bytes()
        except OSError as error:
            raise NeedsTesterError(
                f"fixture '{fixture.id}' cannot be read: {error.strerror} ({fixture.path})"
            ) from None
        form = fixture.path.suffix.lower().removeprefix(".")
        if b"${" in raw:
            quoting = _json_text if form == "json" else _xml_text
            raw = self.text(raw.decode("utf-8"), quoting).encode()
        kind = f"application/fhir+{form}" if form in ("json", "xml") else ""
        return Document(raw, kind, self.known)

    def _taken(self, variable: Variable) -> str:
        """The value of a variable that comes out of a document or a header."""
        source = variable.source
        if source is None:
            message = self.response
            if message is None:
                raise NoAnswerError(f"variable '{variable.name}' needs a response, and none was received")
        elif source in self.messages:
            message = self.messages[source]
        else:
            message = None
        document = message.body if message else self.document(source or "")
        if variable.header:
            found = [message.http.header(variable.header) or ""] if message else []
        else:
            found = self._select(variable, document)
        if not found or not found[0]:
            lack = f"no value for variable '{variable.name}' in '{source or 'the last response'}'"
            raise (EmptyAnswerError if source is None or self.of_peer(source) else NeedsTesterError)(lack)
        return found[0]

    def _select(self, variable: Variable, document: Document) -> list[str]:
        named = f"variable '{variable.name}'"
        try:
            resource = document.resource
        except Outcome as error:
            peer = variable.source is None or self.of_peer(variable.source)
            raise (EmptyAnswerError if peer else NeedsTesterError)(f"{named}: {error.message}") from None
        try:
            if variable.expression:
                return evaluation.values(self.text(variable.expression), resource, self.known)
            return evaluation.path_values(self.text(variable.path or ""), document.written_as("xml"))
        except evaluation.BeyondEngineError as error:
            raise UnsupportedError(f"{named}: {error}") from None
        except evaluation.CannotEvaluateError as error:
            raise NeedsTesterError(
                f"{named} cannot be worked out: {error}; --var {variable.name}=VALUE gives it"
            ) from None


def date_t(variables: Mapping[str, str], today: date) -> date:
    """Date T of the run: the tester's `T`, or `today`. Raises `Invalid` for a value that is no date."""
    given = variables.get("T")
    if given is None:
        return today
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise Invalid(f"--var T={given}: a date as 2026-01-31 is needed", expression="var") from None


def _json_text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _xml_text(value: str) -> str:
    return escape_xml(value, {'"': "&quot;"})
