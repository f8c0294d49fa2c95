"""Operators and the facilities of the asking side, with a middleman on every way between them.

    async with ways(country, country.operator, OPERATOR) as way:
        await central(country, way, known={HOLDER: "V6"})
        settings = country.settings(**way.sections())
        way.between["nvi"].behave = slow()

Each operator is known by a certificate of its own, and has middlemen of its own, who ask with that certificate.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from tests.certificates import Files
from tests.fault.processes import KEY, toml
from tests.middleman import Behaviour, Middleman, Passing, hangs_up, middleman, passes
from tests.nation import HOLDER, INDEX, REFERRAL_SCOPE, REQUESTER, Nation
from tests.nodes import free_ports
from tests.referring import SOURCE

from schakel.generic.addressing.own.codes import ORGANISATION_TYPE
from schakel.generic.identity.keys import read_key
from schakel.kernel.values import URA_SYSTEM

FACILITIES = ("minvws-oauth", "prs", "nvi", "lrza")
RULES = [{"ground": "law", "categories": ["Condition"], "start": "2026-01-01"}]
PLACE = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "HOSP"}
DIRECTORY = "lrza"
"""What a node calls the central directory."""


@dataclass(frozen=True)
class Way:
    """The middlemen of an operator by facility; `shown` is the certificate by which the facilities know it, `oin` the
    number in that."""

    country: Nation
    shown: Files
    oin: str
    between: Mapping[str, Middleman]

    def at(self, name: str) -> str:
        """The address of the middleman before a facility."""
        return f"http://127.0.0.1:{self.between[name].port}"

    @property
    def pair(self) -> dict[str, str]:
        """The settings of the certificate."""
        return {"certificate": str(self.shown.certificate), "key": str(self.shown.key)}

    def sections(self, seconds: float = 2.5, interval: float = 1, **addressing: Any) -> dict[str, Any]:
        """Settings of a node that asks the PRS and the NVI, follows the directory every `interval` seconds, and
        publishes there what its organisations say; an answer may take `seconds`."""
        shown = {**self.pair, "ca": [str(self.country.anchors)]}
        endpoint = f"{self.at('minvws-oauth')}/oauth/token"
        central = {"base": f"{self.at('lrza')}/fhir", "seconds": seconds}
        return {
            "prs": {
                "base": self.at("prs"),
                "recipient": f"oin:{INDEX}",
                "scope": REFERRAL_SCOPE,
                "seconds": seconds,
                "oauth": {
                    "endpoint": endpoint,
                    "organisation": self.oin,
                    "audience": self.country.referral("prs"),
                },
                **shown,
            },
            "nvi": {
                "base": f"{self.at('nvi')}/fhir",
                "source": SOURCE,
                "seconds": seconds,
                "oauth": {
                    "endpoint": endpoint,
                    "source": SOURCE,
                    "audience": self.country.referral("nvi"),
                },
                **shown,
            },
            "addressing": {
                "sources": [{"name": DIRECTORY, "kind": "central", **central, "interval_seconds": interval}],
                "publication": {**central, "every_seconds": 0.3},
                **addressing,
            },
        }

    def heal(self) -> None:
        """Every middleman passes on what is said."""
        for one in self.between.values():
            one.behave = passes


@asynccontextmanager
async def ways(country: Nation, shown: Files, oin: str) -> AsyncIterator[Way]:
    """The middlemen of an operator. The facilities behind `Nation.refer` are there already; `central` starts the
    LRZa."""
    async with AsyncExitStack() as stack:
        between: dict[str, Middleman] = {}
        for name in FACILITIES:
            between[name] = await stack.enter_async_context(middleman(None, asking_as(country, shown)))
            if name != "lrza":
                between[name].target = country.referral(name)
        yield Way(country, shown, oin, between)


def asking_as(country: Nation, shown: Files) -> ssl.SSLContext:
    """What asks with this certificate."""
    context = ssl.create_default_context(cafile=str(country.anchors))
    context.load_cert_chain(*shown.pair)
    return context


async def central(
    country: Nation,
    reader: Way,
    *others: Way,
    known: Mapping[str, str],
    parties: Mapping[str, str],
    page_size: int = 3,
) -> None:
    """Starts the LRZa, which gives the address of the middleman of `reader` as its own. It knows the organisations
    `known` (type by URA) before they tell it anything; `parties` says for which of them (URA) the certificate with an
    OIN writes."""
    told = {
        "seed": "lrza.ndjson",
        "page_size": page_size,
        "parties": [{"certificate": oin, "ura": ura} for ura, oin in parties.items()],
    }
    (country.folder / "lrza.toml").write_text(toml(told))
    lines = [orjson.dumps(organisation(ura, kind)) for ura, kind in known.items()]
    (country.folder / "lrza.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    country.central = reader.between["lrza"]
    [country.ports["lrza"]] = free_ports(1)
    await country.start("lrza")
    for other in others:
        other.between["lrza"].target = country.central.target


def organisation(ura: str, kind: str = "V6") -> dict[str, Any]:
    """An organisation as a directory knows it before it told anything."""
    coding = {"system": ORGANISATION_TYPE, "code": kind}
    return {
        "resourceType": "Organization",
        "id": f"organisation-{ura}",
        "identifier": [{"system": URA_SYSTEM, "value": ura}],
        "active": True,
        "type": [{"coding": [coding]}],
        "name": f"Organisation {ura}",
    }


def holding(country: Nation, way: Way, port: int, address: str) -> dict[str, Any]:
    """Settings of the node of HOLDER, whose back listener is on `port` and known at `address`."""
    public = read_key(country.folder / "gp.jwk").as_dict(private=False)
    asker = {"ura": REQUESTER, "name": "Huisartsen Oost", "type_code": "Z3", "jwks": {"keys": [public]}}
    organisation = {
        "slug": "noord",
        "ura": HOLDER,
        "name": "Ziekenhuis Noord",
        "type_code": "V6",
        "internal_key": KEY,
        "signing_key": "noord.jwk",
        "write_check": "lenient",
        "registrations": RULES,
        "entries": {
            "publish": True,
            "locations": [{"key": "main", "name": "Hoofdgebouw", "type": [PLACE]}],
        },
    }
    settings = country.settings(
        back={"port": port, "public_url": address},
        organisations=[organisation],
        directory=[asker],
        **way.sections(sources=[]),
    )
    del settings["mitz"], settings["dezi"]
    return settings


def asking_by(country: Nation, way: Way) -> dict[str, Any]:
    """Settings of the node of REQUESTER, which asks."""
    shown = country.requester.certificate
    organisation = {
        "slug": "zuid",
        "ura": REQUESTER,
        "name": "Huisartsen Oost",
        "type_code": "Z3",
        "internal_key": KEY,
        "signing_key": str(country.folder / "gp.jwk"),
        "tls_certificate": str(shown.certificate),
        "tls_key": str(shown.key),
    }
    return {
        "organisations": [organisation],
        "directory": [],
        "peer_ca": [str(country.anchors)],
        "trust": {"http_on_loopback": True},
        "source_timeout": 15,
        **way.sections(),
    }


def served(country: Nation) -> ssl.SSLContext:
    """What listens as the operator of the holder and wants a certificate."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*country.operator.pair)
    served.load_verify_locations(country.anchors)
    served.verify_mode = ssl.CERT_REQUIRED
    return served


class Gate:
    """Holds up requests with this method on their way, from the one on that is number `number`.

    async with Gate(between, "POST", after=True) as gate:
        await gate.reached()

    With `after` the facility has done what it was asked, and nobody heard of it. At the end of the block the connection
    of what was held up is gone, and whatever comes then passes.
    """

    def __init__(self, between: Middleman, method: str, *, after: bool = False, number: int = 1) -> None:
        self._between = between
        self._method = method
        self._after = after
        self._free = number - 1
        self._here, self._over = asyncio.Event(), asyncio.Event()
        self._before: Behaviour = between.behave

    async def __aenter__(self) -> Gate:
        self._before, self._between.behave = self._between.behave, self._behave
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._between.behave = self._before
        self._over.set()

    async def reached(self, seconds: float = 30) -> None:
        """Returns when the first that is held up is there."""
        await asyncio.wait_for(self._here.wait(), seconds)

    async def _behave(self, passing: Passing) -> web.StreamResponse:
        if passing.request.method != self._method:
            return await self._before(passing)
        if self._free:
            self._free -= 1
            return await self._before(passing)
        if self._after:
            await passing.passed()
        self._here.set()
        await self._over.wait()
        return await hangs_up(passing)
