"""`schakel roadmap import` against a running node: the board gets the roadmap, and the command says what differs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.nodes import MakeDatabase, running_node

from schakel.commands.doors import Door
from schakel.commands.roadmap import import_roadmap
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.reading import shipped, shipped_body

KEEPER = {"roadmap": {"region": "Regio Noord", "keepers": ["a"]}}


def newer(folder: Path, edit: Callable[[Any], object]) -> Path:
    """A file with a newer version of the roadmap."""
    roadmap = json.loads(shipped_body())
    roadmap["version"] = "next"
    edit(roadmap)
    file = folder / "roadmap.json"
    file.write_text(json.dumps(roadmap), "utf-8")
    return file


async def test_an_import_says_what_differs(
    make_database: MakeDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def settle(roadmap: Any) -> None:
        [item] = [item for item in roadmap["items"] if item["id"] == "WEG-4"]
        item["dates"][0].update(certainty="done")
        item["open"] = []

    async with running_node(make_database, organisations=("a",), **KEEPER) as node:
        keeper = node["a"]
        door = Door("a", keeper.ura, "Huis A", f"{keeper.internal_root}/a", "", keeper.key)
        assert await asyncio.to_thread(import_roadmap, newer(tmp_path, settle), door) == 0
        assert node.node.board is not None
        in_force = (await node.node.board.overview()).roadmap
    told = capsys.readouterr().out.splitlines()
    gone = shipped().by_id["WEG-4"].open
    assert told[0].endswith("has roadmap next: 33 items, 91 steps")
    assert told[1:] == [
        "  WEG-4: date changed: The decree (AMvB) is published. (expected → done)",
        *(f"  WEG-4: open question gone: {one.en}" for one in gone),
    ]
    assert in_force.version == "next"


def test_what_is_no_roadmap_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    file = newer(tmp_path, lambda roadmap: roadmap["items"][0].update(category="X"))
    nowhere = Door("a", "1", "A", "http://127.0.0.1:9/a", "", "key")
    with pytest.raises(Invalid, match=r"roadmap\.json: .*\$\.items\[0\]\.category is 'X'"):
        import_roadmap(file, nowhere)
