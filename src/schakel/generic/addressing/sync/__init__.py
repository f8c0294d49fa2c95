"""Keeping the query directory in step with the directories that are followed.

    Following: which source is due -> Feeder: what changed there -> Replica: what of it is news -> the query directory

A `Feeder` is the port: a central directory (`CentralFeeder`), a root with a directory for each provider (`RootFeeder`)
and a file (`FileFeeder`) implement it.
"""

from schakel.generic.addressing.sync.central import CentralFeeder
from schakel.generic.addressing.sync.distributed import RootFeeder
from schakel.generic.addressing.sync.feeder import Feeder, OpenRemote
from schakel.generic.addressing.sync.files import FileFeeder
from schakel.generic.addressing.sync.pages import ReadingRules, Remote, SourceTrouble
from schakel.generic.addressing.sync.worker import Following, Ran

__all__ = [
    "CentralFeeder",
    "Feeder",
    "FileFeeder",
    "Following",
    "OpenRemote",
    "Ran",
    "ReadingRules",
    "Remote",
    "RootFeeder",
    "SourceTrouble",
]
