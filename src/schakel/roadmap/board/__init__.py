"""The board of a region: what was found, what was declared, what is planned, and where that leaves everybody.

`runs` has the evidence, `declarations` what people declare, `actions` the work agenda, `versions` the imported
roadmaps; each keeps its history. `trail` knows who did what. `Board` is the one way in.
"""

from schakel.roadmap.board.actions import Action, Progress
from schakel.roadmap.board.board import Board
from schakel.roadmap.board.declarations import Statement
from schakel.roadmap.board.runs import Snapshot
from schakel.roadmap.board.trail import Deed, Trace
from schakel.roadmap.board.versions import Changes, Version
from schakel.roadmap.overview import Overview, RunInfo

__all__ = [
    "Action",
    "Board",
    "Changes",
    "Deed",
    "Overview",
    "Progress",
    "RunInfo",
    "Snapshot",
    "Statement",
    "Trace",
    "Version",
]
