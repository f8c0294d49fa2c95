"""What the tester asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aiohttp.abc import AbstractResolver
from yarl import URL

from schakel.conformance.api_requirements.answers import Declared
from schakel.conformance.api_requirements.model import Standard
from schakel.conformance.client import Headers


class Reaching(Protocol):
    """How far an address may lead that the tester did not name."""

    def check(self, address: URL) -> None:
        """Raises `OSError` for an address that may not be asked whatever its name leads to."""

    def resolver(self) -> AbstractResolver:
        """Looks up names, and leaves out what may not be asked."""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What the tester asks.

    `url` is the base of the API, `standard` the level of standardisation that is asked of it. `docs`, `openapi` and
    `oauth` are the address of its documentation, of its OpenAPI document (JSON) and its OAuth issuer, '' when not
    given. `answers` is what people declare, by key. `headers` go with every request to the origin of `url`. Nothing is
    written at the endpoint without `writes`. `seconds` is the time-out of one request. An address that the peer names
    (a redirect, what the metadata of the issuer say) leads no further than `reach`; anywhere when it is None.
    """

    url: str
    standard: Standard = Standard.OPEN
    docs: str = ""
    openapi: str = ""
    oauth: str = ""
    answers: Mapping[str, Declared] = field(default_factory=dict)
    headers: Headers = ()
    cacerts: tuple[Path, ...] = ()
    cert: Path | None = None
    key: Path | None = None
    writes: bool = False
    seconds: float = 30.0
    reach: Reaching | None = None
