"""The log: sound FHIR, durable before the caller goes on, and out of reach for change."""

from __future__ import annotations

import asyncio
import base64
import csv
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from schakel.fhir import definitions
from schakel.fhir.structure import check
from schakel.generic.identity import User
from schakel.generic.logging import AuditLog, AuditWriter, Event, Logged, Wanted, audit_event, place
from schakel.generic.logging.events import FIELDS, OWN, RESTFUL, Action, Audience, LoggedPerson, seen
from schakel.generic.logging.stored import from_json, to_json
from schakel.generic.logging.table import columns, rows
from schakel.kernel import trace
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Busy, Fault, Invalid, NotFound
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer

PATIENT, OTHER = "999911120", "999990019"
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
MOMENT = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
QUERY = Event(
    subtype="search-type",
    action="E",
    outcome="0",
    requester="22222222",
    requester_name="Kliniek Oost",
    holder="11111111",
    holder_name="Haven",
    user=User("900025039", "L. de Boer", "01.010", "900000008"),
    purpose="TREAT",
    treatment_relation="current",
    patient=PATIENT,
    query="GET /Condition?patient.identifier=x",
    request_id="req-1",
    token="5b1e",
    ground="g-1",
    rule="bgz-7",
    checks=("identified", "ground found"),
    network_address="192.0.2.7",
    holder_address="https://haven.example/fhir",
    resources=("Condition/a/_history/1", "Condition/b/_history/2"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def address(cluster: EmbeddedServer) -> AsyncIterator[str]:
    yield await cluster.ensure_database("audit", "audit", "secret")
    await cluster.drop_database("audit", "audit")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(address: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(address)
    yield opened
    await opened.close()


@pytest.fixture
def writer(pool: asyncpg.Pool) -> AuditWriter:
    return AuditWriter(pool)


_tenants = iter(range(1, 1000))


@pytest.fixture
def log(writer: AuditWriter) -> AuditLog:
    """The log of an organisation that has no events yet."""
    return AuditLog(writer, next(_tenants))


def ids(events: list[Logged]) -> list[str]:
    return [event.id for event in events]


# -- the form ------------------------------------------------------------------------------------------------


def test_a_query_is_written_in_the_pattern_of_balp() -> None:
    made = audit_event(QUERY, MOMENT, "e-1")
    assert check(made, definitions("r4")) == []
    assert made["meta"] == {"profile": [f"{BALP}PatientQuery"]}
    assert (made["action"], made["recorded"], made["outcome"]) == ("E", "2026-09-01T08:00:00.000Z", "0")
    assert made["type"]["code"] == "rest"
    assert [one["code"] for one in made["subtype"]] == ["search-type"]
    client, server, user, mandate = made["agent"]
    assert client["type"]["coding"][0]["code"] == "110153"
    assert client["who"]["identifier"]["value"] == "22222222"
    assert client["network"] == {"address": "192.0.2.7", "type": "2"}
    assert server["type"]["coding"][0]["code"] == "110152"
    assert server["network"]["type"] == "5"
    assert user["who"]["identifier"]["system"].endswith("/uzi")
    assert (user["name"], user["requestor"], user["policy"]) == ("L. de Boer", True, ["urn:jti:5b1e"])
    assert user["role"][0]["coding"][0]["code"] == "01.010"
    assert user["purposeOfUse"] == made["purposeOfEvent"]
    assert mandate["who"]["identifier"]["value"] == "900000008"
    assert made["source"]["site"] == "11111111"
    patient, query, first, second, request, decision = made["entity"]
    assert patient["what"]["identifier"]["value"] == PATIENT
    assert base64.b64decode(query["query"]).decode() == QUERY.query
    assert [first["what"]["reference"], second["what"]["reference"]] == list(QUERY.resources)
    assert request["what"]["identifier"]["value"] == "req-1"
    assert decision["what"]["identifier"]["value"] == f"urn:uuid:{QUERY.decision}"
    assert {one["type"]: one["valueString"] for one in decision["detail"]} == {
        "autorisatieProtocol": "bgz-7",
        "behandelrelatieProtocol": "current",
        "toestemmingsProfiel": "g-1",
        "controles": "identified; ground found",
    }


def test_a_query_has_one_entity_of_the_type_that_balp_keeps_for_the_query() -> None:
    entities = audit_event(QUERY, MOMENT, "e-1")["entity"]
    assert [one["role"]["code"] for one in entities if one["type"]["code"] == "2"] == ["24"]


def test_of_a_read_the_holder_is_the_source() -> None:
    made = audit_event(
        replace(QUERY, subtype="read", action="R", resources=("Flag/a/_history/1",)), MOMENT, "e"
    )
    assert made["meta"] == {"profile": [f"{BALP}PatientRead"]}
    assert [one["type"]["coding"][0]["code"] for one in made["agent"][:2]] == ["110152", "110153"]
    data = [one for one in made["entity"] if one["type"]["code"] == "2"]
    assert [one["what"]["reference"] for one in data] == ["Flag/a/_history/1"]


def test_what_is_fetched_elsewhere_is_a_disclosure_seen_by_the_recipient() -> None:
    made = audit_event(replace(QUERY, subtype="exchange", action="C", view="recipient"), MOMENT, "e")
    assert made["meta"] == {"profile": [f"{BALP}PrivacyDisclosure.Recipient"]}
    assert made["type"]["code"] == "110107"
    assert made["subtype"][0]["code"] == "disclose"
    assert made["source"]["site"] == "22222222"
    recipient = next(one for one in made["agent"] if one["type"]["coding"][0]["code"] == "110152")
    assert recipient["who"] == made["source"]["observer"]


@pytest.mark.parametrize(
    ("change", "profile"),
    [
        ({"outcome": "4"}, ""),
        ({"network_address": ""}, ""),
        ({"holder_address": ""}, ""),
        ({"query": ""}, ""),
        ({"subtype": "transaction"}, ""),
        ({"patient": ""}, "Query"),
        ({"subtype": "read", "action": "R"}, ""),
        ({"subtype": "vread", "action": "R", "resources": QUERY.resources[:1]}, "PatientRead"),
        ({"subtype": "update", "action": "U", "resources": QUERY.resources[:1]}, "PatientUpdate"),
        ({"subtype": "exchange", "action": "R"}, "PrivacyDisclosure.Source"),
        ({"subtype": "exchange", "action": "R", "view": "recipient"}, ""),
        ({"subtype": "exchange", "action": "R", "patient": ""}, ""),
    ],
)
def test_a_profile_is_claimed_only_when_all_it_asks_is_there(change: dict[str, Any], profile: str) -> None:
    made = audit_event(replace(QUERY, **change), MOMENT, "e")
    assert made.get("meta", {}).get("profile", []) == ([f"{BALP}{profile}"] if profile else [])
    assert check(made, definitions("r4")) == []


@pytest.mark.parametrize("subtype", sorted({*RESTFUL, *OWN, "exchange", "purge"}))
def test_every_kind_of_event_is_sound(subtype: str) -> None:
    for bare in (False, True):
        event = replace(QUERY, subtype=subtype)
        if bare:
            event = Event(subtype=subtype, action="E", outcome="8", requester="22222222", holder="11111111")
        assert check(audit_event(event, MOMENT, "e"), definitions("r4")) == []


@pytest.mark.parametrize("action", ["C", "R", "U", "D", "E"])
def test_a_user_without_dezi_number_is_known_by_the_account(action: Action) -> None:
    event = replace(QUERY, action=action, user=User("ldboer", "L. de Boer", "01.010"))
    made = audit_event(event, MOMENT, "e")
    assert made["agent"][2]["altId"] == "ldboer"
    assert made["agent"][2]["who"] == {"identifier": {"value": "ldboer"}}
    assert len(made["agent"]) == 3
    assert check(made, definitions("r4")) == []


def test_without_a_user_the_requester_carries_token_and_purpose() -> None:
    made = audit_event(replace(QUERY, user=None), MOMENT, "e")
    assert made["agent"][0]["policy"] == ["urn:jti:5b1e"]
    assert made["agent"][0]["purposeOfUse"] == made["purposeOfEvent"]
    assert check(made, definitions("r4")) == []


@settings(max_examples=60, deadline=None)
@given(st.text(), st.text(max_size=300), st.text(max_size=60))
def test_whatever_a_caller_sends_the_event_is_sound(query: str, request_id: str, seen: str) -> None:
    event = replace(QUERY, query=query, request_id=request_id, network_address=seen)
    made = audit_event(event, MOMENT, "e")
    assert check(made, definitions("r4")) == []


# -- written and read ----------------------------------------------------------------------------------------


async def test_what_was_written_is_read_back(log: AuditLog) -> None:
    before = now() - timedelta(milliseconds=1)
    name = await log.write(QUERY)
    read = await log.read(name)
    assert before <= read.recorded <= now()
    assert read.event == replace(QUERY, user=LoggedPerson("900025039", "L. de Boer", "01.010", "900000008"))
    assert read.resource() == audit_event(QUERY, read.recorded, name)


async def test_another_connection_sees_an_event_as_soon_as_it_is_acknowledged(
    log: AuditLog, address: str
) -> None:
    name = await log.write(QUERY)
    connection = await asyncpg.connect(address)
    try:
        assert (
            await connection.fetchval("SELECT count(*) FROM audit_event WHERE id = $1", uuid.UUID(name)) == 1
        )
    finally:
        await connection.close()


async def test_the_newest_event_comes_first(log: AuditLog) -> None:
    written = []
    for _ in range(5):
        written.append(await log.write(QUERY))
        await asyncio.sleep(0.002)
    assert ids(await log.search(Wanted())) == written[::-1]
    first = await log.search(Wanted(), 2)
    await log.write(QUERY)
    assert ids(await log.search(Wanted(after=place(first[-1])), 2)) == [written[2], written[1]]


async def test_events_are_found_by_patient_time_and_decision(log: AuditLog) -> None:
    decision = new_id()
    mine = await log.write(replace(QUERY, decision=decision))
    await asyncio.sleep(0.003)
    middle = now()
    await asyncio.sleep(0.003)
    other = await log.write(replace(QUERY, decision=decision, patient=OTHER))
    none = await log.write(replace(QUERY, patient=""))
    assert ids(await log.search(Wanted(patient=PATIENT))) == [mine]
    assert ids(await log.search(Wanted(until=middle))) == [mine]
    assert set(ids(await log.search(Wanted(since=middle)))) == {other, none}
    assert ids(await log.search(Wanted(decision=decision))) == [other, mine]
    assert ids(await log.search(Wanted(decision=decision, patient=OTHER))) == [other]
    assert ids(await log.explain(decision)) == [mine, other]
    assert await log.search(Wanted(patient="")) == []


async def test_a_neighbour_sees_nothing(log: AuditLog, writer: AuditWriter) -> None:
    name = await log.write(QUERY)
    neighbour = AuditLog(writer, next(_tenants))
    assert await neighbour.search(Wanted()) == []
    assert await neighbour.search(Wanted(patient=PATIENT)) == []
    for ask in (neighbour.read(name), neighbour.explain(QUERY.decision)):
        with pytest.raises(NotFound):
            await ask


@pytest.mark.parametrize("name", ["", "x", "00000000-0000-0000-0000-000000000000"])
async def test_what_is_not_there_is_not_found(log: AuditLog, name: str) -> None:
    for ask in (log.read(name), log.explain(name)):
        with pytest.raises(NotFound) as caught:
            await ask
        assert caught.value.kind == "event-unknown"


async def test_an_officer_finds_by_requester_person_kind_outcome_and_correlation(log: AuditLog) -> None:
    mine = await log.write(replace(QUERY, correlation="one", outcome="4"))
    other = replace(QUERY, requester="33333333", user=User("ldboer", "L. de Boer", "01.010"), subtype="read")
    others = await log.write(replace(other, correlation="two"))
    for wanted, found in (
        (Wanted(requester="22222222"), mine),
        (Wanted(requester="33333333"), others),
        (Wanted(person="900025039"), mine),
        (Wanted(person="ldboer"), others),
        (Wanted(kind="search-type"), mine),
        (Wanted(kind="read"), others),
        (Wanted(outcome=4), mine),
        (Wanted(outcome=0), others),
        (Wanted(correlation="one"), mine),
        (Wanted(correlation="two", kind="read"), others),
    ):
        assert ids(await log.search(wanted)) == [found], wanted
    for wanted in (Wanted(correlation="two", kind="search-type"), Wanted(correlation=""), Wanted(person="")):
        assert await log.search(wanted) == []


@pytest.mark.parametrize(
    "page", ["", "x", "1", "1.x", f"{10**30}.{uuid.UUID(int=0)}", f"-1.{uuid.UUID(int=0)}x"]
)
async def test_a_page_that_is_none_of_the_log_is_refused(log: AuditLog, page: str) -> None:
    with pytest.raises(Invalid) as caught:
        await log.search(Wanted(after=page))
    assert caught.value.expression == "_page"


# -- the object of a decision ------------------------------------------------------------------------------


async def test_the_object_of_a_decision_is_kept_with_its_event(log: AuditLog, writer: AuditWriter) -> None:
    decision = new_id()
    await log.write(replace(QUERY, decision=decision), b'{"inputs":1}')
    await asyncio.sleep(0.002)
    await log.write(replace(QUERY, decision=decision))
    assert await log.decision(decision) == b'{"inputs":1}'
    await asyncio.sleep(0.002)
    await log.write(replace(QUERY, decision=decision, outcome="4"), b'{"inputs":2}')
    assert await log.decision(decision) == b'{"inputs":2}', "the last tells how it ended"
    first, bare, last = (one.id for one in await log.explain(decision))
    assert await log.decision(decision, first) == b'{"inputs":1}'
    assert await log.decision(decision, last) == b'{"inputs":2}'
    for ask in (
        log.decision(decision, bare),
        log.decision(new_id(), first),
        log.decision(decision, "x"),
        log.decision(new_id()),
        log.decision("x"),
        AuditLog(writer, next(_tenants)).decision(decision),
    ):
        with pytest.raises(NotFound):
            await ask


async def test_a_refusal_in_the_same_millisecond_is_how_a_decision_ended(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schakel.generic.logging.writer.now", lambda: MOMENT)
    for _ in range(10):
        decision = new_id()
        for outcome in ("0", "4"):
            await log.write(replace(QUERY, decision=decision, outcome=outcome), outcome.encode())
        assert await log.decision(decision) == b"4"


async def test_a_decision_is_there_only_when_its_event_is(pool: asyncpg.Pool, log: AuditLog) -> None:
    await pool.execute("ALTER TABLE decision ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    try:
        with pytest.raises(Busy):
            await log.write(QUERY, b"{}")
    finally:
        await pool.execute("ALTER TABLE decision DROP CONSTRAINT full_disk")
    assert await log.search(Wanted()) == []


async def test_the_text_of_a_policy_is_kept_once(log: AuditLog, writer: AuditWriter) -> None:
    for _ in range(2):
        await log.keep_policy("digest", "the text")
    assert await log.policy("digest") == "the text"
    with pytest.raises(NotFound):
        await AuditLog(writer, next(_tenants)).policy("digest")


# -- who sees what -----------------------------------------------------------------------------------------

FULL = replace(
    QUERY,
    reason="reason-x",
    explanation="explained",
    account="account-x",
    assurance="assurance-x",
    patient_name="P. Patient",
    ground_kind="recorded",
    policy="policy-x",
    confidentiality="R",
    correlation="question-x",
    trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
"""An event in which no field is empty."""


def test_every_field_has_an_audience_and_the_officer_sees_all() -> None:
    names = [one.name for one in fields(Event)]
    assert sorted(FIELDS) == sorted(names)
    assert [name for name in names if "officer" not in FIELDS[name].by] == []
    assert seen(FULL, "officer") == FULL
    assert [name for name in names if not getattr(FULL, name)] == []


@pytest.mark.parametrize("audience", ["patient", "technical"])
def test_an_audience_gets_its_own_fields_and_no_other(audience: Audience) -> None:
    shown = seen(FULL, audience)
    for name, field in FIELDS.items():
        assert bool(getattr(shown, name)) == (audience in field.by), name


def test_systems_that_watch_learn_nothing_of_a_person() -> None:
    event = Logged("e", MOMENT, FULL)
    told = str(event.resource("technical")) + rows([event], "technical", "csv", head=True).decode()
    for secret in (
        PATIENT,
        "900025039",
        "Boer",
        "account-x",
        "Condition",
        "explained",
        "P. Patient",
        "192.0.2.7",
    ):
        assert secret not in told, secret
    assert QUERY.decision in told and "question-x" in told


def test_the_patient_is_not_told_what_was_held_back_from_others() -> None:
    told = str(Logged("e", MOMENT, FULL).resource("patient"))
    assert "ground found" not in told and "192.0.2.7" not in told and "5b1e" not in told
    assert "L. de Boer" in told and "recorded/g-1" in told and "explained" in told


@pytest.mark.parametrize("audience", ["patient", "officer", "technical"])
def test_what_an_audience_sees_is_sound(audience: Audience) -> None:
    assert check(Logged("e", MOMENT, FULL).resource(audience), definitions("r4")) == []


def test_the_fields_of_nen_7513_are_all_in_the_audit_event() -> None:
    made = audit_event(FULL, MOMENT, "e")
    details = {one["type"]: one["valueString"] for one in made["entity"][-1]["detail"]}
    assert details == {
        "autorisatieProtocol": "bgz-7",
        "autorisatieProtocolVersie": "policy-x",
        "behandelrelatieProtocol": "current",
        "toestemmingsProfiel": "recorded/g-1",
        "controles": "identified; ground found",
        "betrouwbaarheidsniveau": "assurance-x",
        "toelichting": "explained",
    }
    user, mandate = made["agent"][2:]
    assert (user["altId"], user["who"]["identifier"]["value"]) == ("account-x", "900025039")
    assert mandate["who"]["identifier"]["value"] == "900000008"
    first = next(one for one in made["entity"] if one.get("role", {}).get("code") == "4")
    assert (first["lifecycle"]["code"], first["securityLabel"][0]["code"]) == ("6", "R")
    [question] = [one for one in made["entity"] if one["type"]["code"] == "correlation"]
    assert question["what"]["identifier"]["value"] == "question-x"
    assert question["detail"] == [{"type": "traceparent", "valueString": FULL.trace}]


# -- as rows ---------------------------------------------------------------------------------------------------


def test_an_export_gives_every_field_of_the_officer() -> None:
    event = Logged("e-1", MOMENT, FULL)
    [row] = csv.DictReader(StringIO(rows([event], "officer", "csv", head=True).decode()))
    assert [name for name, value in row.items() if not value] == []
    assert (row["id"], row["recorded"], row["user_role"]) == ("e-1", "2026-09-01T08:00:00.000Z", "01.010")
    assert row["resources"] == "Condition/a/_history/1 Condition/b/_history/2"
    [line] = rows([event], "officer", "ndjson").splitlines()
    table = json.loads(line)
    assert table["user"]["responsible"] == "900000008" and table["checks"] == ["identified", "ground found"]


@pytest.mark.parametrize("text", ["=1+1", "+31", "-1", "@x", "\tx", "\uff1d1+1", "\n=1+1"])
def test_a_spreadsheet_finds_no_formula_in_an_export(text: str) -> None:
    event = Logged("e-1", MOMENT, replace(FULL, request_id=text))
    [row] = csv.DictReader(StringIO(rows([event], "officer", "csv", head=True).decode()))
    assert row["request_id"] == f"'{text}"
    assert json.loads(rows([event], "officer", "ndjson"))["request_id"] == text


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters()), st.text(st.characters(), max_size=30), st.lists(st.text(), max_size=3))
def test_whatever_stands_in_an_event_its_rows_are_whole(text: str, name: str, checks: list[str]) -> None:
    event = Logged(
        "e-1", MOMENT, from_json(to_json(replace(FULL, query=text, patient_name=name, checks=tuple(checks))))
    )
    table = list(csv.reader(StringIO(rows([event, event], "officer", "csv", head=True).decode(), newline="")))
    assert len(table) == 3 and {len(row) for row in table} == {len(columns("officer"))}
    assert len(rows([event, event], "officer", "ndjson").splitlines()) == 2


def test_what_is_kept_is_what_was_written() -> None:
    assert from_json(to_json(FULL)) == replace(
        FULL, user=LoggedPerson("900025039", "L. de Boer", "01.010", "900000008")
    )


async def test_an_event_has_the_trace_of_the_request_in_which_it_was_written(log: AuditLog) -> None:
    received = trace.received("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "question-1")

    async def asked(event: Event) -> Event:
        trace.enter(received)
        return (await log.read(await log.write(event))).event

    kept = await asyncio.create_task(asked(QUERY))
    assert (kept.trace, kept.correlation) == (received.parent, "question-1")
    kept = await asyncio.create_task(asked(replace(QUERY, correlation="own")))
    assert (kept.trace, kept.correlation) == (received.parent, "own")
    assert (await log.read(await log.write(QUERY))).event.correlation == ""


# -- out of reach ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET patient = ''",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "INSERT INTO audit_event SELECT * FROM audit_event ON CONFLICT (tenant, id) DO UPDATE SET body = ''",
        "MERGE INTO audit_event a USING audit_event b ON a.id = b.id WHEN MATCHED THEN DELETE",
    ],
)
async def test_the_database_refuses_to_change_the_log(
    log: AuditLog, pool: asyncpg.Pool, statement: str
) -> None:
    name = await log.write(QUERY)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="new events only"):
        await pool.execute(statement)
    assert await log.read(name)


async def test_keys_of_what_the_generic_functions_keep_lead_with_the_tenant(pool: asyncpg.Pool) -> None:
    rows = await pool.fetch(
        "SELECT i.indrelid::regclass::text AS of, i.indexrelid::regclass::text AS name, a.attname AS first "
        "FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
        "WHERE i.indrelid IN (SELECT attrelid FROM pg_attribute WHERE attname = 'tenant') "
        "AND i.indrelid::regclass::text NOT LIKE 'pg_%'"
    )
    kept = {"used_id", "access_token", "disclosure_ground", "audit_event", "decision", "policy_text"}
    assert kept | {"audit_unsealed", "audit_seal", "audit_removed"} <= {row["of"] for row in rows}
    assert [row["name"] for row in rows if row["first"] != "tenant"] == []


# -- many at once, and trouble ---------------------------------------------------------------------------------


async def test_many_writers_share_a_commit_and_none_is_lost(
    pool: asyncpg.Pool, writer: AuditWriter, log: AuditLog
) -> None:
    other = AuditLog(writer, next(_tenants))
    names = await asyncio.gather(*((log, other)[n % 2].write(QUERY) for n in range(1500)))
    found = ids(await log.search(Wanted(), 2000)) + ids(await other.search(Wanted(), 2000))
    assert sorted(found) == sorted(names)
    commits = await pool.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM audit_event WHERE id = ANY ($1::uuid[])", names
    )
    assert 3 <= commits < 100


async def test_when_the_log_cannot_be_written_nobody_goes_on(pool: asyncpg.Pool, log: AuditLog) -> None:
    await pool.execute("ALTER TABLE audit_event ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    try:
        answers = await asyncio.gather(*(log.write(QUERY) for _ in range(20)), return_exceptions=True)
    finally:
        await pool.execute("ALTER TABLE audit_event DROP CONSTRAINT full_disk")
    assert [type(one) for one in answers] == [Busy] * 20
    assert {one.kind for one in answers if isinstance(one, Busy)} == {"log-unavailable"}
    assert await log.search(Wanted()) == []
    assert [await log.write(QUERY)] == ids(await log.search(Wanted()))


async def test_without_its_database_nobody_goes_on(address: str) -> None:
    closed = await connect(address)
    await closed.close()
    with pytest.raises(Busy):
        await AuditLog(AuditWriter(closed), 1).write(QUERY)


async def test_a_caller_that_gives_up_does_not_disturb_the_others(log: AuditLog) -> None:
    impatient = asyncio.create_task(log.write(QUERY))
    others = [asyncio.create_task(log.write(QUERY)) for _ in range(10)]
    await asyncio.sleep(0)
    impatient.cancel()
    names = await asyncio.gather(*others)
    assert set(names) <= set(ids(await log.search(Wanted())))
    with pytest.raises(asyncio.CancelledError):
        await impatient


@pytest.mark.parametrize("change", [{"patient": "99991112"}, {"patient": "\0" * 9}, {"decision": "x"}])
async def test_an_event_that_is_none_spoils_no_other(log: AuditLog, change: dict[str, Any]) -> None:
    wrong, right = await asyncio.gather(
        log.write(replace(QUERY, **change)), log.write(QUERY), return_exceptions=True
    )
    assert isinstance(wrong, Fault)
    assert ids(await log.search(Wanted())) == [right]
