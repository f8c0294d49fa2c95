"""Every statement in the program names the tenant as often as it names a table of tenants' data."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.shared import ROOT

SOURCES = sorted((ROOT / "src" / "schakel").rglob("*.py"))
MIGRATIONS = sorted((ROOT / "src/schakel/store/migrations").glob("*.sql"))
_TABLE = re.compile(r"CREATE TABLE (\w+) \((.*?)\n\);", re.DOTALL)


def tables() -> set[str]:
    """The tables whose rows belong to a tenant, by the migrations."""
    made = [found for path in MIGRATIONS for found in _TABLE.findall(path.read_text())]
    return {name for name, columns in made if re.search(r"^\s+tenant\s", columns, re.MULTILINE)}


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every string that is no documentation; what is filled in stands as {}."""
    inside: set[int] = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            inside.update(id(inner) for inner in ast.walk(node) if isinstance(inner, ast.Constant))
            yield node.lineno, "".join(map(str, parts))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def without_tenant(source: str, known: set[str]) -> list[str]:
    """The statements that name such a table more often than they say whose rows they mean."""
    named = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:{'|'.join(sorted(known))})\b")
    found = []
    for line, text in texts(source):
        times = len(named.findall(text))
        if times > len(re.findall(r"\btenant\b", text)):
            found.append(f"{line}: {text}")
    return found


def test_the_migrations_name_the_tables() -> None:
    found = tables()
    assert {"resource", "index_composite", "audit_event", "medmij_secret", "search_page"} <= found
    assert "tenant" not in found and "medmij_list" not in found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_statement_says_whose_rows_it_means(path: Path) -> None:
    assert without_tenant(path.read_text(), tables()) == []


@pytest.mark.parametrize(
    "text",
    [
        'x = "SELECT body FROM resource WHERE id = $1"',
        'x = f"DELETE FROM history WHERE tenant = $1 AND id IN (SELECT id FROM resource WHERE type = {kind})"',
        'x = "UPDATE medmij_consent SET ended = now() " "WHERE id = $1"',
    ],
)
def test_a_statement_without_it_is_seen(text: str) -> None:
    assert len(without_tenant(text, tables())) == 1
