"""Every body in an OpenAPI document has an example, and each holds: against its schema, and as a FHIR resource."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import orjson
import pytest
from tests.unit.test_openapi import LISTS, made

from schakel.fhir import definitions, json, structure
from schakel.fhir.definitions import Version
from schakel.generic.consent.mitz.notification import choices_in
from schakel.http.openapi import samples
from schakel.http.openapi.fhir_samples import FHIR
from schakel.roadmap import reading, wire

R4_ONLY = {"AuditEvent", "AuditEventFound", "List", "ListFound", "Choices", "capabilities-r4", "document-r4"}
STU3_ONLY = {"capabilities-stu3", "document-stu3"}
VERSIONS: tuple[Version, ...] = ("stu3", "r4")


def bodies(told: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Where each body stands that goes in, or comes out when all is well; its media type, and what is said of it."""
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            sides = {status: answer for status, answer in operation["responses"].items() if status[0] == "2"}
            for side, body in {"in": operation.get("requestBody", {}), **sides}.items():
                for media, content in body.get("content", {}).items():
                    yield f"{method} {path} {side}", media, content


def shown(content: dict[str, Any], told: dict[str, Any]) -> list[Any]:
    """The values of the examples of a body."""
    named = [one["$ref"].rpartition("/")[2] for one in content.get("examples", {}).values()]
    return [told["components"]["examples"][name]["value"] for name in named] + (
        [content["example"]] if "example" in content else []
    )


@pytest.mark.parametrize("listener", LISTS)
def test_every_body_has_an_example_in_one_of_its_forms(listener: str) -> None:
    told = made(listener)
    places: dict[str, bool] = {}
    for where, _, content in bodies(told):
        places[where] = places.get(where, False) or bool(shown(content, told))
    assert len(places) > 20
    assert [where for where, has in places.items() if not has] == []


@pytest.mark.parametrize("listener", LISTS)
def test_every_example_is_as_its_schema_says(listener: str) -> None:
    told = made(listener)
    for where, media, content in bodies(told):
        schema = {**content["schema"], "components": told["components"]}
        if "json" not in media and media != "application/x-www-form-urlencoded":
            assert all(isinstance(one, str) and one for one in shown(content, told)), (where, media)
            continue
        for value in shown(content, told):
            assert orjson.loads(orjson.dumps(value)) == value
            faults = [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(value)]
            assert faults == [], (where, media)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FHIR)
def test_every_fhir_example_is_a_sound_resource(name: str, version: Version) -> None:
    if name in (R4_ONLY if version == "stu3" else STU3_ONLY):
        return
    resource = json.parse(orjson.dumps(FHIR[name]))
    assert [
        (issue.message, issue.expression) for issue in structure.check(resource, definitions(version))
    ] == []


def test_every_fhir_example_is_used() -> None:
    used = {
        name
        for listener in LISTS
        for _, _, content in bodies(made(listener))
        for name in content.get("examples", {})
    }
    assert used == set(FHIR)


def test_every_body_that_is_written_out_stands_somewhere() -> None:
    places = {where for listener in LISTS for where, _, _ in bodies(made(listener))}
    for method, path, side in samples.WHOLE:
        assert any(
            where.startswith(f"{method.lower()} {path} ") and where.endswith(" in") == (side == "in")
            for where in places
        ), (method, path, side)


def test_an_example_is_about_what_its_operation_takes() -> None:
    paths = made("front")["paths"]
    at = "/{organisation}/fhir/stu3/{type}"
    assert set(paths[at]["post"]["requestBody"]["content"]["application/fhir+json"]["examples"]) == {"Task"}
    assert set(paths[at]["get"]["responses"]["200"]["content"]["application/fhir+json"]["examples"]) == {
        "PatientFound"
    }


def test_what_we_read_with_more_than_a_schema_takes_its_example() -> None:
    told = made("internal")["paths"]

    def sent(path: str) -> bytes:
        return orjson.dumps(told[path]["post"]["requestBody"]["content"]["application/json"]["example"])

    assert wire.read(sent("/{organisation}/roadmap/runs")).members
    assert reading.read(sent("/{organisation}/roadmap/versions")).version == "2026-1"
    [choice] = choices_in(FHIR["Choices"], "90000001")
    assert choice.permitted
