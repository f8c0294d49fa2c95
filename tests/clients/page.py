"""The page about FHIR clients: what it shows is run as it stands there."""

from __future__ import annotations

import re

from tests.shared import ROOT

PAGE = ROOT / "docs" / "how-to" / "use-a-fhir-client.md"


def shown(client: str) -> str:
    """The code that the page shows below the heading of a client."""
    below = PAGE.read_text("utf-8").partition(f": {client}\n")[2]
    block = re.search(r"```\w+\n(.*?)```", below, re.DOTALL)
    assert block is not None, client
    return block[1]
