"""Every page of the portal that people can open. Whoever makes a page adds it here, and everything in
`test_every_page.py` holds for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.boards import DISPUTED, LAST_RUN, MEMBERS


@dataclass(frozen=True, slots=True)
class PortalPage:
    """A page at `path` below `/portal`. `name` is that of its picture in the docs ('' for none), which begins at the
    element with the id `begins` ('' for the top); `status` is what it answers with; `again`: another page has its
    template, so that a developer need not look at it each time."""

    path: str
    name: str = ""
    status: int = 200
    again: bool = False
    begins: str = ""

    def __str__(self) -> str:
        return self.path


PAGES: list[PortalPage] = [
    PortalPage("/", "region", begins="board-heading"),
    PortalPage("/?sector=VVT&state=fails"),
    PortalPage("/?theme=x&year=1900", again=True),
    PortalPage(f"/organisations/{MEMBERS[0].ura}", "organisation"),
    PortalPage(f"/organisations/{MEMBERS[1].ura}", again=True),
    PortalPage("/items/GF-1", "item"),
    PortalPage(f"/items/GF-1/{MEMBERS[0].ura}", "cell"),
    PortalPage(f"/items/LDN-1/{MEMBERS[1].ura}", again=True),
    PortalPage(f"/items/GF-5/{MEMBERS[0].ura}", again=True),
    PortalPage(f"/items/LDN-2/{DISPUTED.ura}"),
    PortalPage("/agenda", "agenda"),
    PortalPage("/agenda?progress=running&owner=Werkgroep+2&item=x", again=True),
    PortalPage("/agenda/2027"),
    PortalPage("/agenda/2099", again=True),
    PortalPage("/agenda/1999", status=404, again=True),
    PortalPage("/trends", "trends", begins="months-heading"),
    PortalPage("/trends?sector=VVT&theme=GF&sector=x", again=True),
    PortalPage("/objectives"),
    PortalPage("/scans"),
    PortalPage("/scans?done=12", again=True),
    PortalPage("/runs"),
    PortalPage(f"/runs/{LAST_RUN}"),
    PortalPage("/versions"),
    PortalPage("/?theme=GF&legal=law&state=not-checked", again=True),
    PortalPage("/hybrid", "hybrid", begins="figures-heading"),
    PortalPage("/hybrid/blocks/0"),
    PortalPage(f"/hybrid/{MEMBERS[0].ura}"),
    PortalPage(f"/hybrid/{MEMBERS[1].ura}", again=True),
    PortalPage(f"/hybrid/{MEMBERS[0].ura}/hartfalen"),
    PortalPage(f"/hybrid/{MEMBERS[1].ura}/nieuw", again=True),
    PortalPage("/about"),
    PortalPage("/login"),
    PortalPage("/login?to=//elsewhere.example", status=400),
    PortalPage("/logout"),
    PortalPage("/nothing", status=404),
    PortalPage("/organisations/0", status=404, again=True),
]

ELSEWHERE: Mapping[str, str] = {
    "/portal/callback": "leads on, and has no page",
    "/portal/scans/example": "a file",
    "/portal/export.{form}": "files; the web page among them is in test_report_file",
    "/portal/agenda/new": "a form for who is logged in: test_forms",
    "/portal/agenda/actions/{id}": "has another address each time: test_forms",
    "/portal/trail": "for who is logged in: test_forms",
}
"""What of the portal can be asked and is not in `PAGES`, with the reason and where it is looked at."""
