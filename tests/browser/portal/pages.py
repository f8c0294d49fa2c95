"""Every page of the portal that people can open. Whoever makes a page adds it here, and everything in
`test_every_page.py` holds for it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.boards import MEMBERS


@dataclass(frozen=True, slots=True)
class PortalPage:
    """A page at `path` below `/portal`. `name` is that of its picture in the docs ('' for none); `status` is what it
    answers with."""

    path: str
    name: str = ""
    status: int = 200

    def __str__(self) -> str:
        return self.path


PAGES: list[PortalPage] = [
    PortalPage("/", "region"),
    PortalPage("/?sector=VVT&state=fails"),
    PortalPage("/?theme=x&year=1900"),
    PortalPage(f"/organisations/{MEMBERS[0].ura}", "organisation"),
    PortalPage(f"/organisations/{MEMBERS[1].ura}"),
    PortalPage("/items/GF-1", "item"),
    PortalPage(f"/items/GF-1/{MEMBERS[0].ura}", "cell"),
    PortalPage(f"/items/LDN-1/{MEMBERS[1].ura}"),
    PortalPage("/agenda", "agenda"),
    PortalPage("/agenda?progress=running&owner=Werkgroep+2&item=x"),
    PortalPage("/agenda/2027", "plan"),
    PortalPage("/agenda/2099"),
    PortalPage("/agenda/1999", status=404),
    PortalPage("/trends", "trends"),
    PortalPage("/trends?sector=VVT&theme=GF&sector=x"),
    PortalPage("/objectives", "objectives"),
    PortalPage("/runs", "runs"),
    PortalPage("/versions"),
    PortalPage("/?theme=GF&legal=law&state=not-checked"),
    PortalPage("/hybrid", "hybrid"),
    PortalPage(f"/hybrid/{MEMBERS[0].ura}", "hybrid-organisation"),
    PortalPage(f"/hybrid/{MEMBERS[1].ura}"),
    PortalPage(f"/hybrid/{MEMBERS[0].ura}/hartfalen", "hybrid-pathway"),
    PortalPage(f"/hybrid/{MEMBERS[1].ura}/nieuw"),
    PortalPage("/about", "about"),
    PortalPage("/login", "login"),
    PortalPage("/login?to=//elsewhere.example", status=400),
    PortalPage("/logout"),
    PortalPage("/nothing", status=404),
    PortalPage("/organisations/0", status=404),
]
