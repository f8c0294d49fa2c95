"""eOverdracht 4.2: the sending side serves Task and nursing handover, and takes the Task back; on both doors.

At the guarded door the receiver has a token of its own, and reads what the sender's Task names. The suite puts the Task
itself: there it stands already, as the sender's system put it, and the suite's changes nothing.
"""

from __future__ import annotations

import pytest
from tests.conformance.suites import SUITES, Expected, assert_as_expected, assertions, run
from tests.nodes import MakeDatabase, RunningNode, RunningOrganisation, running_node
from tests.shared import shared

from schakel.conformance import Verdict
from schakel.kernel.values import URA_SYSTEM

pytestmark = pytest.mark.shared

SUITE = "STU3/eOverdracht/4.2/Test"
SCENARIOS = (1, 5, 6, 7, 8)
FORMS = ("json", "xml")


async def put_task(own: RunningOrganisation, id: str, scenario: int = 1) -> None:
    """The sender's Task of a scenario, for which the suite would otherwise wait to be notified."""
    file = f"_reference/resources/resources-specific/eOverdracht-Task-eov-test-1_{scenario}-IN-PROGRESS2.xml"
    task = shared(SUITES, SUITE, file).read_text().replace("${task-id}", id)
    xml = {"Content-Type": "application/fhir+xml"}
    answer = await own.internal.put(f"Task/{id}", content=task, headers=xml)
    assert answer.status_code == 201, answer.text


async def name_receiver(own: RunningOrganisation, ura: str) -> None:
    """The organisations that the Tasks are for get the URA of the receiver, which the published ones lack."""
    for scenario in SCENARIOS:
        path = f"Organization/nl-core-organization-eov-test-1-{scenario}-01"
        receiver = (await own.internal.get(path)).json()
        receiver["identifier"] = [*receiver["identifier"], {"system": URA_SYSTEM, "value": ura}]
        answer = await own.internal.put(path, json=receiver)
        assert answer.status_code == 200, answer.text


async def guarded(node: RunningNode, script: str, task: str) -> None:
    """Runs a script on the guarded door of the sender a, as the receiver b; it holds as on the internal one."""
    token = f"Bearer {await node['b'].token(node['a'], 'eOverdracht-sender')}"
    result = await run(
        node["a"],
        script,
        "stu3",
        url=node["a"].front_fhir,
        headers=(("Authorization", token),),
        load=False,
        variables={"task-id": task, "auth-token": token},
    )
    assert len(result.with_verdict(Verdict.PASSED)) == 1, assertions(result, Verdict.FAILED)
    assert result.counts[Verdict.PASSED] in (23, 24) and result.counts[Verdict.UNCHECKED] == 3


async def test_a_handover_is_served_in_every_scenario_and_format_on_both_doors(
    make_database: MakeDatabase,
) -> None:
    """The prevalidation is the same for one Task, which the tester names."""
    async with running_node(make_database, ("a", "b"), write_check="lenient", erasure="test") as node:
        own = node["a"]
        result = await run(own, f"{SUITE}/Sending-XIS-Nictiz-only", "stu3")
        assert_as_expected(result, Expected(scripts=10, passed=240, profiles=30), loaded=[234])
        await name_receiver(own, node["b"].ura)
        for form in FORMS:
            await put_task(own, f"task-{form}")
            script = f"{SUITE}/Prevalidation/Sending-XIS/Scenario1-1-phase2-handoff-{form}.xml"
            given = {"task-id": f"task-{form}", "auth-token": "Bearer filled-in-by-the-tester"}
            result = await run(own, script, "stu3", load=False, variables=given)
            assert_as_expected(result, Expected(scripts=1, passed=23, profiles=3))
            await put_task(own, f"guarded-{form}")
            await guarded(node, script, f"guarded-{form}")
            for scenario in SCENARIOS:
                task = f"guarded-{scenario}-{form}"
                await put_task(own, task, scenario)
                name = f"Scenario1-{scenario}-phase2-handoff-{form}.xml"
                await guarded(node, f"{SUITE}/Sending-XIS-Nictiz-only/{name}", task)
