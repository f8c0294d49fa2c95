"""TestScripts for tests, written by a few functions that return XML."""

from __future__ import annotations

import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

SUT = "http://fhir.interoplab.eu/fhir/StructureDefinition/Interoplab-CL-ext-SUT"
TOUCHSTONE = "http://touchstone.aegis.net/touchstone/fhir/testing/StructureDefinition/"


def element(name: str, value: object) -> str:
    """`<name value="..."/>`, booleans in lower case."""
    return f"<{name} value={quoteattr(str(value).lower() if isinstance(value, bool) else str(value))}/>"


def operation(code: str, *, headers: dict[str, str] | None = None, **members: object) -> str:
    """An action with an operation; members by their FHIR names."""
    inner = "".join(element(name, value) for name, value in members.items())
    sent = "".join(
        f"<requestHeader>{element('field', name)}{element('value', value)}</requestHeader>"
        for name, value in (headers or {}).items()
    )
    return f"<action><operation><type>{element('code', code)}</type>{inner}{sent}</operation></action>"


def assertion(
    description: str = "", *, rule: tuple[str, dict[str, str]] | None = None, **members: object
) -> str:
    """An action with an assert; members by their FHIR names, `rule` as (ruleId, parameters)."""
    called = ""
    if rule:
        params = "".join(
            f'<extension url="param"><extension url="name">{element("valueString", name)}</extension>'
            f'<extension url="value">{element("valueString", value)}</extension></extension>'
            for name, value in rule[1].items()
        )
        rule_id = f'<extension url="ruleId">{element("valueId", rule[0])}</extension>'
        called = f'<extension url="{TOUCHSTONE}testscript-assert-rule">{rule_id}{params}</extension>'
    inner = "".join(element(name, value) for name, value in members.items())
    return f"<action><assert>{called}{element('description', description)}{inner}</assert></action>"


def case(*actions: str, id: str = "") -> str:
    """A `test` of these actions."""
    known = f" id={quoteattr(id)}" if id else ""
    return f"<test{known}>{element('name', id or 'a test')}{''.join(actions)}</test>"


def setup(*actions: str) -> str:
    """The setup of a script."""
    return f"<setup>{''.join(actions)}</setup>"


def teardown(*actions: str) -> str:
    """The teardown of a script."""
    return f"<teardown>{''.join(actions)}</teardown>"


def fixture(id: str, path: str, *, autocreate: bool = False, autodelete: bool = False) -> str:
    """A fixture in a file relative to the script."""
    flags = element("autocreate", autocreate) + element("autodelete", autodelete)
    return f'<fixture id="{id}">{flags}<resource>{element("reference", path)}</resource></fixture>'


def variable(name: str, **members: object) -> str:
    """A variable; members by their FHIR names."""
    return f"<variable>{element('name', name)}{''.join(element(n, v) for n, v in members.items())}</variable>"


def rule(rule_id: str, path: str) -> str:
    """The declaration of a rule file."""
    return (
        f'<extension url="{TOUCHSTONE}testscript-rule"><extension url="ruleId">{element("valueId", rule_id)}'
        f'</extension><extension url="path">{element("valueString", path)}</extension></extension>'
    )


def party(name: str, index: int, under_test: bool) -> str:
    """An `origin` or `destination` that says whether it is the system under test."""
    flag = element("valueBoolean", under_test)
    return f'<{name}><extension url="{SUT}">{flag}</extension>{element("index", index)}</{name}>'


SERVER = party("origin", 1, False) + party("destination", 1, True)
CLIENT = party("origin", 1, True) + party("destination", 1, False)


def script(*parts: str, id: str = "script", parties: str = SERVER) -> str:
    """A whole TestScript."""
    return (
        f'<TestScript xmlns="http://hl7.org/fhir">{element("id", id)}{element("name", id)}'
        f"{parties}{''.join(parts)}</TestScript>"
    )


def suite(root: Path, scripts: dict[str, str], *, version: str = "R4") -> Path:
    """Write scripts and fixtures under `root` by their relative path, with the properties of a version."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "properties.json").write_text(json.dumps({"fhirVersion": version}))
    for name, text in scripts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
