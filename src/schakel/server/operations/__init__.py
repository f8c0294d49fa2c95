"""The operations of the server. `OPERATIONS` is the one list: what no row names is refused, at every door.

To add one: write `async def run(service, call) -> Answer` in a module of this package and give it a row here. The
parser, the CapabilityStatement and the service read the row; the guarded doors refuse every operation but those that
are a search, which they judge.
"""

from __future__ import annotations

from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import NotSupported
from schakel.server.operations import document, everything, latest_stops, meta, purge, validate
from schakel.server.operations.registry import Call, Level, Operation

__all__ = ["OPERATIONS", "Call", "Operation", "operation_of"]

_BASE = "http://hl7.org/fhir/OperationDefinition"
_GET, _POST = frozenset({"GET"}), frozenset({"POST"})
_EVERY: frozenset[Level] = frozenset({"system", "type", "instance"})
_INSTANCE: frozenset[Level] = frozenset({"instance"})

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "document",
        frozenset({"type", "instance"}),
        _GET | _POST,
        f"{_BASE}/Composition-document",
        document.run,
        types=frozenset({"Composition"}),
        takes=document.TAKES,
    ),
    Operation(
        "everything",
        frozenset({"type", "instance"}),
        _GET | _POST,
        f"{_BASE}/Patient-everything",
        everything.run,
        types=frozenset({"Patient"}),
        takes=everything.OF_PATIENT,
    ),
    Operation(
        "everything",
        _INSTANCE,
        _GET | _POST,
        f"{_BASE}/Encounter-everything",
        everything.run,
        types=frozenset({"Encounter"}),
        takes=everything.OF_ENCOUNTER,
    ),
    Operation(
        "lastn", frozenset({"type"}), _GET, f"{_BASE}/Observation-lastn", types=frozenset({"Observation"})
    ),
    Operation(
        "latest-stops",
        frozenset({"system", "type"}),
        _POST,
        "http://nictiz.nl/fhir/OperationDefinition/mp-latest-stops",
        latest_stops.run,
        types=latest_stops.TYPES,
        versions=frozenset({"r4"}),
        takes=latest_stops.TAKES,
    ),
    Operation("meta", _EVERY, _GET | _POST, f"{_BASE}/Resource-meta", meta.read),
    Operation("meta-add", _INSTANCE, _POST, f"{_BASE}/Resource-meta-add", meta.add),
    Operation("meta-delete", _INSTANCE, _POST, f"{_BASE}/Resource-meta-delete", meta.delete),
    Operation(
        "purge",
        _INSTANCE,
        _POST,
        f"{_BASE}/Patient-purge",
        purge.run,
        types=frozenset({"Patient"}),
        offered=purge.offered,
    ),
    Operation(
        "validate", _EVERY, _GET | _POST, f"{_BASE}/Resource-validate", validate.run, takes=validate.TAKES
    ),
)


def operation_of(name: str, version: Version, kind: str, instance: str) -> Operation:
    """The operation `name` on the system (no type), a type (no instance) or an instance. Raises `NotSupported`."""
    level: Level = "instance" if instance else "type" if kind else "system"
    for operation in OPERATIONS:
        if operation.name == name and operation.on(level, version, kind):
            return operation
    where = {"system": "the whole system", "type": kind, "instance": "a resource"}[level]
    raise NotSupported(f"${name[:40]} on {where} is not supported", expression=f"${name[:40]}")
