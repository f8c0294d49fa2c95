"""What goes in and out of the doors of the board, by path and method; from the code of each handler."""

from __future__ import annotations

from schakel.http.openapi.parts import Json, body, parameter, ref, said, table, texts
from schakel.roadmap.wire import schema

_URA: Json = {"type": "string", "pattern": "^[0-9]{8}$", "examples": ["90000001"]}
_MOMENT: Json = {"type": "string", "format": "date-time"}
_MAYBE_MOMENT: Json = {"type": ["string", "null"], "format": "date-time"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_TEXT: Json = table(("nl", "en"), **texts("nl", "en"))
_STATE: Json = {
    "enum": [
        "proved",
        "declared",
        "partly",
        "self-measured",
        "stale",
        "unconfirmed",
        "unknown",
        "not-checked",
        "not-declared",
        "fails",
        "not-named",
        "not-applicable",
    ]
}
_FOUND: dict[str, Json] = {
    **texts("check", "verdict", "run"),
    "at": _MOMENT,
    "own": {"type": "boolean", "description": "the organisation said it of itself"},
}
"""What a check found; beside it may stand what was found otherwise and does not count."""
_IDS: Json = {"type": "array", "items": {"type": "string"}}
_RUN = schema()

SCHEMAS: dict[str, Json] = {
    **_RUN.pop("$defs"),
    "RoadmapRun": {**_RUN, "description": "A run, in the form that `schakel roadmap run` writes."},
    "RoadmapRunInfo": {
        "description": "A run without what was found; `whole` when it was about the region as a whole.",
        **table(
            ("id", "region", "roadmap", "by", "whole", "started", "finished", "members", "findings"),
            **texts("id", "region", "roadmap", "by"),
            sender=_MAYBE_TEXT,
            whole={"type": "boolean"},
            started=_MOMENT,
            finished=_MOMENT,
            members={"type": "integer"},
            findings={"type": "integer"},
        ),
    },
    "RoadmapCell": {
        "description": "How an organisation stands on an item, and on each of its steps.",
        **table(
            ("ura", "item", "state", "reason", "last_true", "steps"),
            ura=_URA,
            item={"type": "string"},
            state=_STATE,
            reason=_TEXT,
            last_true=_MAYBE_MOMENT,
            steps={
                "type": "array",
                "items": table(
                    ("id", "state", "reason", "last_true", "checks", "declaration"),
                    id={"type": "string"},
                    state=_STATE,
                    reason=_TEXT,
                    last_true=_MAYBE_MOMENT,
                    checks={
                        "type": "array",
                        "items": table(
                            (*_FOUND, "beside"),
                            **_FOUND,
                            beside={"oneOf": [table(tuple(_FOUND), **_FOUND), {"type": "null"}]},
                        ),
                    },
                    declaration=_MAYBE_TEXT,
                ),
            },
        ),
    },
    "RoadmapBoard": table(
        ("region", "roadmap", "revision", "moment", "last_run", "members", "cells"),
        **texts("region", "roadmap"),
        revision={"type": "integer"},
        moment=_MOMENT,
        last_run={"oneOf": [ref("RoadmapRunInfo"), {"type": "null"}]},
        members={
            "type": "array",
            "items": table(("ura", "name", "sector", "kind"), ura=_URA, **texts("name", "sector", "kind")),
        },
        cells={"type": "array", "items": ref("RoadmapCell")},
    ),
}

_BASE = "/{organisation}/roadmap"
_TAKEN = table(("id", "added"), id={"type": "string"}, added={"type": "boolean"})

OPERATIONS: dict[tuple[str, str], Json] = {
    ("GET", f"{_BASE}/runs"): {
        "parameters": [
            parameter("count", "query", "How many.", {"type": "integer", "minimum": 1, "maximum": 1000})
        ],
        "responses": {
            "200": said(
                "The runs, the last one first.",
                schema=table(("runs",), runs={"type": "array", "items": ref("RoadmapRunInfo")}),
            )
        },
    },
    ("POST", f"{_BASE}/runs"): {
        "parameters": [
            parameter(
                "about",
                "query",
                "`self` when a keeper speaks for itself alone; a keeper without it speaks for the region.",
                {"enum": ["region", "self"]},
            )
        ],
        "requestBody": body(ref("RoadmapRun")),
        "responses": {
            "200": said("It was there already.", schema=_TAKEN),
            "201": said("It is on the board.", schema=_TAKEN),
        },
    },
    ("GET", f"{_BASE}/versions"): {
        "responses": {
            "200": said(
                "The versions, the newest first.",
                schema=table(
                    ("versions",),
                    versions={
                        "type": "array",
                        "items": table(("version", "by", "at"), **texts("version", "by"), at=_MOMENT),
                    },
                ),
            )
        },
    },
    ("POST", f"{_BASE}/versions"): {
        "requestBody": body({"type": "object"}),
        "responses": {
            "200": said(
                "It is in force; how it differs from the one before.",
                schema=table(
                    ("version", "before", "changes"),
                    **texts("version", "before"),
                    changes={
                        "type": "array",
                        "items": table(
                            ("kind", "item", "words"),
                            kind={"enum": ["added", "gone", "changed"]},
                            item=_MAYBE_TEXT,
                            words=_TEXT,
                        ),
                    },
                ),
            )
        },
    },
    ("GET", f"{_BASE}/board"): {
        "parameters": [parameter("format", "query", "json when not given.", {"enum": ["json", "csv"]})],
        "responses": {
            "200": {
                "description": "Where everybody stands.",
                "content": {
                    "application/json": {"schema": ref("RoadmapBoard")},
                    "text/csv": {"schema": {"type": "string"}},
                },
            }
        },
    },
}
