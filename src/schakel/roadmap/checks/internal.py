"""What several checks read from an organisation's own door."""

from __future__ import annotations

from schakel.roadmap.checks.model import Unclear
from schakel.roadmap.checks.tools import Answer
from schakel.roadmap.model import Text


def code_of(answer: Answer) -> str:
    """The stable word of a refusal, '' when it has none."""
    table = answer.table()
    return str(table.get("code", "")) if table is not None else ""


def counted(value: object) -> int:
    """A number of an answer; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def refused(answer: Answer) -> Unclear:
    """That the internal door did not tell what was asked."""
    return Unclear(
        Text(
            f"De interne deur gaf hierover geen gegevens (status {answer.status}).",
            f"The internal door gave no data about this (status {answer.status}).",
        ),
        f"{answer.address.partition('?')[0]}: status {answer.status} {code_of(answer)}".strip(),
    )
