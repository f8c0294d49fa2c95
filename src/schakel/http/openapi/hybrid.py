"""What goes in and out of the doors of the inventory of hybrid care; from the code of each handler."""

from __future__ import annotations

from schakel.http.openapi.parts import Json, body, parameter, ref, said, table, texts

_TEXT: Json = table(("nl", "en"), **texts("nl", "en"))
_COUNT: Json = {"type": "integer", "minimum": 0}
_DAY: Json = {"type": "string", "format": "date"}
_MOMENT: Json = {"type": ["string", "null"], "format": "date-time"}
_COUNTS: Json = {"type": "object", "additionalProperties": _COUNT}
_CODES: Json = {"type": "array", "items": {"type": "string"}}
_PEOPLE: Json = table(
    ("eligible", "excluded", "enrolled", "active", "now", "not_taking_part", "ended"),
    **dict.fromkeys(("eligible", "excluded", "enrolled", "active", "now"), _COUNT),
    not_taking_part=_COUNTS,
    ended=_COUNTS,
)
_FIGURE: Json = table(
    ("kpi", "name", "numerator", "numerator_is", "denominator", "denominator_is", "share", "targets"),
    **texts("kpi"),
    name=_TEXT,
    numerator=_COUNT,
    numerator_is=_TEXT,
    denominator={"type": ["integer", "null"]},
    denominator_is={"oneOf": [_TEXT, {"type": "null"}]},
    share={"type": ["number", "null"], "description": "null when there is nothing to count over."},
    targets={
        "type": "array",
        "items": table(
            ("value", "by", "legal", "certainty", "whose", "sectors"),
            value={"type": "number"},
            by=_TEXT,
            whose=_TEXT,
            sectors=_CODES,
            **texts("legal", "certainty"),
        ),
    },
)
_PART: Json = {"people": _PEOPLE, "figures": {"type": "array", "items": _FIGURE}}
_PATHWAY: Json = table(
    ("id", "name", "sector", "suitability", "hybrid", "hybrid_reason", "digitised", "layers", "people"),
    **texts("id", "name", "sector", "specialism", "condition", "zmsc", "decided_by", "reason"),
    intramural={"type": "boolean"},
    suitability={"enum": ["yes", "no", "undecided"]},
    decided_on=_DAY,
    hybrid={"type": "boolean"},
    hybrid_reason=_TEXT,
    basic=_CODES,
    care=_CODES,
    unlisted=_CODES,
    digitised={
        "type": "array",
        "items": table(
            ("code", "since", "source"),
            **texts("code", "source"),
            since={"type": ["string", "null"], "format": "date"},
        ),
    },
    layers={"type": "object", "additionalProperties": {"type": "string"}},
    digizo=table(("reference", "choice", "reason"), **texts("reference", "choice", "reason")),
    excludes=_CODES,
    indication=_CODES,
    plan=_CODES,
    people=_PEOPLE,
    counts={
        "type": "array",
        "description": "The last count of the record for each year, the newest first.",
        "items": table(
            ("year", "people", "at", "by", "rules_changed_since"),
            **texts("year", "by"),
            people=_COUNT,
            at={"type": "string", "format": "date-time"},
            rules_changed_since={"type": "boolean"},
        ),
    },
)

SCHEMAS: dict[str, Json] = {
    "HybridInventory": table(
        ("period", "definition", "blocks", "organisations"),
        period=table(("start", "end"), start=_DAY, end=_DAY),
        definition=_TEXT,
        blocks=table(("version",), **texts("version")),
        organisations={
            "type": "array",
            "items": table(
                ("ura", "name", "population", "people", "figures", "pathways"),
                **texts("ura", "name"),
                population={"type": ["integer", "null"]},
                **_PART,
                pathways={"type": "array", "items": _PATHWAY},
            ),
        },
        region=table(("people", "figures"), **_PART),
    ),
    "HybridBlocks": {
        "description": "The building blocks of hybrid care.",
        **table(
            ("version", "title", "blocks"),
            **texts("version"),
            title=_TEXT,
            open={"type": "array", "items": _TEXT},
            blocks={
                "type": "array",
                "minItems": 2,
                "items": table(
                    ("code", "group", "title", "about"),
                    **texts("code"),
                    group={"enum": ["basic", "care"]},
                    title=_TEXT,
                    about=_TEXT,
                    monitoring={"type": "boolean"},
                ),
            },
        ),
    },
}

_BASE = "/{organisation}/roadmap/hybrid"
_URA: Json = parameter(
    "ura", "query", "The organisation that it is about, when it is another (for keepers).", {"type": "string"}
)
_FILE: Json = body({"type": "string", "format": "binary"}, "text/csv", "application/json")
PATHWAY: Json = parameter("pathway", "path", "The id of a pathway.")

OPERATIONS: dict[tuple[str, str], Json] = {
    ("GET", _BASE): {
        "responses": {"200": said("The inventory and its figures.", schema=ref("HybridInventory"))}
    },
    ("POST", f"{_BASE}/pathways"): {
        "parameters": [
            _URA,
            parameter(
                "population", "query", "Patients of the organisation.", {"type": "integer", "minimum": 1}
            ),
        ],
        "requestBody": _FILE,
        "responses": {
            "200": said(
                "How many pathways were taken in, and how many decisions are new.",
                schema=table(("pathways", "decisions"), pathways=_COUNT, decisions=_COUNT),
            )
        },
    },
    ("DELETE", f"{_BASE}/pathways/{{pathway}}"): {
        "parameters": [_URA],
        "responses": {"204": {"description": "It is gone."}},
    },
    ("POST", f"{_BASE}/people"): {
        "parameters": [
            _URA,
            parameter(
                "counted",
                "query",
                "The year for which the record was counted, with `pathway`; replaces an earlier count of the two.",
                {"type": "string", "pattern": "^[0-9]{4}$"},
            ),
            parameter("pathway", "query", "The id of the pathway that was counted.", {"type": "string"}),
        ],
        "requestBody": _FILE,
        "responses": {
            "200": said(
                "How many rows were taken in. Of a count also how many rows of a file, other than exclusions, "
                "stand beside it.",
                schema=table(("people",), people=_COUNT, by_hand=_COUNT),
            )
        },
    },
    ("GET", f"{_BASE}/blocks"): {
        "responses": {"200": said("The building blocks.", schema=ref("HybridBlocks"))}
    },
    ("GET", f"{_BASE}/blocks/versions"): {
        "responses": {
            "200": said(
                "Every list that was in force, the present one first.",
                schema=table(
                    ("lists",),
                    lists={
                        "type": "array",
                        "items": table(
                            ("number", "since", "until", "by", "list"),
                            number=_COUNT,
                            since=_MOMENT,
                            until=_MOMENT,
                            list=ref("HybridBlocks"),
                            **texts("by"),
                        ),
                    },
                ),
            )
        }
    },
    ("POST", f"{_BASE}/blocks"): {
        "requestBody": body(ref("HybridBlocks")),
        "responses": {"200": said("They are in force.", schema=ref("HybridBlocks"))},
    },
}
