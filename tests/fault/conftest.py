"""What the tests of faults share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.nation import Nation, nation


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nationwide(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    """The national facilities, made once: their keys take seconds."""
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        yield made


@pytest.fixture
def country(nationwide: Nation) -> Nation:
    """The facilities, with middlemen that only pass on; a test leaves the facilities as it found them."""
    nationwide.heal()
    return nationwide
