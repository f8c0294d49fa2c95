"""What the tester asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schakel.conformance.api_requirements.answers import Declared
from schakel.conformance.api_requirements.model import Standard
from schakel.conformance.client import Headers


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What the tester asks.

    `url` is the base of the API, `standard` the level of standardisation that is asked of it. `docs`, `openapi` and
    `oauth` are the address of its documentation, of its OpenAPI document (JSON) and its OAuth issuer, '' when not
    given. `answers` is what people declare, by key. `headers` go with every request to the origin of `url`. Nothing is
    written at the endpoint without `writes`. `seconds` is the time-out of one request.
    """

    url: str
    standard: Standard = Standard.OPEN
    docs: str = ""
    openapi: str = ""
    oauth: str = ""
    answers: Mapping[str, Declared] = field(default_factory=dict)
    headers: Headers = ()
    cacert: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    writes: bool = False
    seconds: float = 30.0
