"""Fetch the BgZ of one patient from several holders and assemble it with its provenance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from schakel.exchanges.bgz.requests import requests_for
from schakel.fhir import json
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource, dump
from schakel.generic.addressing import ConfiguredDirectory
from schakel.generic.identity import Errand, User
from schakel.generic.identity.model import check_code
from schakel.generic.logging import AuditLog, Event
from schakel.generic.logging.events import Outcome as LogOutcome
from schakel.kernel.clock import instant, new_id, now
from schakel.kernel.outcomes import Invalid, NotFound, Outcome, naming
from schakel.kernel.values import URA_SYSTEM, Bsn, Ura
from schakel.network import HolderResult, Peers, RequestResult, TokenAsker, fetch_holder
from schakel.network.fetch import Status, overall
from schakel.network.peers import PeerRefused

MAX_HOLDERS = 50
_VERSION: Version = "stu3"
_SCOPE = "bgz"
_log = structlog.get_logger("schakel.exchanges")
_OUTCOMES: dict[Status, LogOutcome] = {"complete": "0", "incomplete": "4", "refused": "4", "failed": "8"}


@dataclass(frozen=True, slots=True)
class Who:
    """The professional on whose behalf is asked. `assurance` is the level at which they proved who they are ('' when
    only the EHR says so), `credentials` are what proves it to others."""

    user: User
    assurance: str = ""
    credentials: tuple[Mapping[str, Any], ...] = ()


LoggedIn = Callable[[str], Awaitable[Who]]
"""Tells who is logged in under an id. Raises `Outcome`."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What the EHR asks: whose BgZ, from whom, for which professional and why."""

    patient: Bsn
    holders: tuple[Ura, ...]
    who: Who
    purpose: str
    treatment_relation: str


async def parse_ask(body: bytes, logged_in: LoggedIn) -> Ask:
    """The ask in a JSON body `{patient, holders: [ura], user: {id, name, role, responsible?, responsible_role?},
    purpose, treatment_relation}`, or with `login`, the id of a login, for `user`. Raises `Invalid` naming the member,
    and what `logged_in` raises."""
    table = json.parse(body, max_depth=8)
    if unknown := sorted(
        set(table) - {"patient", "holders", "user", "login", "purpose", "treatment_relation"}
    ):
        raise Invalid(f"unknown member {unknown[0][:60]!r}", expression=unknown[0][:60])
    holders = table.get("holders")
    if not isinstance(holders, list) or not 1 <= len(holders) <= MAX_HOLDERS:
        raise Invalid(f"holders is a list of 1 to {MAX_HOLDERS} URA numbers", expression="holders")
    with naming("patient"):
        patient = Bsn(_text(table.get("patient")))
    with naming("holders"):
        uras = tuple(dict.fromkeys(Ura(_text(holder)) for holder in holders))
    if "login" in table and "user" in table:
        raise Invalid("give either user or login", expression="login")
    user = None if "login" in table else User.parse(table.get("user"))
    purpose, relation = (check_code(table.get(name), name) for name in ("purpose", "treatment_relation"))
    who = Who(user) if user is not None else await logged_in(check_code(table["login"], "login"))
    return Ask(patient, uras, who, purpose, relation)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid("a text is needed")
    return value


