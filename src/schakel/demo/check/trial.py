"""Who takes part in the check, and how they knock at each other's doors."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

import orjson

from schakel.demo import cast
from schakel.demo.doors import Client, Reply
from schakel.demo.stand_ins import ALLOWS, FORBIDS, switch
from schakel.exchanges.bgz import requests_for
from schakel.fhir.json import Resource, parse
from schakel.generic.identity import AssertionSigner, User
from schakel.kernel import tls
from schakel.kernel.values import BSN_SYSTEM

PURPOSE = "TREAT"
RELATION = "current"
_MOST_PAGES = 100
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class NotProved(Exception):
    """A comparison failed; the text says what was expected and what was found."""


def prove(fact: bool, otherwise: str) -> None:
    """Raises `NotProved` unless the fact holds."""
    if not fact:
        raise NotProved(otherwise)


def prove_equal(found: object, expected: object, what: str) -> None:
    """Raises `NotProved` unless both are equal."""
    prove(found == expected, f"{what}: {str(found)[:200]!r}, expected was {str(expected)[:200]!r}")


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation of the region with its doors and keys."""

    slug: str
    name: str
    ura: str
    operator: str
    front: str
    internal: str
    internal_key: str
    signing_key: Path
    back: str
    outside: Client
    """Requests to other organisations, with the party's certificate."""

    @property
    def issuer(self) -> str:
        return self.front

    @property
    def guarded(self) -> str:
        """The FHIR base for others."""
        return f"{self.back}/fhir/stu3"

    @property
    def own(self) -> str:
        """The FHIR base for its own EHR."""
        return f"{self.internal}/fhir/stu3"

    @property
    def log(self) -> str:
        return f"{self.internal}/log/fhir/r4/AuditEvent"


