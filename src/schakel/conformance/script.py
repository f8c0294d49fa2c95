"""A FHIR TestScript as typed values, read from XML.

The scripts in use are one dialect for STU3 and R4 servers, nearer to R5 than to either (`stopTestOnFail`,
fixtures and profiles with an id, extensions that name the system under test), so one reader serves both;
the FHIR version of the *data* comes from `properties.json`. Source: FHIR TestScript (R5) and the facts on
the dialect in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import Invalid

_SUT = "http://fhir.interoplab.eu/fhir/StructureDefinition/Interoplab-CL-ext-SUT"
_TOUCHSTONE = "http://touchstone.aegis.net/touchstone/fhir/testing/StructureDefinition/"
_F = "{http://hl7.org/fhir}"


@dataclass(frozen=True, slots=True)
class Fixture:
    """A file beside the script; `path` is absolute. Created and deleted on the peer only when the script
    says so.
    """

    id: str
    path: Path
    autocreate: bool = False
    autodelete: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A named value: a default, or taken from the fixture or response `source`, or given by the tester."""

    name: str
    default: str | None = None
    expression: str | None = None
    path: str | None = None
    header: str | None = None
    source: str | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """A request to make. Texts may still hold `${...}`."""

    code: str
    resource: str | None = None
    params: str | None = None
    url: str | None = None
    method: str | None = None
    accept: str | None = None
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    source: str | None = None
    target: str | None = None
    request: str | None = None
    response: str | None = None
    encode: bool = True
    origin: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class RuleCall:
    """An assertion left to a named rule: `name` is the rule file's name without folder and ending."""

    name: str
    params: tuple[tuple[str, str], ...] = ()

    def param(self, name: str) -> str | None:
        """The value of a parameter, None when it is absent."""
        return dict(self.params).get(name)


@dataclass(frozen=True, slots=True)
class Assertion:
    """What must hold after the operation before it. Texts may still hold `${...}`.

    Exactly one kind of subject is set; `elements` keeps the names of all elements present, so that one this
    runner does not know is told apart from an empty assertion.
    """

    description: str = ""
    direction: str = "response"
    operator: str | None = None
    value: str | None = None
    expression: str | None = None
    path: str | None = None
    header: str | None = None
    content_type: str | None = None
    method: str | None = None
    url: str | None = None
    resource: str | None = None
    response: str | None = None
    response_code: str | None = None
    minimum: str | None = None
    navigation_links: bool = False
    validate_profile: str | None = None
    source: str | None = None
    compare_source: str | None = None
    compare_expression: str | None = None
    compare_path: str | None = None
    rule: RuleCall | None = None
    warning_only: bool = False
    stop_test: bool = False
    elements: frozenset[str] = frozenset()


Action = Operation | Assertion


@dataclass(frozen=True, slots=True)
class Test:
    """A `test`, or the setup or teardown of a script, under that name."""

    id: str
    name: str
    description: str
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A whole script. `version` is the FHIR version of the system under test.

    `serves` says that the system under test is the server; `peers` are the origin indexes that are the system
    under test, whose requests this runner cannot make.
    """

    id: str
    title: str
    path: Path
    version: Version
    serves: bool
    peers: frozenset[str]
    fixtures: tuple[Fixture, ...]
    variables: tuple[Variable, ...]
    profiles: dict[str, str]
    setup: Test
    tests: tuple[Test, ...]
    teardown: Test

    @property
    def operations(self) -> list[Operation]:
        """Every operation, in order of setup, tests and teardown."""
        parts = (self.setup, *self.tests, self.teardown)
        return [action for part in parts for action in part.actions if isinstance(action, Operation)]


def parse_xml(data: bytes, where: str) -> etree._Element:
    """The root element; no entities, no network. Raises `Invalid` naming `where`."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise Invalid(f"{where} is not well-formed XML: {error}") from None


def is_script(root: etree._Element) -> bool:
    """Whether `root` is a TestScript."""
    return root.tag == f"{_F}TestScript"


def read_script(path: Path, version: Version) -> Script:
    """The script in `path`. Raises `Invalid` when the file is no TestScript."""
    root = parse_xml(path.read_bytes(), str(path))
    if not is_script(root):
        raise Invalid(f"{path} is not a FHIR TestScript")
    rules = {
        _nested(extension, "ruleId"): Path(_nested(extension, "path")).stem
        for extension in root.findall(f"{_F}extension")
        if extension.get("url") == _TOUCHSTONE + "testscript-rule"
    }
    origins = [(_value(o, "index"), _is_sut(o)) for o in root.findall(f"{_F}origin")]
    destinations = [(_value(d, "index"), _is_sut(d)) for d in root.findall(f"{_F}destination")]
    told = any(sut is not None for _, sut in (*origins, *destinations))
    return Script(
        id=_value(root, "id") or path.stem,
        title=_value(root, "title") or _value(root, "name") or path.stem,
        path=path,
        version=version,
        serves=bool(destinations and destinations[0][1]) if told else True,
        peers=frozenset(index for index, sut in origins if index and sut),
        fixtures=tuple(_fixture(e, path) for e in root.findall(f"{_F}fixture")),
        variables=tuple(_variable(e) for e in root.findall(f"{_F}variable")),
        profiles={e.get("id", ""): _profile(e) for e in root.findall(f"{_F}profile")},
        setup=_part(root.find(f"{_F}setup"), "setup", rules),
        tests=tuple(_part(e, f"test-{n}", rules) for n, e in enumerate(root.findall(f"{_F}test"), 1)),
        teardown=_part(root.find(f"{_F}teardown"), "teardown", rules),
    )