class BgzExchange:
    """The asking side for one organisation."""

    def __init__(
        self,
        *,
        ura: str,
        name: str,
        directory: ConfiguredDirectory,
        asker: TokenAsker,
        peers: Peers,
        log: AuditLog,
        timeout: float,
        address: str,
    ) -> None:
        self._ura = ura
        self._name = name
        self._directory = directory
        self._asker = asker
        self._peers = peers
        self._log = log
        self._timeout = timeout
        self._address = address

    async def fetch(self, ask: Ask) -> bytes:
        """JSON `{id, status, bundle, holders}`; durable in our own log before it is returned. Nothing is stored."""
        exchange = new_id()
        results = await asyncio.gather(*(self._from_holder(ask, ura, exchange) for ura in ask.holders))
        await asyncio.gather(*(self._log.write(self._event(ask, exchange, r)) for r in results))
        body = {
            "id": exchange,
            "status": overall([r.status for r in results]),
            "bundle": self._bundle(exchange, results),
            "holders": [
                {
                    "ura": r.ura,
                    "status": r.status,
                    "reason": r.reason,
                    "requests": [q.report() for q in r.requests],
                }
                for r in results
            ],
        }
        return dump(body)

    async def _from_holder(self, ask: Ask, ura: str, exchange: str) -> HolderResult:
        """What one holder brought. Whatever goes wrong with it is its own failure and hides no other."""
        queries = requests_for(ask.patient)
        try:
            return await self._asked(ask, ura, exchange, queries)
        except Exception as error:
            _log.error("holder", kind=type(error).__name__)
            return _none(ura, queries, "failed", "what this holder answered could not be processed")

    async def _asked(self, ask: Ask, ura: str, exchange: str, queries: list[str]) -> HolderResult:
        until = time.monotonic() + self._timeout
        try:
            async with asyncio.timeout(self._timeout):
                address = self._directory.find(ura)
                base = address.fhir.get(_VERSION)
                if base is None:
                    return _none(ura, queries, "failed", "the directory has no STU3 address of this holder")
                errand = Errand(
                    _SCOPE, ask.who.user, ask.purpose, ask.treatment_relation, ask.who.credentials
                )
                token = await self._asker.token(
                    ura, address.issuer, address.token_endpoint, errand, address.metadata
                )
        except PeerRefused as refused:
            return _none(ura, queries, "refused", refused.message)
        except TimeoutError:
            return _none(ura, queries, "failed", "no token in time")
        except Outcome as outcome:
            return _none(ura, queries, "failed", outcome.message)
        return await fetch_holder(
            self._peers,
            ura=ura,
            base=base,
            token=token,
            version=_VERSION,
            queries=queries,
            patient=ask.patient,
            request_id=exchange,
            timeout=max(until - time.monotonic(), 0.0),
        )

    def _bundle(self, exchange: str, results: Sequence[HolderResult]) -> dict[str, Any]:
        entries: list[dict[str, Any]] = []
        for result in results:
            if not result.resources:
                continue
            entries += [{"fullUrl": url, "resource": r} for url, r in result.resources.items()]
            entries.append(self._provenance(result))
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "id": exchange,
            "meta": {"lastUpdated": instant(now())},
            "type": "collection",
        }
        if entries:
            bundle["entry"] = entries
        return bundle

    def _provenance(self, result: HolderResult) -> dict[str, Any]:
        """Where and when everything of one holder came from (Provenance STU3)."""
        own = new_id()
        holder: Resource = {
            "identifier": {"system": URA_SYSTEM, "value": result.ura},
            "display": self._directory.find(result.ura).name,
        }
        return {
            "fullUrl": f"urn:uuid:{own}",
            "resource": {
                "resourceType": "Provenance",
                "id": own,
                "target": [{"reference": url} for url in result.resources],
                "recorded": instant(now()),
                "activity": {
                    "system": "http://hl7.org/fhir/v3/DataOperation",
                    "code": "CREATE",
                    "display": "create",
                },
                "agent": [
                    {
                        "role": [
                            {
                                "coding": [
                                    {
                                        "system": "http://hl7.org/fhir/provenance-participant-role",
                                        "code": "custodian",
                                        "display": "Custodian",
                                    }
                                ]
                            }
                        ],
                        "whoReference": holder,
                    }
                ],
            },
        }

    def _base_of(self, ura: str) -> str:
        try:
            return self._directory.find(ura).fhir.get(_VERSION, "")
        except NotFound:
            return ""

    def _event(self, ask: Ask, exchange: str, result: HolderResult) -> Event:
        return Event(
            subtype="exchange",
            action="C",
            outcome=_OUTCOMES[result.status],
            reason=result.status if result.status != "complete" else "",
            decision=exchange,
            requester=self._ura,
            requester_name=self._name,
            holder=result.ura,
            user=ask.who.user,
            assurance=ask.who.assurance,
            purpose=ask.purpose,
            treatment_relation=ask.treatment_relation,
            patient=ask.patient,
            query="fetch BgZ",
            network_address=self._address,
            holder_address=self._base_of(result.ura),
            request_id=exchange,
            view="recipient",
            resources=tuple(_version(r) for r in result.resources.values()),
        )


def _none(ura: str, queries: Sequence[str], status: Status, reason: str) -> HolderResult:
    requests = [RequestResult(n, q, status, reason=reason) for n, q in enumerate(queries, 1)]
    return HolderResult(ura, status, requests, reason=reason)


def _version(resource: Resource) -> str:
    """`Type/id/_history/version`, as far as the holder told it."""
    meta = resource.get("meta")
    number = meta.get("versionId") if isinstance(meta, dict) else None
    key = f"{resource['resourceType']}/{resource['id']}"
    return f"{key}/_history/{number}" if isinstance(number, str) else key