@dataclass
class Trial:
    """The check under way.

    `requester` asks; `holder` is one of those that are asked, on which the steps for a single one are done. `answer` is
    what the exchange with all holders gave, for the patient with this `bsn` and the professional of this `login`;
    `begun` is the moment before it.
    """

    client: Client
    parties: Mapping[str, Party]
    holder: Party
    requester: Party
    named: list[dict[str, Any]]
    folder: Path
    stand_ins: Mapping[str, str]
    anchors: Path
    answer: dict[str, Any] = field(default_factory=dict)
    bsn: str = ""
    login: str = ""
    begun: str = ""

    @classmethod
    @asynccontextmanager
    async def opened(cls, published: dict[str, Any], folder: Path) -> AsyncIterator[Trial]:
        """The check of the region that `demo.json` describes."""
        keys, pairs, anchors = published["test_keys"], published["certificates"], [Path(published["anchors"])]
        parties = {}
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(tls=tls.client(anchors, setting="")))
            for one in published["organisations"]:
                slug = one["slug"]
                certificate, key = (Path(pairs[slug][name]) for name in ("certificate", "key"))
                shown = tls.client(anchors, certificate, key, setting="")
                parties[slug] = Party(
                    slug,
                    one["name"],
                    one["ura"],
                    one["operator"],
                    one["front"],
                    one["internal"],
                    one["internal_key"],
                    Path(keys[slug]),
                    one["back"],
                    await stack.enter_async_context(Client(tls=shown)),
                )
            holder, requester = (parties[one.slug] for one in cast.HOSPITALS)
            stand_ins = {one["name"]: one["address"] for one in published["stand_ins"]}
            patients = published["patients"]
            yield cls(client, parties, holder, requester, patients, folder, stand_ins, anchors[0])

    @property
    def identifier(self) -> str:
        """The patient's BSN as a search value."""
        return f"{BSN_SYSTEM}|{self.bsn}"

    # -- the patients ----------------------------------------------------------------------------------------

    def chooser(self) -> str:
        """The BSN of the named patient who chose at Mitz that hospitals and GPs may ask for it all."""
        prove(len(self.named) >= ALLOWS, f"the region has fewer than {ALLOWS} named patients")
        return str(self.named[ALLOWS - 1]["bsn"])

    def known_at(self, bsn: str) -> list[Party]:
        """Those who have data of a named patient, the requester left out."""
        [slugs] = [one["known_at"] for one in self.named if one["bsn"] == bsn]
        return [self.parties[slug] for slug in slugs if slug != self.requester.slug]

    async def patient(self) -> str:
        """The BSN of a named patient with a ground for the requester. Raises `NotProved` without one."""
        for bsn in self._known():
            if await self.grounds(bsn, active=True):
                return bsn
        raise NotProved(f"no named patient has a ground at {self.holder.slug} for {self.requester.slug}")

    async def stranger(self) -> str:
        """The BSN of a named patient who never had a ground for the requester, and chose nothing at Mitz."""
        chose = {self.named[n - 1]["bsn"] for n in (ALLOWS, FORBIDS) if n <= len(self.named)}
        for bsn in self._known():
            if bsn not in chose and not await self.grounds(bsn, active=False):
                return bsn
        raise NotProved(f"every named patient has or had a ground for {self.requester.slug}")

    def _known(self) -> list[str]:
        return [p["bsn"] for p in self.named if self.holder.slug in p["known_at"]]

    async def grounds(self, bsn: str, *, active: bool, holder: Party | None = None) -> list[dict[str, Any]]:
        """The grounds that a holder (that of the check when None) has for the requester and this patient."""
        query = {"patient": bsn, "requester": self.requester.ura, "active": str(active).lower()}
        reply = await self.internal("GET", holder or self.holder, f"/grounds?{urlencode(query)}")
        prove_equal(reply.status, 200, f"listing grounds ({reply.said()})")
        found: list[dict[str, Any]] = reply.json()["grounds"]
        return found

    # -- the doors -------------------------------------------------------------------------------------------

    async def internal(self, method: str, party: Party, path: str, body: object = None) -> Reply:
        """A request of the party's own EHR, JSON when there is a body."""
        headers = {"X-API-Key": party.internal_key}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else orjson.dumps(body)
        return await self.client.send(method, f"{party.internal}{path}", headers=headers, data=data)

    async def fetch(
        self, requester: Party, bsn: str, login: str = "", holders: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """What the EHR of `requester` gets when it asks for the BgZ of a patient: at the holder of the check, at
        `holders` (URAs), or, when there are none, at whoever has it; for a professional who logged in (`login`) or else
        one whom the EHR names."""
        asked = [self.holder.ura] if holders is None else list(holders)
        return await self.exchanged(requester, self.question(requester, bsn, login, asked))

    async def exchanged(self, requester: Party, ask: Mapping[str, Any]) -> dict[str, Any]:
        """What the EHR of `requester` gets when it asks this."""
        reply = await self.internal("POST", requester, "/exchanges/bgz", ask)
        prove_equal(reply.status, 200, f"the exchange at {requester.slug} ({reply.said()[:100]})")
        return parse(reply.body, max_depth=80)

    def question(self, requester: Party, bsn: str, login: str, holders: Sequence[str]) -> dict[str, Any]:
        """What an EHR says when it asks for a BgZ."""
        who: dict[str, Any] = {"login": login} if login else {"user": self.user(requester).json()}
        named = {"holders": list(holders)} if holders else {}
        return {"patient": bsn, **named, **who, "purpose": PURPOSE, "treatment_relation": RELATION}

    @asynccontextmanager
    async def without(self, stand_in: str) -> AsyncIterator[None]:
        """A stand-in is away until the end of the block."""
        down, address = switch(self.folder, stand_in), urlsplit(self.stand_ins[stand_in])
        down.touch()
        try:
            await _until_listening(address, False)
            yield
        finally:
            down.unlink()
            await _until_listening(address, True)

    def user(self, party: Party) -> User:
        """The professional in whose name is asked."""
        who = cast.organisation(party.slug).professionals[0]
        return User(who.number, who.name, who.role_code)

    def assertion(self, requester: Party) -> str:
        """A new assertion of `requester` for the holder."""
        signer = AssertionSigner(requester.ura, requester.signing_key)
        return signer.assertion(self.holder.issuer, self.user(requester), PURPOSE, RELATION)

    async def ask_token(
        self,
        assertion: str,
        scope: str = "bgz",
        requester: Party | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer of the holder's token endpoint to `requester`, the one of the check when None."""
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        client = (requester or self.requester).outside
        return await client.send("POST", f"{self.holder.back}/oauth2/token", headers=headers, data=form)

    async def token(self, requester: Party) -> str:
        """A token for `requester` at the holder."""
        reply = await self.ask_token(self.assertion(requester), requester=requester)
        prove_equal(reply.status, 200, f"a token for {requester.slug} ({reply.said()[:100]})")
        return str(reply.json()["access_token"])

    async def guarded(
        self, path: str, token: str = "", method: str = "GET", body: bytes | None = None
    ) -> Reply:
        """A request of the requester at the holder's guarded door."""
        headers = {"Accept": "application/fhir+json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/fhir+json"
        address = f"{self.holder.guarded}/{path}"
        return await self.requester.outside.send(method, address, headers=headers, data=body)

    # -- reading back ----------------------------------------------------------------------------------------

    async def search(self, party: Party, query: str) -> list[Resource]:
        """All resources that a search at the party's own door gives, of every page."""
        return await self.pages(party, f"{party.own}/{query}")

    async def log(self, party: Party, **parameters: str) -> list[Resource]:
        """The AuditEvents of a party's log, the newest first; `__` in a name stands for ':' and `_in_` for '.'."""
        pairs = [(n.replace("__", ":").replace("_in_", "."), v) for n, v in parameters.items()]
        return await self.pages(party, f"{party.log}?{urlencode(pairs)}")

    async def pages(self, party: Party, address: str) -> list[Resource]:
        """All resources of the searchset at `address`, with those of the pages that follow."""
        found: list[Resource] = []
        seen: set[str] = set()
        while address:
            prove(address not in seen and len(seen) < _MOST_PAGES, "the pages of a search do not end")
            seen.add(address)
            reply = await self.client.send("GET", address, headers={"X-API-Key": party.internal_key})
            prove_equal(reply.status, 200, f"GET {address.partition('?')[0]} ({reply.said()[:100]})")
            page = parse(reply.body, max_depth=80)
            found += [entry["resource"] for entry in page.get("entry", [])]
            following = [link["url"] for link in page.get("link", []) if link["relation"] == "next"]
            address = following[0] if following else ""
        return found

    def report(self, party: Party) -> dict[str, Any]:
        """What became of one holder in the exchange."""
        prove(bool(self.answer), "the exchange has not been made")
        return report(self.answer, party.ura)

    def given(self, party: Party) -> dict[str, Resource]:
        """What a holder gave in the exchange, by Type/id."""
        prove(bool(self.answer), "the exchange has not been made")
        base = f"{party.guarded}/"
        return {
            entry["fullUrl"].removeprefix(base): entry["resource"]
            for entry in self.answer["bundle"].get("entry", [])
            if entry["fullUrl"].startswith(base)
        }

    def givers(self) -> list[Party]:
        """Those who gave something in the exchange."""
        return [party for party in self.parties.values() if self.given(party)]

    def settings(self) -> dict[str, dict[str, Any]]:
        """What the operator of the requester's node entered of organisations, by URA."""
        settings = tomllib.loads((self.folder / f"{self.requester.operator}.toml").read_text("utf-8"))
        return {one["ura"]: one for one in settings["directory"]}


async def _until_listening(address: SplitResult, wanted: bool) -> None:
    """Returns when a connection can be made, or cannot any more. Raises `NotProved`."""
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.close()
            there = True
        except OSError:
            there = False
        if there == wanted:
            return
        await asyncio.sleep(0.05)
    prove(False, f"{address.netloc} is {'not there' if wanted else 'still there'} after 10 s")


def report(answer: Mapping[str, Any], ura: str) -> dict[str, Any]:
    """What became of one holder in the answer of an exchange."""
    found: list[dict[str, Any]] = [one for one in answer["holders"] if one["ura"] == ura]
    prove(len(found) == 1, f"{len(found)} reports of URA {ura}")
    return found[0]


def troubles(told: Mapping[str, Any]) -> str:
    """Why a holder is not complete, as its report says."""
    requests = [f"{r['number']}: {r['status']} {r['reason']}" for r in told["requests"] if r["reason"]]
    return "; ".join([f"{told['status']} {told['reason']}", *requests])[:300]


def bsn_query(bsn: str) -> str:
    """The value of an identifier parameter, encoded."""
    return urlencode({"patient.identifier": f"{BSN_SYSTEM}|{bsn}"})


def searches(bsn: str) -> list[str]:
    """The 27 searches of the BgZ, relative to a FHIR base."""
    return requests_for(bsn)


def key(resource: Resource) -> str:
    """`Type/id`."""
    return f"{resource['resourceType']}/{resource['id']}"


def detail(event: Resource, name: str) -> str:
    """A value that the decision of an AuditEvent rests on, by its NEN 7513 name; '' when it is not there."""
    for entity in event["entity"]:
        for one in entity.get("detail", []):
            if one["type"] == name:
                return str(one["valueString"])
    return ""


def identifier(event: Resource, code: str) -> str:
    """The identifier of the entity of this type code in an AuditEvent; '' when it has none."""
    for entity in event["entity"]:
        if entity.get("type", {}).get("code") == code:
            return str(entity.get("what", {}).get("identifier", {}).get("value", ""))
    return ""


def disclosed(event: Resource) -> set[str]:
    """The versions that an AuditEvent says were given out, as `Type/id/_history/version`."""
    return {
        entity["what"]["reference"] for entity in event["entity"] if "reference" in entity.get("what", {})
    }
