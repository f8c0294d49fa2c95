"""The seals of the log: every event once, in a chain that any change breaks, outside the database too."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sealed import EVENT, KEY, OTHER_KEY, URA, Sealed, tenants

from schakel.generic.logging import AuditLog, AuditWriter, Sealer, Sealing, Wanted, seal, seal_file
from schakel.generic.logging import sealer as sealer_module
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Busy, Fault
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("seals", "seals", "secret"))
    yield opened
    await opened.close()
    await cluster.drop_database("seals", "seals")


@pytest.fixture
def sealed(pool: asyncpg.Pool, tmp_path: Path) -> Sealed:
    return Sealed.new(pool, tmp_path)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node runs beside these tests that could still be adding a seal to the file."""
    monkeypatch.setattr("schakel.generic.logging.verify._TRY_SECONDS", 0.001)


# -- sealing ---------------------------------------------------------------------------------------------------


async def test_every_event_is_in_one_seal_and_the_seals_form_a_chain(sealed: Sealed) -> None:
    names = [*sorted(await sealed.write(3)), *sorted(await sealed.write(2))]
    seals = [seal.read(line) for line in sealed.lines]
    assert [str(event) for one in seals for event, _ in one.leaves] == names
    assert [one.number for one in seals] == [1, 2]
    assert [one.previous for one in seals] == [seal.FIRST, seal.digest(sealed.lines[0])]
    assert {one.organisation for one in seals} == {URA}
    verified = await sealed.verify()
    assert (verified.findings, verified.seals, verified.events, verified.unsealed) == ([], 2, 5, [])


async def test_an_event_waits_for_its_seal_in_the_tail(sealed: Sealed) -> None:
    await sealed.write(1)
    waiting = await sealed.log.write(EVENT)
    verified = await sealed.verify()
    assert (verified.findings, verified.unsealed) == ([], [waiting])


async def test_a_log_without_events_has_a_file_without_seals(sealed: Sealed) -> None:
    await sealed.sealer().seal()
    assert sealed.file.read_bytes() == b""
    assert (await sealed.verify()).findings == []


async def test_a_round_with_nothing_new_makes_no_seal(sealed: Sealed) -> None:
    await sealed.write(1)
    await sealed.sealer().seal()
    assert len(sealed.lines) == 1


async def test_a_large_backlog_becomes_several_seals(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealer_module, "SEAL_EVENTS", 4)
    await sealed.write(10)
    assert [len(seal.read(line).leaves) for line in sealed.lines] == [4, 4, 2]
    assert (await sealed.verify()).findings == []


