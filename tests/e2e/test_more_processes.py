"""Two processes of one hospital on one database: what a requester may read does not hang on which of them is asked.

A Practitioner names no patient. Who got data of a patient that lead to it gets it under the same token, on the ground
for that patient. No ground is written down here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from tests.guarded import keys, patient, plain
from tests.middleman import rewrites
from tests.nation import ALLOWS, REFUSES, Nation, nation
from tests.nodes import RunningNode, free_ports
from tests.proofs import proof
from tests.whole import PATIENTS, Asker, hospital, known_as, reason, stored

from schakel import compose
from schakel.http.listeners import listening
from schakel.serve import listeners
from schakel.store.embedded import EmbeddedServer

OWN = {
    "break_glass": {"document": "Noodprocedure", "dated": "2026-01-01", "review_hours": 24},
    "acute_opt_out": {"requester_types": ["N6"], "purposes": ["TREAT"]},
}
WHY = {"X-Emergency-Reason": "bewusteloos binnengebracht"}


@dataclass(frozen=True)
class Two:
    """The hospital, and where each of its two processes has the back listener."""

    country: Nation
    node: RunningNode
    ports: tuple[int, int]

    async def asker(self, type_code: str = "Z3") -> Asker:
        """An organisation of that type with a token of its own."""
        requester = self.country.requester if type_code == "Z3" else None
        requester = requester or await known_as(self.country, type_code=type_code)
        return await Asker.presenting(self.country, self.node, requester)

    async def ask(self, place: int, asker: Asker, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """A GET on a new connection to one of the processes, at the address that both have for others."""
        assert asker.key is not None
        url = f"{asker.door}/fhir/stu3/{path}"
        shown = {
            "Authorization": f"DPoP {asker.token}",
            "DPoP": proof("GET", url.partition("?")[0], asker.token, key=asker.key),
        }
        public = httpx.URL(asker.door)
        async with asker.client() as client:
            return await client.get(
                str(httpx.URL(url).copy_with(port=self.ports[place])),
                headers={"Host": public.netloc.decode(), **shown, **headers},
            )

    async def search(self, place: int, asker: Asker, bsn: str, **headers: str) -> httpx.Response:
        query = f"Condition?patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|{bsn}"
        return await self.ask(place, asker, query, headers)

    async def practitioner(self, place: int, asker: Asker, name: str, **headers: str) -> httpx.Response:
        """The GP of the patient with this logical id."""
        return await self.ask(place, asker, f"Practitioner/gp-{name}", headers)


@asynccontextmanager
async def beside(node: RunningNode) -> AsyncIterator[int]:
    """Another process of a running node, on the same database; the port of its back listener."""
    assert node.settings.back is not None
    front, internal, back = free_ports(3)
    settings = node.settings.model_copy(
        update={
            "front_port": front,
            "internal_port": internal,
            "back": node.settings.back.model_copy(update={"port": back}),
        }
    )
    async with compose.node(settings) as other, listening(listeners(settings, other)):
        yield back


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two(cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    async with (
        nation(tmp_path_factory.mktemp("nation")) as country,
        hospital(cluster, "more_processes", country, OWN) as node,
        beside(node) as port,
    ):
        for name, bsn in PATIENTS.items():
            doctor = {"reference": f"Practitioner/gp-{name}"}
            for resource in (
                plain("Practitioner", f"gp-{name}"),
                patient(name, bsn, generalPractitioner=[doctor]),
            ):
                path = f"{resource['resourceType']}/{resource['id']}"
                answer = await node["a"].internal.put(path, json=resource)
                assert answer.status_code in (200, 201), answer.text
        assert node.settings.back is not None
        yield Two(country, node, (node.settings.back.port, port))


GROUNDS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "mitz": ("Z3", "allows", "mitz", {}),
    "acute": ("N6", "silent", "acute", {}),
    "break-glass": ("Z3", "silent", "break-glass", WHY),
}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("case", GROUNDS)
async def test_whichever_process_answered_the_search_each_gives_what_it_leads_to(
    two: Two, monkeypatch: pytest.MonkeyPatch, case: str, first: int
) -> None:
    type_code, name, kind, headers = GROUNDS[case]
    if name == "silent":  # Mitz says that there is no choice, where its stand-in takes that for a no.
        no_choice = rewrites(lambda body: body.replace(b">Deny<", b">NotApplicable<"))
        monkeypatch.setattr(two.country.mitz, "behave", no_choice)
    asker = await two.asker(type_code)
    assert keys(await two.search(first, asker, PATIENTS[name], **headers)) == {f"Condition/{name}"}
    for place in (1 - first, first) * 3:
        answer = await two.practitioner(place, asker, name, **headers)
        assert answer.status_code == 200, await reason(two.node, answer)
        told = await stored(two.node, answer)
        assert (told["ground"]["kind"], told["patient"]) == (kind, PATIENTS[name])


async def given(two: Two) -> Asker:
    """Who got the data of the patient who allows it, from the first process."""
    asker = await two.asker()
    assert keys(await two.search(0, asker, ALLOWS)) == {"Condition/allows"}
    return asker


async def refused(two: Two, asker: Asker, name: str = "allows") -> set[str]:
    """Why both processes refuse the GP of a patient."""
    return {await reason(two.node, await two.practitioner(place, asker, name)) for place in (0, 1)}


async def test_another_token_of_the_same_requester_leads_nowhere(two: Two) -> None:
    await given(two)
    assert await refused(two, await two.asker()) == {"not-referred-to"}


async def test_the_data_of_another_patient_lead_nowhere(two: Two) -> None:
    asker = await given(two)
    assert await refused(two, asker, "also") == {"not-referred-to"}
    await two.node.node.pool.execute("UPDATE token_patient SET patient = $1", REFUSES)
    assert await refused(two, asker) == {"not-referred-to"}


@pytest.mark.parametrize("change", ["expires = now()", "tenant = tenant + 1000", "token = token || 'x'"])
async def test_what_was_given_counts_under_a_living_token_of_this_organisation_alone(
    two: Two, change: str
) -> None:
    asker = await given(two)
    assert (await two.practitioner(1, asker, "allows")).status_code == 200
    await two.node.node.pool.execute(f"UPDATE token_patient SET {change}")
    assert await refused(two, asker) == {"not-referred-to"}


async def test_an_expired_token_lets_nobody_in_at_either_process(two: Two) -> None:
    asker = await given(two)
    await two.node.node.pool.execute("UPDATE access_token SET expires = now()")
    for place in (0, 1):
        assert (await two.practitioner(place, asker, "allows")).status_code == 401


async def test_to_be_named_with_a_token_permits_nothing(two: Two) -> None:
    asker = await given(two)
    await two.node.node.pool.execute("UPDATE token_patient SET patient = $1", REFUSES)
    assert await refused(two, asker, "refuses") == {"mitz-deny"}


async def test_a_refused_request_leaves_nothing_behind(two: Two) -> None:
    asker = await two.asker()
    await two.node.node.pool.execute("TRUNCATE token_patient")
    assert await reason(two.node, await two.search(0, asker, REFUSES)) == "mitz-deny"
    assert await two.node.node.pool.fetchval("SELECT count(*) FROM token_patient") == 0
    assert await refused(two, asker, "refuses") == {"not-referred-to"}
