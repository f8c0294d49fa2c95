"""Who asks: the headers that the verifier in front adds. Nothing a client sends itself comes this far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura
from schakel_national.nvi.outcomes import Refused, Unauthorised

CREATE, READ, DELETE, LOCALISE = "nvi:create", "nvi:read", "nvi:delete", "nvi:localize"
_SCOPES = (CREATE, READ, DELETE, LOCALISE)
_NEEDED = ("x-gf-act-sub", "x-gf-act-cn", "x-gf-sub", "x-gf-organization-name", "x-gf-audience", "x-gf-scope")


@dataclass(frozen=True, slots=True)
class Caller:
    """The organisation that asks; `source_id` is '' when its token is not for managing registrations."""

    ura: str
    scopes: tuple[str, ...]
    source_id: str

    @classmethod
    def read(cls, headers: Mapping[str, str], audience: str) -> Caller:
        """The caller of a request. Raises `Refused` (400 for what is missing or wrong, 401 for the audience)."""
        for name in _NEEDED:
            if name not in headers:
                raise _wrong(f"{name} is required for AuthHeaders")
        scopes = tuple(headers["x-gf-scope"].split())
        if not scopes:
            raise _wrong("x-gf-scope must hold at least one scope")
        for one in scopes:
            if one not in _SCOPES:
                raise _wrong(f"Invalid scope {one}: {one!r} is not a valid AuthorizationScope")
        try:
            ura = str(Ura(headers["x-gf-sub"]))
        except Invalid as error:
            raise _wrong(f"Invalid URA Number in header: {headers['x-gf-sub']}") from error
        if headers["x-gf-audience"] != audience:
            text = f"Invalid header property audience: unrecognized `{headers['x-gf-audience']}`"
            raise Refused(401, "invalid", text)
        return cls(ura, scopes, headers.get("x-gf-source-id", ""))

    def need(self, scope: str) -> None:
        """Raises `Unauthorised` without that scope."""
        if scope not in self.scopes:
            has = ", ".join(self.scopes)
            raise Unauthorised(f"{has} not authorized for requested action. required scope: `{scope}`")

    def manage(self) -> None:
        """Raises `Unauthorised` when its token is not for managing registrations."""
        if not self.source_id:
            raise Unauthorised("Unauthorized managing request, missing source_id in AuthenticationHeaders")


def _wrong(text: str) -> Refused:
    # The real one misspells the word; clients may have come to look for it.
    return Refused(400, "invalid", f"Inavalid Authorization Headers in request: {text}")
