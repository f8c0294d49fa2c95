"""Search parameters of an organisation's own, for tests: a SearchParameter, and an extension that one reads."""

from __future__ import annotations

from typing import Any

from schakel.fhir.definitions import Version

EXTENSION = "urn:test:shoe"


def search_parameter(code: str = "shoe", **members: Any) -> dict[str, Any]:
    """An active SearchParameter on Patient that reads the extension; `members` replace its own, None takes away."""
    table = {
        "resourceType": "SearchParameter",
        "id": code,
        "url": f"http://example.org/SearchParameter/{code}",
        "name": code,
        "status": "active",
        "description": "What an organisation wants to search by.",
        "code": code,
        "base": ["Patient"],
        "type": "token",
        "expression": f"Patient.extension('{EXTENSION}').value",
        **members,
    }
    return {name: value for name, value in table.items() if value is not None}


def shoe(value: Any, kind: str = "valueCode") -> list[dict[str, Any]]:
    """The extension with a value."""
    return [{"url": EXTENSION, kind: value}]


VERSIONS: tuple[Version, ...] = ("stu3", "r4")
