"""The doors of the log: the officer searches and exports, the patient reads a page, and every reading is logged."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.nodes import RunningNode, databases, running_node
from tests.patients import CLIENT, Person, person

from schakel.generic.logging import Event
from schakel.generic.logging.events import LoggedPerson
from schakel.kernel.clock import new_id
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

ANNA, BRAM = "999990019", "999990020"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "log_doors") as make, running_node(make) as node:
        for name, bsn in (("anna", ANNA), ("bram", BRAM)):
            resource = {
                "resourceType": "Patient",
                "id": name,
                "identifier": [{"system": BSN_SYSTEM, "value": bsn}],
            }
            assert (await node["a"].internal.put(f"Patient/{name}", json=resource)).status_code == 201
        yield node


@pytest_asyncio.fixture(loop_scope="session")
async def anna(node: RunningNode) -> AsyncIterator[Person]:
    async with person(node, "a", ANNA) as anna:
        yield anna


async def officer(node: RunningNode, path: str, **params: Any) -> httpx.Response:
    organisation = node["a"]
    return await organisation.internal.get(
        f"{organisation.internal_root}/a/log/{path}", params=params or None
    )


async def page(anna: Person, query: str = "", **headers: str) -> httpx.Response:
    organisation = anna.organisation
    return await anna.client.get(
        f"{organisation.front_root}/a/log{query}",
        headers={"Authorization": f"Bearer {anna.token}", **headers},
    )


async def logged(node: RunningNode, **changes: Any) -> str:
    """The correlation of an event that was written as the gateway would."""
    event = Event(
        **{
            "subtype": "search-type",
            "action": "E",
            "outcome": "0",
            "requester": node["b"].ura,
            "requester_name": "Kliniek B",
            "holder": node["a"].ura,
            "patient": ANNA,
            "purpose": "TREAT",
            "correlation": new_id(),
            **changes,
        }
    )
    await node.node.organisations["a"].log.write(event)
    return event.correlation


# -- the officer -----------------------------------------------------------------------------------------------


async def test_an_officer_searches_by_what_an_event_is(node: RunningNode) -> None:
    question = await logged(node, outcome="4", reason="consent-missing")
    for params in (
        {"correlation": question},
        {"correlation": question, "requester": node["b"].ura, "outcome": "4", "subtype": "search-type"},
        {"correlation": question, "patient.identifier": f"{BSN_SYSTEM}|{ANNA}", "date": "ge2020-01-01"},
    ):
        bundle = (await officer(node, "fhir/r4/AuditEvent", **params)).json()
        [entry] = bundle["entry"]
        assert entry["resource"]["outcomeDesc"] == "consent-missing"
    other = await officer(node, "fhir/r4/AuditEvent", correlation=question, outcome="0")
    assert "entry" not in other.json()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("unknown=1", "unknown"),
        ("outcome=5", "outcome"),
        ("outcome=4&outcome=8", "outcome"),
        ("_count=x", "_count"),
        ("_page=x", "_page"),
        ("_view=all", "_view"),
        ("requester=%00", "requester"),
        ("date=sa2026-01-01", "date"),
        ("patient.identifier=1", "patient.identifier"),
    ],
)
@pytest.mark.parametrize("path", ["fhir/r4/AuditEvent", "export"])
async def test_a_wrong_question_is_refused_by_name(
    node: RunningNode, path: str, query: str, names: str
) -> None:
    answer = await officer(node, f"{path}?{query}")
    assert answer.status_code == 400 and names in answer.text, answer.text


async def test_an_export_gives_all_that_a_search_finds_and_is_logged(
    node: RunningNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schakel.http.log._EXPORT_PAGE", 3)
    question = new_id()
    for _ in range(10):
        await logged(node, correlation=question)
    answer = await officer(node, "export", correlation=question)
    assert answer.headers["content-type"].startswith("text/csv") and "attachment" in str(answer.headers)
    table = list(csv.DictReader(StringIO(answer.text)))
    assert len({row["id"] for row in table}) == len(table) == 10
    assert {(row["patient"], row["requester_name"]) for row in table} == {(ANNA, "Kliniek B")}
    lines = (await officer(node, "export", correlation=question, _format="ndjson")).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [row["id"] for row in table]
    kept = (await officer(node, "fhir/r4/AuditEvent", subtype="log-export", _count=1)).json()
    assert kept["entry"][0]["resource"]["type"]["code"] == "110101"


async def test_an_export_for_systems_names_no_person(node: RunningNode) -> None:
    question = await logged(node)
    answer = await officer(node, "export", correlation=question, _view="technical")
    assert question in answer.text and ANNA not in answer.text and "patient" not in answer.text


async def test_an_export_takes_a_form_that_is_known(node: RunningNode) -> None:
    answer = await officer(node, "export", _format="xml")
    assert answer.status_code == 400 and "csv" in answer.text


async def test_the_log_is_the_organisations_own(node: RunningNode) -> None:
    root = node["a"].internal_root
    for path in ("export", "fhir/r4/AuditEvent"):
        assert (await node["b"].internal.get(f"{root}/a/log/{path}")).status_code == 403
        async with httpx.AsyncClient() as nobody:
            assert (await nobody.get(f"{root}/a/log/{path}")).status_code == 401


# -- the patient -----------------------------------------------------------------------------------------------


async def test_the_page_tells_a_patient_who_asked_why_and_what_happened(
    node: RunningNode, anna: Person
) -> None:
    question = await logged(node, resources=("Flag/a/_history/1", "Flag/b/_history/1"))
    await logged(
        node, correlation=question, outcome="4", reason="consent-missing", subtype="read", action="R"
    )
    answer = await page(anna)
    assert (answer.status_code, answer.headers["content-language"]) == (200, "nl")
    assert (
        "script" not in answer.headers["content-security-policy"]
        and "no-store" in answer.headers["cache-control"]
    )
    section = next(part for part in answer.text.split("<section>") if "Kliniek B" in part)
    assert "Voor uw behandeling." in section and "2 onderdelen van uw dossier." in section
    assert "Geweigerd. Er is niets gegeven." in section and section.count("<li>") == 2
    assert ANNA not in answer.text


async def test_the_page_speaks_english_too(anna: Person) -> None:
    for answer in (await page(anna, "?lang=en"), await page(anna, **{"Accept-Language": "en"})):
        assert "Who used your data?" in answer.text and 'lang="en"' in answer.text


async def test_an_emergency_is_marked_and_says_what_came_of_the_second_look(
    node: RunningNode, anna: Person
) -> None:
    async def told(**changes: Any) -> str:
        """The part of the page about a question with such an event."""
        mark = f"Kliniek {new_id()}"
        await logged(node, requester_name=mark, **changes)
        return next(part for part in (await page(anna)).text.split("<section>") if mark in part)

    case = {"ground_kind": "break-glass", "ground": new_id(), "explanation": "bewusteloos"}
    text = await told(**case)
    assert (
        "Noodgeval." in text
        and "gaat nog controleren" in text
        and "Deze reden is gegeven: bewusteloos" in text
    )
    assert "Er was geen toestemming. Het was een noodgeval." in text
    for reason, words in (("not-accepted", "Het was niet terecht."), ("accepted", "Het was terecht.")):
        case |= {"ground": new_id()}
        await logged(node, subtype="break-glass-review", action="U", reason=reason, purpose="", **case)
        text = await told(**case)
        assert words in text and "gaat nog controleren" not in text
    text = await told(outcome="4", reason="break-glass-assurance", explanation="haast")
    assert "Noodgeval, geweigerd." in text and "zonder uw toestemming" not in text
    assert "Noodgeval" not in await told(purpose="ETREAT")


async def test_the_page_tells_the_ground_and_why_it_was_refused(node: RunningNode, anna: Person) -> None:
    for changes, words in (
        ({"ground_kind": "mitz", "ground": new_id()}, "U hebt toestemming gegeven in Mitz."),
        ({"ground_kind": "referral", "ground": new_id()}, "U bent naar deze zorgverlener verwezen."),
        ({"outcome": "4", "reason": "objection"}, "Geweigerd, omdat u dit niet wilt."),
        ({"outcome": "4", "reason": "mitz-deny"}, "omdat u hiervoor in Mitz geen toestemming gaf."),
        ({"outcome": "8", "reason": "facility-away"}, "Dit is niet gelukt."),
        ({"purpose": "COC"}, "Om uw zorg samen te regelen."),
    ):
        mark = f"Kliniek {new_id()}"
        await logged(node, requester_name=mark, **changes)
        [text] = [part for part in (await page(anna)).text.split("<section>") if mark in part]
        assert words in text, text


async def test_no_bsn_stands_on_the_page(node: RunningNode, anna: Person) -> None:
    await logged(node, requester_name=f"Praktijk {ANNA}", user=LoggedPerson("x", f"Mevrouw {ANNA}"))
    await logged(node, ground_kind="break-glass", ground=new_id(), explanation=f"bsn {ANNA}")
    text = (await page(anna)).text
    assert "Praktijk *********" in text and ANNA not in text


async def test_one_question_is_on_one_page_however_it_lies(node: RunningNode, anna: Person) -> None:
    first, second = new_id(), new_id()
    for number in range(6):  # Two questions at the same time, and a third in the middle of both.
        await logged(node, correlation=(first, second)[number % 2], requester_name=f"Kliniek {number % 2}y")
        if number == 3:
            await logged(node, requester_name="Kliniek 2y", correlation="", resources=("Flag/a/_history/1",))
    shown: list[str] = []
    text = ""
    query = "?_count=1"
    for _ in range(4):  # The first page has the reading of the log itself.
        query = older(text) if text else query
        text = (await page(anna, query)).text
        assert text.count("<section>") == 1
        shown += re.findall(r"</time>: (Kliniek .y)</h2>", text)
        more = sum(int(times) - 1 for times in re.findall("Dit gebeurde ([0-9]+) keer", text))
        if "Kliniek 0y" in text or "Kliniek 1y" in text:
            assert text.count("<li>") + more == 3  # Those of one minute stand as one.
    assert sorted(shown) == ["Kliniek 0y", "Kliniek 1y", "Kliniek 2y"]


async def test_what_happens_while_a_patient_reads_moves_nothing(node: RunningNode, anna: Person) -> None:
    question = new_id()
    await logged(node, correlation=question, requester_name="Kliniek z")
    following = older((await page(anna, "?_count=1")).text)
    await logged(node, correlation=question, requester_name="Kliniek z")
    assert "Kliniek z" in (await page(anna, following)).text


def older(text: str) -> str:
    """The query of the link to what is older."""
    found = re.search(r'<a href="[^"?]*(\?[^"]*)">Ouder', text)
    assert found is not None, text
    return found[1].replace("&amp;", "&")


async def test_a_patient_sees_no_other_patient_and_the_reading_is_logged(
    node: RunningNode, anna: Person
) -> None:
    await logged(node, patient=BRAM, requester_name="Kliniek van Bram")
    assert "Kliniek van Bram" not in (await page(anna)).text
    again = (await page(anna)).text
    assert "Bekeek deze lijst." in again and CLIENT in again


async def test_the_pages_of_a_patient_show_each_event_once(node: RunningNode, anna: Person) -> None:
    marks = [f"Kliniek {n}x" for n in range(7)]
    for mark in marks:
        await logged(node, requester_name=mark)
    text, query = "", "?_count=3"
    for _ in range(30):
        answer = (await page(anna, query)).text
        text += answer
        older = re.search(r'<a href="[^"?]*(\?[^"]*)">Ouder', answer)
        if older is None:
            break
        query = older[1].replace("&amp;", "&")
    assert older is None
    assert [text.count(f"</time>: {mark}</h2>") for mark in marks] == [1] * 7


async def test_the_page_asks_a_token(node: RunningNode, anna: Person) -> None:
    assert (await anna.client.get(f"{node['a'].front_root}/a/log")).status_code == 401
    assert (await page(anna, f"?patient.identifier={BRAM}")).status_code == 400


# -- one question in two organisations ---------------------------------------------------------------------------


async def test_what_two_organisations_write_of_one_question_has_one_correlation(node: RunningNode) -> None:
    holder, requester = node["a"], node["b"]
    await holder.ground(ANNA, requester.ura)
    ask = {
        "patient": ANNA,
        "holders": [holder.ura],
        "user": {"id": "900000008", "name": "Jan Jansen", "role": "01.015"},
        "purpose": "TREAT",
        "treatment_relation": "current",
    }
    answer = await requester.internal.post(
        f"{requester.internal_root}/b/exchanges/bgz",
        json=ask,
        headers={"traceparent": PARENT, "X-Correlation-ID": "vraag-7"},
    )
    assert answer.status_code == 200, answer.text
    kept: dict[str, set[str]] = {}
    for name in ("a", "b"):
        organisation = node[name]
        url = f"{organisation.internal_root}/{name}/log/export"
        found = await organisation.internal.get(url, params={"correlation": "vraag-7", "_format": "ndjson"})
        events = [json.loads(line) for line in found.text.splitlines()]
        assert {one["trace"].split("-")[1] for one in events} == {PARENT.split("-")[1]}
        kept[name] = {one["subtype"] for one in events}
    assert "search-type" in kept["a"] and "exchange" in kept["b"]


# -- who reads ---------------------------------------------------------------------------------------------------


WHO = {"X-User-ID": "medewerker-17", "X-User-Name": "Ren%C3%A9e de Wit"}


@pytest.mark.parametrize(
    "path",
    [
        "log/fhir/r4/AuditEvent?_count=1",
        "log/export?_format=csv",
        f"grounds?patient={ANNA}",
        "consent/emergencies",
        "consent/choices",
    ],
)
async def test_who_reads_for_the_organisation_stands_in_the_log(node: RunningNode, path: str) -> None:
    a = node["a"]
    for headers, reader in ((WHO, ("medewerker-17", "Renée de Wit")), ({}, None)):
        answer = await a.internal.get(f"{a.internal_root}/a/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        [_, event] = (await officer(node, "fhir/r4/AuditEvent", _count="2")).json()["entry"]
        found = [agent for agent in event["resource"]["agent"] if agent["requestor"]]
        told = [(one["who"]["identifier"]["value"], one["name"]) for one in found if "name" in one]
        assert (reader in told) is (reader is not None), event


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"X-User-ID": "%20"}, "X-User-ID"),
        ({"X-User-ID": "%FF"}, "X-User-ID"),
        ({"X-User-ID": "a%0Ab"}, "X-User-ID"),
        ({"X-User-ID": "x" * 201}, "X-User-ID"),
        ({"X-User-ID": "1", "X-User-Name": "%00"}, "X-User-Name"),
        ({"X-User-Name": "R. de Wit"}, "X-User-ID"),
    ],
)
async def test_a_reader_who_is_none_is_refused_by_the_name_of_the_header(
    node: RunningNode, headers: dict[str, str], named: str
) -> None:
    a = node["a"]
    answer = await a.internal.get(f"{a.internal_root}/a/log/fhir/r4/AuditEvent", headers=headers)
    assert answer.status_code == 400
    assert named in answer.text
