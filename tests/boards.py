"""A region with a past on a board: organisations of several sectors, measured over months, with declarations, so that
every state is there.

    await filled(node.node.board)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from schakel.kernel.clock import new_id, now
from schakel.roadmap.board import Action, Board, Progress
from schakel.roadmap.board.declarations import Statement
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Evidence, Finding, Measured, Member, Run, Verdict
from schakel.roadmap.model import Text

MEMBERS = (
    Member("90000101", "Ziekenhuis Zonnebeek", "MSZ", "ziekenhuis"),
    Member(
        "90000102", "Huisartsenpraktijk De Molenwieken aan de Lange Nieuwe Binnenstraatweg", "HA", "huisarts"
    ),
    Member("90000103", "Thuiszorg Oeverland", "VVT", "thuiszorg"),
    Member("90000104", "GGZ De Kering", "GGZ", "ggz-instelling"),
    Member("90000105", "Apotheek Het Vijzeltje", "FAR", "apotheek"),
    Member("90000106", "Verpleeghuis Lindenhof", "VVT", "verpleeghuis"),
)
"""Fictional; the second has a name that a narrow page must be able to hold."""

DISPUTED = MEMBERS[2]
"""Of this one the region found something else than it says of itself."""

OWN_ONLY = "core-data"
"""The check that this one did by itself, and the region never did there; it measures ET-4."""

RUNS = 5
LAST_RUN = "5e55a0de-0000-4000-8000-000000000005"
"""The id of the last run about the whole region."""

_FIGURES: Mapping[str, Mapping[str, float]] = {
    "certificate": {"days": 61},
    "nvi-registration": {"active": 1204, "without_bsn": 3},
    "api-requirements": {"must-fail": 0, "must-could-not-check": 12},
}
_BETWEEN = timedelta(days=21)
_VERDICTS: tuple[Verdict, ...] = ("holds", "holds", "fails", "unknown", "not-applicable", "holds")
_REASONS = {
    "holds": Text("Gemeten, en het was zo.", "Measured, and it was so."),
    "fails": Text("Het antwoord was anders dan de norm.", "The answer was not as the standard says."),
    "unknown": Text(
        "Het adres gaf geen antwoord binnen 10 seconden.", "The address gave no answer in 10 seconds."
    ),
    "not-applicable": Text("Deze soort organisatie heeft dit niet.", "This kind of organisation has none."),
}


async def past(board: Board, ura: str, check: str, most: int = 50) -> tuple[Evidence, ...]:
    """What one check found at an organisation, the newest first."""
    return (await board.histories(ura, [check], most)).get(check, ())


async def filled(board: Board) -> None:
    """Measures the region `RUNS` times, once every three weeks until now, and declares some steps. After that one
    organisation says of itself that something holds which the last measurement did not find, and another thing that the
    region did not measure."""
    moment = now()
    for number in range(RUNS):
        await board.add(_run(board, number, moment - (RUNS - 1 - number) * _BETWEEN))
    await board.add(_own_run(board, moment + timedelta(seconds=1)), sender=DISPUTED.name, whole=False)
    await _declared(board, moment)
    await _planned(board, moment)


def _run(board: Board, number: int, at: datetime) -> Run:
    measured = []
    for row, member in enumerate(MEMBERS):
        for column, check in enumerate(CHECKS):
            if (row + column) % 5 == 4:
                continue  # Never measured.
            if member == DISPUTED and check == OWN_ONLY:
                continue
            if (row + column) % 7 == 6 and number == RUNS - 1:
                continue  # Not measured this time: it grows old.
            # In each run some more is so than in the one before.
            verdict = "holds" if (row * 3 + column) % RUNS < number else _VERDICTS[(row + 2 * column) % 6]
            finding = Finding(
                check,
                verdict,
                _REASONS[verdict],
                detail=f"https://{member.ura}.example/{check}",
                facts=_FIGURES.get(check, {}),
            )
            measured.append(Measured(member.ura, finding, at))
    return Run(
        id=LAST_RUN if number == RUNS - 1 else new_id(),
        region=board.region,
        roadmap="iza-2025-06",
        by="schakel roadmap run",
        started=at - timedelta(minutes=3),
        finished=at,
        members=MEMBERS,
        measured=tuple(measured),
    )


def _own_run(board: Board, at: datetime) -> Run:
    found = [
        Finding(check, "holds", _REASONS["holds"], detail=f"https://{DISPUTED.ura}.example/{check}")
        for check in ("certificate", OWN_ONLY)
    ]
    return Run(
        *(new_id(), board.region, "iza-2025-06", "schakel check", at, at),
        (DISPUTED,),
        tuple(Measured(DISPUTED.ura, one, at) for one in found),
    )


async def _declared(board: Board, moment: datetime) -> None:
    roadmap = await board.roadmap()
    steps = [step for item in roadmap.items for step in item.steps if not step.checks]
    today = moment.date()
    for number, step in enumerate(steps[:18]):
        member = MEMBERS[number % len(MEMBERS)]
        said = await board.declare(
            Statement(
                ura=member.ura,
                step=step.id,
                claim=("done", "not-done", "done", "not-applicable")[number % 4],
                owner="Bureau informatiebeleid",
                on=today - timedelta(days=30),
                until=today + timedelta(days=300),
                reason="Besproken in het overleg van de regio.",
                document="Besluit van de raad van bestuur",
            ),
            by="Sanne de Wit",
        )
        if number % 3:
            await board.confirm(said.id, by="Bram Oudkerk")


async def _planned(board: Board, moment: datetime) -> None:
    """Actions of every progress, some late, some without a day or an owner."""
    roadmap = await board.roadmap()
    today = moment.date()
    for number, item in enumerate(roadmap.items[:12]):
        stages: tuple[Progress, ...] = ("planned", "running", "done", "dropped")
        await board.write_action(
            Action(
                item=item.id,
                title=f"Invoeren: {item.title.nl}",
                owner="" if number % 5 == 4 else f"Werkgroep {number % 3 + 1}",
                step=item.steps[0].id if number % 2 else "",
                ura="" if number % 3 == 2 else MEMBERS[number % len(MEMBERS)].ura,
                starts=today + timedelta(days=40 * (number - 6)),
                due=None if number == 11 else today + timedelta(days=40 * (number - 4)),
                progress=stages[number % 4],
                note="Afgestemd in het overleg van de regio." if number % 2 else "",
            ),
            by="Sanne de Wit",
        )
