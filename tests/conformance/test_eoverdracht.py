"""eOverdracht 4.2: the sending side serves Task and nursing handover, and takes the Task back."""

from __future__ import annotations

import pytest
from tests.conformance.suites import SUITES, Expected, assert_as_expected, run
from tests.nodes import MakeDatabase, RunningOrganisation, running_node
from tests.shared import shared

pytestmark = pytest.mark.shared

SUITE = "STU3/eOverdracht/4.2/Test"
TASK = "_reference/resources/resources-specific/eOverdracht-Task-eov-test-1_1-IN-PROGRESS2.xml"


async def put_task(own: RunningOrganisation, id: str) -> None:
    """The sender's Task, for which the suite would otherwise wait to be notified."""
    task = shared(SUITES, SUITE, TASK).read_text().replace("${task-id}", id)
    xml = {"Content-Type": "application/fhir+xml"}
    answer = await own.internal.put(f"Task/{id}", content=task, headers=xml)
    assert answer.status_code == 201, answer.text


async def test_a_handover_is_served_in_every_scenario_and_format(make_database: MakeDatabase) -> None:
    """The prevalidation is the same for one Task, which the tester names."""
    async with running_node(make_database, ("a",), write_check="lenient", erasure="test") as node:
        own = node["a"]
        result = await run(own, f"{SUITE}/Sending-XIS-Nictiz-only", "stu3")
        assert_as_expected(result, Expected(scripts=10, passed=240, profiles=30), loaded=[234])
        for form in ("json", "xml"):
            await put_task(own, f"task-{form}")
            script = f"{SUITE}/Prevalidation/Sending-XIS/Scenario1-1-phase2-handoff-{form}.xml"
            given = {"task-id": f"task-{form}", "auth-token": "Bearer filled-in-by-the-tester"}
            result = await run(own, script, "stu3", load=False, variables=given)
            assert_as_expected(result, Expected(scripts=1, passed=23, profiles=3))
