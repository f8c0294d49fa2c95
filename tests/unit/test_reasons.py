"""Every refusal that a log can hold has words for `schakel explain`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from tests.shared import ROOT

from schakel.commands.reasons import REASONS, explained
from schakel.commands.refusals import DOORS, listed, rows
from schakel.kernel import outcomes

SOURCE = ROOT / "src" / "schakel"
LOGGED = (
    "gateway",
    "patient_access",
    "generic/authorisation",
    "generic/identity/assertion.py",
    "generic/identity/patient.py",
    "generic/identity/patient_tokens.py",
    "generic/identity/server.py",
    "fhir/search",
    "http/oauth.py",
    "http/medmij.py",
)
"""Where a refusal at the guarded door, at the MedMij door or of a token begins."""


def files() -> Iterator[Path]:
    for place in LOGGED:
        path = SOURCE / place
        yield from [path] if path.suffix else sorted(path.rglob("*.py"))


def codes(path: Path) -> Iterator[str]:
    """The codes of the outcomes that a module raises."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and hasattr(outcomes, node.func.id):
            for argument in node.keywords:
                if argument.arg == "code" and isinstance(argument.value, ast.Constant):
                    yield str(argument.value.value)


def test_every_code_of_a_refusal_that_is_logged_has_words() -> None:
    raised = {code for path in files() for code in codes(path)}
    assert {"service-not-open", "token-invalid", "form-not-allowed"} <= raised
    assert raised - set(REASONS) == set()


def test_every_kind_of_outcome_has_words() -> None:
    kinds = [
        one for _, one in inspect.getmembers(outcomes, inspect.isclass) if issubclass(one, outcomes.Outcome)
    ]
    assert {one.code for one in kinds} - set(REASONS) == set()


def test_a_reason_without_words_stands_for_itself() -> None:
    assert explained("never-heard-of") == "never-heard-of"
    assert explained("busy").endswith("(busy)") and len(explained("busy")) > len("(busy)")


def test_every_refusal_of_the_guarded_door_and_of_consent_is_on_the_page() -> None:
    raised = {
        code
        for place in ("gateway", "generic/authorisation")
        for path in (SOURCE / place).rglob("*.py")
        for code in codes(path)
    }
    text = "".join(path.read_text("utf-8") for path in (SOURCE / "generic" / "consent").glob("*.py"))
    raised |= set(re.findall(r'ConsentRefused\(\s*"([a-z-]+)"', text))
    text = "".join(path.read_text("utf-8") for path in (SOURCE / "gateway").glob("*.py"))
    raised |= set(re.findall(r'Refused\(\s*"([a-z-]+)"', text))
    assert {"mitz-deny", "task-missing", "form-not-allowed"} <= raised
    assert raised - listed() - {"refused", "matrix-invalid"} == set()


def test_the_page_says_of_every_code_what_it_means_and_what_to_do() -> None:
    for door in DOORS:
        for code, status, means, todo in rows(door):
            assert means and todo and 400 <= int(status) <= 503, code
