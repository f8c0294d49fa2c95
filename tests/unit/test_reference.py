"""The reference pages say what the code says."""

from __future__ import annotations

import pytest
from scripts.build_reference import FOLDER, pages

MADE = pages()


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    page = FOLDER / name
    assert page.exists() and page.read_text("utf-8") == MADE[name], (
        f"docs/reference/{name} is out of date: run `python -m scripts.build_reference`"
    )


def test_there_is_no_reference_page_that_nothing_makes() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == set(MADE)


def test_no_part_of_a_page_lacks_its_words() -> None:
    """Every setting has a description, every option its help, every route what it is for."""
    for name in ("commands.md", "configuration.md", "routes.md"):
        for line in MADE[name].splitlines():
            cells = line.strip("| ").split(" | ")
            if line.startswith("| `"):
                assert len(cells) > 1 and "None" not in cells and all(cells[:2]), f"{name}: {line}"