def _value(element: etree._Element, *path: str) -> str | None:
    found = element.find("/".join(_F + step for step in path))
    return None if found is None else found.get("value")


def _flag(element: etree._Element, name: str, default: bool = False) -> bool:
    value = _value(element, name)
    return default if value is None else value == "true"


def _is_sut(element: etree._Element) -> bool | None:
    for extension in element.findall(f"{_F}extension"):
        if extension.get("url") == _SUT:
            return _value(extension, "valueBoolean") == "true"
    return None


def _nested(extension: etree._Element, url: str) -> str:
    """The value of the inner extension `url`, whatever its type; empty when absent."""
    for inner in extension.findall(f"{_F}extension"):
        if inner.get("url") == url:
            return next((child.get("value", "") for child in inner), "")
    return ""


def _fixture(element: etree._Element, script: Path) -> Fixture:
    reference = _value(element, "resource", "reference")
    if not reference:
        raise Invalid(f"{script}: fixture '{element.get('id')}' names no file")
    return Fixture(
        id=element.get("id", ""),
        path=(script.parent / reference).resolve(),
        autocreate=_flag(element, "autocreate"),
        autodelete=_flag(element, "autodelete"),
    )


def _variable(element: etree._Element) -> Variable:
    return Variable(
        name=_value(element, "name") or "",
        default=_value(element, "defaultValue"),
        expression=_value(element, "expression"),
        path=_value(element, "path"),
        header=_value(element, "headerField"),
        source=_value(element, "sourceId"),
        hint=_value(element, "hint") or _value(element, "description") or "",
    )


def _profile(element: etree._Element) -> str:
    return element.get("value") or _value(element, "reference") or ""


def _part(element: etree._Element | None, name: str, rules: dict[str, str]) -> Test:
    if element is None:
        return Test(name, name, "", ())
    actions: list[Action] = []
    for action in element.findall(f"{_F}action"):
        for child in action:
            if child.tag == f"{_F}operation":
                actions.append(_operation(child))
            elif child.tag == f"{_F}assert":
                actions.append(_assertion(child, rules))
    return Test(
        element.get("id") or name,
        _value(element, "name") or name,
        _value(element, "description") or "",
        tuple(actions),
    )


def _operation(element: etree._Element) -> Operation:
    return Operation(
        code=_value(element, "type", "code") or "",
        resource=_value(element, "resource"),
        params=_value(element, "params"),
        url=_value(element, "url"),
        method=_value(element, "method"),
        accept=_value(element, "accept"),
        content_type=_value(element, "contentType"),
        headers=tuple(
            (_value(h, "field") or "", _value(h, "value") or "")
            for h in element.findall(f"{_F}requestHeader")
        ),
        source=_value(element, "sourceId"),
        target=_value(element, "targetId"),
        request=_value(element, "requestId"),
        response=_value(element, "responseId"),
        encode=_flag(element, "encodeRequestUrl", default=True),
        origin=_value(element, "origin"),
        description=_value(element, "description") or _value(element, "label") or "",
    )


def _assertion(element: etree._Element, rules: dict[str, str]) -> Assertion:
    rule: RuleCall | None = None
    stop = _flag(element, "stopTestOnFail")
    for extension in element.findall(f"{_F}extension"):
        if extension.get("url") == _TOUCHSTONE + "testscript-assert-rule":
            called = _nested(extension, "ruleId")
            params = tuple(
                (_nested(inner, "name"), _nested(inner, "value"))
                for inner in extension.findall(f"{_F}extension")
                if inner.get("url") == "param"
            )
            rule = RuleCall(rules.get(called, called), params)
        elif extension.get("url") == _TOUCHSTONE + "testscript-assert-stopTestOnFail":
            stop = stop or _value(extension, "valueBoolean") == "true"
    return Assertion(
        description=_value(element, "description") or _value(element, "label") or "",
        direction=_value(element, "direction") or "response",
        operator=_value(element, "operator"),
        value=_value(element, "value"),
        expression=_value(element, "expression"),
        path=_value(element, "path"),
        header=_value(element, "headerField"),
        content_type=_value(element, "contentType"),
        method=_value(element, "requestMethod"),
        url=_value(element, "requestURL"),
        resource=_value(element, "resource"),
        response=_value(element, "response"),
        response_code=_value(element, "responseCode"),
        minimum=_value(element, "minimumId"),
        navigation_links=_flag(element, "navigationLinks"),
        validate_profile=_value(element, "validateProfileId"),
        source=_value(element, "sourceId"),
        compare_source=_value(element, "compareToSourceId"),
        compare_expression=_value(element, "compareToSourceExpression"),
        compare_path=_value(element, "compareToSourcePath"),
        rule=rule,
        warning_only=_flag(element, "warningOnly"),
        stop_test=stop,
        elements=frozenset(etree.QName(child).localname for child in element),
    )
