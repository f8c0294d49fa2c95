"""An index of localisation in this process, which does what the recordings of the real one show, and fails as told.

    index = IndexPeer()
    client = index.client("90000001")

Requests go through a `Facility` whose wire is this object; the stand-in behind a real listener has tests of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from schakel.facilities import Answer, Facility, FacilityAway
from schakel.generic.localisation import NviClient, NviRules
from schakel.generic.localisation.lists import SUBJECT_SYSTEM, coded, custodian
from schakel.kernel.values import URA_SYSTEM, Bsn

SOURCE = "urn:uuid:11111111-1111-4111-8111-111111111111"
BASE = "http://nvi.test/fhir"


@dataclass(frozen=True)
class FakeToken:
    """A pseudonym that this index can open."""

    value: str


@dataclass
class FakePseudonyms:
    """Makes them; `away` as long as there is no PRS."""

    recipient: str = "oin:00000099000000001000"
    scope: str = "nvi"
    made: int = 0
    away: bool = False

    async def token(self, patient: Bsn) -> FakeToken:
        if self.away:
            raise FacilityAway("PRS", "not reachable")
        self.made += 1
        return FakeToken(f"{self.recipient}.{self.scope}.{patient}.{self.made}".replace(":", "-"))


@dataclass(frozen=True)
class Held:
    """A record in the index; `patient` is the pseudonym without its blinding."""

    id: str
    ura: str
    patient: str
    source: str
    category: str


@dataclass
class IndexPeer:
    """`records` by id. `keeps_category` makes it the index of the guide rather than the one that runs. `before` and
    `after` are called with method and path around what is done: what they raise happened there, what they give is the
    answer."""

    records: dict[str, Held] = field(default_factory=dict)
    keeps_category: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)
    before: Callable[[str, str], Answer | None] = lambda _method, _path: None
    after: Callable[[str, str], Answer | None] = lambda _method, _path: None

    def client(
        self, ura: str = "90000001", pseudonyms: FakePseudonyms | None = None, **rules: str
    ) -> NviClient:
        """A client of this index."""
        given = NviRules(**{"source": SOURCE, **rules})
        return NviClient(_Wire(self, ura), None, pseudonyms or FakePseudonyms(), ura, given)

    def patients(self, ura: str = "90000001") -> set[tuple[str, str]]:
        """Patient (BSN) and category of each record of a provider."""
        return {
            (held.patient.split(".")[2], held.category) for held in self.records.values() if held.ura == ura
        }

    def add(self, patient: str, ura: str, source: str = SOURCE, category: str = "") -> str:
        """A record of somebody; its id."""
        name = str(uuid.uuid4())
        pseudonym = f"oin-00000099000000001000.nvi.{patient}"
        self.records[name] = Held(name, ura, pseudonym, source, category)
        return name

    def answer(self, ura: str, method: str, path: str, body: bytes) -> Answer:
        """What the index does with a request of provider `ura`."""
        parts = urlsplit(path)
        place = parts.path.removeprefix(urlsplit(BASE).path)
        if method == "POST" and place == "/List":
            return self._create(ura, orjson.loads(body))
        if method == "GET" and place == "/List":
            return self._search(ura, dict(parse_qsl(parts.query)))
        name = place.removeprefix("/List/")
        held = self.records.get(name)
        if held is None or held.ura != ura:
            return said(404, "not-found", "Record not found")
        if method == "GET":
            return _json(200, self._list(held))
        del self.records[name]
        return said(201, "informational", f"Resource {name} has been deleted successfully")

    def _create(self, ura: str, resource: Mapping[str, Any]) -> Answer:
        [extension] = resource["extension"]
        if extension["valueReference"]["identifier"] != {"system": URA_SYSTEM, "value": ura}:
            return said(403, "security", "Registration not linked to the authorized URA")
        assert resource["subject"]["identifier"]["system"] == SUBJECT_SYSTEM
        patient = resource["subject"]["identifier"]["value"].rpartition(".")[0]
        source = resource["source"]["identifier"]["value"]
        category = resource["code"]["coding"][0]["code"] if self.keeps_category else ""
        key = (ura, patient, source, category)
        if any((h.ura, h.patient, h.source, h.category) == key for h in self.records.values()):
            return said(409, "conflict", "Record already exists")
        held = Held(str(uuid.uuid4()), ura, patient, source, category)
        self.records[held.id] = held
        return _json(201, self._list(held))

    def _search(self, ura: str, params: Mapping[str, str]) -> Answer:
        assert set(params) <= {"subject:identifier", "source:identifier"}
        found = list(self.records.values())
        if "subject:identifier" in params:
            patient = params["subject:identifier"].removeprefix(f"{SUBJECT_SYSTEM}|").rpartition(".")[0]
            found = [held for held in found if held.patient == patient]
        if "source:identifier" in params or "subject:identifier" not in params:
            found = [held for held in found if held.ura == ura]
        if "source:identifier" in params:
            source = params["source:identifier"].removeprefix("urn:ietf:rfc:3986|")
            found = [held for held in found if held.source == source]
        entries = [{"resource": self._list(held)} for held in found]
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": entries}
        return _json(200, bundle)

    def _list(self, held: Held) -> dict[str, Any]:
        return {
            "id": held.id,
            "resourceType": "List",
            "extension": [custodian(held.ura)],
            "status": "current",
            "mode": "working",
            "source": {
                "identifier": {
                    "system": "https://cp1-test.example.org/device-identifiers",
                    "value": held.source,
                },
                "type": "Device",
            },
            **({"code": coded(held.category)} if held.category else {}),
        }


class _Wire(Facility):
    """A facility without a network."""

    def __init__(self, peer: IndexPeer, ura: str) -> None:
        self.name, self.base = "NVI", BASE
        self._peer, self._ura = peer, ura

    async def send(
        self, method: str, path: str = "", *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        address = path if path.startswith("http") else f"{BASE}{path}"
        self._peer.asked.append((method, address))
        if (answer := self._peer.before(method, address)) is not None:
            return answer
        done = self._peer.answer(self._ura, method, address, body)
        return self._peer.after(method, address) or done


def said(status: int, code: str, text: str) -> Answer:
    """An error, with the member that the real index has in place of resourceType."""
    issue = [{"severity": "error", "code": code, "details": {"text": text}}]
    return _json(status, {"resource_type": "OperationOutcome", "issue": issue})


def _json(status: int, body: object) -> Answer:
    return Answer(status, {"content-type": "application/fhir+json"}, orjson.dumps(body))


def away() -> FacilityAway:
    """What is raised when no answer comes."""
    return FacilityAway("NVI", "too slow")
