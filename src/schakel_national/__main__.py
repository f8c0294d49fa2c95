"""`python -m schakel_national`: the stand-ins as one process. A file `{name}.down` in the folder takes one away for as
long as it is there."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from schakel.kernel.outcomes import Outcome
from schakel.kernel.values import taking_test_numbers
from schakel_national import (
    broker,
    credential_issuer,
    dezi,
    lrza,
    medmij_lists,
    minvws,
    mitz,
    nvi,
    prs,
    uzi_ca,
    workplace,
)
from schakel_national.serving import Facility, serve


@dataclass(frozen=True, slots=True)
class Kind:
    """How a facility is made: `make` takes the folder and its own address; where `tls` says so of the folder that is
    https, and with `clients` whoever connects must show a certificate of the authority here, unless `optional` says of
    the folder that one may do without."""

    make: Callable[[Path, str], ASGIApp]
    tls: Callable[[Path], bool] = lambda folder: False
    clients: bool = False
    optional: Callable[[Path], bool] = lambda folder: False


FACILITIES: dict[str, Kind] = {
    broker.NAME: Kind(broker.application),
    medmij_lists.NAME: Kind(medmij_lists.application),
    uzi_ca.NAME: Kind(uzi_ca.application),
    credential_issuer.NAME: Kind(credential_issuer.application, tls=credential_issuer.secured),
    dezi.NAME: Kind(dezi.application),
    mitz.NAME: Kind(mitz.application, tls=lambda folder: True, clients=True),
    mitz.PAGE_NAME: Kind(mitz.page_application),
    minvws.NAME: Kind(minvws.application, tls=lambda folder: True, clients=True),
    prs.NAME: Kind(prs.application, tls=lambda folder: True, clients=True),
    nvi.NAME: Kind(nvi.application, tls=lambda folder: True, clients=True),
    lrza.NAME: Kind(lrza.application, tls=lrza.secured, clients=True, optional=lrza.open_reading),
    workplace.NAME: Kind(workplace.application),
}
"""By name, in the order of their ports."""


def facilities(folder: Path, host: str, first: int, only: str | None = None) -> list[Facility]:
    """The facilities (or one of them), the n-th on port `first` + n. Raises `Invalid`."""
    names = list(FACILITIES)
    authority = f"http://{host}:{first + names.index(uzi_ca.NAME)}"
    hosts = ("localhost", host) if host.startswith("127.") else (host,)
    made = []
    for place, (name, kind) in enumerate(FACILITIES.items()):
        if only not in (None, name):
            continue
        tls = uzi_ca.server_tls(folder, authority, name, hosts, kind.clients) if kind.tls(folder) else None
        if tls is not None:
            tls = replace(tls, optional=kind.optional(folder))
        address = f"{'https' if tls else 'http'}://{host}:{first + place}"
        made.append(Facility(name, kind.make(folder, address), first + place, tls))
    return made


def main() -> int:
    """Exit codes: 0 stopped, 2 wrong configuration or a port that is taken."""
    parser = argparse.ArgumentParser(prog="python -m schakel_national", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, required=True, help="where the configuration is and keys are kept"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8410, help="port of the first facility")
    parser.add_argument("--only", choices=list(FACILITIES), help="this facility alone, on its own port")
    parser.add_argument(
        "--test-bsn",
        action="append",
        default=[],
        metavar="NUMBER",
        help="a number that is taken for a BSN although it does not pass the 11-proef; may be given more than once",
    )
    options = parser.parse_args()
    try:
        made = partial(facilities, options.folder, options.host, options.port)
        with taking_test_numbers(options.test_bsn):
            asyncio.run(serve(options.host, made(options.only), lambda name: made(name)[0], options.folder))
    except Outcome as error:
        print(error.message, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
