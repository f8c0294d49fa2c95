"""x"""
from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.two_operators import Two, two_operators

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two(open_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    async with two_operators(open_folder, tmp_path_factory.mktemp("nation")) as made:
        yield made


async def test_who_is_not_disturbed_agrees(two: Two) -> None:
    bsn = await two.patient()
    await two.asked(bsn)
    await two.agree(bsn)