async def test_an_event_that_commits_late_is_in_a_later_seal(sealed: Sealed) -> None:
    await sealed.write(1)
    columns = "tenant, id, recorded, kind, outcome, requester, person, patient, decision, correlation, body"
    async with sealed.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        late = uuid.UUID(int=(time.time_ns() // 1_000_000 - 60_000) << 80)
        await connection.execute(
            f"INSERT INTO audit_event ({columns}) SELECT tenant, $2, recorded - interval '1 minute', kind, outcome, "
            "requester, person, patient, decision, correlation, body FROM audit_event WHERE tenant = $1",
            sealed.tenant,
            late,
        )
        await connection.execute("INSERT INTO audit_unsealed VALUES ($1, $2)", sealed.tenant, late)
        [early] = await sealed.write(1)
        await transaction.commit()
    await sealed.sealer().seal()
    assert [[str(e) for e, _ in seal.read(line).leaves] for line in sealed.lines[1:]] == [
        [early],
        [str(late)],
    ]
    assert (await sealed.verify()).findings == []


async def test_two_nodes_that_seal_at_once_seal_each_event_once(sealed: Sealed, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with sealed.sealer().sealing(), sealed.sealer(elsewhere).sealing(), sealed.sealer().sealing():
        names = await asyncio.gather(
            *(sealed.log.write(replace(EVENT, decision=new_id())) for _ in range(400))
        )
        await asyncio.sleep(1.2)
        names += [await sealed.log.write(EVENT)]
    await sealed.sealer(elsewhere).seal()
    held = [str(event) for line in sealed.lines for event, _ in seal.read(line).leaves]
    assert sorted(held) == sorted(names)
    assert (await sealed.verify()).findings == []
    assert seal_file.path(elsewhere, URA).read_text() == sealed.file.read_text()


async def test_sealing_is_done_within_a_second(sealed: Sealed) -> None:
    async with sealed.sealer().sealing():
        await asyncio.sleep(0.1)
        await sealed.log.write(EVENT)
        await asyncio.sleep(1.0)
        assert len(sealed.lines) == 1


async def test_an_organisation_in_trouble_does_not_keep_another_from_its_seals(sealed: Sealed) -> None:
    other = next(tenants)
    await AuditLog(AuditWriter(sealed.pool), other).write(replace(EVENT, holder="33333333"))
    await sealed.log.write(EVENT)
    sealed.file.mkdir()
    sealer = Sealer(
        sealed.pool, {sealed.tenant: Sealing(URA, KEY), other: Sealing("33333333", KEY)}, sealed.folder
    )
    with pytest.raises(Busy, match=r"log\.seal_folder"):
        await sealer.seal()
    assert seal_file.last_line(seal_file.path(sealed.folder, "33333333"))


# -- the file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 40, -1])
async def test_a_torn_last_line_is_completed(sealed: Sealed, kept: int) -> None:
    await sealed.write(1)
    whole = sealed.file.read_bytes()
    await sealed.write(1)
    both = sealed.file.read_bytes()
    sealed.file.write_bytes(whole + both[len(whole) :][:kept])
    await sealed.sealer().seal()
    assert sealed.file.read_bytes() == both
    assert (await sealed.verify()).findings == []


async def test_what_the_file_lacks_after_a_crash_is_added_from_the_database(sealed: Sealed) -> None:
    for _ in range(3):
        await sealed.write(1)
    whole = sealed.file.read_bytes()
    for left in (whole.partition(b"\n")[0] + b"\n", b"", None):
        sealed.file.unlink()
        if left is not None:
            sealed.file.write_bytes(left)
        await sealed.sealer().seal()
        assert sealed.file.read_bytes() == whole


async def test_a_file_that_goes_on_otherwise_is_not_added_to(sealed: Sealed) -> None:
    await sealed.write(1)
    forged = seal.make(KEY, URA, 2, now(), seal.digest(sealed.lines[0]), [(uuid.UUID(int=1), b"x" * 32)])
    seal_file.add(sealed.file, [forged])
    with pytest.raises(seal.SealDamaged, match="verify"):
        await sealed.write(1)
    assert len(sealed.lines) == 2


# -- tampering -------------------------------------------------------------------------------------------------

_SECOND = "id = (SELECT id FROM audit_event WHERE tenant = TENANT ORDER BY recorded, id OFFSET 1 LIMIT 1)"
_COPY = (
    "INSERT INTO audit_event (tenant, id, recorded, kind, outcome, requester, person, patient, decision, correlation, "
    "body) SELECT tenant, '00000000-0000-0000-0000-00000000000a', recorded, kind, outcome, requester, person, patient, "
    "decision, correlation, body FROM audit_event WHERE tenant = TENANT LIMIT 1"
)
_SWAP = (
    "UPDATE audit_event a SET body = b.body FROM audit_event b WHERE a.tenant = TENANT AND b.tenant = TENANT "
    "AND a.id <> b.id AND a.decision <> b.decision"
)


@pytest.mark.parametrize(
    ("statement", "said", "names"),
    [
        (f"UPDATE audit_event SET body = '' WHERE tenant = TENANT AND {_SECOND}", "changed", "event"),
        (f"UPDATE audit_event SET patient = '999990019' WHERE tenant = TENANT AND {_SECOND}", "changed", "event"),
        (f"DELETE FROM audit_event WHERE tenant = TENANT AND {_SECOND}", "the event is missing", "event"),
        (f"DELETE FROM decision WHERE tenant = TENANT AND event IN (SELECT id FROM audit_event WHERE {_SECOND})",
         "changed", "event"),
        ("UPDATE decision SET body = '' WHERE tenant = TENANT", "decision was changed", "event"),
        ("INSERT INTO decision SELECT tenant, id, '00000000-0000-0000-0000-00000000000a', recorded, body FROM decision "
         "WHERE tenant = TENANT LIMIT 1", "a decision was inserted", "event"),
        (_COPY, "inserted", "event"),
        (_SWAP, "changed", "event"),
        ("DELETE FROM audit_seal WHERE tenant = TENANT AND number = 2", "missing from the database", "seal"),
        ("DELETE FROM audit_seal WHERE tenant = TENANT AND number = 3", "missing from the database", "seal"),
        ("UPDATE audit_seal s SET line = o.line FROM audit_seal o WHERE s.tenant = TENANT AND o.tenant = TENANT "
         "AND s.number = 1 AND o.number = 2", "not the one that was exported", "seal"),
        ("INSERT INTO audit_unsealed SELECT tenant, id FROM audit_event WHERE tenant = TENANT LIMIT 1",
         "stands on the list", "event"),
        ("INSERT INTO audit_unsealed VALUES (TENANT, '00000000-0000-0000-0000-00000000000a')",
         "missing before it was sealed", "event"),
        ("INSERT INTO audit_removed (tenant, number) VALUES (TENANT, 2)", "removed within 20 years", "seal"),
        ("DELETE FROM audit_event WHERE tenant = TENANT; DELETE FROM decision WHERE tenant = TENANT; "
         "INSERT INTO audit_removed (tenant, number) SELECT tenant, number FROM audit_seal WHERE tenant = TENANT",
         "the event is missing", "event"),
    ],
)  # fmt: skip
async def test_a_change_in_the_database_is_found_and_named(
    sealed: Sealed, statement: str, said: str, names: str
) -> None:
    for _ in range(3):
        await sealed.write(2)
    assert (await sealed.verify()).findings == []
    await sealed.tamper(statement)
    findings = [one for one in (await sealed.verify()).findings if said in one.what]
    assert findings and all(getattr(one, names) for one in findings), (await sealed.verify()).findings


async def test_a_damaged_event_is_named_when_the_log_is_read(sealed: Sealed) -> None:
    [name] = await sealed.write(1)
    await sealed.tamper("UPDATE audit_event SET body = 'x' WHERE tenant = TENANT")
    with pytest.raises(Fault, match=name):
        await sealed.log.search(Wanted())


async def _truncate(sealed: Sealed) -> None:
    sealed.file.write_text("".join(f"{line}\n" for line in sealed.lines[:-1]))


async def _without_second(sealed: Sealed) -> None:
    sealed.file.write_text("".join(f"{line}\n" for n, line in enumerate(sealed.lines) if n != 1))


async def _reordered(sealed: Sealed) -> None:
    first, second, third = sealed.lines
    sealed.file.write_text(f"{first}\n{third}\n{second}\n")


async def _damaged(sealed: Sealed) -> None:
    first, second, third = sealed.lines
    sealed.file.write_text(f"{first}\n{second[:50]}\n{third}\n")


async def _gone(sealed: Sealed) -> None:
    sealed.file.unlink()


async def _replaced(sealed: Sealed) -> None:
    """Someone without the key makes a whole new chain, in both places, that fits the events that are left."""
    lines, previous = [], seal.FIRST
    for old in map(seal.read, sealed.lines):
        lines.append(seal.make(OTHER_KEY, URA, old.number, old.sealed, previous, old.leaves))
        previous = seal.digest(lines[-1])
    sealed.file.write_text("".join(f"{line}\n" for line in lines))
    change = "UPDATE audit_seal SET line = '{}' WHERE tenant = TENANT AND number = {}"
    await sealed.tamper(*(change.format(line, number) for number, line in enumerate(lines, 1)))


async def _second_signed_anew(sealed: Sealed) -> None:
    """Even with the key, a seal that is made anew breaks the chain behind it."""
    old = seal.read(sealed.lines[1])
    line = seal.make(KEY, URA, 2, old.sealed, old.previous, old.leaves)
    sealed.file.write_text("".join(f"{one}\n" for one in (sealed.lines[0], line, sealed.lines[2])))


@pytest.mark.parametrize(
    ("change", "said", "number"),
    [
        (_truncate, "missing from", 3),
        (_without_second, "missing from", 2),
        (_reordered, "out of its order", 2),
        (_damaged, "cannot be read", 0),
        (_gone, "is not there", 0),
        (_replaced, "line 1 of 11111111.seals is not signed with a key", 0),
        (_replaced, "the seal is not signed with a key", 1),
        (_second_signed_anew, "chain is broken", 3),
        (_second_signed_anew, "not the one that was exported", 2),
    ],
)
async def test_a_change_of_the_export_is_found_and_named(
    sealed: Sealed, change: Callable[[Sealed], Awaitable[None]], said: str, number: int
) -> None:
    for _ in range(3):
        await sealed.write(2)
    await change(sealed)
    findings = (await sealed.verify()).findings
    assert [one.seal for one in findings if said in one.what][:1] == [number], findings


async def test_seals_of_an_earlier_key_hold_when_that_key_is_known(sealed: Sealed) -> None:
    await sealed.write(1)
    assert (await sealed.verify(OTHER_KEY)).findings != []
    assert (await sealed.verify(OTHER_KEY, KEY)).findings == []


async def test_the_file_of_a_neighbour_is_not_that_of_this_organisation(sealed: Sealed) -> None:
    await sealed.log.write(EVENT)
    await Sealer(sealed.pool, {sealed.tenant: Sealing("33333333", KEY)}, sealed.folder).seal()
    seal_file.path(sealed.folder, "33333333").rename(sealed.file)
    assert "organisation 33333333" in str((await sealed.verify()).findings[0])


_COLUMNS = (
    "recorded",
    "kind",
    "outcome",
    "requester",
    "person",
    "patient",
    "decision",
    "correlation",
    "body",
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.sampled_from(_COLUMNS), which=st.integers(0, 5), number=st.integers(1, 10**6))
async def test_any_single_change_of_any_event_is_found(
    pool: asyncpg.Pool, tmp_path: Path, column: str, which: int, number: int
) -> None:
    folder = tmp_path / new_id()
    folder.mkdir()
    sealed = Sealed.new(pool, folder)
    names = await sealed.write(6)
    value = {
        "recorded": f"recorded + interval '{number} microseconds'",
        "outcome": "outcome + 1",
        "decision": f"'{uuid.UUID(int=number)}'",
        "body": f"set_byte(body, {number} % length(body), get_byte(body, {number} % length(body)) # 1)",
    }.get(column, f"{column} || 'x'")
    changed = names[which]
    await sealed.tamper(
        f"UPDATE audit_event SET {column} = {value} WHERE tenant = TENANT AND id = '{changed}'"
    )
    assert changed in {one.event for one in (await sealed.verify()).findings}


async def test_without_its_database_nothing_is_sealed(cluster: EmbeddedServer, tmp_path: Path) -> None:
    closed = await connect(await cluster.ensure_database("seals", "seals", "secret"))
    await closed.close()
    with pytest.raises(Busy):
        await Sealer(closed, {1: Sealing(URA, KEY)}, tmp_path).seal()
