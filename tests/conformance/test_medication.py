"""Medicatieproces 9 3.0 between care providers: asking for and receiving every building block, JSON and XML."""

from __future__ import annotations

import pytest
from tests.conformance.suites import Expected, assert_as_expected, run
from tests.nodes import MakeDatabase, running_node

pytestmark = pytest.mark.shared

_LACKS_TEXT = (
    "the Bundle it sends has a CodeableConcept without display or text, and asserts that the answer has one"
)
EXPECTED = Expected(
    scripts=348,
    passed=5714,
    profiles=348,
    defects={
        f"Test/Step-3/MA-VV/Receiving-VOO/mp9-t-rec-vs-{name}-json.xml": _LACKS_TEXT
        for name in ("04-2a-4-2-a-nierfunctie-NH", "04-2b-4-2-b-nierfunctie-lo")
    },
)


async def test_all_scripts_between_providers_hold(make_database: MakeDatabase) -> None:
    async with running_node(make_database, ("a",), write_check="lenient", erasure="test") as node:
        result = await run(node["a"], "R4/MP9-3-0-0-beta/MO", "r4")
        assert_as_expected(result, EXPECTED, loaded=[697])
