"""The work agenda and the declarations of the demo's region, made up: its staff logs in at the identity provider of the
region and sends the forms of the portal, as people do.

Which days they name follows from the day of the demo; when it was said is when the demo was started.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import aiohttp

from schakel.demo import cast
from schakel.kernel.outcomes import Fault, Upstream

_MANAGER, _DECLARER, _READER = (one.subject for one in cast.STAFF[:3])
_WAITING = re.compile(r'name="waiting" value="([^"]+)"')
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class _Action:
    """An action to write: about an item or a step, for an organisation (None: the region); its days are counted from
    the day of the demo. `then` is what it became later."""

    about: str
    title: str
    owner: str
    starts: int
    due: int
    progress: str
    whose: cast.Organisation | None = None
    note: str = ""
    then: str = ""


_ACTIONS = (
    _Action("GF-6.S2", "Gegevens in LRZa, KvK, AGB en UZI nalopen", "Samir Terpstra, informatiemanager", -70, 20,
            "running", note="Zes van de acht organisaties zijn klaar."),
    _Action("GF-5.S1", "In kaart brengen hoe de regio nu gegevens vindt", "Werkgroep lokalisatie", -120, -30, "running",
            then="done"),
    _Action("GF-3.S2", "Aansluiting op Mitz afspreken met de leveranciers", "Werkgroep toestemming", -40, -6, "running",
            note="Wacht op antwoord van een leverancier."),
    _Action("GF-1.S1", "Inloggen met Dezi invoeren", "Praktijkmanager", 15, 120, "planned", cast.GENERAL_PRACTICE),
    _Action("GF-7.S2", "Zegels van de logging laten nalezen", "Functionaris gegevensbescherming", -20, 40, "running",
            cast.HOSPITAL_NORTH),
    _Action("WEG-1.S4", "Overgang naar BgZ op FHIR met de leverancier bespreken", "Programma BgZ", -90, 35, "running",
            cast.HOSPITAL_SOUTH),
    _Action("WEG-4.S2", "Proef met de Minimale eOverdracht", "Transferbureau", 30, 150, "planned", cast.HOME_CARE,
            note="Samen met het ziekenhuis in de stad."),
    _Action("WEG-3.S1", "Meedoen aan Kickstart Medicatieproces 9", "Werkgroep medicatie", -14, 200, "planned",
            cast.PHARMACY),
    _Action("ET-4.S1", "Kerngegevens binnen 24 uur: knelpunten oplossen", "Samir Terpstra, informatiemanager", -60, 10,
            "running", cast.HOME_CARE),
    _Action("IBP-1", "Fax uitzetten", "Facilitair bedrijf", -200, -45, "running", cast.GENERAL_PRACTICE, then="done"),
    _Action("HYB-1", "Zorgpaden toetsen aan de werkdefinitie", "", 45, 160, "planned"),
    _Action("IBP-3.S1", "Aansluiten bij Z-CERT", "Bestuurssecretaris", -150, -60, "planned", cast.AMBULANCE,
            note="De organisatie sluit aan via de veiligheidsregio.", then="dropped"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Said:
    """A declaration to make about a step at one of the organisations for which somebody declares. `days` is how long
    it still counts, `seen` whether the second reader has confirmed it."""

    step: str
    claim: str
    words: str
    owner: str
    on: int
    days: int
    seen: bool


_DONE, _NOT_DONE, _NOT_HERE = "done", "not-done", "not-applicable"
_SAID: Mapping[int, Sequence[_Said]] = {
    0: (
        _Said("LDN-1.S1", _DONE, "Deelnemersverklaring Twiin", "Informatiemanager", -40, 325, True),
        _Said("LDN-1.S2", _DONE, "Verslag van het regionaal overleg over architectuur", "Informatiemanager", -40, 325,
              True),
        _Said("LDN-2.S1", _DONE, "Notitie: eisen aan koppelvlakken", "Hoofd inkoop", -20, 345, True),
        _Said("LDN-3.S1", _NOT_DONE, "Het contract voor het eigen platform loopt nog een half jaar.", "Bestuurder", -15,
              180, False),
        _Said("GF-2.S1", _DONE, "Overzicht van afspraken over autorisatie", "Functionaris gegevensbescherming", -90,
              275, True),
        _Said("GF-2.S2", _DONE, "Autorisatiematrix, versie 4", "Functionaris gegevensbescherming", -90, 275, True),
        _Said("GF-6.S1", _DONE, "Inventarisatie adresgegevens", "Applicatiebeheer", -30, 335, False),
        _Said("GF-7.S1", _DONE, "Overzicht van de logging per systeem", "Security officer", -355, 6, True),
        _Said("IBP-2.S1", _DONE, "Zelfbeoordeling NEN 7510", "Security officer", -200, 165, True),
        _Said("PGO-1.S3", _DONE, "Contract met de DVA, zonder einddatum", "Informatiemanager", -60, 305, True),
        _Said("IBP-3.S1", _DONE, "Bevestiging van Z-CERT", "Security officer", -120, 245, True),
        _Said("IBP-1.S1", _NOT_DONE, "Twee poliklinieken faxen nog met het verpleeghuis.", "Facilitair manager", -10,
              120, True),
    ),
    1: (
        _Said("LDN-1.S1", _DONE, "Deelname aan Twiin via de regio", "Praktijkmanager", -35, 330, True),
        _Said("LDN-2.S1", _DONE, "Brief van de leverancier over koppelvlakken", "Praktijkmanager", -35, 330, False),
        _Said("LDN-2.S3", _NOT_HERE, "De praktijk laat het meedenken over eisen aan de zorggroep.", "Praktijkmanager",
              -25, 340, True),
        _Said("GF-2.S2", _NOT_DONE, "De rollen van de praktijk zijn nog niet beschreven.", "Praktijkhouder", -5, 90,
              False),
        _Said("GF-3.S3", _DONE, "Folder en tekst op de website over Mitz", "Praktijkmanager", -80, 285, True),
        _Said("GF-6.S1", _DONE, "Lijst van adressen met wie ze bijhoudt", "Praktijkmanager", -50, 315, True),
        _Said("WEG-2.S1", _DONE, "Verklaring van de leverancier over het digitale recept", "Praktijkhouder", -150, 215,
              True),
        _Said("IBP-2.S1", _DONE, "Zelfbeoordeling NEN 7510 voor praktijken", "Praktijkhouder", -100, 265, False),
        _Said("IBP-1.S1", _DONE, "Opzegging van de faxlijn", "Praktijkmanager", -12, 353, False),
    ),
}  # fmt: skip
"""What is declared, by the place of the organisation among those of who declares."""


async def fill(front: str, provider: str, today: date) -> None:
    """Fills the board whose portal stands below `front`, with the staff of the demo that logs in at `provider`. Raises
    `Fault` when a form is refused, `Upstream` when nobody answers."""
    try:
        async with (
            _Person(front, provider, _MANAGER) as manager,
            _Person(front, provider, _DECLARER) as declarer,
            _Person(front, provider, _READER) as reader,
        ):
            await asyncio.gather(_plan(manager, today), _declare(declarer, reader, today))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Upstream(f"the portal at {front} had no answer ({type(error).__name__})") from error


async def _plan(manager: _Person, today: date) -> None:
    for one in _ACTIONS:
        fields = {
            "step": one.about,
            "title": one.title,
            "owner": one.owner,
            "ura": one.whose.ura if one.whose else "",
            "starts": _day(today, one.starts),
            "due": _day(today, one.due),
            "progress": one.progress,
            "note": one.note,
        }
        where = await manager.send("/agenda/new", **fields)
        if one.then:
            await manager.send(where, **{**fields, "progress": one.then, "change": "1"})


async def _declare(declarer: _Person, reader: _Person, today: date) -> None:
    [who] = [one for one in cast.STAFF if one.subject == _DECLARER]
    for place, several in _SAID.items():
        ura = cast.organisation(who.organisations[place]).ura
        for one in several:
            cell = f"/items/{one.step.partition('.')[0]}/{ura}"
            where = await declarer.send(
                cell,
                action="declare",
                step=one.step,
                claim=one.claim,
                owner=one.owner,
                on=_day(today, one.on),
                until=_day(today, one.days),
                **{"document" if one.claim == _DONE else "reason": f"{one.words} (bedacht)"},
            )
            if one.seen:
                name = where.partition("#declaration-")[2]
                await reader.send(cell, action="confirm", declaration=name)


def _day(today: date, days: int) -> str:
    return (today + timedelta(days=days)).isoformat()


class _Person:
    """The browser of `subject`, who is logged in at the portal below `front` for the length of the block."""

    def __init__(self, front: str, provider: str, subject: str) -> None:
        self._portal = f"{front}/portal"
        self._provider = provider
        self._subject = subject
        self._csrf = ""

    async def __aenter__(self) -> _Person:
        # An address that is a number has cookies too.
        jar = aiohttp.CookieJar(unsafe=True)
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        self._session = aiohttp.ClientSession(cookie_jar=jar, timeout=timeout)
        try:
            chosen = await self._found(f"{self._portal}/login", {"to": "/portal/about"}, _WAITING)
            fields = {"waiting": chosen, "who": self._subject, "action": "login"}
            self._csrf = await self._found(f"{self._provider}/login", fields, _CSRF)
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, path: str, **fields: str) -> str:
        """Sends a form to `path` below /portal; where that leads, below it too. Raises `Fault`."""
        data = {"csrf": self._csrf, **fields}
        async with self._session.post(f"{self._portal}{path}", data=data, allow_redirects=False) as answer:
            if answer.status != 303:
                raise Fault(f"the portal refused a form to {path}: {(await answer.text())[:300]}")
            return answer.headers["Location"].rpartition("/portal")[2]

    async def _found(self, address: str, fields: Mapping[str, str], field: re.Pattern[str]) -> str:
        """What a field has on the page to which a form leads. Raises `Fault`."""
        async with self._session.post(address, data=fields, headers={"Accept": "text/html"}) as answer:
            there = field.search(await answer.text())
        if there is None:
            raise Fault(f"{self._subject} could not log in to the portal: {answer.status} from {answer.url}")
        return html.unescape(there[1])
