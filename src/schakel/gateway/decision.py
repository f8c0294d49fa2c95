"""One decision of the guarded door, from the first check to the object that is stored with the log.

The object is JSON and holds what was decided on: who asked (what the token says, never the token), the interaction as
it was judged, the row, the facts, the ground, the policy by its digest, the verdict, each check with its time, and
what was shown and held back. `replay` decides again from it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from schakel.fhir.search import encode
from schakel.gateway.minimise import Minimised
from schakel.gateway.naming import only_bsn, parameters
from schakel.gateway.parts import Call
from schakel.generic.authorisation import Facts, Row, Verdict
from schakel.generic.consent import Permission
from schakel.generic.identity import Caller, Grant, TokenElsewhereError
from schakel.generic.logging import Event
from schakel.generic.logging.events import Action
from schakel.generic.logging.events import Outcome as LogOutcome
from schakel.kernel import trace
from schakel.kernel.clock import instant, new_id, now
from schakel.server import Interaction, Request
from schakel.server.answer import search_path

FORM = 1
"""The version of the stored object."""

MOST_LOGGED = 4000
"""Characters of a request that the log keeps; an accepted one is always shorter."""

_ACTIONS: dict[str, Action] = {"read": "R", "create": "C", "update": "U"}


@dataclass(frozen=True, slots=True)
class Holder:
    """The organisation at whose door is asked."""

    ura: str
    name: str


@dataclass(slots=True)
class Decision:
    """What has been decided so far about one request. `shown` are versions as Type/id/_history/n, `held` what was
    held back with the reason. `named` says that the one who asks may be told of faults again, since what was asked
    about is theirs to see. `since` is when the check that comes next began (`time.perf_counter`)."""

    holder: Holder
    caller: Caller
    grant: Grant
    request: Request
    base: str
    id: str = field(default_factory=new_id)
    interaction: Interaction | None = None
    row: Row | None = None
    patient: str = ""
    facts: Facts | None = None
    permission: Permission | None = None
    verdict: Verdict | None = None
    policy: str = ""
    task: str = ""
    emergency: str = ""
    shown: tuple[str, ...] = ()
    held: tuple[tuple[str, str], ...] = ()
    named: bool = False
    checks: list[tuple[str, float]] = field(default_factory=list)
    since: float = field(default_factory=time.perf_counter)

    @property
    def about(self) -> str:
        """The BSN of the patient in whose log it stands: of the one whose data are asked or, while that is not settled,
        of the one whom the request names. What the caller is told depends on `patient` alone."""
        return self.patient or only_bsn(self.request, self.interaction)

    def check(self, name: str) -> None:
        """Writes down that a check was made, and the milliseconds since the one before."""
        moment = time.perf_counter()
        self.checks.append((name, round((moment - self.since) * 1000, 3)))
        self.since = moment

    def kept(self, kept: Minimised, written: tuple[str, ...]) -> None:
        """What is shown or written, and what is held back."""
        self.shown = tuple(
            f"{i.key}/_history/{i.resource.get('meta', {}).get('versionId', '')}" for i in kept.released
        )
        self.shown += written
        self.held = tuple((d.key, d.reason) for d in kept.dropped)

    def json(self, outcome: LogOutcome, reason: str = "") -> bytes:
        """The decision as it is stored."""
        told: dict[str, Any] = {
            "form": FORM,
            "id": self.id,
            "at": instant(now()),
            "holder": {"ura": self.holder.ura, "name": self.holder.name},
            "requester": self._requester(),
            "asked": self._asked(),
            "patient": self.about,
            "row": self._row(),
            "facts": self.facts,
            "ground": self._ground(),
            "task": self.task,
            "emergency": self.emergency,
            "policy": self.policy,
            "verdict": self.verdict,
            "outcome": outcome,
            "reason": reason,
            "checks": [{"name": name, "milliseconds": spent} for name, spent in self.checks],
            "shown": list(self.shown),
            "held_back": [{"resource": key, "why": why} for key, why in self.held],
        }
        return orjson.dumps(told, default=dict)  # Which is for mappings of another kind.

    def event(self, outcome: LogOutcome, reason: str = "") -> Event:
        """The decision as an event of the log."""
        grant, kind = self.grant, self.interaction.kind if self.interaction else "read"
        checks, asked = [name for name, _ in self.checks], trace.current()
        if self.held:
            checks.append(f"held back: {', '.join(f'{key}: {why}' for key, why in self.held)}")
        return Event(
            subtype=_subtype(self.interaction),
            action="C" if self.row and self.row.interaction == "transaction" else _ACTIONS.get(kind, "E"),
            outcome=outcome,
            reason=reason,
            explanation=self.emergency,
            decision=self.id,
            requester=grant.requester,
            requester_name=grant.requester_name,
            holder=self.holder.ura,
            holder_name=self.holder.name,
            user=grant.user,
            assurance=grant.assurance,
            purpose=self.facts.purpose if self.facts else grant.purpose,
            treatment_relation=grant.treatment_relation,
            patient=self.about,
            query=request_line(self.request),
            request_id=self.caller.request_id,
            token=grant.jti,
            ground=self.permission.id if self.permission else "",
            ground_kind=self.permission.kind if self.permission else "",
            rule=self.row.id if self.row else "",
            policy=self.policy,
            checks=tuple(checks),
            network_address=self.caller.network_address,
            holder_address=self.base,
            resources=self.shown,
            trace=asked.parent if asked else "",
            correlation=asked.correlation if asked else "",
        )

    def emergency_begun(self, permission: Permission) -> Event:
        """Access in an emergency, as an event of its own beside that of the request: it must not go unseen."""
        return replace(
            self.event("0"),
            subtype="break-glass",
            action="E",
            ground=permission.id,
            ground_kind=permission.kind,
        )

    def _requester(self) -> dict[str, Any]:
        grant = self.grant
        return {
            "ura": grant.requester,
            "name": grant.requester_name,
            "user": grant.user.json() if grant.user else None,
            "scope": grant.scope,
            "purpose": grant.purpose,
            "treatment_relation": grant.treatment_relation,
            "facility_type": grant.facility_type,
            "assurance": grant.assurance,
            "client_id": grant.client_id,
            "grant_type": grant.grant_type,
            "claims": dict(grant.claims),
            "bound": bool(grant.jkt or grant.x5t),
            "token": grant.jti,
            "token_patient": grant.patient,
        }

    def _asked(self) -> dict[str, Any]:
        """The interaction as it was judged; of a page the search that made it. Without one, the request alone."""
        asked: dict[str, Any] = {"line": request_line(self.request), "version": self.request.version}
        judged = self.interaction
        if judged is None:
            return asked
        asked |= {
            "interaction": judged.kind,
            "type": judged.type,
            "id": judged.id,
            "operation": judged.operation,
        }
        if judged.query is not None:
            asked |= {"path": search_path(judged.query), "query": encode(judged.query.raw)}
        return asked

    def _row(self) -> dict[str, str] | None:
        row = self.row
        if row is None:
            return None
        members = ("id", "exchange", "category", "title", "source", "link")
        return {name: str(getattr(row, name)) for name in members}

    def _ground(self) -> dict[str, str] | None:
        given = self.permission
        if given is None:
            return None
        return {
            "id": given.id,
            "kind": given.kind,
            "source": given.source,
            "explanation": given.explanation,
            "recorded": instant(given.recorded),
            "link": given.link,
        }


def token_refused(holder: Holder, call: Call, base: str, refused: TokenElsewhereError) -> Event:
    """A token that was shown by somebody who did not prove that it is theirs, as an event: whose it is and how it was
    shown. Whom the request names does not stand in it, since nobody knows who named them."""
    grant, asked = refused.grant, trace.current()
    return Event(
        subtype="token",
        action="E",
        outcome="4",
        reason=refused.kind,
        explanation=refused.message,
        requester=grant.requester,
        requester_name=grant.requester_name,
        holder=holder.ura,
        holder_name=holder.name,
        patient=grant.patient,
        query=request_line(replace(call.request, query="", body=b"")),
        request_id=call.caller.request_id,
        token=grant.jti,
        network_address=call.caller.network_address,
        holder_address=base,
        trace=asked.parent if asked else "",
        correlation=asked.correlation if asked else "",
    )


def _subtype(interaction: Interaction | None) -> str:
    """The kind of an interaction as the log names it."""
    match interaction.kind if interaction else "":
        case "search" | "":
            return "search-type"
        case "history":
            return "history-instance"
        case "search-compartment":
            return "search-type"
        case kind:
            return kind


def request_line(request: Request) -> str:
    """The request as it was made; the form of a search is shown as the query it stands for."""
    text = parameters(request)
    line = f"{request.method} {request.path}?{text}" if text else f"{request.method} {request.path}"
    return line if len(line) <= MOST_LOGGED else f"{line[:MOST_LOGGED]}..."
