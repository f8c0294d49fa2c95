"""The checks at an organisation's own door, against running nodes with the national facilities as stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.dezi import dezi_node
from tests.guarded import BSN, condition, guarded_node, patient
from tests.measuring import internal, measured, saying, silent
from tests.nation import ALLOWS, nation
from tests.nodes import DOCTOR, MakeDatabase, RunningNode, databases, running_node
from tests.referring import referring

from schakel.kernel.clock import instant, now
from schakel.roadmap.evidence import Finding
from schakel.store.connection import acquire
from schakel.store.embedded import EmbeddedServer

RULES = [{"ground": "law", "categories": ["Condition"], "start": "2026-01-01"}]
CHECKED = ("nvi-registration", "mitz-subscription", "professional-login", "log-seals", "core-data")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def connected(
    cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningNode]:
    """A node of a and b at the NVI and Mitz; a registers one patient and has a subscription, b neither."""
    async with (
        nation(tmp_path_factory.mktemp("nation")) as country,
        databases(cluster, "roadmap_internal") as make,
    ):
        await country.refer()
        settings = country.settings(**referring(country))
        of_a = {"registrations": RULES, "type_code": "V6"}
        async with running_node(
            make, ("a", "b"), by_slug={"a": of_a, "b": {"type_code": "V6"}}, write_check="lenient", **settings
        ) as node:
            for resource in (patient("p1", ALLOWS), condition("c1", {"reference": "Patient/p1"})):
                answer = await node["a"].internal.put(
                    f"{resource['resourceType']}/{resource['id']}", json=resource
                )
                assert answer.status_code == 201, answer.text
            wanted = await node["a"].internal.post(
                f"{node['a'].internal_root}/a/consent/subscriptions",
                json={"patient": ALLOWS, "birth_date": "1970-01-01"},
            )
            assert wanted.status_code == 202, wanted.text
            yield node


@pytest.fixture
async def plain(make_database: MakeDatabase) -> AsyncIterator[RunningNode]:
    """A node that is connected to nothing."""
    async with running_node(make_database, ("a",), write_check="lenient") as node:
        yield node


async def until(check: str, node: RunningNode, verdict: str) -> Finding:
    """What the check finds at a, once its verdict is this one: work in the background takes its time."""
    async with asyncio.timeout(30):
        while (found := await measured(check, **internal(node["a"]))).verdict != verdict:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return found


def lives(part: str, *names: str, **away: str) -> dict[str, Any]:
    """What the internal door says of facilities: these answer, and why the others do not."""
    answered = {"answers": True, "away": None, "answered": instant(now())}
    silent = {"answers": False, "answered": None}
    return {
        part: [{"id": name, **answered} for name in names]
        + [{"id": name, **silent, "away": why} for name, why in away.items()]
    }


async def told(check: str, path: str, body: object, status: int = 200) -> Finding:
    """What the check finds when the internal door says this, and that all facilities answer."""
    async with saying() as peer:
        peer.says(f"/a/{path}", body, status)
        peer.says("/a/facilities", lives("localisation", "nvi") | lives("consent", "mitz"))
        return await measured(check, internal=f"{peer.url}/a", internal_key="k")


# -- nvi-registration ----------------------------------------------------------------------------------------


async def test_registrations_at_the_nvi_hold(connected: RunningNode) -> None:
    found = await until("nvi-registration", connected, "holds")
    assert found.facts["active"] == 1


async def test_an_organisation_without_a_rule_registers_nothing(connected: RunningNode) -> None:
    found = await measured("nvi-registration", **{**internal(connected["b"]), "ura": "90000001"})
    assert found.verdict == "fails"
    assert "no rule to register by" in found.reason.en


async def test_an_organisation_that_is_not_at_the_nvi_fails(plain: RunningNode) -> None:
    found = await measured("nvi-registration", **internal(plain["a"]))
    assert (found.verdict, found.reason.en) == ("fails", "The organisation is not connected to the NVI.")


WELL = {"categories": 1, "states": {"active": 4}, "due": 0, "failing": 0, "without_bsn": 0}


@pytest.mark.parametrize(
    ("changed", "verdict", "said"),
    [
        ({}, "holds", "Registrations in the NVI: 4"),
        ({"categories": 0}, "fails", "no rule"),
        ({"states": {"waiting": 3}}, "fails", "Nobody is registered"),
        ({"failing": 2}, "fails", "failed for 2 patients"),
        ({"states": {"active": 4, "refused": 1}}, "fails", "refused 1 registrations"),
    ],
)
async def test_registrations_with_one_fault_fail_with_exactly_that(
    changed: dict[str, Any], verdict: str, said: str
) -> None:
    found = await told("nvi-registration", "localisation/status", {**WELL, **changed})
    assert found.verdict == verdict
    assert said in found.reason.en
    assert found.reason.en.count(". ") == 0


# -- mitz-subscription ---------------------------------------------------------------------------------------


async def test_a_subscription_at_mitz_holds_and_names_nobody(connected: RunningNode) -> None:
    found = await until("mitz-subscription", connected, "holds")
    assert found.facts == {"active": 1, "waiting": 0, "refused": 0, "failing": 0}
    assert ALLOWS not in str(found)


async def test_an_organisation_without_subscriptions_fails(
    connected: RunningNode, plain: RunningNode
) -> None:
    none = await measured("mitz-subscription", **{**internal(connected["b"]), "ura": "90000001"})
    assert (none.verdict, "no subscription at Mitz that is in force" in none.reason.en) == ("fails", True)
    off = await measured("mitz-subscription", **internal(plain["a"]))
    assert (off.verdict, "no subscriptions at Mitz set up" in off.reason.en) == ("fails", True)


@pytest.mark.parametrize(
    ("more", "verdict", "said"),
    [
        ({"state": "waiting", "attempts": 0, "error": None}, "holds", "Mitz tells: 1"),
        ({"state": "refused", "attempts": 1, "error": "no"}, "fails", "refused 1"),
        ({"state": "waiting", "attempts": 3, "error": "away"}, "fails", "failed for 1"),
    ],
)
async def test_a_subscription_that_is_refused_or_failing_fails(
    more: dict[str, Any], verdict: str, said: str
) -> None:
    rows = [{"id": "1", "state": "active"}, {"id": "2", **more}]
    found = await told("mitz-subscription", "consent/subscriptions", {"subscriptions": rows})
    assert found.verdict == verdict
    assert said in found.reason.en


# -- professional-login --------------------------------------------------------------------------------------


async def test_a_login_that_leads_to_dezi_holds_and_is_ended(make_database: MakeDatabase) -> None:
    async with dezi_node(make_database) as scene:
        found = await measured("professional-login", **internal(scene.a))
        assert found.verdict == "holds", found
        async with acquire(scene.node.node.pool) as connection:
            assert await connection.fetchval("SELECT count(*) FROM dezi_login") == 0


async def test_a_node_without_dezi_fails_and_one_whose_dezi_is_away_is_not_judged(
    plain: RunningNode, make_database: MakeDatabase
) -> None:
    found = await measured("professional-login", **internal(plain["a"]))
    assert (found.verdict, "not set up" in found.reason.en) == ("fails", True)
    async with dezi_node(make_database, issuer=silent()) as scene:
        found = await measured("professional-login", **internal(scene.a))
    assert found.verdict == "unknown"
    assert "?" not in str(found)


# -- log-seals -----------------------------------------------------------------------------------------------


async def test_a_sealed_log_holds_and_one_that_was_changed_fails(plain: RunningNode) -> None:
    answer = await plain["a"].internal.get(f"{plain['a'].internal_root}/a/log/fhir/r4/AuditEvent")
    assert answer.status_code == 200, answer.text
    found = await until("log-seals", plain, "holds")
    assert found.facts["findings"] == 0
    async with acquire(plain.node.pool) as connection:
        await connection.execute("ALTER TABLE audit_event DISABLE TRIGGER USER")
        await connection.execute(
            "UPDATE audit_event SET recorded = recorded - interval '1 hour' "
            "WHERE id = (SELECT id FROM audit_event ORDER BY recorded LIMIT 1)"
        )
        await connection.execute("ALTER TABLE audit_event ENABLE TRIGGER USER")
    found = await measured("log-seals", **internal(plain["a"]))
    assert found.verdict == "fails", found
    assert "not as it was sealed" in found.reason.en


async def test_a_log_of_which_nothing_is_sealed_is_not_judged() -> None:
    found = await told("log-seals", "log/verification", {"seals": 0, "events": 0, "findings": 0})
    assert found.verdict == "unknown"


# -- core-data -----------------------------------------------------------------------------------------------


async def recorded(node: RunningNode, name: str, **members: Any) -> None:
    """Stores a Condition (STU3) now that says when it was recorded."""
    resource = condition(name, {"reference": "Patient/p1"}, **members)
    answer = await node["a"].internal.put(f"Condition/{name}", json=resource)
    assert answer.status_code in (200, 201), answer.text


async def test_core_data_that_could_be_retrieved_within_a_day_hold(plain: RunningNode) -> None:
    await recorded(plain, "now", assertedDate=instant(now()))
    await recorded(plain, "earlier", assertedDate=instant(now() - timedelta(hours=23)))
    await recorded(plain, "old", assertedDate=instant(now() - timedelta(days=400)))
    await recorded(plain, "unsaid")
    observed = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}
    answer = await plain["a"].internal_r4.put("Observation/o", json={**observed, "issued": instant(now())})
    assert answer.status_code == 201, answer.text
    found = await measured("core-data", **internal(plain["a"]))
    assert found.verdict == "holds", found
    assert (found.facts["numerator"], found.facts["denominator"]) == (3, 3)
    assert found.facts["undecided"] == 1


async def test_one_entry_that_came_later_fails_with_the_share(plain: RunningNode) -> None:
    await recorded(plain, "now", assertedDate=instant(now()))
    await recorded(plain, "late", assertedDate=instant(now() - timedelta(hours=25)))
    found = await measured("core-data", **internal(plain["a"]))
    assert found.verdict == "fails"
    assert (found.facts["numerator"], found.facts["denominator"], found.facts["share"]) == (1, 2, 0.5)
    assert "50.0 %" in found.reason.en
    assert "50,0 %" in found.reason.nl


async def test_the_first_version_counts_and_not_a_later_one(plain: RunningNode) -> None:
    await recorded(plain, "one", assertedDate=instant(now()))
    await recorded(plain, "one", assertedDate=instant(now() - timedelta(days=3)))
    found = await measured("core-data", **internal(plain["a"]))
    assert (found.verdict, found.facts["denominator"]) == ("holds", 1)


async def test_nothing_recorded_says_nothing(plain: RunningNode) -> None:
    assert (await measured("core-data", **internal(plain["a"]))).verdict == "unknown"
    await recorded(plain, "unsaid")
    assert (await measured("core-data", **internal(plain["a"]))).verdict == "unknown"


async def test_every_page_of_the_history_is_read(plain: RunningNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schakel.roadmap.checks.core_data._PAGE", "2")
    for number in range(5):
        await recorded(plain, f"c{number}", assertedDate=instant(now()))
    found = await measured("core-data", **internal(plain["a"]))
    assert found.facts["denominator"] == 5


# -- exchange-bgz --------------------------------------------------------------------------------------------


def asking(node: RunningNode) -> dict[str, Any]:
    """b asks a for the BgZ of the test patient."""
    user = {"id": DOCTOR.id, "name": DOCTOR.name, "role": DOCTOR.role}
    exchange = {"patient": BSN, "holders": [node["a"].ura], "user": user}
    return {**internal(node["b"]), "ura": "90000001", "exchange": exchange}


async def test_an_exchange_that_brings_everything_holds_and_one_that_is_refused_fails(
    cluster: EmbeddedServer,
) -> None:
    async with guarded_node(cluster, "roadmap_exchange") as node:
        ground = await node["a"].ground(BSN, node["b"].ura)
        found = await measured("exchange-bgz", **asking(node))
        assert found.verdict == "holds", found
        assert found.facts == {"holders": 1, "requests": 27}
        assert BSN not in str(found)
        ended = await node["a"].internal.delete(f"{node['a'].internal_root}/a/grounds/{ground['id']}")
        assert ended.status_code == 200, ended.text
        found = await measured("exchange-bgz", **asking(node))
        assert found.verdict == "fails"
        assert node["a"].ura in found.reason.en


def asked(by: str, status: str = "answered", reason: str = "") -> dict[str, str]:
    """A facility that was asked who has data."""
    return {"by": by, "status": status, "reason": reason}


def holder(status: str, *requests: str, cause: str | None = None) -> dict[str, Any]:
    """A holder, how each of its requests ended, and why those that are not complete did (unsaid by an older node)."""
    made = [
        {"status": one, **({} if cause is None else {"cause": "" if one == "complete" else cause})}
        for one in requests
    ]
    return {"ura": "90000002", "status": status, "requests": made}


WHOLE, LATE = holder("complete", "complete", "complete"), holder("late", "late", "late")
REFUSED = holder("refused", "refused", "refused")


@pytest.mark.parametrize(
    ("status", "localised", "holders", "verdict", "said"),
    [
        pytest.param("complete", [], [], "unknown", "Nobody was found", id="nobody"),
        pytest.param("complete", [asked("nvi")], [WHOLE], "holds", "holders: 1", id="whole"),
        pytest.param(
            "incomplete", [asked("nvi", "failed", "slow")], [], "unknown", "nvi (failed)", id="index-away"
        ),
        pytest.param(
            "incomplete",
            [asked("nvi", "failed", "slow")],
            [WHOLE],
            "unknown",
            "nvi (failed)",
            id="index-away-and-whole",
        ),
        pytest.param(
            "incomplete", [asked("nvi", reason="unreadable")], [WHOLE], "unknown", "nvi", id="unreadable"
        ),
        pytest.param("late", [], [LATE], "unknown", "90000002 (late)", id="holder-late"),
        pytest.param(
            "failed", [], [holder("failed", "failed")], "unknown", "90000002 (failed)", id="holder-failed"
        ),
        pytest.param(
            "incomplete",
            [],
            [holder("incomplete", "complete", "late")],
            "unknown",
            "90000002 (incomplete)",
            id="silent-on-one",
        ),
        pytest.param("refused", [], [REFUSED], "fails", "90000002 (refuses)", id="refused"),
        pytest.param(
            "incomplete",
            [asked("nvi", "failed", "slow")],
            [LATE, {**REFUSED, "ura": "90000003"}],
            "fails",
            "not complete: 90000003 (refuses).",
            id="refused-beside-silence",
        ),
        pytest.param(
            "incomplete",
            [],
            [holder("incomplete", "complete", "incomplete", cause="short")],
            "fails",
            "90000002 (gave a part)",
            id="short",
        ),
        pytest.param(
            "incomplete",
            [],
            [holder("incomplete", "complete", "incomplete", cause="no-answer")],
            "unknown",
            "90000002 (incomplete)",
            id="silent-halfway",
        ),
        pytest.param(
            "incomplete",
            [],
            [holder("incomplete", "complete", "incomplete", cause="refused")],
            "fails",
            "90000002 (refuses)",
            id="refused-halfway",
        ),
        pytest.param(
            "incomplete",
            [],
            [holder("incomplete", "complete", "incomplete")],
            "unknown",
            "90000002 (incomplete)",
            id="an-older-node-does-not-say-why",
        ),
        pytest.param(
            "incomplete",
            [],
            [holder("incomplete", "complete", "failed", cause="not-addressable")],
            "fails",
            "90000002 (not asked: the directory does not say where",
            id="no-endpoint-for-a-part",
        ),
        pytest.param(
            "failed",
            [],
            [holder("failed", "failed", cause="not-addressable")],
            "fails",
            "90000002 (not asked: the directory does not say where",
            id="no-endpoint-at-all",
        ),
        pytest.param(
            "failed",
            [],
            [holder("failed", "failed", cause="not-provable")],
            "fails",
            "90000002 (not asked: who asks cannot show",
            id="no-credential",
        ),
        pytest.param(
            "failed",
            [],
            [holder("failed", "failed", cause="no-answer")],
            "unknown",
            "90000002 (failed)",
            id="no-answer",
        ),
    ],
)
async def test_only_who_refuses_or_answers_short_makes_an_exchange_fail(
    status: str, localised: list[dict[str, str]], holders: list[dict[str, Any]], verdict: str, said: str
) -> None:
    user = {"id": DOCTOR.id, "name": DOCTOR.name, "role": DOCTOR.role}
    async with saying() as peer:
        body = {"id": "x", "status": status, "localised": localised, "holders": holders}
        peer.says("/a/exchanges/bgz", body)
        peer.says("/a/facilities", {"addressing": []})
        given: dict[str, Any] = {"internal": f"{peer.url}/a", "internal_key": "k"}
        found = await measured("exchange-bgz", **given, exchange={"patient": BSN, "user": user})
    assert (found.verdict, said in found.reason.en) == (verdict, True), found


@pytest.mark.parametrize(("cause", "verdict"), [("not-addressable", "unknown"), ("not-provable", "fails")])
async def test_what_a_directory_that_is_away_does_not_tell_is_not_held_against_who_asks(
    cause: str, verdict: str
) -> None:
    user = {"id": DOCTOR.id, "name": DOCTOR.name, "role": DOCTOR.role}
    away = {"id": "lrza", "answers": False, "away": "not reachable", "answered": None}
    async with saying() as peer:
        told = holder("failed", "failed", cause=cause)
        peer.says("/a/exchanges/bgz", {"id": "x", "status": "failed", "localised": [], "holders": [told]})
        peer.says("/a/facilities", {"addressing": [away]})
        given: dict[str, Any] = {"internal": f"{peer.url}/a", "internal_key": "k"}
        found = await measured("exchange-bgz", **given, exchange={"patient": BSN, "user": user})
    assert (found.verdict, "the directory lrza" in found.reason.en) == (verdict, verdict == "unknown"), found


# -- facilities that are away --------------------------------------------------------------------------------

DEPENDS = {
    "nvi-registration": ("localisation", ("nvi", "nvi-tokens", "prs", "prs-tokens")),
    "mitz-subscription": ("consent", ("mitz",)),
}


async def test_a_node_tells_which_of_its_facilities_answer_at_this_moment(connected: RunningNode) -> None:
    a = connected["a"]
    answer = await a.internal.get(f"{a.internal_root}/a/facilities")
    assert answer.status_code == 200, answer.text
    for part, names in DEPENDS.values():
        found = {one["id"]: one for one in answer.json()[part]}
        assert set(found) == set(names)
        assert all(one["answers"] and one["away"] is None and one["answered"] for one in found.values()), (
            found
        )
    assert answer.json()["addressing"] == []


@pytest.mark.parametrize(
    ("check", "name"), [(check, one) for check, (_, all) in DEPENDS.items() for one in all]
)
async def test_what_an_organisation_keeps_of_a_facility_that_is_away_says_nothing(
    check: str, name: str
) -> None:
    part, names = DEPENDS[check]
    rows = {"subscriptions": [{"id": "1", "state": "active"}]}
    async with saying() as peer:
        peer.says("/a/localisation/status", WELL)
        peer.says("/a/consent/subscriptions", rows)
        peer.says("/a/facilities", lives(part, *names))
        given: dict[str, Any] = {"internal": f"{peer.url}/a", "internal_key": "k"}
        assert (await measured(check, **given)).verdict == "holds"
        others = [one for one in names if one != name]
        peer.says("/a/facilities", lives(part, *others, **{name: "at https://secret.example"}))
        found = await measured(check, **given)
        assert (found.verdict, "there is no answer of" in found.reason.en) == ("unknown", True), found
        assert "secret" not in str(found.reason) and "secret" in found.detail
        # What failed meanwhile failed by that.
        peer.says("/a/localisation/status", {**WELL, "failing": 3})
        peer.says("/a/consent/subscriptions", {"subscriptions": []})
        assert (await measured(check, **given)).verdict == "unknown"
        peer.says("/a/facilities", {}, 500)
        assert (await measured(check, **given)).verdict == "unknown"


# -- a door that says nothing of it --------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKED)
async def test_an_internal_door_that_is_silent_refuses_or_is_in_trouble_says_nothing(
    check: str, plain: RunningNode
) -> None:
    key: dict[str, Any] = {"internal_key": "k"}
    address = silent()
    found = await measured(check, internal=f"{address}/a", **key)
    assert found.verdict == "unknown"
    assert "The internal door gave no answer" in found.reason.en
    assert urlsplit(address).netloc not in str(found.reason) and address in found.detail
    wrong = {**internal(plain["a"]), "internal_key": "another-key"}
    found = await measured(check, **wrong)
    assert (found.verdict, "does not take the key" in found.reason.en) == ("unknown", True)
    assert "another-key" not in str(found)
    async with saying() as peer:
        found = await measured(check, internal=f"{peer.url}/a", **key)
    assert found.verdict == "unknown", found
