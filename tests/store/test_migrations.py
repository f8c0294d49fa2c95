"""Numbered SQL files are applied once, whole, in order, and are noticed when they changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from schakel.kernel.outcomes import Fault, Invalid
from schakel.store.migrations import migrate

Files = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Call it with names (without .sql) and texts for a folder with exactly these migrations."""

    def write(**texts: str) -> Path:
        for old in tmp_path.iterdir():
            old.unlink()
        for name, text in texts.items():
            (tmp_path / f"{name.lstrip('n')}.sql").write_bytes(text.encode())
        return tmp_path

    return write


@pytest_asyncio.fixture(loop_scope="session")
async def connection(fresh_database: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    opened = await asyncpg.connect(fresh_database)
    yield opened
    await opened.close()


async def _tables(connection: asyncpg.Connection[Any]) -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def test_files_are_applied_in_order_and_once(connection: asyncpg.Connection[Any], files: Files) -> None:
    folder = files(
        n0001_ward="CREATE TABLE ward (id int); INSERT INTO ward VALUES (1);",
        n0002_bed="ALTER TABLE ward ADD beds int; UPDATE ward SET beds = 8;",
    )
    assert await migrate(connection, folder) == ["0001_ward.sql", "0002_bed.sql"]
    assert await migrate(connection, folder) == []
    assert [tuple(row) for row in await connection.fetch("TABLE ward")] == [(1, 8)]


async def test_only_a_new_file_is_applied_to_an_older_database(
    connection: asyncpg.Connection[Any], files: Files
) -> None:
    await migrate(connection, files(n0001_ward="CREATE TABLE ward ()"))
    newer = files(n0001_ward="CREATE TABLE ward ()", n0002_bed="CREATE TABLE bed ()")
    assert await migrate(connection, newer) == ["0002_bed.sql"]
    assert await _tables(connection) == {"ward", "bed", "schema_migration"}


async def test_other_files_in_the_folder_are_left_alone(
    connection: asyncpg.Connection[Any], files: Files
) -> None:
    folder = files(n0001_ward="CREATE TABLE ward ()")
    (folder / "README.md").write_text("not SQL")
    assert await migrate(connection, folder) == ["0001_ward.sql"]


async def test_other_line_ends_are_not_another_text(
    connection: asyncpg.Connection[Any], files: Files
) -> None:
    await migrate(connection, files(n0001_ward="CREATE TABLE ward ();\nCREATE TABLE bed ();\n"))
    assert (
        await migrate(connection, files(n0001_ward="CREATE TABLE ward ();\r\nCREATE TABLE bed ();\r\n")) == []
    )


async def test_a_changed_file_is_refused_by_name(connection: asyncpg.Connection[Any], files: Files) -> None:
    await migrate(connection, files(n0001_ward="CREATE TABLE ward ()"))
    changed = files(n0001_ward="CREATE TABLE ward (id int)", n0002_bed="CREATE TABLE bed ()")
    with pytest.raises(Fault) as raised:
        await migrate(connection, changed)
    assert raised.value.kind == "migration-changed"
    assert "0001_ward.sql" in raised.value.message
    assert "bed" not in await _tables(connection)


async def test_a_database_of_a_newer_program_is_refused(
    connection: asyncpg.Connection[Any], files: Files
) -> None:
    await migrate(connection, files(n0001_ward="CREATE TABLE ward ()", n0002_bed="CREATE TABLE bed ()"))
    with pytest.raises(Invalid) as raised:
        await migrate(connection, files(n0001_ward="CREATE TABLE ward ()"))
    assert raised.value.kind == "database-newer"
    assert "0002_bed.sql" in raised.value.message and "newer version" in raised.value.message


async def test_a_failing_file_is_undone_whole_and_earlier_ones_stay(
    connection: asyncpg.Connection[Any], files: Files
) -> None:
    broken = files(n0001_ward="CREATE TABLE ward ()", n0002_bed="CREATE TABLE bed (); SELECT 1 / 0;")
    with pytest.raises(Fault, match=r"0002_bed\.sql.*division by zero"):
        await migrate(connection, broken)
    assert await _tables(connection) == {"ward", "schema_migration"}
    repaired = files(n0001_ward="CREATE TABLE ward ()", n0002_bed="CREATE TABLE bed ()")
    assert await migrate(connection, repaired) == ["0002_bed.sql"]


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN"])
async def test_a_file_that_ends_its_own_transaction_is_refused(
    connection: asyncpg.Connection[Any], files: Files, ending: str
) -> None:
    with pytest.raises(Fault, match="ends its own transaction"):
        await migrate(connection, files(n0001_ward=f"CREATE TABLE ward (); {ending};"))


async def test_programs_that_start_together_apply_each_file_once(fresh_database: str, files: Files) -> None:
    folder = files(
        n0001_ward="CREATE TABLE ward (id int); SELECT pg_sleep(0.1);",
        n0002_bed="INSERT INTO ward VALUES (1); SELECT pg_sleep(0.1);",
    )

    async def one_program() -> list[str]:
        connection = await asyncpg.connect(fresh_database)
        try:
            return await migrate(connection, folder)
        finally:
            await connection.close()

    applied = await asyncio.gather(*(one_program() for _ in range(4)))
    assert sorted(name for names in applied for name in names) == ["0001_ward.sql", "0002_bed.sql"]
    check = await asyncpg.connect(fresh_database)
    assert await check.fetchval("SELECT count(*) FROM ward") == 1
    await check.close()


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["0002_ward"], "should have number 0001"),
        (["0001_ward", "0003_bed"], "should have number 0002"),
        (["0001_ward", "0001_yard"], "should have number 0002"),
        (["1_ward"], "needs a name such as"),
        (["0001-Ward"], "needs a name such as"),
        ([], "no migrations"),
    ],
)
async def test_a_wrong_set_of_files_is_refused_before_anything_happens(
    connection: asyncpg.Connection[Any], files: Files, names: list[str], complaint: str
) -> None:
    folder = files(**dict.fromkeys(names, "CREATE TABLE ward ()"))
    with pytest.raises(Fault, match=complaint):
        await migrate(connection, folder)
    assert await _tables(connection) == set()


async def test_a_file_that_is_not_utf8_is_refused(
    connection: asyncpg.Connection[Any], tmp_path: Path
) -> None:
    (tmp_path / "0001_ward.sql").write_bytes(b"COMMENT ON SCHEMA public IS 'caf\xe9'")
    with pytest.raises(Fault, match="not UTF-8"):
        await migrate(connection, tmp_path)


async def test_a_connection_inside_a_transaction_is_refused(
    connection: asyncpg.Connection[Any], files: Files
) -> None:
    async with connection.transaction():
        with pytest.raises(Fault, match="outside a transaction"):
            await migrate(connection, files(n0001_ward="CREATE TABLE ward ()"))


async def test_the_schema_of_this_program_goes_into_an_empty_database(
    connection: asyncpg.Connection[Any],
) -> None:
    applied = await migrate(connection)
    assert applied[0].startswith("0001_")
    assert await migrate(connection) == []
