"""The main job of the region once, without a person, each step proved by reading back.

Entry point: `check(folder, screen, json_file)` on a region that is up. A step is a function that returns what
it proved, in a sentence with the compared figures, and raises `NotProved` when a comparison fails; nothing is
ok because nothing was looked at. `finding` has who is asked and where, `exchange` what came of it, `medication` what
is kept in R4, `proofs` what tokens and certificates open and what can be shown afterwards, `patient` what the patient
reads, `roadmap` where the region stands, `refusals` what must be refused, `outages` what happens without a facility,
`strangers` holders that are not what they should be, `professionals` the login of one, `presentations` what a replayed
one opens, `emergencies` care that cannot wait, `trial` the parties and what
the steps leave to each other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from schakel.demo.check import (
    choices,
    emergencies,
    exchange,
    finding,
    medication,
    outages,
    patient,
    presentations,
    professionals,
    proofs,
    refusals,
    roadmap,
    strangers,
)
from schakel.demo.check.trial import NotProved, Trial
from schakel.demo.screen import Screen
from schakel.kernel.outcomes import Invalid, Outcome

__all__ = ["STEPS", "Step", "check"]

Steps = Sequence[tuple[str, Callable[[Trial], Awaitable[str]]]]

STEPS: Steps = (
    ("localise: the index and Mitz name who has data", finding.localise),
    ("localise: the EHR is told the same", finding.facade),
    ("address: each holder is where the national directory says", finding.address),
    ("address: what an EHR asks the directory", finding.ehr),
    ("identify: the requester gets a token with its signature", exchange.identify),
    ("identify: a token is bound to a key and a certificate", proofs.bound),
    ("identify: a professional logs in at Dezi", professionals.login),
    ("bgz: everything came from all holders at once, and equals the source", exchange.bgz),
    ("bgz: doubles are one thing, differences stand side by side", exchange.assembled),
    ("bgz: told step by step it is the same", exchange.streamed),
    ("medication: the pharmacy's R4 tells of the same treatments", medication.medication),
    ("authorise: each request under the row that allows it", exchange.authorise),
    ("authorise: a decision can be taken again", proofs.replayed),
    ("consent: each holder under a ground or the patient's choice", exchange.consent),
    ("consent: Mitz says yes where no ground is recorded", choices.permitted),
    ("consent: in an emergency, under the holder's written policy", emergencies.given),
    ("minimise: only this patient, and what is referred to", exchange.minimise),
    ("log: every side can show who saw what", exchange.log),
    ("log: the patient reads it at every holder", patient.reads),
    ("log: the log is as it was sealed", proofs.sealed),
    ("refused: no token", refusals.no_token),
    ("refused: an organisation in no directory", refusals.unknown_organisation),
    ("refused: another organisation's signature", refusals.stolen_name),
    ("refused: a replayed assertion", refusals.replay),
    ("refused: a replayed presentation", presentations.replayed),
    ("refused: a scope that is not offered", refusals.scope),
    ("refused: a withdrawn certificate", proofs.withdrawn),
    ("refused: the patient took the consent back at Mitz", choices.changed),
    ("refused: a missing ground", refusals.missing_ground),
    ("refused: an emergency, where the holder has no policy", emergencies.without_policy),
    ("refused: acute care, where Mitz says no", emergencies.acute),
    ("refused: a ground of another organisation", refusals.ground_of_another),
    ("refused: an ended ground", refusals.ended_ground),
    ("refused: another patient's BSN with the same token", refusals.another_bsn),
    ("refused: a parameter more than the form has", refusals.extra_parameter),
    ("refused: another include", refusals.another_include),
    ("refused: no patient named", refusals.no_patient),
    ("refused: writing at the guarded door", refusals.writing),
    ("refused: another organisation's internal door", refusals.another_door),
    ("refused: changing the log", refusals.changing_the_log),
    ("refused: the patient said no", patient.objected),
    ("refused: Mitz is down", outages.without_mitz),
    ("refused: the pseudonym service is down", outages.without_pseudonyms),
    ("refused: one holder is dead", strangers.dead),
    ("refused: one holder lies about the patient", strangers.lying),
    ("refused: one holder has the wrong version", strangers.wrong_version),
    ("refused: the directory is stale", outages.stale),
    ("roadmap: the region is measured, and its board shows it", roadmap.measured),
    ("roadmap: what cannot be checked is not known, and not wrong", roadmap.unknown),
)
"""The steps in the order in which they are made."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was made."""

    name: str
    ok: bool
    proof: str
    milliseconds: float


async def check(folder: Path, screen: Screen, json_file: Path | None = None, steps: Steps = STEPS) -> int:
    """Make all steps on the region with this data folder; 0 when all are proved, else 1.

    Each step is shown when it is made, and all of them are written to `json_file` when it is given.
    """
    done: list[Step] = []
    screen.line()
    async with Trial.opened(json.loads((folder / "demo.json").read_bytes()), folder) as trial:
        for name, act in steps:
            step = await _made(name, act, trial)
            done.append(step)
            screen.line(f"  {'ok    ' if step.ok else 'FAILED'}  {step.name} ({step.milliseconds:.0f} ms)")
            screen.line(f"          {step.proof}")
    if json_file is not None:
        _write(json_file, done)
    failed = sum(not step.ok for step in done)
    screen.line()
    screen.line(
        f"{len(done) - failed} of {len(done)} steps proved." if failed else f"All {len(done)} steps proved."
    )
    return 1 if failed else 0


async def _made(name: str, act: Callable[[Trial], Awaitable[str]], trial: Trial) -> Step:
    begun = time.perf_counter()
    try:
        ok, proof = True, await act(trial)
    except NotProved as error:
        ok, proof = False, str(error)
    except Outcome as error:
        ok, proof = False, f"could not be tried: {error.message}"
    except (KeyError, IndexError, TypeError, ValueError) as error:
        ok, proof = False, f"an answer was not what it should be ({type(error).__name__}: {error})"
    return Step(name, ok, proof, round((time.perf_counter() - begun) * 1000, 1))


def _write(path: Path, steps: list[Step]) -> None:
    try:
        path.write_text(
            json.dumps([asdict(step) for step in steps], indent=1, ensure_ascii=False) + "\n", "utf-8"
        )
    except OSError as error:
        raise Invalid(f"--json: {path} cannot be written ({error.strerror})", expression="json") from error
