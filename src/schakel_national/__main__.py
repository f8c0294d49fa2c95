"""`python -m schakel_national`: the stand-ins as one process."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp

from schakel.kernel.outcomes import Outcome
from schakel_national import broker, medmij_lists
from schakel_national.serving import Facility, serve

FACILITIES: dict[str, Callable[[Path, str], ASGIApp]] = {
    broker.NAME: broker.application,
    medmij_lists.NAME: medmij_lists.application,
}
"""By name, in the order of their ports: each takes the folder and its own address."""


def facilities(folder: Path, host: str, first: int, only: str | None = None) -> list[Facility]:
    """The facilities (or one of them), the n-th on port `first` + n. Raises `Invalid`."""
    return [
        Facility(name, make(folder, f"http://{host}:{first + place}"), first + place)
        for place, (name, make) in enumerate(FACILITIES.items())
        if only in (None, name)
    ]


def main() -> int:
    """Exit codes: 0 stopped, 2 wrong configuration or a port that is taken."""
    parser = argparse.ArgumentParser(prog="python -m schakel_national", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, required=True, help="where the configuration is and keys are kept"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8410, help="port of the first facility")
    parser.add_argument("--only", choices=list(FACILITIES), help="this facility alone, on its own port")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.host, facilities(options.folder, options.host, options.port, options.only)))
    except Outcome as error:
        print(error.message, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
