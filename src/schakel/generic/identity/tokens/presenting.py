"""What the token endpoint needs of presentations: their definitions by scope, and their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol


class Definition(Protocol):
    """A presentation definition (DIF Presentation Exchange 2): which credentials prove what a scope needs."""

    @property
    def id(self) -> str: ...

    def json(self) -> Mapping[str, Any]:
        """As it is published."""


class Credential(Protocol):
    """A verified credential in a presentation. Moments are in seconds since 1970, `expires` None without an end;
    `fields` are the values it proved, by field id of the definition."""

    @property
    def subject(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def issued(self) -> float: ...
    @property
    def expires(self) -> float | None: ...
    @property
    def fields(self) -> Mapping[str, str]: ...


class Presented(Protocol):
    """A verified presentation: who holds it, its two ids, its end (seconds since 1970), and what it proved."""

    @property
    def holder(self) -> str: ...
    @property
    def jti(self) -> str: ...
    @property
    def nonce(self) -> str: ...
    @property
    def expires(self) -> float: ...
    @property
    def fields(self) -> Mapping[str, str]: ...
    @property
    def credentials(self) -> Sequence[Credential]: ...
    @property
    def assurance(self) -> str:
        """The level at which its user proved who they are; '' when only the organisation vouches."""


class Presentations(Protocol):
    """Verifies presentations for one organisation."""

    def definition(self, scope: str) -> Definition | None:
        """What an organisation must present for `scope`; None when no presentation can open it."""

    def vendor_definition(self, scope: str) -> Definition | None:
        """What its vendor must present beside it, in a client assertion."""

    async def verify(
        self, text: str, *, audience: str, moment: datetime, definition: Definition, submission: str | None
    ) -> Presented:
        """The presentation in the JWT `text`, which satisfies `definition`. Raises `OAuthError`."""
